"""Work that no rule counts, in the networks of a space: a limit on multiply-accumulates does not see it."""

from __future__ import annotations

from archwright.costs.counting.count import count
from archwright.spaces.base import Space
from archwright.spaces.covering import covering_rows


def uncounted_work(space: Space) -> tuple[str, ...]:
    """Names of operations that no rule counts, in networks that have every value of every decision once.

    What is free by convention (`FREE_BY_CONVENTION`) is none of them. Spaces of this package have none.

    Args:
        space: The space; the answer is kept on it.
    """
    if space.is_built_in:
        return ()
    kept: dict[str, tuple[str, ...]] = vars(space)
    if "_uncounted_work" not in kept:
        found: set[str] = set()
        for arch in space.decisions.archs(covering_rows(space.decisions)):
            with space.shapes_only():
                network = space.build(arch)
            found |= {each.partition(" ")[0] for each in count(network, space.signature, memory=False).uncounted}
        kept["_uncounted_work"] = tuple(sorted(found))
    return kept["_uncounted_work"]
