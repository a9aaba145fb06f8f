"""Two networks against each other: both move, each by its own loss, and a kill at any step changes no bit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from archwright.nn import selection_of
from archwright.testing import PictureSpace, PictureTask
from archwright.testing.adversarial import Adversaries
from archwright.testing.pictures import discriminator
from archwright.training.checkpoint import network_tensors
from archwright.training.config import TrainingConfig
from archwright.training.evaluate import evaluate
from archwright.training.networks import build_seeded

SPACE, TASK, N = PictureSpace(), PictureTask(), 5
ADAM = TrainingConfig(steps=N, batch_size=12, optimizer="adam", learning_rate=0.02, betas=(0.5, 0.999))
SGD = TrainingConfig(steps=1, batch_size=12, learning_rate=0.1, momentum=0.0, schedule="constant", precision="float32")


def adversaries(config: TrainingConfig, seed: int = 0, *, shared: bool = False) -> Adversaries:
    generator = build_seeded(SPACE, None if shared else SPACE.parse("111"), seed)
    if shared:
        selection_of(generator).activate(SPACE.parse("010"))
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return Adversaries(generator, discriminator(), TASK, config)


def bits(found: Adversaries) -> dict[str, bytes]:
    networks = {"generator": found.generator, "discriminator": found.discriminator}
    return {
        f"{role}/{name}": tensor.contiguous().numpy().tobytes()
        for role, network in networks.items()
        for name, tensor in network_tensors(network).items()
    }


@pytest.mark.parametrize("shared", [False, True], ids=["network", "supernet"])
def test_killed_at_every_step_both_end_with_the_same_bits(memory_phase: Any, killed: Any, shared: bool) -> None:
    """Killed after each step in turn, one process a step; each begins with other weights."""
    undisturbed = adversaries(ADAM, shared=shared)
    expected = undisturbed.fit(seed=3)
    phase = memory_phase(tuple(range(N + 1)))
    for dies_at in range(2, N + 1):
        phase.dies_at = dies_at
        with pytest.raises(killed):
            adversaries(ADAM, 0 if dies_at == 2 else dies_at, shared=shared).fit(seed=3, phase=phase)
    phase.dies_at, last = None, adversaries(ADAM, 99, shared=shared)
    log = last.fit(seed=3, phase=phase)
    assert bits(last) == bits(undisturbed)
    assert replace(log, seconds=0.0) == replace(expected, seconds=0.0)
    assert set(log.curves) == {"generator", "discriminator"}


def test_a_step_by_hand() -> None:
    """The discriminator goes down its own loss alone, then the generator goes down its own, seen by the new one."""
    found, plain = adversaries(SGD), adversaries(SGD)
    (batch,) = TASK.split("train").batches(12, seed=3, n_steps=1)
    found.fit(seed=3)
    generator, other = plain.generator.train(), plain.discriminator.train()
    made = generator(batch.inputs)

    def scores(pictures: torch.Tensor) -> torch.Tensor:
        return other(torch.cat([batch.inputs, pictures], dim=1))

    loss = F.softplus(-scores(batch.targets)).mean() + F.softplus(scores(made.detach())).mean()
    for parameter, gradient in zip(
        other.parameters(), torch.autograd.grad(loss, list(other.parameters())), strict=True
    ):
        parameter.data -= 0.1 * gradient
    loss = TASK.loss(made, batch) + 0.1 * F.softplus(-scores(made)).mean()
    for parameter, gradient in zip(
        generator.parameters(), torch.autograd.grad(loss, list(generator.parameters())), strict=True
    ):
        parameter.data -= 0.1 * gradient
    for one, expected in ((found.generator, generator), (found.discriminator, other)):
        for mine, theirs in zip(one.parameters(), expected.parameters(), strict=True):
            torch.testing.assert_close(mine, theirs, atol=1e-6, rtol=1e-5)


def test_the_generator_learns() -> None:
    """Forty steps halve the distance it begins with."""
    found = adversaries(replace(ADAM, steps=40))
    before = evaluate(found.generator, TASK, "validation")["distance"]
    found.fit(seed=0)
    assert evaluate(found.generator, TASK, "validation")["distance"] < 0.5 * before
