"""Path dropout: every path of a one-shot model at once, some of them left out (Bender et al., ICML 2018)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from archwright.core.catalog import listed
from archwright.core.decisions import Decision, Rows
from archwright.core.errors import InvalidValueError
from archwright.core.relaxation import ABSENT
from archwright.nn.choice.selection import Weights
from archwright.policies.base import Policy, Progress
from archwright.spaces.base import Space


def drop_chance(fan_in: int, rate: float) -> float:
    """rate^(1 / fan-in): dropping each path into a node by it leaves the node without any with the chance `rate`.

    Args:
        fan_in: Paths that lead into the node.
        rate: In [0, 1).

    Examples:
        >>> [round(drop_chance(k, 0.05), 4) for k in (1, 2, 5, 7, 14)]
        [0.05, 0.2236, 0.5493, 0.6518, 0.8074]
    """
    return float(rate ** (1 / fan_in))


@listed(
    "policy",
    "path-dropout",
    summary="all paths of a node at weight 1, each left out by a chance that rises and leaves none at a given rate",
    source="Bender et al., ICML 2018, PMLR 80:550-559",
)
class PathDropout(Policy):
    """Leaves out paths independently of each other; archs themselves are drawn uniformly.

    A path is a value of a decision about an operation, or a state that a node may read. Of k paths into a node each is
    left out with the chance t r^(1/k), which rises with the progress t of the training. Operations on known edges of a
    node (`Space.relaxation`) lead into the node, those of all its edges together. Values that compute nothing are no
    paths. A count of repeated blocks is drawn uniformly.

    Args:
        space: Where archs come from.
        rate: r, in [0, 1): how often a node is without any path at the end.

    Raises:
        InvalidValueError: If a decision chooses a number, or subsets that are not made of single states.
    """

    def __init__(self, space: Space, rate: float = 0.05) -> None:
        if not 0 <= rate < 1:
            raise InvalidValueError(f"rate is {rate}; give a number in [0, 1)")
        self.space, self.rate = space, rate
        relaxation = space.relaxation()
        fan_ins = {edge: len(edges) for edges in relaxation.edges.values() for edge in edges}
        self._paths = {
            decision.name: _paths(decision) for decision in space.decisions if decision.name not in relaxation.edges
        }
        self._fan_ins = {name: fan_ins.get(name, 1) * len(paths) for name, paths in self._paths.items()}
        self._kinds = {decision.name: decision.kind for decision in space.decisions}

    def draw(self, n: int, rng: np.random.Generator, progress: Progress | None = None) -> Rows:
        return self.space.decisions.sample(n, rng)

    def paths(self, rng: np.random.Generator, progress: float = 1.0) -> Mapping[str, Weights]:
        """The paths that stay, at weight 1, for `Selection.relax`; a node that loses all has one at weight 0.

        Args:
            rng: Decides.
            progress: How far the training is, in [0, 1].
        """
        found: dict[str, Weights] = {}
        for name, places in self._paths.items():
            if self._kinds[name] == "repeat":
                found[name] = [(int(rng.choice(places)), 1.0)]
                continue
            chance = progress * drop_chance(self._fan_ins[name], self.rate)
            stay = [place for place, drawn in zip(places, rng.random(len(places)), strict=True) if drawn >= chance]
            found[name] = [(place, 1.0) for place in stay] or [(places[0], 0.0)]
        return found


def _paths(decision: Decision) -> list[int]:
    """Positions of the values that are single paths."""
    values = decision.values
    if decision.kind == "number":
        raise InvalidValueError(
            f"decision {decision.name!r} chooses a number, and numbers are no paths that could be dropped; "
            "search one path at a time, as spos does"
        )
    if decision.kind != "inputs":
        real = [i for i, value in enumerate(values) if decision.kind == "repeat" or value not in ABSENT]
        return real or list(range(len(values)))
    singles = [i for i, value in enumerate(values) if isinstance(value, tuple) and len(value) == 1]
    sources = {source for value in values if isinstance(value, tuple) for source in value}
    if len(singles) < len(sources):
        raise InvalidValueError(
            f"decision {decision.name!r} keeps {len(values[0]) if isinstance(values[0], tuple) else 0} states at "
            "least, so that no state is a path of its own; search one path at a time, as spos does"
        )
    return singles
