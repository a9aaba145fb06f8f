"""Networks of cells that each read the outputs of the two cells before, as in DARTS."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from archwright.nn.choice.mixed import Edge, MixedStates, edges_from, is_planned
from archwright.nn.layout import keep_layout
from archwright.nn.source import source_template

FIRST = 2
"""Number of the first state that a node gives."""


@source_template(
    '''
    class TwoInputCell(nn.Module):
        """Two inputs brought to the cell's width, then nodes that read earlier states; some states are the output."""

        def __init__(
            self, preprocess0: nn.Module, preprocess1: nn.Module, nodes: Sequence[nn.Module], concat: Sequence[int]
        ) -> None:
            super().__init__()
            self.preprocess0, self.preprocess1 = preprocess0, preprocess1
            self.nodes, self.concat = nn.ModuleList(nodes), list(concat)

        def forward(self, before_last: Tensor, last: Tensor) -> Tensor:
            states = [self.preprocess0(before_last), self.preprocess1(last)]
            for node in self.nodes:
                states.append(node(states))
            return torch.cat([states[i] for i in self.concat], dim=1)
    '''
)
class TwoInputCell(nn.Module):
    """A cell: two inputs brought to its width, then nodes that each read earlier states; the output joins some states.

    States are numbered 0 and 1 (outputs of the cell before the last one, and of the last one), then the nodes.

    Args:
        preprocess0: Brings the output of the cell before the last one to this cell's width.
        preprocess1: The same for the output of the last cell.
        nodes: Each takes the list of states before it and gives a new state.
        concat: Numbers of the states whose channels are the output; by default all nodes.
    """

    def __init__(
        self,
        preprocess0: nn.Module,
        preprocess1: nn.Module,
        nodes: Sequence[nn.Module],
        concat: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.preprocess0, self.preprocess1 = preprocess0, preprocess1
        self.nodes = nn.ModuleList(nodes)
        self.concat = list(range(2, 2 + len(nodes)) if concat is None else concat)

    def forward(self, before_last: Tensor, last: Tensor) -> Tensor:
        states = [self.preprocess0(before_last), self.preprocess1(last)]
        edges = edges_from(list(self.nodes), len(states)) if self.training and is_planned(states[0]) else None
        if edges is None:
            for node in self.nodes:
                states.append(node(states))
        else:
            self._run_together(states, edges)
        return torch.cat([states[i] for i in self.concat], dim=1)

    def _run_together(self, states: list[Tensor], edges: list[list[Edge]]) -> None:
        """Append the nodes' states; relaxed edges that leave the same state run together."""
        mixed = MixedStates(len(self.nodes))
        for source, leaving in enumerate(edges):
            if source >= FIRST:
                state = mixed.node(source - FIRST)
                states.append(self.nodes[source - FIRST](states) if state is None else state)
            if leaving:
                mixed.add(keep_layout(states[source]), leaving)
        mixed.finish()


@source_template(
    '''
    class TwoInputNetwork(nn.Module):
        """Stems, then cells that each read the two outputs before, then the head."""

        def __init__(self, stems: Sequence[nn.Module], cells: Sequence[nn.Module], head: nn.Module) -> None:
            super().__init__()
            self.stems, self.cells, self.head = nn.ModuleList(stems), nn.ModuleList(cells), head

        def forward(self, x: Tensor) -> Tensor:
            states = [x]
            for stem in self.stems:
                states.append(stem(states[-1]))
            before_last, last = states[-2] if len(self.stems) > 1 else states[-1], states[-1]
            for cell in self.cells:
                before_last, last = last, cell(before_last, last)
            return self.head(last)
    ''',
    arguments=lambda network: {"stems": network.stems, "cells": network.cells, "head": network.head},
)
class TwoInputNetwork(nn.Module):
    """Stems, cells in order, head: (N, C, H, W) → the head's output.

    The first cell reads the outputs of the last two stems; a single stem is read twice.

    Args:
        stems: One or more, each reading the one before.
        cells: Each takes the outputs of the two cells before it.
        head: Layers after the last cell.
    """

    def __init__(self, stems: Sequence[nn.Module], cells: Sequence[nn.Module], head: nn.Module) -> None:
        super().__init__()
        self.stems, self.cells, self.head = nn.ModuleList(stems), nn.ModuleList(cells), head
        self.auxiliary: nn.Module | None = None
        self._auxiliary_after = 0

    def add_auxiliary(self, head: nn.Module, after: int) -> None:
        """In training, also give the output of cell number `after` to `head`, a module that adds to the loss."""
        self.auxiliary, self._auxiliary_after = head, after

    def forward(self, x: Tensor) -> Tensor:
        states = [x]
        for stem in self.stems:
            states.append(stem(states[-1]))
        before_last, last = states[-2] if len(self.stems) > 1 else states[-1], states[-1]
        for i, cell in enumerate(self.cells):
            before_last, last = last, cell(before_last, last)
            if self.training and self.auxiliary is not None and i == self._auxiliary_after:
                self.auxiliary(last)
        out: Tensor = self.head(last)
        return out
