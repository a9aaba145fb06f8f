"""Pictures to pictures: a space without classes, and a task whose loss sees inputs and targets."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from archwright.recipes.presets import usual_training
from archwright.spaces import Space
from archwright.tasks import Task
from archwright.tasks.base import Batch
from archwright.testing import PictureSpace, PictureTask, SpaceContract, TaskContract
from archwright.testing.pictures import discriminator
from archwright.training.evaluate import evaluate
from archwright.training.loop import fit
from archwright.training.networks import build_seeded


class TestPictureSpace(SpaceContract):
    def make(self) -> Space:
        return PictureSpace()


class TestPictureTask(TaskContract):
    def make(self) -> Task:
        return PictureTask()

    def make_other(self) -> Task:
        return PictureTask(seed=1)

    def network(self, task: Task) -> nn.Module:
        return nn.Conv2d(1, 1, 3, padding=1)


def test_loss_by_hand() -> None:
    """Off by 2 where the input is 0 and by 1 where it is 3: (2 x 1 + 1 x 4) / 2."""
    batch = Batch(torch.tensor([[0.0, 3.0]]), torch.tensor([[1.0, 1.0]]))
    assert float(PictureTask().loss(torch.tensor([[3.0, 2.0]]), batch)) == 3.0


def test_a_network_learns_it() -> None:
    """Forty steps halve the distance of the picture that is grey everywhere."""
    task, space = PictureTask(), PictureSpace()
    network = build_seeded(space, space.parse("111"), 0)
    grey = float(task.split("validation").ordered(99).__next__().targets.abs().mean())
    config = replace(usual_training(steps=40, batch_size=12), optimizer="adam", learning_rate=0.02, weight_decay=0.0)
    fit(network, task, config, seed=0)
    assert evaluate(network, task, "validation")["distance"] < 0.5 * grey


def test_discriminator_sees_pairs() -> None:
    """Two pictures of one channel, joined."""
    assert discriminator()(torch.zeros(2, 2, 8, 8)).shape == (2, 1, 4, 4)
