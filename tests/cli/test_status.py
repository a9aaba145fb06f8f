"""`archwright status`: what the state of a run reads like."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from archwright.runs import status as runs_status

Cli = Callable[..., Any]
STATE = {
    "state": "running",
    "recipe": "spos",
    "phase": "supernet",
    "done": 30,
    "total": 120,
    "best": None,
    "time_left_s": 75.2,
    "elapsed_s": 25.0,
    "updated": "2026-01-01T00:00:00Z",
}


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the run's folder says; a test may change it."""
    document = dict(STATE)
    monkeypatch.setattr(runs_status, "read_status", lambda folder: document)
    return document


def test_running(cli: Cli, state: dict[str, Any]) -> None:
    """Phase with its progress and the time left; what is not known yet has no line."""
    assert cli("status", "run").out.splitlines() == [
        "state      running",
        "recipe     spos",
        "phase      supernet, 30 of 120",
        "elapsed    25 s",
        "time left  1 min 15 s",
        "updated    2026-01-01T00:00:00Z",
    ]


def test_dead_run_tells_how_to_continue(cli: Cli, state: dict[str, Any]) -> None:
    """The command can be pasted."""
    state["state"] = "dead"
    said = cli("status", "my run").out.splitlines()
    assert said[0] == "state      dead"
    assert said[-2:] == ["continue with:", "  archwright search spos --out 'my run' --resume"]


def test_json_is_the_whole_state(cli: Cli, state: dict[str, Any]) -> None:
    """One document, as read."""
    assert json.loads(cli("status", "run", "--json").out) == STATE


def test_folder_that_is_no_run(cli: Cli, tmp_path: Path) -> None:
    """Exit code 2 and one line."""
    (tmp_path / "holiday.txt").write_text("sun")
    done = cli("status", tmp_path)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)


def test_missing_folder(cli: Cli, tmp_path: Path) -> None:
    """Named in the line."""
    done = cli("status", tmp_path / "nowhere")
    assert done.code == 2
    assert "nowhere" in done.err
