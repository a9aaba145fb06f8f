"""Metrics of a network on a part."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from archwright.tasks.images.in_memory import ImageTask
from archwright.training.evaluate import evaluate

Build = Callable[[int], Any]


class Brightness(nn.Module):
    """Knows the toy task's rule: the three classes lie around three levels of brightness."""

    def forward(self, x: Tensor) -> Tensor:
        level = x.mean((1, 2, 3))[:, None]
        return -(level - torch.tensor([-1.0, 0.0, 1.0])).square()


def test_rule_of_the_toy_task_is_always_right(toy: ImageTask) -> None:
    """A network that needs no training."""
    assert evaluate(Brightness(), toy, "validation")["top1_accuracy"] == 1.0


@pytest.mark.parametrize("batch_size", [1, 7, 256])
@pytest.mark.parametrize("channels_last", [True, False])
def test_equals_one_pass_over_everything(
    toy: ImageTask, two_paths: Build, batch_size: int, channels_last: bool
) -> None:
    """Accuracy and mean cross-entropy of one big batch, whatever the batch size and layout."""
    network = two_paths(0).eval()
    inputs, targets = next(toy.split("train").ordered(1000))
    with torch.no_grad():
        outputs = network(inputs)
    expected = {
        "top1_accuracy": float((outputs.argmax(1) == targets).double().mean()),
        "loss": float(functional.cross_entropy(outputs, targets)),
    }
    found = evaluate(network, toy, "train", batch_size=batch_size, channels_last=channels_last)
    assert found == pytest.approx(expected, rel=1e-5)


def test_network_is_as_before(toy: ImageTask, two_paths: Build) -> None:
    """Modes of every module and all statistics, also of a network in training mode."""
    network = two_paths(0).train()
    network.dropout.eval()
    modes, before = [m.training for m in network.modules()], {k: v.clone() for k, v in network.state_dict().items()}
    evaluate(network, toy, "validation")
    assert [m.training for m in network.modules()] == modes
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())


def test_looking_at_the_test_part_is_counted(toy: ImageTask) -> None:
    """Once an evaluation."""
    before = toy.n_test_reads
    evaluate(Brightness(), toy, "test", batch_size=4)
    assert toy.n_test_reads == before + 1
