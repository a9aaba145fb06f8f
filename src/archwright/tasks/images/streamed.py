"""Image classification with images that are read from files batch by batch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from archwright.core.blueprint import Blueprint
from archwright.core.errors import InvalidValueError
from archwright.core.trial import derive_seed
from archwright.tasks.augmenting import Augment
from archwright.tasks.base import LARGE_SIDE, Part, Split, given_options
from archwright.tasks.batching import Indices, stored_order
from archwright.tasks.classification import ClassificationTask
from archwright.tasks.images.checks import check_classes, check_labels
from archwright.tasks.images.decoding import Header, read_header
from archwright.tasks.images.file_lists import FileList
from archwright.tasks.images.framing import Framing
from archwright.tasks.images.in_memory import (
    Normalizer,
    named_classes,
    statistics_of_counts,
    validation_part,
    value_counts,
    variation_remarks,
)
from archwright.tasks.images.streaming import ImageReader, Job, StreamedSplit, default_workers, read_batches
from archwright.tasks.splitting import draw_shares

N_SAMPLED: dict[Part, int] = {"train": 1000, "validation": 500, "test": 500}
"""Images of each part that are read when the data are opened, as a sample."""

DEFAULT_SIDE = 224
OTHER_SIDES = (96, 160)
"""Sides of inputs that may be chosen for photos in the place of the default one."""

MAX_SIDE = 4096


class StreamedTask(ClassificationTask):
    """Image classification over files that are decoded batch by batch; the data set may be larger than memory.

    When it is opened, a sample drawn by seed is read: up to 1,000 images of the part "train", which give mean and
    standard deviation, and up to 500 of validation and test part each. So a small set is checked as a whole; of a
    large one, a file that cannot be read may show later, and then ends the run with its name.

    Images become grey where all of the sample are, else RGB. The input is as large as they are where all have one
    size of at most 64 pixels a side, else 224x224. From 64 pixels on, training images are changed as in ImageNet
    papers (`PhotoAugmentation`), smaller ones as in CIFAR papers (`Augmentation`). To score and to test, an image is
    scaled and its middle taken (`Framing`).

    Args:
        name: How the data are called in results and errors.
        train: Training files.
        y_train: Their classes (N,), 0..k-1, each at least twice.
        test: Test files.
        y_test: Their classes.
        class_names: One a class; their numbers if not given.
        input_shape: (C, H, W) of the network's input, C 1 or 3; by the images if not given.
        val_images: Images in the validation part, instead of 10 % of each class.
        n_val: How many of the last training files are the validation part, in place of a drawn one.
        seed: Draws the validation part and the sample.
        n_workers: Threads that decode; nothing but speed depends on it.

    Raises:
        DataError: If labels or images cannot be used; names the file.
        InvalidValueError: If the input's shape is none of an image, or so many validation images cannot be spared.
    """

    input_shape: tuple[int, int, int]
    default_augment: Augment = ("crop",)

    def __init__(
        self,
        name: str,
        train: FileList,
        y_train: NDArray[np.int64],
        test: FileList,
        y_test: NDArray[np.int64],
        *,
        class_names: Sequence[str] | None = None,
        input_shape: tuple[int, int, int] | None = None,
        val_images: int | None = None,
        n_val: int | None = None,
        seed: int = 0,
        n_workers: int | None = None,
    ) -> None:
        self.name, self.seed = name, seed
        self.options = given_options(val_images=val_images, input_shape=input_shape)
        _check_shape(input_shape)
        check_labels(name, "y_train", y_train, "train", len(train))
        check_labels(name, "y_test", y_test, "test", len(test))
        self.n_classes = check_classes(name, y_train, y_test)
        self.class_names = named_classes(name, class_names, self.n_classes)
        self._files, self._labels = {"train": train, "test": test}, {"train": y_train, "test": y_test}
        self._n_workers = n_workers or default_workers()
        self._n_val = n_val
        kept, held = validation_part(y_train, seed, val_images, n_val)
        every = np.arange(len(y_train))
        self._positions: dict[Part, Indices] = {
            "train": kept,
            "validation": held,
            "train+validation": every,
            "test": np.arange(len(y_test)),
        }
        sample = {part: _sample(self._positions[part], n, seed) for part, n in N_SAMPLED.items()}
        self.input_shape = input_shape or _input_shape([read_header(train[i]) for i in sample["train"]])
        self.framing = Framing.default(self.input_shape[1:])
        counts = {part: self._count(part, positions) for part, positions in sample.items()}
        mean, std = statistics_of_counts(counts["train"])
        self.remarks = variation_remarks(counts["train"])
        self._normalizer = Normalizer(mean, std, self.input_shape[2])
        self.preprocessing = {
            **{"layout": "CHW", "scale": 1 / 255, "mean": mean.tolist(), "std": std.tolist()},
            **self.framing.to_json(),
        }

    def other_inputs(self) -> tuple[tuple[int, int, int], ...]:
        """Smaller squares of photos; none where the user gave the input's shape, or images are small."""
        n_channels, *sides = self.input_shape
        if "input_shape" in self.options or min(sides) < LARGE_SIDE:
            return ()
        return tuple((n_channels, side, side) for side in OTHER_SIDES if side < min(sides))

    def brought_to(self, input_shape: tuple[int, ...]) -> StreamedTask:
        """As `Task.brought_to`; the sample is read again, since what is resized has another mean and deviation."""
        n_channels, height, width = input_shape
        made = StreamedTask(
            self.name,
            self._files["train"],
            self._labels["train"],
            self._files["test"],
            self._labels["test"],
            class_names=self.class_names,
            input_shape=(n_channels, height, width),
            val_images=self.options.get("val_images"),
            n_val=self._n_val,
            seed=self.seed,
            n_workers=self._n_workers,
        )
        made.options, made.remarks = {**self.options, **made.options}, self.remarks
        return made

    def blueprint(self, folder: Path) -> Blueprint:
        """As `Task.blueprint`; workers open the data by name, so data without a name are refused."""
        arguments = {"spec": self.name, "seed": self.seed, "options": self.options, "fingerprint": self.fingerprint}
        return Blueprint("archwright.tasks.opening:reopen_task", arguments)

    def class_counts(self, part: Part) -> list[int]:
        if part == "test":
            return []
        return [int(n) for n in np.bincount(self._labels["train"][self._positions[part]], minlength=self.n_classes)]

    def _split(self, part: Part) -> StreamedSplit:
        return self._split_of(part, self._positions[part])

    def _split_of(self, part: Part, positions: Indices) -> StreamedSplit:
        labels = self._labels["test" if part == "test" else "train"]
        return StreamedSplit(self._reader(part), labels, positions, self._normalizer, self._n_workers)

    def _shares(self, part: Part, fractions: Sequence[float], seed: int) -> list[Split]:
        every = self._positions[part]
        labels = self._labels["test" if part == "test" else "train"][every]
        drawn = draw_shares(labels, fractions, seed, f"the {part} part of {self.name}")
        return [self._split_of(part, every[chosen]) for chosen in drawn]

    def _reader(self, part: Part) -> ImageReader:
        files = self._files["test" if part == "test" else "train"]
        return ImageReader(files, self.input_shape, self.framing)

    def _count(self, part: Part, positions: Indices) -> NDArray[np.int64]:
        """Histogram of each channel over these images, which are read from their files."""
        jobs = (Job(positions[batch]) for batch in stored_order(len(positions), 64))
        counts = np.zeros((self.input_shape[0], 256), dtype=np.int64)
        for _, images in read_batches(self._reader(part), jobs, self._n_workers):
            counts += value_counts(images)
        return counts

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) over the files' names, labels, split, input, and the sample's mean and deviation.

        To hash all contents would read all of them, each time. Sizes and dates do not enter: a run that was ended by
        a damaged file goes on when the file is put right.
        """
        sha = hashlib.sha256()
        for role in ("train", "test"):
            for array in (self._files[role].ends, self._labels[role]):
                sha.update(f"{array.dtype.str}{array.shape}".encode())
                sha.update(np.ascontiguousarray(array).data)
            sha.update(self._files[role].text)
        for part in ("train", "validation"):
            sha.update(self._positions[part].data)
        sha.update(json.dumps([self.class_names, self.input_shape, self.preprocessing]).encode())
        return sha.hexdigest()


def _sample(positions: Indices, n: int, seed: int) -> Indices:
    """At most n of the positions, drawn by seed, in ascending order."""
    if len(positions) <= n:
        return positions
    return np.sort(np.random.default_rng(derive_seed(seed, "sample")).choice(positions, n, replace=False))


def _input_shape(headers: Sequence[Header]) -> tuple[int, int, int]:
    n_channels = 1 if all(header.is_grey for header in headers) else 3
    sizes = {(header.height, header.width) for header in headers}
    height, width = next(iter(sizes))
    if len(sizes) > 1 or max(height, width) > LARGE_SIDE:
        return n_channels, DEFAULT_SIDE, DEFAULT_SIDE
    return n_channels, height, width


def _check_shape(shape: tuple[int, int, int] | None) -> None:
    if shape is None:
        return
    if len(shape) != 3 or shape[0] not in (1, 3) or not 1 <= min(shape) <= max(shape) <= MAX_SIDE:
        given = "x".join(map(str, shape))
        raise InvalidValueError(
            f"the input is {given}; give channels x height x width with 1 or 3 channels and up to {MAX_SIDE} pixels a "
            "side: 3x224x224"
        )
