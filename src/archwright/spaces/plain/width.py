"""The base of spaces of plain networks, which have one decision: their width."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from archwright.core.arch import Arch, Value
from archwright.core.decisions import Decision, DecisionSpace
from archwright.core.errors import InvalidArchError
from archwright.spaces.arguments import check_image, whole_number
from archwright.spaces.base import Space

MAX_WIDTH = 10_000


class WidthSpace(Space):
    """One network in many widths; every counted cost grows with the width, which is also the code of an arch.

    A subclass writes `network`, which asks for the number `width` of `self.widths`.

    Args:
        input_shape: Shape of one input without the batch.
        n_classes: Number of outputs.
        max_width: The widest; the class's own by default.

    Attributes:
        step: Widths are its multiples.
        max_width: See above.
        min_side: Smallest side of an image in pixels; None where inputs are no images.
    """

    step: ClassVar[int] = 2
    max_width: int = 256
    min_side: ClassVar[int | None] = None

    def __init__(
        self,
        *,
        input_shape: Sequence[int] | None = None,
        n_classes: int | None = None,
        max_width: int | None = None,
    ) -> None:
        super().__init__(input_shape=input_shape, n_classes=n_classes)
        widest = type(self).max_width if max_width is None else max_width
        self.max_width = whole_number("max_width", widest, MAX_WIDTH, least=self.step)
        if self.min_side is not None:
            check_image(self.name, self.input_shape, self.min_side)

    def args(self) -> dict[str, Any]:
        return super().args() | {"max_width": self.max_width}

    @property
    def widths(self) -> range:
        """The widths to choose from, rising."""
        return range(self.step, self.max_width + 1, self.step)

    def declare(self) -> DecisionSpace:
        return DecisionSpace([Decision("width", tuple(self.widths), "number")])

    def code(self, arch: Mapping[str, Value]) -> str:
        """The width, like "16"."""
        self.row(arch)
        return str(arch["width"])

    def parse(self, code: str) -> Arch:
        """The arch of a width.

        Raises:
            InvalidArchError: If there is none so wide.
        """
        width = int(code[:9]) if code.isascii() and code.isdigit() else 0
        if width not in self.widths:
            raise InvalidArchError(
                f"code {code!r} is no width of space {self.name!r}; give a multiple of {self.step} from "
                f"{self.widths[0]} to {self.widths[-1]}"
            )
        return Arch({"width": width})
