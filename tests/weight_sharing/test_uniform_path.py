"""Single-path training: what each step touches, and that an interruption changes nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from archwright.core.decisions import Rows
from archwright.core.trial import derive_seed
from archwright.nn.choice import selection_of
from archwright.nn.choice.modules import active_modules
from archwright.policies import Policy, Uniform
from archwright.policies.base import Progress
from archwright.runs.phase import Phase
from archwright.runs.run import open_run
from archwright.spaces import SposSpace
from archwright.tasks import ImageTask
from archwright.testing import BranchSpace, ElasticSpace, NumberSpace
from archwright.training.config import TrainingConfig
from archwright.training.loop import fit
from archwright.training.networks import build_seeded
from archwright.weight_sharing import UniformPath

TRAINING = TrainingConfig(
    steps=8, batch_size=16, learning_rate=0.05, weight_decay=1e-3, schedule="linear", label_smoothing=0.1
)


class Killed(Exception):
    """Stands for the end of the process."""


class Always(Policy):
    """The same row at every step."""

    def __init__(self, row: NDArray[Any]) -> None:
        self.row = row

    def draw(self, n: int, rng: np.random.Generator, progress: Progress | None = None) -> Rows:
        return np.repeat(self.row[None], n, axis=0)


@pytest.fixture(scope="module")
def task() -> ImageTask:
    rng = np.random.default_rng(0)
    labels = np.arange(80) % 4
    images = (rng.integers(0, 120, (80, 3, 8, 8)) + 40 * labels[:, None, None, None]).astype(np.uint8)
    return ImageTask("toy", images, labels, images[:20], labels[:20])


def _trained(task: ImageTask, *, seed: int = 0, phase: Phase | None = None, policy: Policy | None = None) -> nn.Module:
    space = ElasticSpace()
    supernet = build_seeded(space, None, 0)
    UniformPath(TRAINING).fit(supernet, policy or Uniform(space), task, seed=seed, phase=phase)
    return supernet


def _same_bits(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().items(), other.state_dict().items(), strict=True)
    return all(name == other_name and torch.equal(a, b) for (name, a), (other_name, b) in pairs)


def test_same_seed_same_weights(task: ImageTask) -> None:
    """Bit for bit, statistics included, whatever torch's global random state; another seed differs."""
    torch.manual_seed(1)
    one = _trained(task)
    torch.manual_seed(2)
    assert _same_bits(one, _trained(task))
    assert not _same_bits(one, _trained(task, seed=1))


def test_each_step_is_a_plain_step_of_the_drawn_arch(task: ImageTask) -> None:
    """The same training with paths activated by hand: one uniform arch a step, drawn from (seed, "paths")."""
    space = ElasticSpace()
    rows = space.decisions.sample(8, np.random.default_rng(derive_seed(5, "paths")))
    by_hand = build_seeded(space, None, 0)

    def activate(step: int) -> None:
        selection_of(by_hand).activate(space.decisions.arch(rows[step]))

    fit(by_hand, task, TRAINING, part="train", seed=5, before_step=activate)
    assert _same_bits(by_hand, _trained(task, seed=5))
    assert len(np.unique(rows, axis=0)) > 5


