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


def test_intervals_close_also_where_steps_give_no_loss() -> None:
    """Of 300 steps in intervals of 3, steps 0, 1, 7 and 298 give one: points at 3, 9 and 300."""
    recorder = LossRecorder(300)
    for step, loss in ((0, 1.0), (1, 2.0), (7, 5.0), (298, 4.0)):
        recorder.add(torch.tensor(loss), step)
    assert recorder.finished() == ((3, 1.5), (9, 5.0), (300, 4.0))


def test_several_curves_and_scores_survive_json() -> None:
    """Also a training in which no step gave a loss."""
    log = TrainingLog(4, ((4, 0.5),), 0.5, 1.0, {"a": ((4, 0.5),), "b": ()}, ((2, {"top1": 0.25}), (4, {"top1": 0.5})))
    assert TrainingLog.from_json(json.loads(json.dumps(log.to_json()))) == log
    empty = TrainingLog(4, (), math.nan, 1.0)
    assert math.isnan(TrainingLog.from_json(empty.to_json()).final_loss)


def test_a_log_of_an_older_build_has_no_scores() -> None:
    """Nor curves by name; a log without any is written as before."""
    document = {"steps": 3, "curve": [[3, 0.5]], "seconds": 1.0}
    log = TrainingLog.from_json(document)
    assert (log.scores, log.curves, log.to_json()) == ((), {}, document)
