"""The recurrent cell of DARTS (Liu et al., ICLR 2019, Sec. 2.1 and App. A.1.2; `rnn/model.py` of the released code)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from archwright.nn.carrying import State
from archwright.nn.dropout import check_rate
from archwright.nn.ops.recurrent import RecurrentCell
from archwright.nn.source import source_template

INIT_RANGE = 0.04
"""Initial weights are uniform in [-INIT_RANGE, INIT_RANGE]."""


@source_template()
class HighwayEdge(nn.Module):
    """s + sigmoid(c) (activation(h) - s), where (c, h) are the gates of the node that reads state s.

    Args:
        activation: Activation of h.
    """

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.activation = activation

    def forward(self, read: tuple[Tensor, Tensor]) -> Tensor:
        state, gates = read
        carry, change = gates.chunk(2, dim=1)
        activated: Tensor = self.activation(change)
        return state + torch.sigmoid(carry) * (activated - state)


class _Gated(Sequence[tuple[Tensor, Tensor]]):
    """States, each with the gates of one node, computed when an edge reads it: others cost nothing."""

    def __init__(self, linear: nn.Module, states: Sequence[Tensor], mask: Tensor | None) -> None:
        self._linear, self._states, self._mask = linear, states, mask

    def __len__(self) -> int:
        return len(self._states)

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:  # type: ignore[override]  # no slices
        state = self._states[i]
        return state, self._linear(state if self._mask is None else state * self._mask)


@source_template('''
    class Gated:
        """States, each with the gates of one node."""

        def __init__(self, linear: nn.Module, states: Sequence[Tensor]) -> None:
            self.linear, self.states = linear, states

        def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
            return self.states[i], self.linear(self.states[i])

    class HighwayNode(nn.Module):
        """A node: one linear layer for whatever state it reads, and the edges from there."""

        def __init__(self, linear: nn.Module, reads: nn.Module) -> None:
            super().__init__()
            self.linear, self.reads = linear, reads

        def forward(self, states: Sequence[Tensor]) -> Tensor:
            return self.reads(Gated(self.linear, states))
''')
class HighwayNode(nn.Module):
    """A node with one linear layer for every state it may read, so that its edges share these weights.

    Args:
        n_hidden: Features of each state.
        reads: The sum of the node's edges; each edge turns (state, gates) into a term.
    """

    def __init__(self, n_hidden: int, reads: nn.Module) -> None:
        super().__init__()
        self.linear, self.reads = nn.Linear(n_hidden, 2 * n_hidden, bias=False), reads

    def forward(self, states: Sequence[Tensor], mask: Tensor | None = None) -> Tensor:
        out: Tensor = self.reads(_Gated(self.linear, states, mask))
        return out


@source_template('''
    class DartsRnnCell(nn.Module):
        """A first state from input and hidden state, nodes that each read an earlier one, and the mean of the nodes."""

        def __init__(self, first: nn.Module, nodes: Sequence[nn.Module], norm: nn.Module) -> None:
            super().__init__()
            self.first, self.nodes, self.norm = first, nn.ModuleList(nodes), norm

        def begin(self, batch: int, device: torch.device) -> tuple[Tensor, ...]:
            return (torch.zeros(batch, self.first.out_features // 2, device=device),)

        def forward(self, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
            (h,) = state
            carry, change = self.first(torch.cat((x, h), dim=1)).chunk(2, dim=1)
            states = [self.norm(h + torch.sigmoid(carry) * (torch.tanh(change) - h))]
            for node in self.nodes:
                states.append(self.norm(node(states)))
            out = torch.stack(states[1:]).mean(0)
            return out, (out,)
''')
class DartsRnnCell(RecurrentCell):
    """DARTS's recurrent cell: the output is the mean of nodes that each read an earlier state.

    The first state is computed from the input and the hidden state.

    Every state is a highway step: s' = s + sigmoid(c) (f(h) - s), with (c, h) linear in the state s it comes from.
    There are no biases. Masks of input and states stay the same along a sequence.

    Args:
        n_in: Features of a step's input.
        n_hidden: Features of every state and of the output.
        n_nodes: How many nodes.
        reads: Makes the edges into node i (from 1 on; the first state is number 0), see `HighwayNode`.
        batch_norm: Whether one batch norm without affine parameters normalises every state, as in the network that
            DARTS searches.
        input_dropout: Dropout rate of the input, in [0, 1).
        state_dropout: Dropout rate of states that a linear layer reads, in [0, 1).
    """

    def __init__(
        self,
        n_in: int,
        n_hidden: int,
        n_nodes: int,
        reads: Callable[[int], nn.Module],
        *,
        batch_norm: bool = False,
        input_dropout: float = 0.0,
        state_dropout: float = 0.0,
    ) -> None:
        super().__init__(n_in, n_hidden)
        self.dropouts = {
            "x": (n_in, check_rate("input_dropout", input_dropout)),
            "h": (n_hidden, check_rate("state_dropout", state_dropout)),
        }
        self.first = nn.Linear(n_in + n_hidden, 2 * n_hidden, bias=False)
        self.nodes = nn.ModuleList(HighwayNode(n_hidden, reads(i)) for i in range(1, n_nodes + 1))
        self.norm = nn.BatchNorm1d(n_hidden, affine=False) if batch_norm else nn.Identity()
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -INIT_RANGE, INIT_RANGE)

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        (h,) = state
        read = torch.cat((self.masked("x", x), self.masked("h", h)), dim=1)
        carry, change = self.first(read).chunk(2, dim=1)
        states = [self.norm(h + torch.sigmoid(carry) * (torch.tanh(change) - h))]
        for node in self.nodes:
            states.append(self.norm(node(states, self.shared.get("h"))))
        out = torch.stack(states[1:]).mean(0)
        return out, (out,)
