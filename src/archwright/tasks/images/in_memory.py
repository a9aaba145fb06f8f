"""Image classification with all images in memory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from archwright.core.blueprint import Blueprint
from archwright.core.errors import DataError, InvalidValueError
from archwright.core.trial import derive_seed
from archwright.tasks.augmenting import Augment, AugmentName
from archwright.tasks.base import Batch, Part, Split, given_options
from archwright.tasks.batching import Indices, stored_order, training_order
from archwright.tasks.classification import ClassificationTask
from archwright.tasks.images.augmentation import Augmentation, Images
from archwright.tasks.images.checks import check_image_data
from archwright.tasks.splitting import draw_shares, draw_validation

ARRAYS = ("x_train", "y_train", "x_test", "y_test")

LEAST_RANGE = 32
"""Of values from 0 to 255; images with less are pointed out."""


class Normalizer:
    """Turns uint8 images (B, H, W, C) into float32 inputs (B, C, H, W): (value / 255 - mean) / std.

    Inputs keep the pixels of a place side by side (channels-last strides), the fast layout for convolutions.

    Args:
        mean: Mean of each channel (C,), on the scale 0..1.
        std: Standard deviation of each channel (C,), on the scale 0..1, not zero.
        width: W, the width of the images in pixels.
    """

    def __init__(self, mean: NDArray[np.float64], std: NDArray[np.float64], width: int) -> None:
        # One factor for each entry of a row: a long inner axis is vectorised, an axis of C entries is not.
        self._factor = torch.from_numpy(np.tile(1 / (255 * std), width).astype(np.float32))
        self._offset = torch.from_numpy(np.tile(mean / std, width).astype(np.float32))

    def __call__(self, images: Images) -> Tensor:
        rows = torch.from_numpy(images.reshape(-1, len(self._factor))).to(torch.float32)
        rows.mul_(self._factor).sub_(self._offset)
        return rows.view(images.shape).permute(0, 3, 1, 2)


class ImageSplit(Split):
    """Some of the images of an array, with their labels; images are copied a batch at a time.

    Args:
        images: All images (N, H, W, C), uint8.
        labels: Their classes (N,).
        positions: Which of the N belong to the split.
        normalizer: Turns images into inputs.
        augmentation: Of training batches; the usual one by default.
    """

    def __init__(
        self,
        images: Images,
        labels: NDArray[np.int64],
        positions: Indices,
        normalizer: Normalizer,
        augmentation: Augmentation | None = None,
    ) -> None:
        self._images, self._labels, self._positions = images, labels, positions
        self._normalizer = normalizer
        height, width, channels = images.shape[1:]
        self._input_shape = (channels, height, width)
        self._augmentation = augmentation or Augmentation.of(None, self._input_shape)

    @property
    def n(self) -> int:
        return len(self._positions)

    def augmented(self, names: Sequence[AugmentName] | None) -> ImageSplit:
        chosen = Augmentation.of(names, self._input_shape)
        return ImageSplit(self._images, self._labels, self._positions, self._normalizer, chosen)

    def batches(self, batch_size: int, *, seed: int, first_step: int = 0, n_steps: int) -> Iterator[Batch]:
        for step, order in training_order(self.n, batch_size, seed=seed, first_step=first_step, n_steps=n_steps):
            chosen = self._positions[order]
            rng = np.random.default_rng(derive_seed(seed, "augmentation", step))
            yield self._batch(self._augmentation(self._images[chosen], rng), chosen)

    def ordered(self, batch_size: int) -> Iterator[Batch]:
        for part in stored_order(self.n, batch_size):
            chosen = self._positions[part]
            yield self._batch(self._images[chosen], chosen)

    def _batch(self, images: Images, chosen: Indices) -> Batch:
        return Batch(self._normalizer(images), torch.from_numpy(self._labels[chosen]))


class ImageTask(ClassificationTask):
    """Image classification over arrays in memory.

    Args:
        name: How the data are called in results and errors.
        x_train: uint8 (N, C, H, W), C in 1..4.
        y_train: Integers (N,), classes 0..k-1, each at least twice.
        x_test: Images like those of `x_train`.
        y_test: Their classes.
        class_names: One a class; their numbers if not given.
        seed: Draws the validation part, 10 % of each class of the training images.
        val_images: Images in the validation part, instead of 10 %.
        n_val: How many of the last training images are the validation part, in place of a drawn one.

    Mean and standard deviation come from the part "train" alone, a channel at a time; a channel that never
    varies is only shifted.

    Raises:
        DataError: If the arrays cannot be used; names the array.
        InvalidValueError: If so many images cannot be spared for validation.
    """

    input_shape: tuple[int, int, int]
    default_augment: Augment = ("crop",)

    def __init__(
        self,
        name: str,
        x_train: NDArray[Any],
        y_train: NDArray[Any],
        x_test: NDArray[Any],
        y_test: NDArray[Any],
        *,
        class_names: Sequence[str] | None = None,
        seed: int = 0,
        val_images: int | None = None,
        n_val: int | None = None,
    ) -> None:
        self.n_val = n_val
        self.name, self.seed, self.options = name, seed, given_options(val_images=val_images)
        self.n_classes = check_image_data(name, x_train, y_train, x_test, y_test)
        self.class_names = named_classes(name, class_names, self.n_classes)
        channels, height, width = x_train.shape[1:]
        self.input_shape = (channels, height, width)
        self._train, self._test = (_stored(x_train), _labels(y_train)), (_stored(x_test), _labels(y_test))
        train, validation = validation_part(self._train[1], seed, val_images, n_val)
        self._positions: dict[Part, Indices] = {
            "train": train,
            "validation": validation,
            "train+validation": np.arange(len(y_train)),
            "test": np.arange(len(y_test)),
        }
        counts = counts_of(self._train[0], train)
        mean, std = statistics_of_counts(counts)
        self.remarks = variation_remarks(counts)
        self._normalizer = Normalizer(mean, std, width)
        self.preprocessing = {"layout": "CHW", "scale": 1 / 255, "mean": mean.tolist(), "std": std.tolist()}

    def blueprint(self, folder: Path) -> Blueprint:
        """As `Task.blueprint`; workers map the arrays' files, so they share one copy in memory."""
        arrays = (*self._train, *self._test)
        for array_name, array in zip(ARRAYS, arrays, strict=True):
            np.save(folder / f"{array_name}.npy", np.asarray(array), allow_pickle=False)
        arguments = {
            "name": self.name,
            "folder": str(folder),
            "class_names": list(self.class_names),
            "seed": self.seed,
            "val_images": self.options.get("val_images"),
            "n_val": self.n_val,
        }
        return Blueprint(f"{__name__}:rebuild", arguments)

    def class_counts(self, part: Part) -> list[int]:
        if part == "test":
            return []
        return [int(n) for n in np.bincount(self._train[1][self._positions[part]], minlength=self.n_classes)]

    def _split(self, part: Part) -> ImageSplit:
        return self._split_of(part, self._positions[part])

    def _split_of(self, part: Part, positions: Indices) -> ImageSplit:
        images, labels = self._test if part == "test" else self._train
        return ImageSplit(images, labels, positions, self._normalizer)

    def _shares(self, part: Part, fractions: Sequence[float], seed: int) -> list[Split]:
        every = self._positions[part]
        labels = (self._test if part == "test" else self._train)[1][every]
        drawn = draw_shares(labels, fractions, seed, f"the {part} part of {self.name}")
        return [self._split_of(part, every[chosen]) for chosen in drawn]

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) over images, labels, class names and split; the name does not enter."""
        sha = hashlib.sha256()
        for array in (*self._train, *self._test, self._positions["train"], self._positions["validation"]):
            sha.update(f"{array.dtype.str}{array.shape}".encode())
            sha.update(array.data)
        sha.update(json.dumps(self.class_names).encode())
        return sha.hexdigest()


def rebuild(name: str, folder: str, **options: Any) -> ImageTask:
    """The task that an `ImageTask.blueprint` describes.

    Args:
        name: Name of the data in results and errors.
        folder: Folder of the arrays' files.
        options: Further arguments of `ImageTask`.
    """
    x_train, y_train, x_test, y_test = (
        np.asarray(np.load(Path(folder) / f"{array}.npy", mmap_mode="r", allow_pickle=False)) for array in ARRAYS
    )
    x_train, x_test = x_train.transpose(0, 3, 1, 2), x_test.transpose(0, 3, 1, 2)
    return ImageTask(name, x_train, y_train, x_test, y_test, **options)


def counts_of(images: Images, positions: Indices) -> NDArray[np.int64]:
    """How often each channel of the chosen images (N, H, W, C) has each value, (C, 256); exact for any number."""
    counts = np.zeros((images.shape[-1], 256), dtype=np.int64)
    for part in stored_order(len(positions), 4096):
        counts += value_counts(images[positions[part]])
    return counts


def variation_remarks(counts: NDArray[np.int64]) -> tuple[str, ...]:
    """A line where images hardly vary, or not at all.

    Args:
        counts: How often each channel has each value, (C, 256).
    """
    present = counts > 0
    if bool((present.sum(axis=1) == 1).all()):
        value = ", ".join(str(int(row.argmax())) for row in present)
        return (
            f"all training images are one colour ({value} of 255), so there is nothing to learn; were values of "
            "another range stored? (of 16 bits the upper 8 are read)",
        )
    values = np.flatnonzero(present.any(axis=0))
    low, high = int(values[0]), int(values[-1])
    if high - low >= LEAST_RANGE:
        return ()
    return (f"training images hardly vary: their values are {low} to {high} of 0 to 255; is their range right?",)


def validation_part(
    labels: NDArray[np.int64], seed: int, val_images: int | None, n_val: int | None
) -> tuple[Indices, Indices]:
    """Training and validation positions: the last ones where they are given, else drawn (`draw_validation`).

    Args:
        labels: Classes (N,) of all training examples.
        seed: Draws which.
        val_images: How many to draw, in place of a fraction.
        n_val: How many of the last are the validation part.

    Raises:
        InvalidValueError: If a number is given although the part is.
    """
    if n_val is None:
        return draw_validation(labels, seed, n_images=val_images)
    if val_images is not None:
        raise InvalidValueError(
            f"val_images is {val_images}, and the data have a validation part of {n_val} images; leave the number out"
        )
    every = np.arange(len(labels))
    return every[:-n_val], every[-n_val:]


def value_counts(images: Images) -> NDArray[np.int64]:
    """How often each channel of images (N, H, W, C) has each value, (C, 256)."""
    channels = images.reshape(-1, images.shape[-1]).T
    return np.stack([np.bincount(channel, minlength=256) for channel in channels])


def statistics_of_counts(counts: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation (C,) of values counted as (C, 256), on the scale 0..1; no spread gives std 1."""
    values, share = np.arange(256) / 255, counts / counts.sum(axis=1, keepdims=True)
    mean = share @ values
    std = np.sqrt((share * (values - mean[:, None]) ** 2).sum(axis=1))
    return mean, np.where(std > 1e-6, std, 1.0)


