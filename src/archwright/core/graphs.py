"""Cells as graphs, a whole population at once: which edges live, how long paths are, how many edges a node has.

All figures are computed on arrays over the architectures, one edge after the other; edges come in the order of their
target nodes, so that one pass along them is a dynamic program over the graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from archwright.core.errors import SpaceError

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Graphs:
    """The same cell of n architectures, as directed acyclic graphs with labelled edges.

    Nodes are numbers; an edge leads from a lower to a higher one. What a node does to the sum of its inputs, if
    anything, is part of the edges into it.

    Attributes:
        ops: Names of the labels.
        op: (n, n_edges) the label of each edge as a position in `ops`; -1 where an architecture lacks the edge.
        source: (n, n_edges) the node each edge begins at.
        target: (n_edges,) the node each edge leads to, ascending.
        inputs: Nodes that the cell is given.
        output: The node that it gives.
        links: Positions in `ops` of labels that do nothing and count for nothing, such as the way into a concatenation.

    Raises:
        SpaceError: If shapes do not fit, or edges are out of order.
    """

    ops: tuple[str, ...]
    op: NDArray[np.int64]
    source: NDArray[np.int64]
    target: NDArray[np.int64]
    inputs: tuple[int, ...]
    output: int
    links: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.op.shape != self.source.shape or self.op.shape[1:] != self.target.shape:
            raise SpaceError(
                f"a graph has operations {self.op.shape}, sources {self.source.shape} and targets {self.target.shape}; "
                "give (n, edges), (n, edges) and (edges,)"
            )
        if (np.diff(self.target) < 0).any() or (self.source >= self.target).any():
            raise SpaceError("the edges of a graph lead from lower to higher nodes and come in the order of targets")

    @classmethod
    def concatenated(
        cls, ops: tuple[str, ...], op: NDArray[np.int64], source: NDArray[np.int64], target: NDArray[np.int64]
    ) -> Graphs:
        """A cell of two inputs, 0 and 1, whose output is made of all its further nodes: a link leads to it from each.

        Args:
            ops: Names of the labels, without the link.
            op: (n, n_edges), as in the attributes.
            source: The same.
            target: (n_edges,), the same.
        """
        nodes = np.unique(target)
        output, n = int(nodes[-1]) + 1, len(op)
        links = np.full((n, len(nodes)), len(ops))
        return cls(
            (*ops, "link"),
            np.concatenate([op, links], axis=1),
            np.concatenate([source, np.tile(nodes, (n, 1))], axis=1),
            np.concatenate([target, np.full(len(nodes), output)]),
            (0, 1),
            output,
            links=(len(ops),),
        )

    def __len__(self) -> int:
        return len(self.op)

    @property
    def n_nodes(self) -> int:
        """Nodes of the cell."""
        return self.output + 1

    @property
    def kinds(self) -> tuple[int, ...]:
        """Positions of the labels that do something."""
        return tuple(i for i in range(len(self.ops)) if i not in self.links)

    def carries(self, allowed: Sequence[int] | None = None) -> Mask:
        """(n, n_edges): which edges there are, of the allowed labels and links; of all labels by default.

        Args:
            allowed: Positions in `ops`.
        """
        if allowed is None:
            return self.op >= 0
        table = np.zeros(len(self.ops) + 1, dtype=bool)  # the last place is -1
        table[[*allowed, *self.links]] = True
        return table[self.op]

    @cached_property
    def length(self) -> Floats:
        """(n, n_edges): how much each edge adds to a path: 0 of links, 1 of others."""
        return np.where(np.isin(self.op, self.links), 0.0, 1.0)

    def longest(self, allowed: Sequence[int] | None = None) -> Floats:
        """(n,): edges of the longest way from an input to the output over allowed labels; -1 where there is none.

        Args:
            allowed: Positions in `ops`; all by default.
        """
        return self._walked(self.carries(allowed), np.maximum, -1.0)

    def shortest(self, allowed: Sequence[int] | None = None) -> Floats:
        """(n,): edges of the shortest way; one more than there are nodes where there is none.

        Args:
            allowed: Positions in `ops`; all by default.
        """
        return self._walked(self.carries(allowed), np.minimum, float(self.n_nodes + 1))

    def _walked(self, carries: Mask, better: np.ufunc, nowhere: float) -> Floats:
        reached = np.full((len(self), self.n_nodes), nowhere)
        reached[:, list(self.inputs)] = 0.0
        places = np.arange(len(self))
        for i, target in enumerate(self.target):
            before = reached[places, self.source[:, i]]
            found = np.where(carries[:, i] & (before != nowhere), before + self.length[:, i], nowhere)
            reached[:, target] = better(reached[:, target], found)
        return reached[:, self.output]

    @cached_property
    def live(self) -> Mask:
        """(n, n_edges): which edges lie on a way from an input to the output."""
        present, places = self.carries(), np.arange(len(self))
        is_fed = np.zeros((len(self), self.n_nodes), dtype=bool)
        is_fed[:, list(self.inputs)] = True
        for i, target in enumerate(self.target):
            is_fed[:, target] |= present[:, i] & is_fed[places, self.source[:, i]]
        is_read = np.zeros_like(is_fed)
        is_read[:, self.output] = True
        found = np.zeros_like(present)
        for i in reversed(range(len(self.target))):
            source = self.source[:, i]
            found[:, i] = present[:, i] & is_read[:, self.target[i]] & is_fed[places, source]
            is_read[places, source] |= present[:, i] & is_read[:, self.target[i]]
        return found

    def counts(self, among: Mask) -> Floats:
        """(n, kinds): how many edges have each label that does something.

        Args:
            among: (n, n_edges), which edges count.
        """
        return np.stack([((self.op == kind) & among).sum(axis=1) for kind in self.kinds], axis=1).astype(np.float64)

    def degrees(self, allowed: Sequence[int] | None = None) -> tuple[Floats, Floats]:
        """(n,) edges of allowed labels that leave the inputs, and (n,) that enter the output.

        An edge into a link to the output enters the output.

        Args:
            allowed: Positions in `ops`; all by default.
        """
        carries = self.carries(allowed) & (self.length > 0)
        leaving = (carries & np.isin(self.source, self.inputs)).sum(axis=1)
        linked = np.zeros((len(self), self.n_nodes), dtype=bool)
        linked[:, self.output] = True
        for i in range(len(self.target)):
            is_link = (self.length[:, i] == 0) & (self.op[:, i] >= 0) & (self.target[i] == self.output)
            linked[np.arange(len(self)), self.source[:, i]] |= is_link
        entering = (carries & linked[:, self.target]).sum(axis=1)
        return leaving.astype(np.float64), entering.astype(np.float64)
