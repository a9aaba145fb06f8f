"""Few archs that have every value of every decision."""

from __future__ import annotations

import numpy as np

from archwright.core.decisions import DecisionSpace, Rows

MOST_ROWS = 12
"""Most archs; of a decision with more values, those from the first to the last at equal distances are taken."""


def covering_rows(decisions: DecisionSpace) -> Rows:
    """Rows (n, n_decisions) in which each decision that is active has all of its values, as far as rows suffice.

    Args:
        decisions: Of a space.
    """
    n_values = [int(n) for n in decisions.n_values]
    n_rows = min(MOST_ROWS, max(n_values, default=1))
    columns = [np.linspace(0, n - 1, n_rows).round() if n > n_rows else np.arange(n_rows) % n for n in n_values]
    rows: Rows = np.array(columns, dtype=np.int16).reshape(len(n_values), n_rows).T
    return decisions.canonical(rows) if n_values else rows
