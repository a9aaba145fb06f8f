"""Skip connections among a space's decisions, for controllers that draw them by attention between layers."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Anchors:
    """Which decisions are skip connections, and where the layers end.

    Attributes:
        ends: Layer by its last decision that is no skip connection; a layer's skip connections follow it.
        links: (layer, source) by the decision that says whether the layer reads the source: value 0 no, value 1 yes.
    """

    ends: dict[str, int] = field(default_factory=dict)
    links: dict[str, tuple[int, int]] = field(default_factory=dict)
