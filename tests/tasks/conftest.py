"""Trees of small image files, written for a test."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

COUNTS = {"train": {"cat": 12, "dog": 9, "eel": 6}, "test": {"cat": 3, "dog": 2, "eel": 4}}


def _save(path: Path, image: Image.Image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, quality=95)


@pytest.fixture
def make_tree(tmp_path: Path) -> Callable[..., Path]:
    """Write PART/CLASS/NUMBER.SUFFIX with random images (height, width) or (height, width, 3); returns the root."""

    def make(
        name: str = "tree",
        counts: Mapping[str, Mapping[str, int]] = COUNTS,
        *,
        shapes: tuple[tuple[int, ...], ...] = ((8, 8, 3),),
        suffix: str = "png",
    ) -> Path:
        rng, root, n = np.random.default_rng(3), tmp_path / name, 0
        for part, classes in counts.items():
            for label, n_images in classes.items():
                for i in range(n_images):
                    pixels = rng.integers(0, 256, shapes[n % len(shapes)], dtype=np.uint8)
                    _save(root / part / label / f"{i:02d}.{suffix}", Image.fromarray(pixels))
                    n += 1
        return root

    return make
