"""A cell in which every pair of states is joined by one edge."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor, nn

from archwright.nn.choice.mixed import Edge, MixedStates, is_planned, is_relaxed
from archwright.nn.choice.modules import OpChoice
from archwright.nn.layout import keep_layout
from archwright.nn.ops.edges import is_zero
from archwright.nn.source import source_template


@source_template(
    '''
    class EdgeCell(nn.Module):
        """States that each sum one edge from every earlier one; child `edge02` leads from state 0 to state 2."""

        def __init__(self, n_states: int, edges: Mapping[str, nn.Module]) -> None:
            super().__init__()
            self.n_states = n_states
            for name, edge in edges.items():
                self.add_module(name, edge)

        def forward(self, x: Tensor) -> Tensor:
            states = [x]
            for target in range(1, self.n_states):
                edges = [getattr(self, f"edge{source}{target}") for source in range(target)]
                states.append(sum(edge(state) for edge, state in zip(edges, states, strict=True)))
            return states[-1]
    ''',
    arguments=lambda cell: {"n_states": len(cell.into) + 1, "edges": dict(cell.named_children())},
)
class EdgeCell(nn.Module):
    """States 0 to n - 1, each the sum of one edge from every earlier state; state 0 is the input, the last the output.

    Children are called `edge01`, `edge02`, `edge12`, … by source and target.

    Args:
        n_states: How many states, at most 10.
        make: Makes the edge between two states, from the number of its source and of its target.
    """

    def __init__(self, n_states: int, make: Callable[[int, int], nn.Module]) -> None:
        super().__init__()
        self.into: list[list[str]] = []
        for target in range(1, n_states):
            names = [f"edge{source}{target}" for source in range(target)]
            for source, name in enumerate(names):
                self.add_module(name, make(source, target))
            self.into.append(names)

    def forward(self, x: Tensor) -> Tensor:
        if self.training and is_planned(x) and all(is_relaxed(edge) for edge in self._modules.values()):
            return self._run_together(x)
        states = [x]
        for names in self.into:
            edges = [(source, edge) for source, name in enumerate(names) if not is_zero(edge := self._modules[name])]
            terms = [edge(states[source]) for source, edge in edges if edge is not None]
            states.append(functools.reduce(torch.add, terms) if terms else torch.zeros_like(states[-1]))
        return states[-1]

    def _run_together(self, x: Tensor) -> Tensor:
        """The last state; relaxed edges that leave the same state run together."""
        mixed, states = MixedStates(len(self.into)), [x]
        for source in range(len(self.into)):
            leaving = [
                Edge(edge, target)
                for target, names in enumerate(self.into)
                if source < len(names) and isinstance(edge := self._modules[names[source]], OpChoice)
            ]
            mixed.add(keep_layout(states[-1]), leaving)
            state = mixed.node(source)
            states.append(torch.zeros_like(states[-1]) if state is None else state)
        mixed.finish()
        return states[-1]
