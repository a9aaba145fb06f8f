"""Children that begin with their parents' weights: by hand, apart from each other, and gone on with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from archwright.core.errors import RunFolderError
from archwright.core.trial import Candidate
from archwright.evaluators import Evaluator
from archwright.evaluators.inherited import Inherited
from archwright.spaces import Space
from archwright.testing import EvaluatorContract, NumberSpace, toy_task
from archwright.training.config import TrainingConfig
from archwright.training.evaluate import evaluate
from archwright.training.lineage import Lineage
from archwright.training.loop import fit
from archwright.training.networks import build_seeded

TRAINING = TrainingConfig(steps=3, batch_size=32, warmup_steps=1)


class TestContract(EvaluatorContract):
    tolerance = 0.0
    inherits = True

    def make(self, space: Space) -> Evaluator:
        return Inherited(space, toy_task(space), TRAINING, steps=2)

    def make_space(self) -> Space:
        return NumberSpace()


@pytest.fixture
def family() -> list[Candidate]:
    """A parent and a wider child of it."""
    space = NumberSpace()
    archs = space.decisions.archs(np.array([[1, 1], [3, 1]], dtype=np.int16))
    return [Candidate(0, archs[0], 1), Candidate(1, archs[1], 2, parent=0, origin="mutation")]


def made(folder: Path | None = None) -> Inherited:
    space = NumberSpace()
    return Inherited(space, toy_task(space), TRAINING, steps=2, folder=folder)


def test_a_child_is_trained_on_from_its_parent(family: list[Candidate]) -> None:
    """By hand: the parent's three steps, what they share, the child's two steps without a warm-up of one in ten."""
    space = NumberSpace()
    task = toy_task(space)
    parent = build_seeded(space, family[0].arch, 1, for_training=True)
    fit(parent, task, TRAINING, part="train", seed=1)
    child = build_seeded(space, family[1].arch, 2, for_training=True)
    Lineage(space).inherit(child, family[1].arch, parent.state_dict(), family[0].arch)
    fit(child, task, TrainingConfig(steps=2, batch_size=32), part="train", seed=2)
    assert made().evaluate(family) == [evaluate(network, task, "validation") for network in (parent, child)]


def test_it_goes_on_from_its_folder(tmp_path: Path, family: list[Candidate]) -> None:
    """Another process, or the same run later: the child finds its parent; another search of the run does not."""
    together = made(tmp_path / "one").evaluate(family)
    made(tmp_path / "two").evaluate(family[:1])
    assert made(tmp_path / "two").evaluate(family[1:]) == together[1:]
    here = made(tmp_path / "three")
    here.within("search").evaluate(family[:1])
    here.within("search").within("baseline").evaluate([Candidate(0, family[1].arch, 9)])
    assert here.within("search").evaluate(family[1:]) == together[1:]
    with pytest.raises(RunFolderError, match="weights of trial 0 is gone; its children cannot inherit them"):
        here.within("another").evaluate(family[1:])


def test_work_is_that_of_the_child(family: list[Candidate]) -> None:
    evaluator = made()
    assert [evaluator.work(candidate).n_steps for candidate in family] == [3, 2]
    assert evaluator.work().n_steps == 3


def test_a_network_without_a_trial_is_trained(family: list[Candidate]) -> None:
    """As a parent would be: so a random architecture can stand beside a winner."""
    evaluator = made()
    network = evaluator.model(family[0].arch, 1)
    assert evaluate(network, evaluator.task, "validation") == evaluator.evaluate(family[:1])[0]


def test_workers_find_the_folder(tmp_path: Path, family: list[Candidate]) -> None:
    """What a worker makes of the description continues where this process was."""
    here = made(tmp_path / "one").within("search")
    first = here.evaluate(family[:1])
    other = here.blueprint(tmp_path).build()
    assert isinstance(other, Inherited)
    assert other.evaluate(family[1:]) == here.evaluate(family[1:])
    assert torch.is_tensor(next(iter(here.model(family[0].arch, 1).state_dict().values())))
    assert first[0].keys() == {"top1_accuracy", "loss"} or first[0]
