"""Random crops and flips of whole batches."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from archwright.core.errors import InvalidValueError
from archwright.tasks.augmenting import AugmentName
from archwright.tasks.images.augmentation import Augmentation
from archwright.tasks.images.jitter import ColorJitter


@pytest.mark.parametrize(
    ("shape", "padding"),
    [
        ((3, 32, 32), 4),
        ((3, 224, 224), 4),
        ((1, 28, 28), 2),
        ((1, 8, 8), 1),
        ((3, 24, 24), 3),
        ((1, 64, 48), 4),
        ((2, 31, 32), 3),
        ((1, 4, 4), 0),
    ],
)
def test_usual_is_a_crop(shape: tuple[int, int, int], padding: int) -> None:
    """The documented table: padding follows the shorter side, and nothing is mirrored."""
    assert Augmentation.of(None, shape) == Augmentation.of(("crop",), shape) == Augmentation(padding)


def test_each_name_is_one_change() -> None:
    """None of them brings another along."""
    shape = (3, 32, 32)
    assert Augmentation.of((), shape) == Augmentation()
    assert Augmentation.of(("mirror",), shape) == Augmentation(mirror=True)
    assert Augmentation.of(("jitter",), shape) == Augmentation(jitter=True)
    assert Augmentation.of(("auto", "crop"), shape) == Augmentation(4, auto=True)


@pytest.mark.parametrize("name", ["jitter", "auto"])
@pytest.mark.parametrize("channels", [2, 4])
def test_colours_need_grey_or_rgb(name: AugmentName, channels: int) -> None:
    """Where it is not said what the channels are, their colours are not changed; crops and mirrors are."""
    with pytest.raises(InvalidValueError, match=f"augment has '{name}', which grey and RGB.*for {channels} channels"):
        Augmentation.of((name,), (channels, 8, 8))
    assert Augmentation.of(("crop", "mirror"), (channels, 8, 8)) == Augmentation(1, mirror=True)


@pytest.mark.parametrize("shape", [(6, 5, 3), (6, 5, 1)])
def test_jitter_is_that_of_single_images(shape: tuple[int, int, int], rng: np.random.Generator) -> None:
    """Each image by its own six numbers, as photos are jittered."""
    images = rng.integers(0, 256, (4, *shape), dtype=np.uint8)
    draws = ColorJitter.draws(4, np.random.default_rng(1))
    changed = Augmentation(jitter=True)(images, np.random.default_rng(1))
    for image, row, found in zip(images, draws, changed, strict=True):
        expected = np.asarray(ColorJitter()(Image.fromarray(image.squeeze()), row)).reshape(shape)
        assert np.array_equal(found, expected)


@pytest.mark.parametrize("channels", [1, 3])
def test_auto_follows_the_generator_alone(channels: int, rng: np.random.Generator) -> None:
    """The same numbers give the same images whatever torch's own state, which stays as it was; most are changed."""
    images = rng.integers(0, 256, (32, 12, 10, channels), dtype=np.uint8)
    kept = images.copy()
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = Augmentation(auto=True)(images, np.random.default_rng(0))
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert np.array_equal(Augmentation(auto=True)(images, np.random.default_rng(0)), first)
    assert (first.shape, first.dtype, first.flags.c_contiguous) == (images.shape, np.uint8, True)
    assert np.array_equal(images, kept)
    changed = (first != images).any(axis=(1, 2, 3)).sum()
    assert 16 <= changed < 32  # one of the fourteen operations leaves an image alone, others may


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
