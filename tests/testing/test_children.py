"""Commands in forks: how they end, what they say, what befalls them."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

import pytest

from archwright.testing.children import Job, run_child
from archwright.testing.moments import START, Moment

TINY = f"{Path(__file__).parents[1] / 'recipes' / 'tiny_space.py'}:Tiny"
TRAIN = ("train", f"{TINY}:0120", "--preset", "smoke", "--threads", "1", "--device", "cpu", "--out")


def test_a_command_that_ends_by_itself() -> None:
    """Its code and both streams are its own."""
    done = run_child(Job(("list", "recipes", "--json")))
    assert (done.code, done.err, done.moments) == (0, "", ())
    assert "spos" in {entry["name"] for entry in json.loads(done.out)}
    refused = run_child(Job(("describe", "nothing")))
    assert (refused.code, refused.out, len(refused.errors)) == (2, "", 1)


@pytest.mark.parametrize(
    ("kind", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["kill", "int", "term"]
)
def test_a_signal_at_a_moment(tmp_path: Path, kind: int, code: int) -> None:
    """Nothing happens after it."""
    until = Moment(START, "after run.json")
    done = run_child(Job((*TRAIN, str(tmp_path / "run")), until, kind))
    assert done.code == code
    assert done.moments[-1] == until
    assert (tmp_path / "run" / "run.json").exists()
    assert not (tmp_path / "run" / "checkpoints").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="capabilities as Linux has them")
def test_modes_bind_the_superuser_too(tmp_path: Path) -> None:
    """Where a test needs that."""
    (tmp_path / "run.json").write_text("{}")
    (tmp_path / "run.json").chmod(0)
    done = run_child(Job(("status", str(tmp_path)), is_plain_user=True))
    assert (done.code, done.errors) == (2, [f"error: {tmp_path}/run.json cannot be read: Permission denied"])
