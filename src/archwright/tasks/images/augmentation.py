"""Augmentation of training images, a whole batch at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from archwright.core.errors import InvalidValueError

Images = NDArray[np.uint8]


@dataclass(frozen=True)
class Augmentation:
    """Standard augmentation of small images: a shifted crop, and a mirror image half of the time.

    Attributes:
        crop_padding: Pixels of zeros (black) around an image before a crop of its old size is drawn; 0 keeps it.
        flip: Mirror left and right with probability 1/2.
    """

    crop_padding: int = 0
    flip: bool = False

    def __post_init__(self) -> None:
        if self.crop_padding < 0:
            raise InvalidValueError(f"crop_padding is {self.crop_padding}; give 0 or more pixels")

    @classmethod
    def default(cls, input_shape: tuple[int, int, int]) -> Augmentation:
        """The usual choice for images (C, H, W).

        Colour from 32 pixels on: pad 4 and flip, as for CIFAR. Grey of 28 pixels: pad 2. Anything else: pad an
        eighth of the shorter side. Only colour is flipped: a mirrored digit is another character.

        >>> Augmentation.default((3, 32, 32)), Augmentation.default((1, 8, 8))
        (Augmentation(crop_padding=4, flip=True), Augmentation(crop_padding=1, flip=False))
        """
        channels, size = input_shape[0], min(input_shape[1:])
        is_color = channels >= 3
        if is_color and size >= 32:
            return cls(4, True)
        return cls(2 if not is_color and size == 28 else size // 8, is_color)

    def __call__(self, images: Images, rng: np.random.Generator) -> Images:
        """New images for a batch (B, H, W, C) of uint8, C-contiguous; each image draws its own change."""
        if self.crop_padding:
            images = _shifted(images, self.crop_padding, rng)
        if self.flip:
            images = images if self.crop_padding else images.copy()
            chosen = rng.random(len(images)) < 0.5
            images[chosen] = images[chosen, :, ::-1]
        return images


def _shifted(images: Images, padding: int, rng: np.random.Generator) -> Images:
    n, height, width, channels = images.shape
    padded = np.zeros((n, height + 2 * padding, width + 2 * padding, channels), dtype=np.uint8)
    padded[:, padding : padding + height, padding : padding + width] = images
    # Every crop is a view of rows that lie W*C bytes side by side, so choosing one an image copies whole rows.
    per_image, per_row, per_pixel, _ = padded.strides
    crops = as_strided(
        padded,
        (n, 2 * padding + 1, 2 * padding + 1, height, width * channels),
        (per_image, per_row, per_pixel, per_row, 1),
        writeable=False,
    )
    top, left = rng.integers(0, 2 * padding + 1, size=(2, n))
    chosen: Images = crops[np.arange(n), top, left]
    return chosen.reshape(images.shape)
