"""One size from images of any size."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from torchvision.transforms import v2

from archwright.core.errors import InvalidValueError
from archwright.tasks.images.framing import Framing


def _noise(height: int, width: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("size", [(64, 64), (37, 90), (100, 41), (75, 76), (300, 33), (33, 300)])
def test_square_frames_are_torchvisions(size: tuple[int, int]) -> None:
    """Resize(37) and CenterCrop(33) of a Pillow image, to the bit."""
    image = _noise(*size)
    expected = v2.Compose([v2.Resize(37), v2.CenterCrop(33)])(image)
    assert np.array_equal(np.asarray(Framing((37, 37), (33, 33))(image)), np.asarray(expected))


def test_image_of_the_right_size_is_not_touched() -> None:
    """No resampling, no copy."""
    image = _noise(32, 32)
    assert Framing.default((32, 32))(image) is image


@pytest.mark.parametrize("size", [(10, 10), (100, 20), (20, 100), (11, 40)])
def test_oblong_frames_are_covered(size: tuple[int, int]) -> None:
    """Whatever the image's aspect, the crop lies inside it and has its size."""
    assert Framing((12, 24), (10, 20))(_noise(*size)).size == (20, 10)


def test_aspect_is_kept() -> None:
    """A 40 x 100 image that covers 20 x 20 becomes 20 x 50, of which the middle 20 columns are taken."""
    pixels = np.repeat(np.arange(100, dtype=np.uint8)[None], 40, axis=0)
    framed = np.asarray(Framing((20, 20), (20, 20))(Image.fromarray(pixels)))
    assert framed[0].tolist() == pytest.approx([2 * (15 + i) + 0.5 for i in range(20)], abs=1)


def test_crop_larger_than_the_image_is_refused() -> None:
    """It would show what is not there."""
    with pytest.raises(InvalidValueError, match=r"crop is \(33, 32\)"):
        Framing((32, 32), (33, 32))
