"""Scores of networks that were not trained: "zero-cost" proxies of what training would give."""
