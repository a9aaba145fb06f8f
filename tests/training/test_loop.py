"""The training loop: it learns, it resumes to the bit, it touches nothing else."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from archwright.core.errors import InvalidValueError, RunError, RunFolderError
from archwright.core.trial import derive_seed
from archwright.tasks.images.bundled import digits
from archwright.tasks.images.in_memory import ImageTask
from archwright.training.checkpoint import network_tensors
from archwright.training.config import TrainingConfig
from archwright.training.evaluate import evaluate
from archwright.training.log import TrainingLog
from archwright.training.loop import fit

Build = Callable[[int], Any]
Switch = Callable[[Any], Callable[[int], None]]
CONFIG = TrainingConfig(steps=11, batch_size=16, learning_rate=0.05, warmup_steps=2, weight_decay=1e-3)
KINDS = {
    "sgd": {},
    "nesterov": {"nesterov": True, "label_smoothing": 0.1},
    "adam": {"optimizer": "adam", "learning_rate": 0.01},
    "adamw": {"optimizer": "adamw", "learning_rate": 0.01, "clip_norm": 0.5},
    "ema": {"ema_decay": 0.7},
    "contiguous": {"channels_last": False},
    "bfloat16": {"precision": "bfloat16"},
    "float16": {"precision": "float16", "clip_norm": 1.0},
}


def _bits(network: nn.Module) -> dict[str, bytes]:
    return {name: tensor.contiguous().numpy().tobytes() for name, tensor in network_tensors(network).items()}


def _strides(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tensor.stride() for name, tensor in network_tensors(network).items()}


def _timeless(log: TrainingLog) -> TrainingLog:
    return replace(log, seconds=0.0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("saved_at", "dies_at"), [(1, 2), (4, 4 + 1), (5, 9), (10, 11)])
def test_interrupted_training_ends_with_the_same_bits(
    toy: ImageTask,
    two_paths: Build,
    switch: Switch,
    memory_phase: Any,
    killed: Any,
    kind: str,
    saved_at: int,
    dies_at: int,
) -> None:
    """Killed after step `dies_at` and resumed from step `saved_at` in a new process (other initial weights)."""
    config = replace(CONFIG, **KINDS[kind])
    undisturbed = two_paths(0)
    expected = fit(undisturbed, toy, config, seed=3, before_step=switch(undisturbed))

    phase, network = memory_phase((saved_at,), dies_at), two_paths(0)
    with pytest.raises(killed):
        fit(network, toy, config, seed=3, before_step=switch(network), phase=phase)
    phase.dies_at, resumed = None, two_paths(99)
    torch.manual_seed(1234)
    log = fit(resumed, toy, config, seed=3, before_step=switch(resumed), phase=phase)

    assert _bits(resumed) == _bits(undisturbed)
    assert _strides(resumed) == _strides(undisturbed)
    assert _timeless(log) == _timeless(expected)


def test_checkpoint_at_every_step_changes_nothing(
    toy: ImageTask, two_paths: Build, switch: Switch, memory_phase: Any, killed: Any
) -> None:
    """Killed after each of 11 steps in turn, one process a step."""
    undisturbed, phase = two_paths(0), memory_phase(tuple(range(12)))
    fit(undisturbed, toy, CONFIG, seed=3, before_step=switch(undisturbed))
    for dies_at in range(2, 12):
        phase.dies_at, network = dies_at, two_paths(0)
        with pytest.raises(killed):
            fit(network, toy, CONFIG, seed=3, before_step=switch(network), phase=phase)
    phase.dies_at, network = None, two_paths(0)
    fit(network, toy, CONFIG, seed=3, before_step=switch(network), phase=phase)
    assert _bits(network) == _bits(undisturbed)


def test_finished_phase_is_only_loaded(toy: ImageTask, two_paths: Build, memory_phase: Any) -> None:
    """Weights and log of the first time; no step is made."""
    phase, first, second = memory_phase(), two_paths(0), two_paths(1)
    log = fit(first, toy, replace(CONFIG, ema_decay=0.7), seed=0, phase=phase)
    steps: list[int] = []
    again = fit(second, toy, replace(CONFIG, ema_decay=0.7), seed=0, phase=phase, before_step=steps.append)
    assert (again, _bits(second), steps) == (log, _bits(first), [])
    assert not second.training


def test_outcome_is_a_copy(toy: ImageTask, two_paths: Build, memory_phase: Any) -> None:
    """What a phase in memory keeps does not change with the network."""
    phase, network = memory_phase(), two_paths(0)
    kept: list[dict[str, Tensor]] = []
    phase.finish = lambda tensors, state: kept.append(tensors)
    fit(network, toy, CONFIG, seed=0, phase=phase)
    assert all(tensor.data_ptr() != network_tensors(network)[name].data_ptr() for name, tensor in kept[0].items())


@pytest.mark.parametrize(
    ("change", "expected"),
    [({"seed": 4}, "seed = 3, now it is 4"), ({"config": replace(CONFIG, momentum=0.8)}, r"config\.momentum = 0\.9")],
)
def test_resuming_something_else_is_refused(
    toy: ImageTask, two_paths: Build, memory_phase: Any, killed: Any, change: dict[str, Any], expected: str
) -> None:
    """The message names what differs, with both values."""
    phase = memory_phase((2,), 4)
    with pytest.raises(killed):
        fit(two_paths(0), toy, CONFIG, seed=3, phase=phase)
    settings = {"config": CONFIG, "seed": 3} | change
    with pytest.raises(RunFolderError, match=expected):
        fit(two_paths(0), toy, **settings, phase=phase)


def test_resuming_on_other_data_is_refused(two_paths: Build, toy: ImageTask, memory_phase: Any) -> None:
    """The fingerprint of the data is part of the checkpoint."""
    phase = memory_phase()
    fit(two_paths(0), toy, CONFIG, seed=3, phase=phase)
    inputs = np.zeros((30, 3, 10, 10), dtype=np.uint8)
    other = ImageTask("other", inputs, np.arange(30) % 3, inputs, np.arange(30) % 3)
    with pytest.raises(RunFolderError, match="trained with data"):
        fit(two_paths(0), other, CONFIG, seed=3, phase=phase)


def test_resuming_another_network_is_refused(toy: ImageTask, two_paths: Build, memory_phase: Any) -> None:
    """Other names, and other shapes under the same names."""
    phase, network = memory_phase(), two_paths(0)
    fit(network, toy, CONFIG, seed=3, phase=phase)
    with pytest.raises(RunFolderError, match="on one side only"):
        fit(nn.Sequential(nn.Flatten(), nn.Linear(300, 3)), toy, CONFIG, seed=3, phase=phase)
    wider = two_paths(0)
    wider.head = nn.Linear(8, 4)
    with pytest.raises(RunFolderError, match=r"parameter/head.weight has shape \(3, 8\) there and \(4, 8\) here"):
        fit(wider, toy, CONFIG, seed=3, phase=phase)


def test_same_seed_same_bits_and_other_seed_other_bits(toy: ImageTask, two_paths: Build) -> None:
    """Whatever the state of torch's generator before."""
    results = []
    for seed, noise in ((3, 1), (3, 2), (4, 1)):
        torch.manual_seed(noise)
        network = two_paths(0)
        fit(network, toy, CONFIG, seed=seed)
        results.append(_bits(network))
    assert results[0] == results[1] != results[2]


