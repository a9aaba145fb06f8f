"""The arguments of a training step: its number, its batches, its random numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from archwright.core.errors import InvalidValueError
from archwright.core.trial import derive_seed
from archwright.nn.carrying import Stream
from archwright.tasks.base import Batch, Split
from archwright.training.device import place_batch
from archwright.training.learners import Clock

ONLY = ""
"""Name of a learner, and of a source, that is the only one: its tensors stand in checkpoints without a prefix."""


@dataclass(frozen=True)
class Source:
    """Where a step takes batches from.

    Attributes:
        split: The examples.
        batch_size: Examples a batch.
        seed: Of their order and augmentation.
    """

    split: Split
    batch_size: int
    seed: int


class Reader:
    """A source that is being read, and its last batch.

    Args:
        source: The source.
        network: The modules that carry state along the source, where some do.
        n_ahead: Batches to ask the source for at once: as many as the training has steps.
        device: Where batches are placed.
        channels_last: Layout of images (4 axes): channels-last, or else contiguous.

    Attributes:
        n_read: Batches read so far.
        batch: The last of them, on the device; None before the first.
        stream: State that is carried along the source; None where no module carries any.
    """

    def __init__(
        self, source: Source, network: nn.Module, n_ahead: int, device: torch.device, channels_last: bool
    ) -> None:
        self._source, self._n_ahead, self._device, self._channels_last = source, n_ahead, device, channels_last
        self._per_pass = source.split.steps_per_epoch(source.batch_size)
        stream = Stream(network)
        self.stream = stream if stream.has_carriers else None
        self._batches: Iterator[Batch] = iter(())
        self.n_read = 0
        self.batch: Batch | None = None

    def read(self) -> None:
        """Read the next batch."""
        try:
            batch = next(self._batches)
        except StopIteration:
            self._batches = self._from_here()
            batch = next(self._batches)
        if self.stream is not None:
            self.stream.move_on(goes_on=self._source.split.is_stream and self.n_read % self._per_pass != 0)
        self.n_read += 1
        self.batch = place_batch(batch, self._device, self._channels_last)

    def _from_here(self) -> Iterator[Batch]:
        # as many as there are steps left where each takes one; a step that takes more begins anew where these end
        source, n = self._source, max(1, self._n_ahead - self.n_read)
        return source.split.batches(source.batch_size, seed=source.seed, first_step=self.n_read, n_steps=n)

    def close(self) -> None:
        """Stop reading ahead."""
        if hasattr(self._batches, "close"):
            self._batches.close()


class Now(Clock):
    """What a step is given: its number, its batches, its random numbers; made by `run_steps`.

    Args:
        readers: The sources, being read.
        n_steps: Steps of the training.
        seed: Of the training.
        precision: Makes the context for forward passes.
        seed_all: Seeds torch's generators.
    """

    def __init__(
        self,
        readers: Mapping[str, Reader],
        n_steps: int,
        seed: int,
        precision: Callable[[], AbstractContextManager[object]],
        seed_all: Callable[[int], None],
    ) -> None:
        super().__init__(n_steps)
        self._readers, self._seed, self.forward, self._seed_all = readers, seed, precision, seed_all

    forward: Callable[[], AbstractContextManager[object]]
    """Context for forward passes and losses: mixed precision, where the training has it."""

    @property
    def progress(self) -> float:
        """Share of the steps that is over, in [0, 1)."""
        return self.number / self.n_steps

    def batch(self, source: str = ONLY) -> Batch:
        """This step's batch of a source, on the device. A source that a step does not ask for does not move on."""
        return self._begun(source).batch  # type: ignore[return-value]

    def next_batch(self, source: str = ONLY) -> Batch:
        """One more batch of a source, this step's from now on: to accumulate gradients of several."""
        reader = self._reader(source)
        reader.read()
        return reader.batch  # type: ignore[return-value]

    def stream(self, source: str = ONLY) -> AbstractContextManager[None]:
        """Inside, networks run once on this step's batch, and carry state along the source (`nn.carrying.Stream`)."""
        stream = self._begun(source).stream
        return stream.passing() if stream is not None else nullcontext()

    def rng(self, purpose: str) -> np.random.Generator:
        """A generator that follows the training's seed, the step and the purpose."""
        return np.random.default_rng(derive_seed(self._seed, purpose, self.number))

    def reseed(self, purpose: str) -> None:
        """Let what torch draws from here on (dropout) follow the training's seed, the step and the purpose."""
        self._seed_all(derive_seed(self._seed, "step", self.number, purpose))

    def _begun(self, source: str) -> Reader:
        """The source, with its batch of this step."""
        reader = self._reader(source)
        if reader.batch is None:
            reader.read()
        return reader

    def _reader(self, source: str) -> Reader:
        try:
            return self._readers[source]
        except KeyError:
            known = ", ".join(map(repr, self._readers)) or "none"
            raise InvalidValueError(f"this training has no source {source!r}; its sources are {known}") from None
