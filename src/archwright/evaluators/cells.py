"""The fast form of a cell in which several edges read one state and several end in one.

As in `chains`, results are those of the modules up to rounding. Edges that begin with a ReLU share it where they read
the same state, and a term is added to those before it in place. All edges that leave a state run before the next
state's: few tensors live at a time, which matters more than the arithmetic saved (fresh memory costs more than a sum).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from archwright.evaluators.chains import Chain
from archwright.nn.choice.modules import ChoiceModule
from archwright.nn.ops.cell import EdgeCell
from archwright.nn.ops.edges import Zero


class CellForm:
    """The fast form of an `EdgeCell`.

    Args:
        cell: The cell.
        chains: Fast forms of sequences on its edges.
    """

    def __init__(self, cell: EdgeCell, chains: Mapping[nn.Module, Chain]) -> None:
        self.n_states = len(cell.into) + 1
        self.outgoing = [
            [(target, getattr(cell, cell.into[target - 1][source])) for target in range(source + 1, self.n_states)]
            for source in range(self.n_states - 1)
        ]
        self.chains = dict(chains)

    def calibrate(self, x: Tensor) -> Tensor:
        """Forward with batch statistics, which enter the running ones by a cumulative mean."""
        return self._run(x, Chain.calibrate)

    def fold(self) -> None:
        """The sequences on the edges have folded forms of their own."""

    def apply(self, x: Tensor) -> Tensor:
        """Forward with the statistics last folded."""
        return self._run(x, Chain.apply)

    def _run(self, x: Tensor, run: Callable[[Chain, Tensor, int], Tensor]) -> Tensor:
        sums = [_Sum() for _ in range(self.n_states)]
        sums[0].add(x, is_fresh=False)
        for source, edges in enumerate(self.outgoing):
            state, is_fresh = sums[source].take(x)
            ops = [(target, op) for target, edge in edges if not isinstance(op := _running(edge), Zero)]
            chains = [self._rectifying(op) for _, op in ops]
            rectified = None
            if any(chains):
                rectified = state.relu_() if is_fresh and all(chains) else state.relu()
            for (target, op), chain in zip(ops, chains, strict=True):
                if chain is not None and rectified is not None:
                    sums[target].add(run(chain, rectified, 1), is_fresh=True)
                else:
                    term = op(state)
                    sums[target].add(term, is_fresh=_memory(term) != _memory(state))
        return sums[-1].take(x)[0]

    def _rectifying(self, op: nn.Module) -> Chain | None:
        """The fast form of an operation that begins with a ReLU."""
        chain = self.chains.get(op)
        return chain if chain is not None and chain.begins_with_relu else None


class _Sum:
    """A sum that takes terms up one by one; a term is fresh if it may be overwritten."""

    def __init__(self) -> None:
        self.total: Tensor | None = None
        self.is_fresh = False

    def add(self, term: Tensor, *, is_fresh: bool) -> None:
        if self.total is None:
            self.total, self.is_fresh = term, is_fresh
        elif self.is_fresh:
            self.total.add_(term)
        else:
            self.total, self.is_fresh = term.add_(self.total) if is_fresh else self.total + term, True

    def take(self, example: Tensor) -> tuple[Tensor, bool]:
        """The sum, which is forgotten, and whether it is fresh; without terms it is zero in the example's shape."""
        total, self.total = self.total, None
        return (torch.zeros_like(example), True) if total is None else (total, self.is_fresh)


def _memory(x: Tensor) -> int:
    return x.untyped_storage().data_ptr()


def _running(edge: nn.Module) -> nn.Module:
    """What runs on an edge: the operation chosen, if it is a choice of one."""
    while isinstance(edge, ChoiceModule) and len(children := edge.active_children()) == 1:
        edge = children[0][1]
    return edge
