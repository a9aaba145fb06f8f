"""The loss curve."""

from __future__ import annotations

import json
import math

import pytest
import torch

from archwright.core.errors import RunError
from archwright.training.log import LossRecorder, TrainingLog


def _recorded(losses: list[float], read_every: int = 1) -> LossRecorder:
    recorder = LossRecorder(len(losses), read_every)
    for step, loss in enumerate(losses):
        recorder.add(torch.tensor(loss), step)
    return recorder


def _log(recorder: LossRecorder, steps: int = 30, seconds: float = 0.0) -> TrainingLog:
    curve = recorder.finished()
    return TrainingLog(steps, curve, curve[-1][1], seconds)


def test_curve_holds_means_of_intervals() -> None:
    """250 steps in intervals of 3: the first mean is that of 0, 1, 2, the last that of step 249 alone."""
    log = _log(_recorded([float(i) for i in range(250)]), 250, 1.5)
    assert (len(log.curve), log.curve[0], log.curve[-1]) == (84, (3, 1.0), (250, 249.0))
    assert (log.steps, log.final_loss, log.seconds) == (250, 249.0, 1.5)


@pytest.mark.parametrize("read_every", [1, 4, 1000])
def test_curve_does_not_depend_on_when_it_is_read(read_every: int) -> None:
    """Reading late, for a GPU's sake, gives the same bits."""
    losses = torch.rand(30, generator=torch.Generator().manual_seed(0)).tolist()
    assert _log(_recorded(losses, read_every)) == _log(_recorded(losses))


@pytest.mark.parametrize("loss", [math.nan, math.inf])
@pytest.mark.parametrize("read_every", [1, 10])
def test_broken_loss_names_its_step(loss: float, read_every: int) -> None:
    """Step 3 of 8, also where losses are looked at later."""
    with pytest.raises(RunError, match=f"the training loss is {loss} at step 3 of 8; lower learning_rate"):
        _recorded([1.0, 1.0, 1.0, loss, 1.0, 1.0, 1.0, 1.0], read_every).finished()


def test_log_survives_json() -> None:
    """Out and in again."""
    log = _log(_recorded([0.1, 0.2, 0.7]), 3, 3.25)
    assert TrainingLog.from_json(json.loads(json.dumps(log.to_json()))) == log
