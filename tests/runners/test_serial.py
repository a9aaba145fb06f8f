"""Evaluation in this process."""

from __future__ import annotations

from archwright.runners import Runner, Serial
from archwright.testing import RunnerContract, Scripted


class TestSerial(RunnerContract):
    def make(self) -> Runner:
        return Serial()


def test_window_is_the_evaluator_s_chunk() -> None:
    """More would be asked before anything is learned, fewer would share nothing."""
    with Serial().start(Scripted(chunk=7)) as running:
        assert running.window == 7