def test_global_generator_is_left_alone(toy: ImageTask, two_paths: Build) -> None:
    """A caller's own random numbers do not depend on a training in between."""
    network = two_paths(0)
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    fit(network, toy, CONFIG, seed=0)
    assert torch.equal(torch.rand(2), expected)


def test_path_that_never_runs_keeps_every_bit(toy: ImageTask, two_paths: Build) -> None:
    """Weights, statistics and counts, for all momentum and decay."""
    network = two_paths(0)
    before = _bits(network.paths[1])
    fit(network, toy, CONFIG, seed=0)
    assert _bits(network.paths[1]) == before


def test_before_step_sees_every_step_once(toy: ImageTask, two_paths: Build) -> None:
    """0 to 10, before the phase hears of them."""
    steps: list[int] = []
    fit(two_paths(0), toy, CONFIG, seed=0, before_step=steps.append)
    assert steps == list(range(11))


def test_loop_against_plain_torch(toy: ImageTask) -> None:
    """Ten lines of torch over the same batches, for a network without randomness."""
    config = TrainingConfig(steps=9, batch_size=16, learning_rate=0.1, schedule="constant", weight_decay=0.01)
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        ours = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(256, 3))
    theirs = copy.deepcopy(ours)
    log = fit(ours, toy, config, seed=0)
    weights = [p for p in theirs.parameters() if p.dim() > 1]
    biases = [p for p in theirs.parameters() if p.dim() == 1]
    groups = [{"params": weights, "weight_decay": 0.01}, {"params": biases}]
    optimizer, losses = torch.optim.SGD(groups, lr=0.1, momentum=0.9), []
    for inputs, targets in toy.split("train").batches(16, seed=derive_seed(0, "batches"), n_steps=9):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(theirs(inputs.contiguous()), targets)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert [point for _, point in log.curve] == pytest.approx(losses, rel=1e-4)
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a.detach(), b.detach(), rtol=1e-3, atol=1e-5)


def test_network_ends_in_the_asked_layout(toy: ImageTask, two_paths: Build) -> None:
    """Channels-last strides of the stem's convolution, and evaluation mode."""
    network = two_paths(0)
    fit(network, toy, CONFIG, seed=0)
    assert network.stem[0].weight.stride() == (27, 1, 9, 3)
    assert not any(module.training for module in network.modules())


def test_ema_decides_the_final_weights(toy: ImageTask, two_paths: Build) -> None:
    """With decay 0 the average is the network; with 0.7 it is not."""
    networks = [two_paths(0) for _ in range(3)]
    for network, decay in zip(networks, (None, 0.0, 0.7), strict=True):
        fit(network, toy, replace(CONFIG, ema_decay=decay), seed=0)
    assert _bits(networks[0]) == _bits(networks[1]) != _bits(networks[2])


