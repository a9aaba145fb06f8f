"""Augmentation of training images, a whole batch at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray
from PIL import Image

from archwright.core.errors import InvalidValueError
from archwright.tasks.augmenting import AugmentName
from archwright.tasks.images.jitter import ColorJitter, Draws

Images = NDArray[np.uint8]


@dataclass(frozen=True)
class Augmentation:
    """Random changes of training images; each image of a batch draws its own.

    Attributes:
        crop_padding: Pixels of zeros (black) around an image before a crop of its old size is drawn; 0 keeps it.
        mirror: Change left and right with probability 1/2.
        jitter: Whether colours change, see `jitter.ColorJitter`.
        auto: Whether one change of TrivialAugmentWide follows (Müller and Hutter, ICCV 2021, arXiv:2103.10158, as in
            torchvision): none, a shift, a shear, a turn by up to 135 degrees, or other brightness, colour or contrast.
    """

    crop_padding: int = 0
    mirror: bool = False
    jitter: bool = False
    auto: bool = False

    def __post_init__(self) -> None:
        if self.crop_padding < 0:
            raise InvalidValueError(f"crop_padding is {self.crop_padding}; give 0 or more pixels")

    @classmethod
    def of(cls, names: Sequence[AugmentName] | None, input_shape: tuple[int, int, int]) -> Augmentation:
        """That of names, for images (C, H, W); of None the usual one, a crop, which suits any image.

        A crop is shifted by an eighth of the shorter side at most, and not more than 4 pixels from 32 pixels on, as is
        usual for CIFAR; by 2 pixels in images of 28.

        Args:
            names: See `AugmentName`.
            input_shape: (C, H, W).

        Raises:
            InvalidValueError: If images of so many channels do not take a change.

        >>> Augmentation.of(None, (3, 32, 32)), Augmentation.of(("mirror",), (1, 8, 8))
        (Augmentation(crop_padding=4, mirror=False, jitter=False, auto=False), \
Augmentation(crop_padding=0, mirror=True, jitter=False, auto=False))
        """
        chosen = (CROP,) if names is None else tuple(names)
        channels, *sides = input_shape
        for name in COLOURED.intersection(chosen):
            if channels not in (1, 3):
                raise InvalidValueError(
                    f"augment has {name!r}, which grey and RGB images take; leave it out for {channels} channels"
                )
        padding = crop_padding(min(sides)) if CROP in chosen else 0
        return cls(padding, "mirror" in chosen, "jitter" in chosen, "auto" in chosen)

    def __call__(self, images: Images, rng: np.random.Generator) -> Images:
        """New images for a batch (B, H, W, C) of uint8, C-contiguous; each image draws its own change."""
        changed = _shifted(images, self.crop_padding, rng) if self.crop_padding else images
        if self.mirror:
            changed = changed if changed is not images else images.copy()
            chosen = rng.random(len(images)) < 0.5
            changed[chosen] = changed[chosen, :, ::-1]
        if self.jitter:
            draws = ColorJitter.draws(len(images), rng)
            changed = np.stack([_jittered(image, row) for image, row in zip(changed, draws, strict=True)])
        return _trivially_changed(changed, rng) if self.auto else changed


CROP: AugmentName = "crop"
COLOURED: frozenset[AugmentName] = frozenset({"jitter", "auto"})
"""Changes that are defined for grey and RGB images only."""


def crop_padding(side: int) -> int:
    """Pixels by which a crop of images with that shorter side is shifted at most; 0 below 8 pixels."""
    return 4 if side >= 32 else 2 if side == 28 else side // 8


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


def _jittered(image: Images, draws: Draws) -> Images:
    height, width, channels = image.shape
    plain = Image.fromarray(image.reshape(height, width) if channels == 1 else image)
    jittered: Images = np.asarray(ColorJitter()(plain, draws))
    return jittered.reshape(image.shape)


def _trivially_changed(images: Images, rng: np.random.Generator) -> Images:
    from torchvision.transforms import v2

    policy = v2.TrivialAugmentWide()
    with torch.random.fork_rng(devices=[]):  # torchvision draws from torch's global state
        torch.manual_seed(int(rng.integers(2**63)))
        # tensors (C, H, W) share the memory of the images
        tensors = [policy(torch.from_numpy(image).permute(2, 0, 1)) for image in images]
    return np.ascontiguousarray(torch.stack(tensors).permute(0, 2, 3, 1).numpy())
