"""A toy of pictures to pictures: generators, a discriminator, pairs to learn from; there are no classes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from archwright.core.blueprint import Blueprint
from archwright.core.errors import InvalidValueError
from archwright.core.objective import Direction
from archwright.nn.choice import Chooser
from archwright.nn.elastic import Conv2d
from archwright.nn.inputs import IMAGES, Signature, TensorSpec
from archwright.spaces.base import Space
from archwright.tasks.base import Batch, Meter, Part, Split, Task
from archwright.tasks.batching import stored_order, training_order
from archwright.testing.arrays import array_digest


class PictureSpace(Space):
    """Two convolutions from a picture to another of its size; kernel, width and activation are searched.

    Args:
        input_shape: Of a picture, (C, H, W).
    """

    input_shape = (1, 8, 8)

    def __init__(self, *, input_shape: Sequence[int] | None = None) -> None:
        super().__init__(input_shape=input_shape)

    def args(self) -> dict[str, Any]:
        return {"input_shape": list(self.input_shape)}

    @property
    def signature(self) -> Signature:
        return Signature((TensorSpec(self.input_shape, name=IMAGES),), (TensorSpec(self.input_shape, name="pictures"),))

    def network(self, choose: Chooser) -> nn.Module:
        n_channels, width = self.input_shape[0], choose.number("width", [4, 8])
        first = Conv2d(n_channels, width, choose.number("kernel", [1, 3]))
        act = choose.op("act", {"relu": nn.ReLU, "tanh": nn.Tanh})
        return nn.Sequential(first, act, Conv2d(width, n_channels, 3))


def discriminator(n_channels: int = 1) -> nn.Module:
    """A network that tells pairs of pictures, joined along their channels (N, 2 C, H, W), apart, place by place."""
    return nn.Sequential(
        nn.Conv2d(2 * n_channels, 8, 3, stride=2, padding=1), nn.LeakyReLU(0.2), nn.Conv2d(8, 1, 3, padding=1)
    )


class PictureTask(Task):
    """Pairs of pictures: the second is the first, negated and shifted to the right by a pixel.

    Where the first picture is far from grey, errors count more: the loss sees inputs as well as targets.

    Args:
        n: Pairs; three fifths are the training part, a fifth each for validation and test.
        input_shape: Of a picture, (C, H, W).
        seed: Draws them.
    """

    metric = "distance"
    direction: Direction = "min"
    n_classes = None

    def __init__(self, *, n: int = 60, input_shape: Sequence[int] = (1, 8, 8), seed: int = 0) -> None:
        channels, height, width = input_shape
        self.name, self.input_shape, self.seed = "pictures", (channels, height, width), seed
        self.pictures = np.random.default_rng(seed).standard_normal((n, channels, height, width), dtype=np.float32)
        train, validation, places = 3 * n // 5, 4 * n // 5, np.arange(n)
        self._places: dict[Part, NDArray[np.int64]] = {
            "train": places[:train],
            "validation": places[train:validation],
            "train+validation": places[:validation],
            "test": places[validation:],
        }

    @property
    def fingerprint(self) -> str:
        return array_digest(self.pictures)

    def blueprint(self, folder: Path) -> Blueprint:
        arguments = {"n": len(self.pictures), "input_shape": list(self.input_shape), "seed": self.seed}
        return Blueprint(f"{__name__}:PictureTask", arguments)

    def _split(self, part: Part) -> Split:
        return PictureSplit(self.pictures[self._places[part]])

    def example(self, n: int) -> Batch:
        return _batch(np.zeros((n, *self.input_shape), dtype=np.float32))

    def loss(self, outputs: Tensor, batch: Batch, *, label_smoothing: float = 0.0) -> Tensor:
        """Mean absolute difference, weighted by one more than the input's own distance from grey."""
        assert isinstance(batch.inputs, Tensor)
        errors: Tensor = (outputs - batch.targets).abs() * (1 + batch.inputs.abs())
        return errors.mean()

    def meter(self) -> DistanceMeter:
        return DistanceMeter()


class PictureSplit(Split):
    """Pictures (n, C, H, W), each with what it is to become."""

    def __init__(self, pictures: NDArray[np.float32]) -> None:
        self._pictures = pictures

    @property
    def n(self) -> int:
        return len(self._pictures)

    def batches(self, batch_size: int, *, seed: int, first_step: int = 0, n_steps: int) -> Iterator[Batch]:
        for _, chosen in training_order(self.n, batch_size, seed=seed, first_step=first_step, n_steps=n_steps):
            yield _batch(self._pictures[chosen])

    def ordered(self, batch_size: int) -> Iterator[Batch]:
        for part in stored_order(self.n, batch_size):
            yield _batch(self._pictures[part])


class DistanceMeter(Meter):
    """`distance`, the mean absolute difference of a pixel."""

    def __init__(self) -> None:
        self._sum, self._n = 0.0, 0

    def update(self, outputs: Tensor, batch: Batch) -> None:
        self._sum += float((outputs.detach().float() - batch.targets).abs().double().sum())
        self._n += batch.targets.numel()

    def result(self) -> dict[str, float]:
        if not self._n:
            raise InvalidValueError("no picture was measured; give the meter at least one batch")
        return {"distance": self._sum / self._n}


def _batch(pictures: NDArray[np.float32]) -> Batch:
    return Batch(torch.from_numpy(np.ascontiguousarray(pictures)), torch.from_numpy(-np.roll(pictures, 1, axis=3)))
