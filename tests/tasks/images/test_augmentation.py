"""Random crops and flips of whole batches."""

from __future__ import annotations

import numpy as np
import pytest

from archwright.core.errors import InvalidValueError
from archwright.tasks.images.augmentation import Augmentation


@pytest.mark.parametrize(
    ("shape", "padding", "flip"),
    [
        ((3, 32, 32), 4, True),
        ((3, 224, 224), 4, True),
        ((1, 28, 28), 2, False),
        ((1, 8, 8), 1, False),
        ((3, 24, 24), 3, True),
        ((1, 64, 48), 6, False),
        ((2, 32, 32), 4, False),
        ((1, 4, 4), 0, False),
    ],
)
def test_default_for_shape(shape: tuple[int, int, int], padding: int, flip: bool) -> None:
    """The documented table: only colour is flipped, padding follows the shorter side."""
    assert Augmentation.default(shape) == Augmentation(padding, flip)


def test_every_image_is_a_shifted_and_perhaps_mirrored_copy(rng: np.random.Generator) -> None:
    """Each result is found among the 2 x 3 x 3 crops of its padded image, made one by one."""
    images = rng.integers(1, 256, (40, 6, 5, 3), dtype=np.uint8)
    changed = Augmentation(1, True)(images, rng)
    drawn = set()
    for before, after in zip(images, changed, strict=True):
        padded = np.pad(before, ((1, 1), (1, 1), (0, 0)))
        crops = {(y, x, 0): padded[y : y + 6, x : x + 5] for y in range(3) for x in range(3)}
        every = crops | {(y, x, 1): crop[:, ::-1] for (y, x, _), crop in crops.items()}
        found = [key for key, crop in every.items() if np.array_equal(crop, after)]
        assert len(found) == 1
        drawn.add(found[0])
    assert len(drawn) > 10  # of 18


def test_half_of_the_images_is_mirrored(rng: np.random.Generator) -> None:
    """Of 10,000 images 5,000, within four standard deviations of 50."""
    images = np.zeros((10_000, 1, 2, 1), dtype=np.uint8)
    images[:, :, 0] = 1
    assert abs(Augmentation(0, True)(images, rng)[:, 0, 1, 0].sum(dtype=np.int64) - 5_000) < 200


def test_all_shifts_are_equally_likely(rng: np.random.Generator) -> None:
    """Nine places of one bright pixel, 1,000 expected each; chi-square on 8 degrees of freedom below 26 (p = 0.001)."""
    images = np.zeros((9_000, 3, 3, 1), dtype=np.uint8)
    images[:, 1, 1] = 1
    counts = Augmentation(1, False)(images, rng).sum(axis=0, dtype=np.int64).ravel()
    assert ((counts - 1_000.0) ** 2 / 1_000).sum() < 26


def test_stored_images_are_not_written_to(rng: np.random.Generator) -> None:
    """The batch that came in stays as it was."""
    images = rng.integers(0, 256, (16, 4, 4, 3), dtype=np.uint8)
    kept = images.copy()
    Augmentation(0, True)(images, rng)
    assert np.array_equal(images, kept)


def test_negative_padding_is_refused() -> None:
    """The message names the field."""
    with pytest.raises(InvalidValueError, match="crop_padding is -1"):
        Augmentation(-1)
