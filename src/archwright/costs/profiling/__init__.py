"""Measuring a latency table: where a network is cut, and the time of each part."""
