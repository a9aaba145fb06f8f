"""Decode image files in threads, a few batches ahead.

Threads, not processes: Pillow lets go of the interpreter while it decodes and scales, so they run at once; they share
the list of files and the batch they fill, and leave nothing behind when a run is killed. Memory holds a few batches,
however many files there are.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from archwright.core.errors import DataError, RunError
from archwright.core.trial import derive_seed
from archwright.tasks.augmenting import AugmentName
from archwright.tasks.base import LARGE_SIDE, Batch, Split
from archwright.tasks.batching import Indices, stored_order, training_order
from archwright.tasks.images.augmentation import CROP, Augmentation, Images
from archwright.tasks.images.decoding import read_image
from archwright.tasks.images.framing import Framing
from archwright.tasks.images.jitter import Draws
from archwright.tasks.images.photo_augmentation import PhotoAugmentation

N_AHEAD = 2
"""Batches that are being decoded while another is in use."""

_CHUNK = 16  # images a thread takes at a time: enough that handing them out costs nothing
_MAX_WORKERS = 8


def default_workers() -> int:
    """Threads that decode: one for each core this process may use, at most eight."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, _MAX_WORKERS)


@dataclass(frozen=True)
class Job:
    """A batch to decode.

    Attributes:
        positions: Which files (B,).
        step: Training step it belongs to; -1 for none.
        draws: Random numbers (B, ...) of a photo augmentation; None to frame the images instead.
    """

    positions: Indices
    step: int = -1
    draws: Draws | None = None


class ImageReader:
    """Reads one file as an array (H, W, C) of uint8 in the size of the network's input.

    Args:
        files: Paths.
        input_shape: (C, H, W), C 1 or 3.
        framing: What brings an image to that size.
        augmentation: Of single images, in place of framing where a job draws numbers for it; None for none.
    """

    def __init__(
        self,
        files: Sequence[str],
        input_shape: tuple[int, int, int],
        framing: Framing,
        augmentation: PhotoAugmentation | None = None,
    ) -> None:
        self.files, self.framing, self.augmentation = files, framing, augmentation
        self.n_channels, *size = input_shape
        self.size = (size[0], size[1])

    def augmented(self, augmentation: PhotoAugmentation | None) -> ImageReader:
        """A reader of the same files with another augmentation."""
        return ImageReader(self.files, (self.n_channels, *self.size), self.framing, augmentation)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape (H, W, C) of a decoded image."""
        return (*self.size, self.n_channels)

    def __call__(self, position: int, draws: Draws | None = None) -> NDArray[np.uint8]:
        image = read_image(self.files[position], self.n_channels)
        if draws is not None and self.augmentation is not None:
            image = self.augmentation(image, draws, self.framing)
        else:
            image = self.framing(image)
        return np.asarray(image).reshape(self.shape)


def read_batches(reader: ImageReader, jobs: Iterable[Job], n_workers: int) -> Iterator[tuple[Job, Images]]:
    """Each job with its images (B, H, W, C), in the order of the jobs.

    Args:
        reader: Decodes one image.
        jobs: The batches to decode; taken a few ahead.
        n_workers: Threads that decode; the images do not depend on it.

    Raises:
        DataError: If an image cannot be read; after the batches before it.
    """
    waiting: deque[tuple[Job, Images, list[Future[None]]]] = deque()
    pool = ThreadPoolExecutor(n_workers, thread_name_prefix="archwright-images")
    try:
        for job in jobs:
            waiting.append(_begun(pool, reader, job))
            if len(waiting) > N_AHEAD:
                yield _finished(*waiting.popleft())
        while waiting:
            yield _finished(*waiting.popleft())
    finally:
        # also where the taker stops early: no thread and no half-filled batch stays behind
        pool.shutdown(wait=True, cancel_futures=True)


def _begun(pool: ThreadPoolExecutor, reader: ImageReader, job: Job) -> tuple[Job, Images, list[Future[None]]]:
    images = np.empty((len(job.positions), *reader.shape), dtype=np.uint8)
    parts = stored_order(len(job.positions), _CHUNK)
    return job, images, [pool.submit(_fill, reader, job, images, part) for part in parts]


def _fill(reader: ImageReader, job: Job, images: Images, part: slice) -> None:
    for i in range(part.start, part.stop):
        images[i] = reader(int(job.positions[i]), None if job.draws is None else job.draws[i])


def _finished(job: Job, images: Images, futures: list[Future[None]]) -> tuple[Job, Images]:
    for future in futures:
        future.result()
    return job, images


class StreamedSplit(Split):
    """Some of the images of a list of files, with their labels; decoded when they are asked for.

    Args:
        reader: Files and how they become arrays.
        labels: Classes (N,) of all files.
        positions: Which files belong to the split.
        normalizer: Turns arrays into inputs.
        n_workers: Threads that decode; the batches do not depend on it.
        augment: Names of the changes of training batches; see `Split.augmented`.
    """

    def __init__(
        self,
        reader: ImageReader,
        labels: NDArray[np.int64],
        positions: Indices,
        normalizer: Callable[[Images], Tensor],
        n_workers: int,
        augment: Sequence[AugmentName] | None = None,
    ) -> None:
        self._labels, self._positions, self._normalizer, self._n_workers = labels, positions, normalizer, n_workers
        shape = (reader.n_channels, *reader.size)
        names = (CROP,) if augment is None else augment
        self._augmentation = Augmentation.of(names, shape)
        photo = None
        if min(reader.size) >= LARGE_SIDE:  # all but `auto` happens where a file is decoded
            photo, self._augmentation = PhotoAugmentation.of(names), Augmentation(auto=self._augmentation.auto)
        self._reader = reader.augmented(photo)

    @property
    def n(self) -> int:
        return len(self._positions)

    def augmented(self, names: Sequence[AugmentName] | None) -> StreamedSplit:
        return StreamedSplit(self._reader, self._labels, self._positions, self._normalizer, self._n_workers, names)

    def batches(self, batch_size: int, *, seed: int, first_step: int = 0, n_steps: int) -> Iterator[Batch]:
        steps = training_order(self.n, batch_size, seed=seed, first_step=first_step, n_steps=n_steps)
        for job, images in self._read(self._job(step, order, seed) for step, order in steps):
            yield self._batch(job, self._augmentation(images, _random(seed, job.step)))

    def ordered(self, batch_size: int) -> Iterator[Batch]:
        jobs = (Job(self._positions[part]) for part in stored_order(self.n, batch_size))
        for job, images in self._read(jobs):
            yield self._batch(job, images)

    def _job(self, step: int, order: Indices, seed: int) -> Job:
        photo = self._reader.augmentation
        draws = None if photo is None else photo.draws(len(order), _random(seed, step))
        return Job(self._positions[order], step, draws)

    def _read(self, jobs: Iterable[Job]) -> Iterator[tuple[Job, Images]]:
        try:
            yield from read_batches(self._reader, jobs, self._n_workers)
        except DataError as error:
            # by now something has started, so this is no mistake in the command
            raise RunError(f"{error}; a run goes on with --resume once the file is readable") from None

    def _batch(self, job: Job, images: Images) -> Batch:
        return Batch(self._normalizer(images), torch.from_numpy(self._labels[job.positions]))


def _random(seed: int, step: int) -> np.random.Generator:
    return np.random.default_rng(derive_seed(seed, "augmentation", step))
