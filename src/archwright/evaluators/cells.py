"""The fast form of a cell in which several edges read one state and several end in one.

As in `chains`, results are those of the modules up to rounding. Edges that begin with a ReLU share it when they read
the same state, and terms are added into the first of them that is no state itself, without a new tensor for each sum.
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
        self.incoming = [[(source, getattr(cell, name)) for source, name in enumerate(names)] for names in cell.into]
        self.chains = dict(chains)

    def calibrate(self, x: Tensor) -> Tensor:
        """Forward with batch statistics, which enter the running ones by a cumulative mean."""
        return self._run(x, Chain.calibrate)

    def fold(self) -> None:
        """The sequences on the edges have folded forms of their own."""

    def apply(self, x: Tensor) -> Tensor:
        """Forward with the statistics last folded."""
        return self._run(x, Chain.apply)

    def _run(self, x: Tensor, run: Callable[..., Tensor]) -> Tensor:
        states, rectified = [x], dict[int, Tensor]()
        for edges in self.incoming:
            total, passed = None, list[Tensor]()
            for source, edge in edges:
                op, state = _running(edge), states[source]
                chain = self.chains.get(op)
                if isinstance(op, Zero):
                    continue
                if chain is None:
                    term = op(state)
                elif chain.begins_with_relu:
                    if source not in rectified:
                        rectified[source] = state.relu()
                    term = run(chain, rectified[source], 1)
                else:
                    term = run(chain, state)
                if term.untyped_storage().data_ptr() == state.untyped_storage().data_ptr():
                    passed.append(term)
                else:
                    total = term if total is None else total.add_(term)
            states.append(_sum(total, passed, states[-1]))
        return states[-1]


def _sum(total: Tensor | None, others: list[Tensor], example: Tensor) -> Tensor:
    """The sum of a tensor that may be overwritten and others that may not; zeros like the example without any."""
    if total is None and len(others) < 2:
        return others[0] if others else torch.zeros_like(example)
    if total is None:
        total, others = others[0] + others[1], others[2:]
    for other in others:
        total.add_(other)
    return total


def _running(edge: nn.Module) -> nn.Module:
    """What runs on an edge: the operation chosen, if it is a choice of one."""
    while isinstance(edge, ChoiceModule) and len(children := edge.active_children()) == 1:
        edge = children[0][1]
    return edge
