"""Recurrent cells in the form of a binary tree (Zoph and Le, ICLR 2017, Sec. 3.4)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from archwright.nn.carrying import State
from archwright.nn.dropout import check_rate
from archwright.nn.ops.recurrent import RecurrentCell
from archwright.nn.sizes import Size, current
from archwright.nn.source import source_template


@source_template()
class Add(nn.Module):
    """The sum of two tensors."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return a + b


@source_template()
class Multiply(nn.Module):
    """The element-wise product of two tensors."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return a * b


@source_template()
class Maximum(nn.Module):
    """The element-wise maximum of two tensors."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return torch.maximum(a, b)


@source_template()
class Sine(nn.Module):
    """The sine of every element."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.sin(x)


@source_template()
class TreeStep(nn.Module):
    """Combines two tensors and applies an activation; gives the result before and after the activation.

    Args:
        combine: Makes one tensor of two of the same shape.
        activation: Applied to that tensor; keeps its shape.
    """

    def __init__(self, combine: nn.Module, activation: nn.Module) -> None:
        super().__init__()
        self.combine, self.activation = combine, activation

    def forward(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        combined: Tensor = self.combine(a, b)
        return combined, self.activation(combined)


@source_template(
    '''
    class TreeRnnCell(nn.Module):
        """Leaves that each read input and hidden state, nodes that each read two others; the last one is the output."""

        def __init__(
            self,
            input: nn.Module,
            hidden: nn.Module,
            nodes: Sequence[nn.Module],
            inject: nn.Module,
            new_cell: int,
            injected: int,
        ) -> None:
            super().__init__()
            self.input, self.hidden = input, hidden
            self.nodes, self.inject = nn.ModuleList(nodes), inject
            self.new_cell, self.injected = new_cell, injected
            self.n_leaves = (len(nodes) + 1) // 2

        def begin(self, batch: int, device: torch.device) -> tuple[Tensor, ...]:
            zeros = torch.zeros(batch, self.hidden.in_features, device=device)
            return zeros, zeros

        def forward(self, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
            h, c = state
            n = self.n_leaves
            from_x, from_h = self.input(x).chunk(n, dim=1), self.hidden(h).chunk(n, dim=1)
            outputs, new_c = [], c
            for i, node in enumerate(self.nodes):
                k = 2 * (i - n)
                combined, out = node(from_x[i], from_h[i]) if i < n else node(outputs[k], outputs[k + 1])
                if i == self.new_cell:
                    new_c = combined
                outputs.append(self.inject(out, c)[1] if i == self.injected else out)
            return outputs[-1], (outputs[-1], new_c)
    ''',
    arguments=lambda cell: {
        "input": cell.input,
        "hidden": cell.hidden,
        "nodes": list(cell.nodes),
        "inject": cell.inject,
        "new_cell": current(cell.new_cell),
        "injected": current(cell.injected),
    },
)
class TreeRnnCell(RecurrentCell):
    """Leaves that each read input and hidden state, nodes that each read two others: (x, (h, c)) → (h', (h', c')).

    Nodes are numbered as in the paper: the leaves first, then level by level, so that of n leaves node n + k reads
    nodes 2k and 2k + 1. A leaf combines W x and U h, with matrices of its own; no other node has parameters. The output
    of one node is replaced by its combination with the old cell state, before others read it. What one node combines,
    before its activation, is the new cell state. The last node is the output.

    Args:
        n_in: Features of a step's input.
        n_hidden: Features of every node.
        nodes: The nodes in order; an odd number of them.
        inject: How the cell state joins a node's output.
        new_cell: Number of the node that gives the new cell state; may be a decision.
        injected: Number of the node that the old cell state joins; may be a decision.
        bias: Whether to add a bias to U h at each leaf, as TensorFlow's NASCell may.
        state_dropout: Rate at which features of h are dropped in training, the same ones along a sequence.
    """

    n_states = 2

    def __init__(
        self,
        n_in: int,
        n_hidden: int,
        nodes: Sequence[TreeStep],
        inject: TreeStep,
        *,
        new_cell: Size,
        injected: Size,
        bias: bool = False,
        state_dropout: float = 0.0,
    ) -> None:
        super().__init__(n_in, n_hidden)
        self.n_leaves = (len(nodes) + 1) // 2
        self.input = nn.Linear(n_in, self.n_leaves * n_hidden, bias=False)
        self.hidden = nn.Linear(n_hidden, self.n_leaves * n_hidden, bias=bias)
        self.nodes, self.inject = nn.ModuleList(nodes), inject
        self.new_cell, self.injected = new_cell, injected
        self.dropouts = {"h": (n_hidden, check_rate("state_dropout", state_dropout))}

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        h, c = state
        n, new_cell, injected = self.n_leaves, current(self.new_cell), current(self.injected)
        from_x, from_h = self.input(x).chunk(n, dim=1), self.hidden(self.masked("h", h)).chunk(n, dim=1)
        outputs: list[Tensor] = []
        new_c = c
        for i, node in enumerate(self.nodes):
            k = 2 * (i - n)
            combined, out = node(from_x[i], from_h[i]) if i < n else node(outputs[k], outputs[k + 1])
            if i == new_cell:
                new_c = combined
            outputs.append(self.inject(out, c)[1] if i == injected else out)
        return outputs[-1], (outputs[-1], new_c)
