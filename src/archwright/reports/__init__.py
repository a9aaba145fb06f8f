"""Pages, charts and drawings that show trials and results to people."""
