"""SPOS with worker processes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from archwright.testing.faults import differences


def test_a_run_with_two_workers_is_the_same(
    tmp_path: Path, finished: Any, arguments: tuple[str, ...], cli: Callable[..., Any]
) -> None:
    """Trials, winner, weights and files, bit for bit."""
    done = cli(*arguments, "--workers", "2", "--out", tmp_path / "run")
    assert done.code == 0, done.err
    assert differences(tmp_path / "run", finished.folder) == []