def test_weights_that_are_never_chosen_keep_their_bits(task: ImageTask) -> None:
    """Neither gradient, momentum nor weight decay reaches them, nor statistics; every chosen filter has moved."""
    space = ElasticSpace()
    row = space.decisions.sample(1, np.random.default_rng(3))[0]
    initial = {name: value.clone() for name, value in build_seeded(space, None, 0).state_dict().items()}
    supernet = _trained(task, policy=Always(row))
    used = {
        f"{path}.{name}"
        for path, module in active_modules(supernet)
        for name, _ in [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
    }
    for name, value in supernet.state_dict().items():
        if name not in used or value.dim() > 1:
            assert torch.equal(value, initial[name]) == (name not in used), name
    assert len(used) < len(initial)


def test_momentum_does_not_move_a_path_that_rests(task: ImageTask) -> None:
    """A candidate trained in the first half stays as it was then, though the optimizer holds momentum for it."""
    space = BranchSpace()
    rows = space.decisions.enumerate_rows()
    by_op = {op: next(r for r in rows if space.decisions.arch(r)["node.op"] == op) for op in ("conv", "pool")}

    class ThenOther(Policy):
        def draw(self, n: int, rng: np.random.Generator, progress: Progress | None = None) -> Rows:
            return np.stack([by_op["conv" if step < n // 2 else "pool"] for step in range(n)])

    labels = np.arange(60) % 3
    images = np.random.default_rng(0).integers(0, 255, (60, 3, 6, 6)).astype(np.uint8)
    small = ImageTask("toy", images, labels, images[:15], labels[:15])
    seen: list[dict[str, Tensor]] = []

    class Watching:
        is_done = is_due = False
        figures: dict[str, float | str] = {}  # noqa: RUF012

        def restore(self) -> None:
            return None

        def checkpoint(self, *_: object) -> None: ...

        def finish(self, *_: object) -> None: ...

        def advance(self, done: int, **_: object) -> None:
            seen.append({name: value.clone() for name, value in supernet.named_parameters() if "node" in name})

    supernet = build_seeded(space, None, 0)
    UniformPath(TRAINING).fit(supernet, ThenOther(), small, seed=0, phase=Watching())  # type: ignore[arg-type]
    assert seen[3]
    assert any(not torch.equal(seen[0][name], seen[3][name]) for name in seen[3])
    assert all(torch.equal(seen[3][name], seen[7][name]) for name in seen[3])


def test_one_step_of_spos_gives_gradients_to_one_candidate_a_block(task: ImageTask) -> None:
    """Ten blocks of four candidates: exactly ten of the forty have moved (spos.md, acceptance fact 3)."""
    space = SposSpace(input_shape=(3, 8, 8), n_classes=4)
    supernet = build_seeded(space, None, 0)
    initial = {name: value.clone() for name, value in supernet.named_parameters()}
    one_step = TrainingConfig(steps=1, batch_size=16)
    UniformPath(one_step).fit(supernet, Uniform(space), task, seed=0)
    moved = {
        tuple(name.split(".")[:2])
        for name, value in supernet.named_parameters()
        if name.startswith("block") and not torch.equal(value, initial[name])
    }
    assert len(moved) == 10
    assert {block for block, _ in moved} == {f"block{i}" for i in range(10)}


@pytest.mark.parametrize("dies_after", [1, 4, 7])
def test_interruption_changes_no_bit(task: ImageTask, tmp_path: Path, dies_after: int) -> None:
    """Killed after a step of a real run and resumed from its checkpoint, and again without any work left."""

    class Dying(Phase):
        def advance(self, done: int, **figures: float | str) -> None:
            super().advance(done, **figures)
            if done == dies_after + 1:
                raise Killed

    config = {"recipe": "toy"}
    with (
        pytest.raises(Killed),
        open_run(tmp_path / "run", config, seed=0, threads=1, checkpoint_every_s=0.0) as run,
        Dying("supernet", run._around, 8) as phase,
    ):
        _trained(task, phase=phase)
    for _ in range(2):
        with (
            open_run(tmp_path / "run", config, seed=0, threads=1, resume=True, checkpoint_every_s=0.0) as run,
            run.phase("supernet", total=8) as phase,
        ):
            stored = phase.restore()
            assert stored is not None
            assert stored[1].get("step", 8) in (dies_after, 8)
            assert _same_bits(_trained(task), _trained(task, phase=phase))


@pytest.mark.parametrize(("decay", "shrinks"), [(0.0, False), (0.1, True)])
def test_inactive_entries_of_an_elastic_layer_only_decay(task: ImageTask, decay: float, shrinks: bool) -> None:
    """A layer of 8 channels trained at 2: the others keep every bit, or shrink a little where there is weight decay."""
    space = NumberSpace(input_shape=(3, 8, 8), n_classes=4)
    training = replace(TRAINING, weight_decay=decay)
    supernet = build_seeded(space, None, 0)
    before = supernet.get_parameter("0.0.weight").detach().clone()
    narrow = space.row({"width": 2, "kernel": 3})
    UniformPath(training).fit(supernet, Always(narrow), task, seed=0)
    after = supernet.get_parameter("0.0.weight").detach()
    assert not torch.equal(after[:2], before[:2])
    assert torch.equal(after[2:], before[2:]) is not shrinks
    assert (after[2:].abs() <= before[2:].abs()).all()