def _stored(images: NDArray[Any]) -> Images:
    """Images (N, C, H, W) as a read-only contiguous array (N, H, W, C)."""
    kept = np.ascontiguousarray(images.transpose(0, 2, 3, 1))
    kept.flags.writeable = False
    return kept


def _labels(labels: NDArray[Any]) -> NDArray[np.int64]:
    return np.ascontiguousarray(labels, dtype=np.int64)


def named_classes(source: str, names: Sequence[str] | None, n_classes: int) -> tuple[str, ...]:
    """One name for each class; its number where no names are given.

    Args:
        source: Path or name of the data, for the error.
        names: The names, in the order of the classes; None where there are none.
        n_classes: Number of classes.

    Raises:
        DataError: If there are more or fewer names than classes, or one is no Unicode text.
    """
    if names is None:
        return tuple(str(number) for number in range(n_classes))
    if len(names) != n_classes:
        raise DataError(
            f"{source}: array 'class_names' has {len(names)} names for {n_classes} classes; give one a class"
        )
    for name in names:
        try:
            str(name).encode("utf-8")
        except UnicodeEncodeError:  # names travel in JSON, safetensors and ONNX files
            raise DataError(f"{source}: the class name {name!a} is no Unicode text; give another") from None
    return tuple(str(name) for name in names)
