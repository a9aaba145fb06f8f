"""Augmentation of photos as in ImageNet papers: random resized crop, mirror image, colour jitter."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from archwright.core.errors import InvalidValueError

N_TRIES = 10
"""Crops drawn before the largest central crop of an accepted shape is taken, as torchvision does."""

Draws = NDArray[np.float64]

# Where in the numbers of an image what is found.
_PLACE = 2 * N_TRIES
_FLIP = _PLACE + 2
_FACTORS = _FLIP + 1
_ORDER = _FACTORS + 3
_N_DRAWS = _ORDER + 3
_ENHANCERS = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)


@dataclass(frozen=True)
class PhotoAugmentation:
    """RandomResizedCrop, a mirror image half of the time, and ColorJitter; defaults are the released SPOS code's.

    All that is random about an image is a row of numbers drawn beforehand, so threads may work in any order.

    Attributes:
        scale: Least and greatest share of the area that is kept.
        ratio: Least and greatest width by height of the part that is kept.
        flip: Mirror left and right with probability 1/2.
        jitter: Brightness, contrast and saturation are multiplied by 1 - jitter to 1 + jitter, in random order;
            a grey image has no saturation.
    """

    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip: bool = True
    jitter: float = 0.4

    def __post_init__(self) -> None:
        for name, (low, high), most in (("scale", self.scale, 1.0), ("ratio", self.ratio, math.inf)):
            if not 0 < low <= high <= most:
                raise InvalidValueError(f"{name} is {(low, high)}; give two rising numbers above 0, at most {most:g}")
        if not 0 <= self.jitter <= 1:
            raise InvalidValueError(f"jitter is {self.jitter}; give a number from 0 to 1")

    def draws(self, n: int, rng: np.random.Generator) -> Draws:
        """The random numbers of n images, one row each, uniform in [0, 1)."""
        return rng.random((n, _N_DRAWS))

    def __call__(self, image: Image.Image, draws: Draws, size: tuple[int, int]) -> Image.Image:
        """The augmented image, scaled to `size` (height, width); a row of random numbers decides how."""
        image = image.crop(self._box(image.height, image.width, draws))
        image = image.resize(size[::-1], Image.Resampling.BILINEAR)
        if self.flip and draws[_FLIP] < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if self.jitter:
            for i in np.argsort(draws[_ORDER:]):
                factor = 1 + self.jitter * (2 * float(draws[_FACTORS + i]) - 1)
                image = _ENHANCERS[i](image).enhance(factor)
        return image

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
