"""What every task promises: parts that do not meet, batches that depend on seed and step alone, a loss and meters."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, get_args

import torch
from torch import Tensor, nn

from archwright.core.errors import UsageError
from archwright.core.objective import Direction
from archwright.costs.counted import Params
from archwright.finish.plain import open_plain
from archwright.nn.inputs import call, check_inputs, tensors_of
from archwright.spaces.base import Space
from archwright.tasks.base import PARTS, Part, Split, Task
from archwright.testing.contracts.base import Contract, error_of, skip, to_do
from archwright.training.evaluate import evaluate

SEEN: tuple[Part, ...] = ("train", "validation", "train+validation")
"""The parts that a search may see."""


class TaskContract(Contract):
    """Tests of one task. Give few data: every test goes through some of them.

    Attributes:
        dataset: Name of the dataset in the catalogue that the task is opened as, if it is.
        batch_size: Examples a batch; fewer than the training part has.
        are_distinct: False where two examples may be the same, as windows of a text.
    """

    dataset: ClassVar[str] = ""
    batch_size: ClassVar[int] = 7
    are_distinct: ClassVar[bool] = True

    def make(self) -> Task:
        """The task; each call makes an equal one."""
        to_do(self, "make(self) -> Task")

    def make_other(self) -> Task:
        """A task that differs from it in its data alone."""
        to_do(self, "make_other(self) -> Task")

    def network(self, task: Task) -> nn.Module:
        """A small network for the task's batches; of classes, one linear layer by default."""
        (spec,) = task.signature.inputs
        assert task.n_classes is not None, "a task without classes says what a network of it is"
        return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(spec.shape), task.n_classes))

    # ── data ──────────────────────────────────────────────────────────────────────────────────────

    def test_parts_do_not_meet(self) -> None:
        """Training, validation and test part share no example; the end trains on the first two together."""
        task = self.make()
        train, validation, both, test = (task.split(part) for part in PARTS)
        assert min(train.n, validation.n, test.n) > 0
        if train.is_stream or not self.are_distinct:
            skip("examples of this task may be the same")
        found = [set(_examples(split, self.batch_size)) for split in (train, validation, both, test)]
        assert [len(examples) for examples in found] == [split.n for split in (train, validation, both, test)]
        assert found[0] | found[1] == found[2]
        assert found[0].isdisjoint(found[1])
        assert found[2].isdisjoint(found[3])

    def test_batches_follow_from_seed_and_step(self) -> None:
        """A loop that goes on at a later step sees what it would have seen; another seed gives others."""
        split = self.make().split("train")
        n = 2 * split.steps_per_epoch(self.batch_size) + 1
        whole = _digests(split.batches(self.batch_size, seed=3, n_steps=n))
        assert len(whole) == n
        assert _digests(split.batches(self.batch_size, seed=3, n_steps=n)) == whole
        for first in (1, n // 2, n - 1):
            later = split.batches(self.batch_size, seed=3, first_step=first, n_steps=n - first)
            assert _digests(later) == whole[first:], f"beginning with step {first} changes batches"
        assert _digests(split.batches(self.batch_size, seed=4, n_steps=n)) != whole

    def test_an_equal_task_gives_equal_batches(self) -> None:
        """Made again, in this process or, by its blueprint, in another."""
        task = self.make()
        expected = [_digests(islice(_batches(task, part, self.batch_size), 3)) for part in SEEN]
        with tempfile.TemporaryDirectory() as folder:
            for other in (self.make(), task.blueprint(Path(folder)).build()):
                assert other.fingerprint == task.fingerprint
                assert (other.metric, other.direction) == (task.metric, task.direction)
                assert [_digests(islice(_batches(other, part, self.batch_size), 3)) for part in SEEN] == expected
                del other  # before what it may have mapped is gone

    def test_every_example_is_scored_once(self) -> None:
        """In the same order whatever the size of a batch; twice the same."""
        for part in SEEN:
            split = self.make().split(part)
            if split.is_stream:
                sizes = {sum(len(targets) for targets in _targets(split, size)) for size in (3, self.batch_size)}
                assert len(sizes) == 1
                continue
            one, other, again = (_examples(split, size) for size in (3, self.batch_size, 3))
            assert one == other == again
            assert len(one) == split.n

    def test_fingerprint_is_that_of_the_data(self) -> None:
        """A SHA-256 that stays and that other data change."""
        task = self.make()
        assert len(task.fingerprint) == 64
        assert int(task.fingerprint, 16) >= 0
        assert self.make().fingerprint == task.fingerprint
        assert self.make_other().fingerprint != task.fingerprint

    def test_plain_networks_fit(self) -> None:
        """The space that a task names takes its batches, and has one decision, from small networks to large ones."""
        task = self.make()
        if task.plain_space() is None:
            skip("there is no plain network for such data")
        space = open_plain(task)
        assert isinstance(space, Space), space
        rows = space.decisions.enumerate_rows()
        sizes = Params().cost_rows(space, rows[[0, len(rows) // 2, -1]])
        assert sizes[0] <= sizes[1] <= sizes[2]

    def test_reads_of_the_test_part_are_counted(self) -> None:
        """Each of them, and no other."""
        task = self.make()
        for part in SEEN:
            task.split(part)
        task.example(1)
        assert task.n_test_reads == 0
        task.split("test")
        task.split("test")
        assert task.n_test_reads == 2

    def test_an_unknown_part_is_refused(self) -> None:
        """In one line that names the known ones."""
        task: Any = self.make()
        assert "train+validation" in error_of(UsageError, lambda: task.split("everything"))

    # ── what it says ──────────────────────────────────────────────────────────────────────────────

    def test_what_it_says_of_itself(self) -> None:
        """Its name, its directions, one name a class, and JSON."""
        task = self.make()
        assert task.name
        assert {task.direction, task.search_direction} <= set(get_args(Direction))
        assert len(task.class_names) == (task.n_classes or 0)
        for document in (dict(task.preprocessing), dict(task.options), task.space_args()):
            assert json.loads(json.dumps(document)).keys() == document.keys()

    def test_example_is_like_the_batches(self) -> None:
        """Inputs of the same number, types and shapes, as the signature says; targets of the same."""
        task = self.make()
        batch, example = next(_batches(task, "train", self.batch_size)), task.example(self.batch_size)
        for one in (batch, example):
            check_inputs(task.signature, one.inputs, what="batches", by="the signature")
        assert _forms(batch.targets) == _forms(example.targets)

    def test_a_network_learns_from_it(self) -> None:
        """Loss of a batch and of the example: a finite number with gradients."""
        task = self.make()
        network = self._network(task)
        for batch in (next(_batches(task, "train", self.batch_size)), task.example(self.batch_size)):
            network.zero_grad()
            loss = task.loss(call(network, batch.inputs), batch, label_smoothing=0.1)
            assert loss.shape == ()
            assert loss.isfinite()
            torch.autograd.backward(loss)
            assert any(parameter.grad is not None for parameter in network.parameters())

    def test_meters_measure_the_metrics(self) -> None:
        """Those of the end and of a search, whatever the size of a batch; of nothing there is no metric."""
        task = self.make()
        network = self._network(task)
        for make, metric in ((task.meter, task.metric), (task.search_meter, task.search_metric)):
            error_of(UsageError, make().result)
            found = [evaluate(network, task, "validation", batch_size=n, meter=make()) for n in (3, self.batch_size)]
            assert metric in found[0]
            assert all(isinstance(value, float) for value in found[0].values())
            assert found[0].keys() == found[1].keys()
            assert all(math.isclose(found[0][name], found[1][name], rel_tol=1e-4, abs_tol=1e-6) for name in found[0])

    def _network(self, task: Task) -> nn.Module:
        with torch.random.fork_rng([]):
            torch.manual_seed(0)
            return self.network(task)


def _batches(task: Task, part: Part, batch_size: int) -> Any:
    return task.split(part).batches(batch_size, seed=5, n_steps=3)


def _examples(split: Split, batch_size: int) -> list[bytes]:
    """Each example's inputs and targets as bytes, in stored order."""
    found = []
    for batch in split.ordered(batch_size):
        tensors = [*tensors_of(batch.inputs), *_all_tensors(batch.targets)]
        found += [b"".join(map(_bytes, each)) for each in zip(*tensors, strict=True)]
    return found


def _targets(split: Split, batch_size: int) -> list[Tensor]:
    return [targets.flatten() for batch in split.ordered(batch_size) for targets in _all_tensors(batch.targets)]


def _digests(batches: Any) -> list[bytes]:
    return [b"".join(map(_bytes, (*tensors_of(b.inputs), *_all_tensors(b.targets)))) for b in batches]


def _bytes(tensor: Tensor) -> bytes:
    return tensor.contiguous().numpy().tobytes()


def _all_tensors(targets: Any) -> Sequence[Tensor]:
    """The tensors in targets of any form."""
    if isinstance(targets, dict):
        return [tensor for value in targets.values() for tensor in _all_tensors(value)]
    if isinstance(targets, list | tuple):
        return [tensor for value in targets for tensor in _all_tensors(value)]
    return [targets] if isinstance(targets, Tensor) else []


def _forms(targets: Any) -> list[tuple[torch.dtype, tuple[int, ...]]]:
    return [(tensor.dtype, tuple(tensor.shape[1:])) for tensor in _all_tensors(targets)]
