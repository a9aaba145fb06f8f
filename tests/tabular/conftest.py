"""A small benchmark whose figures are easy to follow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from archwright.tabular.benchmark import Benchmark, Columns
from archwright.tabular.tables import Table
from archwright.testing import BranchSpace


def _made(*, missing: bool = False, **changed: dict[int, str]) -> Benchmark:
    """All members of a space of twelve: a signal, a noisy longer one, a true score, a cost."""
    space = BranchSpace()
    rows = space.decisions.enumerate_rows()
    codes = [space.code(arch) for arch in space.decisions.archs(rows)]
    n = len(codes) - missing
    columns = {
        "arch": codes[:n],
        "short": [str(i) for i in range(n)],
        "long": [str(i / 2) for i in range(n)],
        "true": [str(100 - i) for i in range(n)],
        "ms": [str(1 + i % 3) for i in range(n)],
    }
    for name, cells in changed.items():
        columns[name] = [cells.get(i, cell) for i, cell in enumerate(columns[name])]
    table = Table(Path("made.csv"), columns)
    return Benchmark("made", space, table, Columns({1: "short", 9: "long"}, "true", not_measured={"short": -1}))


@pytest.fixture
def made() -> Callable[..., Benchmark]:
    """Makes it; cells of columns are changed by their line."""
    return _made
