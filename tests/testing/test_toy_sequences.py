"""Sequences to sequences: a space of three inputs, and a task that is searched by its loss and measured by decoding."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from archwright.spaces import Space
from archwright.tasks import Task
from archwright.testing import ReversalTask, SequenceSpace, SpaceContract, TaskContract
from archwright.testing.sequences import BEGIN, PADDING, DecodingMeter, TokenMeter, decoded
from archwright.training.evaluate import evaluate
from archwright.training.networks import build_seeded


class TestSequenceSpace(SpaceContract):
    def make(self) -> Space:
        return SequenceSpace(length=4, n_tokens=5)


class TestReversalTask(TaskContract):
    def make(self) -> Task:
        return ReversalTask(n=60)

    def make_other(self) -> Task:
        return ReversalTask(n=60, seed=1)

    def network(self, task: Task) -> nn.Module:
        space = SequenceSpace(**task.space_args())
        return space.build(space.parse("000"))


def test_a_batch_by_hand() -> None:
    """Sources are filled up in front, answers are read backwards, and begin with the token that says so."""
    (source, mask, target), answer = next(ReversalTask().split("train").ordered(60))
    assert (mask == (source != PADDING)).all()
    assert (answer == source.flip(1)).all()
    assert (target[:, 0] == BEGIN).all()
    assert (target[:, 1:] == answer[:, :-1]).all()
    assert int((~mask).sum()) > 0, "some are shorter than others"


def test_decoding_is_the_loop_by_hand() -> None:
    """Each token is the most likely one after those before, by the whole network on all of them."""
    space = SequenceSpace()
    network = build_seeded(space, space.parse("101"), 0).eval()
    source, mask, _ = ReversalTask().split("validation").ordered(5).__next__().inputs
    tokens = torch.full((5, 1), BEGIN)
    with torch.inference_mode():
        for _ in range(6):
            tokens = torch.cat([tokens, network(source, mask, tokens)[:, -1:].argmax(-1)], dim=1)
        assert (decoded(network, source, mask, 6) == tokens[:, 1:]).all()


def test_the_two_meters_by_hand() -> None:
    """Of two answers one has a wrong token, and what is padding may be anything."""
    batch = ReversalTask().example(2)._replace(targets=torch.tensor([[2, 3, 0], [4, 5, 6]]))
    meter = DecodingMeter()
    meter.update(torch.tensor([[2, 3, 7], [4, 5, 5]]), batch)
    assert meter.result() == {"sequence_accuracy": 0.5, "token_accuracy": 4 / 5}
    forced = TokenMeter()
    forced.update(torch.zeros(2, 3, 8), batch)
    assert forced.result()["loss"] == pytest.approx(torch.tensor(8.0).log().item())


def test_the_task_is_measured_by_decoding() -> None:
    """What `evaluate` says is what the loop gives, and not what a network is told."""
    task, space = ReversalTask(), SequenceSpace()
    network = build_seeded(space, space.parse("000"), 0)
    assert evaluate(network, task, "validation").keys() == {"sequence_accuracy", "token_accuracy"}
    found = evaluate(network, task, "validation", meter=task.search_meter())
    assert found.keys() == {"loss", "token_accuracy"}
