"""`archwright report` writes pages and says where."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from archwright.runs.run import open_run


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run that was begun and has stopped."""
    with open_run(tmp_path / "run", {"data": "digits"}, seed=0, recipe="spos", threads=1):
        pass
    return tmp_path / "run"


def test_page_of_a_run(cli: Callable[..., Any], run: Path) -> None:
    """One line on stdout, exit code 0, also for a run that is not finished."""
    outcome = cli("report", run)
    assert (outcome.code, outcome.out, outcome.err) == (0, f"wrote {run / 'report.html'}\n", "")
    assert "This run has stopped before its end" in (run / "report.html").read_text("utf-8")


def test_page_elsewhere(cli: Callable[..., Any], run: Path, tmp_path: Path) -> None:
    """`-o` names the file."""
    assert cli("report", run, "-o", tmp_path / "page.html").code == 0
    assert (tmp_path / "page.html").is_file()
    assert not (run / "report.html").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [((), "Missing argument 'DIR...'"), (("nowhere",), "is no folder"), (("run", "run"), "given twice")],
)
def test_mistakes_are_one_line(
    cli: Callable[..., Any],
    run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    said: str,
) -> None:
    """Exit code 2; no page appears."""
    monkeypatch.chdir(tmp_path)
    outcome = cli("report", *arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert said in outcome.err
    assert outcome.err.count("\n") == 1
    assert not (tmp_path / "report.html").exists()
