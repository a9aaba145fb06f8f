"""Augmentation of photos as in ImageNet papers: random resized crop, mirror image, colour jitter."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from archwright.core.errors import InvalidValueError
from archwright.tasks.augmenting import AugmentName
from archwright.tasks.images.framing import Framing
from archwright.tasks.images.jitter import ColorJitter, Draws

N_TRIES = 10
"""Crops drawn before the largest central crop of an accepted shape is taken, as torchvision does."""

# Where in the numbers of an image what is found.
_PLACE = 2 * N_TRIES
_MIRROR = _PLACE + 2
_JITTER = _MIRROR + 1
_N_DRAWS = _JITTER + ColorJitter.N_DRAWS


@dataclass(frozen=True)
class PhotoAugmentation:
    """RandomResizedCrop, a mirror image half of the time, and ColorJitter; numbers are the released SPOS code's.

    All that is random about an image is a row of numbers drawn beforehand, so threads may work in any order.

    Attributes:
        scale: Least and greatest share of the area that is kept; None to frame the image as for scoring.
        ratio: Least and greatest width by height of the part that is kept.
        mirror: Change left and right with probability 1/2.
        jitter: Strength of `ColorJitter`; 0 leaves colours as they are.
    """

    scale: tuple[float, float] | None = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    mirror: bool = True
    jitter: float = 0.4

    def __post_init__(self) -> None:
        for name, pair, most in (("scale", self.scale, 1.0), ("ratio", self.ratio, math.inf)):
            if pair is not None and not 0 < pair[0] <= pair[1] <= most:
                raise InvalidValueError(f"{name} is {pair}; give two rising numbers above 0, at most {most:g}")
        ColorJitter(self.jitter)

    @classmethod
    def of(cls, names: Sequence[AugmentName]) -> PhotoAugmentation:
        """That of names; `auto` is no part of it."""
        scale = cls().scale if "crop" in names else None
        return cls(scale, mirror="mirror" in names, jitter=cls().jitter if "jitter" in names else 0.0)

    def draws(self, n: int, rng: np.random.Generator) -> Draws:
        """The random numbers of n images, one row each, uniform in [0, 1)."""
        return rng.random((n, _N_DRAWS))

    def __call__(self, image: Image.Image, draws: Draws, framing: Framing) -> Image.Image:
        """The changed image in the size of the framing; a row of random numbers decides how."""
        if self.scale is None:
            image = framing(image)
        else:
            image = image.crop(self._box(image.height, image.width, draws))
            image = image.resize(framing.crop[::-1], Image.Resampling.BILINEAR)
        if self.mirror and draws[_MIRROR] < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return ColorJitter(self.jitter)(image, draws[_JITTER:]) if self.jitter else image

    def _box(self, height: int, width: int, draws: Draws) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of the crop."""
        wide, high = self._part(height, width, draws)
        if wide:
            top = int(float(draws[_PLACE]) * (height - high + 1))
            left = int(float(draws[_PLACE + 1]) * (width - wide + 1))
        else:
            wide, high = self._middle(height, width)
            top, left = (height - high) // 2, (width - wide) // 2
        return left, top, left + wide, top + high

    def _part(self, height: int, width: int, draws: Draws) -> tuple[int, int]:
        """Width and height of the first drawn crop that fits into the image; zeros if none does."""
        assert self.scale is not None
        (low, high), (narrow, broad) = self.scale, (math.log(self.ratio[0]), math.log(self.ratio[1]))
        for u, v in draws[:_PLACE].reshape(N_TRIES, 2).tolist():
            area, ratio = height * width * (low + u * (high - low)), math.exp(narrow + v * (broad - narrow))
            w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < w <= width and 0 < h <= height:
                return w, h
        return 0, 0

    def _middle(self, height: int, width: int) -> tuple[int, int]:
        """Width and height of the largest crop of an accepted shape."""
        ratio = min(max(width / height, self.ratio[0]), self.ratio[1])
        return max(1, min(width, round(height * ratio))), max(1, min(height, round(width / ratio)))
