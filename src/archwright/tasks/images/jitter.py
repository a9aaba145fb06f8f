"""Random brightness, contrast and saturation of an image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from archwright.core.errors import InvalidValueError

Draws = NDArray[np.float64]
_ENHANCERS = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)


@dataclass(frozen=True)
class ColorJitter:
    """Brightness, contrast and saturation, in random order; the default is the released SPOS code's.

    Attributes:
        strength: Each is multiplied by 1 - strength to 1 + strength; a grey image has no saturation.
    """

    strength: float = 0.4
    N_DRAWS = 6

    def __post_init__(self) -> None:
        if not 0 <= self.strength <= 1:
            raise InvalidValueError(f"jitter is {self.strength}; give a number from 0 to 1")

    @classmethod
    def draws(cls, n: int, rng: np.random.Generator) -> Draws:
        """The random numbers of n images, one row each, uniform in [0, 1)."""
        return rng.random((n, cls.N_DRAWS))

    def __call__(self, image: Image.Image, draws: Draws) -> Image.Image:
        """The changed image; three of six random numbers are its factors, the order of the others is theirs."""
        for i in np.argsort(draws[3:]):
            image = _ENHANCERS[i](image).enhance(1 + self.strength * (2 * float(draws[i]) - 1))
        return image