class WithHead(nn.Module):
    """A linear classifier and a second head that is only trained with."""

    def __init__(self) -> None:
        super().__init__()
        self.head, self.other, self.kept = nn.Linear(300, 3), nn.Linear(300, 3), None

    def forward(self, x: Tensor) -> Tensor:
        self.kept = self.other(x.flatten(1)) if self.training else None
        return self.head(x.flatten(1))  # type: ignore[no-any-return]

    def added_loss(self, loss_of: Callable[[Tensor], Tensor]) -> Tensor | None:
        kept, self.kept = self.kept, None
        return None if kept is None else 0.4 * loss_of(kept)


def test_what_a_network_adds_to_the_loss_is_trained(toy: ImageTask) -> None:
    """A head of weight 0.4 moves as one alone at 0.4 times the rate."""
    networks = [WithHead() for _ in range(2)]
    networks[1].load_state_dict(networks[0].state_dict())
    networks[1].head.load_state_dict(networks[0].other.state_dict())
    config = replace(CONFIG, momentum=0.0, weight_decay=0.0)
    fit(networks[0], toy, config, seed=0)
    networks[1].added_loss = lambda loss_of: None  # type: ignore[method-assign]
    fit(networks[1], toy, replace(config, learning_rate=0.4 * config.learning_rate), seed=0)
    assert torch.allclose(networks[0].other.weight, networks[1].head.weight, atol=1e-5)


class Exploding(nn.Module):
    """Its output becomes infinite in the sixth call."""

    def __init__(self) -> None:
        super().__init__()
        self.head, self.n = nn.Linear(300, 3), 0

    def forward(self, x: Tensor) -> Tensor:
        self.n += 1
        scale = float("inf") if self.n == 6 else 1.0
        return self.head(x.flatten(1)) * scale  # type: ignore[no-any-return]


def test_broken_loss_stops_before_the_weights_break(toy: ImageTask) -> None:
    """The error names step 5; the weights are those after step 4."""
    network = Exploding()
    with pytest.raises(RunError, match="at step 5 of 11"):
        fit(network, toy, CONFIG, seed=0)
    assert all(parameter.isfinite().all() for parameter in network.parameters())


def test_too_long_warm_up_is_refused(toy: ImageTask, two_paths: Build) -> None:
    """81 examples are 5 steps an epoch, less than the warm-up."""
    with pytest.raises(InvalidValueError, match="warmup_steps is 9"):
        fit(two_paths(0), toy, TrainingConfig(epochs=1, batch_size=16, warmup_steps=9), seed=0)


def test_phase_hears_of_progress(toy: ImageTask, two_paths: Build, memory_phase: Any) -> None:
    """Steps done and the loss of the last one, which here is a point of the curve of its own."""
    phase = memory_phase()
    log = fit(two_paths(0), toy, CONFIG, seed=0, phase=phase)
    assert (phase.done, phase.figures) == (11, {"loss": log.final_loss})


def test_training_part_may_include_validation(toy: ImageTask, two_paths: Build) -> None:
    """90 images instead of 81: 5 steps an epoch both, but other batches."""
    results = []
    for part in ("train", "train+validation"):
        network = two_paths(0)
        fit(network, toy, CONFIG, part=part, seed=0)  # type: ignore[arg-type]
        results.append(_bits(network))
    assert results[0] != results[1]


def _block(channels: int, out: int) -> list[nn.Module]:
    return [nn.Conv2d(channels, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU()]


def _head(channels: int) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10)]


def test_digits_are_learned() -> None:
    """A tiny convolutional network in 200 steps, on images it was not trained on."""
    task = digits()
    torch.manual_seed(0)
    network = nn.Sequential(*_block(1, 16), nn.MaxPool2d(2), *_block(16, 32), *_head(32))
    log = fit(network, task, TrainingConfig(steps=200, batch_size=64, learning_rate=0.2, weight_decay=1e-4), seed=0)
    assert evaluate(network, task, "validation")["top1_accuracy"] > 0.9
    assert log.curve[0][1] > 4 * log.final_loss


@pytest.mark.slow
def test_real_mnist_is_learned(shared_data: Callable[[str], Path]) -> None:
    """1,000 steps on 5,000 of the 60,000 images: 97 % of 10,000 others."""
    arrays = np.load(shared_data("mnist/mnist.npz"), allow_pickle=False)
    images = {part: arrays[f"{part}_x"][:, None] for part in ("train", "test")}
    labels = {part: arrays[f"{part}_y"].astype(np.int64) for part in ("train", "test")}
    task = ImageTask("mnist", images["train"][:5000], labels["train"][:5000], images["test"], labels["test"])
    torch.manual_seed(0)
    network = nn.Sequential(
        *_block(1, 16), nn.MaxPool2d(2), *_block(16, 32), nn.MaxPool2d(2), *_block(32, 64), *_head(64)
    )
    fit(network, task, TrainingConfig(steps=1000, batch_size=64, learning_rate=0.2, weight_decay=1e-4), seed=0)
    assert evaluate(network, task, "test")["top1_accuracy"] > 0.97
