"""A cell in which every pair of states is joined by one edge."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor, nn

from archwright.nn.choice.modules import OpChoice
from archwright.nn.ops.edges import Zero


class EdgeCell(nn.Module):
    """States 0 to n - 1, each the sum of one edge from every earlier one; state 0 comes in, the last goes out.

    Children are called `edge01`, `edge02`, `edge12`, … by source and target.

    Args:
        n_states: How many states, at most 10.
        make: Makes the edge from a source to a target.
    """

    def __init__(self, n_states: int, make: Callable[[int, int], nn.Module]) -> None:
        super().__init__()
        self._into: list[list[str]] = []
        for target in range(1, n_states):
            names = [f"edge{source}{target}" for source in range(target)]
            for source, name in enumerate(names):
                self.add_module(name, make(source, target))
            self._into.append(names)

    def forward(self, x: Tensor) -> Tensor:
        states = [x]
        for names in self._into:
            edges = [(source, edge) for source, name in enumerate(names) if not _is_zero(edge := self._modules[name])]
            terms = [edge(states[source]) for source, edge in edges if edge is not None]
            states.append(functools.reduce(torch.add, terms) if terms else torch.zeros_like(states[-1]))
        return states[-1]


def _is_zero(edge: nn.Module | None) -> bool:
    """Whether an edge gives zeros only; in a weighted mixture they take part, for their weights' gradients."""
    if isinstance(edge, OpChoice) and edge.weights is None:
        edge = edge.active
    return isinstance(edge, Zero)
