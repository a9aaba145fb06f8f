"""A run's folder: lock, atomic files, ledger, phase checkpoints, resume, progress.

A run is a row of named phases. Whatever moment it is killed at, opening it again with `resume=True` finds each phase
finished, at its last checkpoint, or not begun; code that depends on (seed, position) alone then ends as if undisturbed.
"""
