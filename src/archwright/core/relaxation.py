"""What a search by gradient has to know of a space beside its decisions."""

from __future__ import annotations

from dataclasses import dataclass, field

SKIPS = frozenset({"skip", "skip_connect", "identity", "zero"})
"""Values of operations that pass their input on; `zero` leaves out a block beside its shortcut."""

ABSENT = frozenset({"none", "zero"})
"""Values of operations that compute nothing."""


@dataclass(frozen=True)
class Relaxation:
    """How decisions belong together where all their values run at once.

    Attributes:
        edges: By each decision about the inputs of a node: from each state it may read, the decision about the edge's
            operation. Such a node sums all its edges while it is relaxed, and keeps those whose operations are
            strongest in the end, so it has no parameters of its own.
        has_none: Decisions that have one more candidate while they are relaxed: `none`, which gives zeros. It takes
            its share of the weights and is never chosen in the end.
    """

    edges: dict[str, tuple[str, ...]] = field(default_factory=dict)
    has_none: frozenset[str] = frozenset()
