"""Small tasks in memory, of which a network learns something in a few steps."""

from __future__ import annotations

import numpy as np

from archwright.spaces.base import Space
from archwright.spaces.language import LanguageSpace
from archwright.tasks.images.in_memory import ImageTask
from archwright.tasks.text.language import LanguageTask


def toy_task(space: Space, *, n: int = 160) -> ImageTask:
    """Noisy images in a space's input shape, in classes of different brightness; a quarter of n is the test part.

    Raises:
        ValueError: If the space does not read images.
    """
    channels, height, width = space.input_shape
    rng = np.random.default_rng(0)
    labels = np.arange(n) % space.n_classes
    noise = rng.integers(0, 120, (n, channels, height, width))
    images = (noise + (135 // space.n_classes) * labels[:, None, None, None]).astype(np.uint8)
    return ImageTask("toy", images, labels, images[: n // 4], labels[: n // 4])


def toy_text(space: LanguageSpace, *, n: int = 600) -> LanguageTask:
    """A text of n words in a fixed order, with the input length and vocabulary of a space."""
    words = " ".join(f"w{i % (space.n_tokens - 1)}" for i in range(n - 1))
    return LanguageTask("toy", (words, words, words), tokens=space.input_shape[0], vocabulary=space.n_tokens)
