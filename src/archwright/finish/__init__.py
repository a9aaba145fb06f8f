"""What follows a search, the same for every method: retraining, baseline, the one test, export, report."""

from archwright.finish.finalists import FinalTraining, Provenance
from archwright.finish.finishing import Found, effective_config, finish, finish_fixed
from archwright.finish.result import Result, export_run, open_winner, reopen

__all__ = [
    "FinalTraining",
    "Found",
    "Provenance",
    "Result",
    "effective_config",
    "export_run",
    "finish",
    "finish_fixed",
    "open_winner",
    "reopen",
]
