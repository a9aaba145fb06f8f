"""A task in memory that a network learns a little of in a few steps."""

from __future__ import annotations

import numpy as np

from archwright.spaces.base import Space
from archwright.tasks.images import ImageTask


def toy_task(space: Space, *, n: int = 160) -> ImageTask:
    """Noisy images of the shape a space takes, in classes of different brightness; a quarter of n are the test part.

    Raises:
        ValueError: If the space takes something else than images.
    """
    channels, height, width = space.input_shape
    rng = np.random.default_rng(0)
    labels = np.arange(n) % space.n_classes
    noise = rng.integers(0, 120, (n, channels, height, width))
    images = (noise + (135 // space.n_classes) * labels[:, None, None, None]).astype(np.uint8)
    return ImageTask("toy", images, labels, images[: n // 4], labels[: n // 4])
