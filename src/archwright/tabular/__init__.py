"""Benchmarks whose every architecture was trained once, by others: any strategy is compared on them in seconds."""
