"""A run's folder: lock, atomic files, ledger, phase checkpoints, resume, progress.

A run is a sequence of named phases. It can be killed at any moment: opened again with `resume=True`, each phase is
finished, at its last checkpoint, or not begun. Code that depends on (seed, position) alone then gives the same result
as without the interruption.
"""
