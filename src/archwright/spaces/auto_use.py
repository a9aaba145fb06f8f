"""What a space says of itself to the recipe `auto`, which chooses one that fits the data and the limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from archwright.core.errors import InvalidValueError
from archwright.nn.inputs import Signature


@dataclass(frozen=True)
class AutoUse:
    """When the recipe `auto` may take a space: the attribute `auto` of its class.

    Attributes:
        settings: Arguments of the constructor, each set of them a variant that may be taken, from small networks to
            large ones.
        sides: Of images, the least and the largest smaller side in pixels that the space is meant for, None where there
            is no largest; None for a space of texts.

    Raises:
        InvalidValueError: If there are no settings, or no such sides.
    """

    settings: tuple[Mapping[str, Any], ...]
    sides: tuple[int, int | None] | None = None

    def __post_init__(self) -> None:
        if not self.settings:
            raise InvalidValueError("settings are (); give one variant at least, {} for the space as it is")
        if self.sides is not None and not 1 <= self.sides[0] <= (self.sides[1] or self.sides[0]):
            raise InvalidValueError(f"sides are {self.sides}; give the least and the largest number of pixels, from 1")

    def unsuited(self, signature: Signature) -> str | None:
        """Why the space is not meant for data, in words; None where it is.

        Args:
            signature: Of the data.
        """
        spec = signature.inputs[0]
        is_image = spec.dtype == "float32" and len(spec.shape) == 3
        is_text = spec.dtype == "int64" and len(spec.shape) == 1
        if self.sides is None:
            return None if is_text and len(signature.inputs) == 1 else "meant for texts"
        least, most = self.sides
        if is_image and len(signature.inputs) == 1 and least <= min(spec.shape[1:]) <= (most or min(spec.shape[1:])):
            return None
        return (
            f"meant for images of {least} pixels a side and more"
            if most is None
            else (f"meant for images of {least} to {most} pixels a side")
        )
