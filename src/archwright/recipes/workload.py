"""How much a run computes, and the estimate of its time from a few measured steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import nn

from archwright.recipes.presets import duration
from archwright.training.memory import needed_bytes, saved_bytes
from archwright.training.threads import Pace
from archwright.training.timing import Timed


class Load(NamedTuple):
    """Work of a part of a run, in examples: those trained on, and those that only pass through a network."""

    trained: float
    passed: float = 0.0

    def times(self, n: float) -> Load:
        """n times as much."""
        return Load(n * self.trained, n * self.passed)

    def seconds(self, speed: Speed) -> float:
        """Its time at a speed."""
        return self.trained * speed.trained_s + self.passed * speed.passed_s


class Speed(NamedTuple):
    """Seconds an example: in a training step, and in a pass without gradients."""

    trained_s: float
    passed_s: float = 0.0

    def scaled(self, factor: float) -> Speed:
        """Both times as long."""
        return Speed(self.trained_s * factor, self.passed_s * factor)


class Memory(NamedTuple):
    """What decides how much memory a training takes.

    Attributes:
        batch_size: Examples a step.
        parameter_bytes: Of all its parameters.
    """

    batch_size: int
    parameter_bytes: int

    @classmethod
    def of(cls, batch_size: int, network: nn.Module) -> Memory:
        """That of training a network.

        Args:
            batch_size: Examples a step.
            network: A network, or a supernet.
        """
        return cls(batch_size, sum(p.numel() * p.element_size() for p in network.parameters()))


@dataclass(frozen=True)
class Item:
    """A part of a run, one line of its estimate.

    Attributes:
        what: In words, with its length.
        load: Its work.
        name: Of the part, by which its length can be planned; empty where it follows from others.
        length: Steps or evaluations.
        phases: Beginnings of the names of the phases it consists of.
        is_search: Whether it is a search, whose length is evaluations.
        only_scores: Whether it is a search that trains nothing.
        n_networks: Of the final training, how many networks of the space are trained for that long; plain ones come on
            top, as large as the limits allow.
    """

    what: str
    load: Load
    name: str = ""
    length: int = 1
    phases: tuple[str, ...] = ()
    is_search: bool = False
    only_scores: bool = False
    n_networks: int = 1


@dataclass(frozen=True)
class Workload:
    """What a run computes.

    Attributes:
        training: A training step of its own, to be timed.
        scoring: A pass of a batch without gradients.
        parts: The parts of the run, in their order.
        threads: Threads of one evaluation.
        device: Where it computes.
        memory: The largest batch that is trained on, and the parameters that are trained at once; None if not known.
        n_winners: Networks that are exported.
        n_tested: Examples of all passes after the trainings: over the test part, and for int8 files.
        notes: What cannot be estimated.
        remarks: What else should be told before a run.
    """

    training: Timed
    scoring: Timed
    parts: Sequence[Item]
    threads: int
    device: torch.device
    memory: Memory | None = None
    n_winners: int = 1
    n_tested: int = 0
    notes: Sequence[str] = ()
    remarks: Sequence[str] = ()

    def glance(self) -> Speed:
        """How fast this machine is now, by a step of each network, and a pass where candidates are scored."""
        trained_s = self.training.glance()
        return Speed(trained_s, self.scoring.glance() if any(item.load.passed for item in self.parts) else 0.0)

    def estimate(self) -> list[str]:
        """The lines of an estimate from a few steps measured now."""
        return [*self.lines(self.glance()), *self.remark_lines()]

    def remark_lines(self) -> list[str]:
        """The remarks as lines of the terminal."""
        return [f"note       {remark}" for remark in self.remarks]

    def at_pace(self, speed: Speed, pace: Pace) -> Speed:
        """The speed where the training step has another pace; passes become faster or slower with it.

        Args:
            speed: From a glance.
            pace: Of the training step.
        """
        return speed.scaled(pace.step_s / self.training.n_examples / speed.trained_s)

    def needed_bytes(self) -> int:
        """Memory of its largest training step, about; a small one is executed."""
        if self.memory is None:
            return 0
        saved = saved_bytes(lambda: self.training.step(0))
        n = self.training.n_examples
        return needed_bytes(saved, n, max(n, self.memory.batch_size), self.memory.parameter_bytes)

    def seconds(self, speed: Speed) -> float:
        """The time of all parts at a speed."""
        return sum(item.load.seconds(speed) for item in self.parts)

    def lines(self, speed: Speed, threads: int | None = None) -> list[str]:
        """The estimated time in all, then that of each part, by what it is.

        Args:
            speed: See `Speed`.
            threads: With so many threads; the run's by default.
        """
        n = threads or self.threads
        where = f"on {n} thread{'s' * (n != 1)} of {self.device.type}"
        total = f"estimated time {duration(self.seconds(speed))} {where}"
        if len(self.parts) == 1 and not self.notes:
            return [f"{total}: {self.parts[0].what}"]
        each = [(duration(item.load.seconds(speed)), item.what) for item in self.parts]
        return [total, *(f"  {time:>9}  {what}" for time, what in [*each, *(("unknown", note) for note in self.notes)])]
