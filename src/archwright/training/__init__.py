"""The one training loop, and what belongs to it: schedules, checkpoints, evaluation, BN recalibration, devices."""
