"""Evaluation in this process."""

from __future__ import annotations

from archwright.runners import Runner, Serial
from archwright.testing import RunnerContract, Scripted


class TestSerial(RunnerContract):
    def make(self) -> Runner:
        return Serial()


def test_window_holds_a_chunk() -> None:
    """Fewer would share nothing."""
    with Serial().start(Scripted(chunk=700)) as running:
        assert running.window == 700
