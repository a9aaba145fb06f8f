"""The recurrent cell of ENAS (Pham et al., ICML 2018, arXiv:1802.03268, section 2.1)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from archwright.nn.carrying import State
from archwright.nn.dropout import check_rate
from archwright.nn.ops.recurrent import RecurrentCell
from archwright.nn.sizes import Size, current
from archwright.nn.source import source_template

INIT_RANGE = 0.04
"""Initial weights are uniform in [-INIT_RANGE, INIT_RANGE], as in both released codes at their widths."""


@source_template('''
    class HighwayRead(nn.Module):
        """A highway step from a state, with weights of its own."""

        def __init__(self, linear: nn.Module, activation: nn.Module) -> None:
            super().__init__()
            self.linear, self.activation = linear, activation

        def forward(self, state: Tensor) -> Tensor:
            change, carry = self.linear(state).chunk(2, dim=1)
            return state + torch.sigmoid(carry) * (self.activation(change) - state)
''')
class HighwayRead(nn.Module):
    """A highway step from a state s: s + sigmoid(t) (activation(h) - s), with (h, t) linear in s.

    Args:
        n_hidden: Features of each state.
        activation: Activation of h; steps that share these weights may use another one.
    """

    def __init__(self, n_hidden: int, activation: nn.Module) -> None:
        super().__init__()
        self.linear, self.activation = nn.Linear(n_hidden, 2 * n_hidden, bias=False), activation

    def forward(self, read: tuple[Tensor, Tensor]) -> Tensor:
        state, dropped = read
        change, carry = self.linear(dropped).chunk(2, dim=1)
        activated: Tensor = self.activation(change)
        return state + torch.sigmoid(carry) * (activated - state)


@source_template(
    '''
    class EnasRnnCell(nn.Module):
        """A first state from input and hidden state, nodes that each read an earlier one, and the mean of some."""

        def __init__(
            self, first: nn.Module, activation: nn.Module, nodes: Sequence[nn.Module], averaged: Sequence[int]
        ) -> None:
            super().__init__()
            self.first, self.activation, self.nodes = first, activation, nn.ModuleList(nodes)
            self.averaged = list(averaged)

        def begin(self, batch: int, device: torch.device) -> tuple[Tensor, ...]:
            return (torch.zeros(batch, self.first.out_features // 2, device=device),)

        def forward(self, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
            (h,) = state
            change, carry = self.first(torch.cat((x, h), dim=1)).chunk(2, dim=1)
            states = [h + torch.sigmoid(carry) * (self.activation(change) - h)]
            for node in self.nodes:
                states.append(node(states))
            out = torch.stack([states[i] for i in self.averaged]).mean(0)
            return out, (out,)
    ''',
    arguments=lambda cell: {
        "first": cell.first,
        "activation": cell.activation,
        "nodes": cell.nodes,
        "averaged": [i for i, flag in enumerate(cell.flags) if current(flag)],
    },
)
class EnasRnnCell(RecurrentCell):
    """ENAS's recurrent cell: the output is the mean of some states, each read from an earlier one.

    Every state is a highway step: s' = s + sigmoid(t) (f(h) - s), with (h, t) linear in the state s it comes from; for
    the first state they are linear in input and hidden state together. There are no biases. Masks of input and states
    stay the same along a sequence.

    Args:
        n_in: Features of a step's input.
        n_hidden: Features of every state and of the output.
        activation: Activation f of the first state.
        nodes: Each takes the pairs (state, state after dropout) so far and gives the next state.
        flags: For each state: 1 if it is part of the mean, else 0.
        input_dropout: Dropout rate of the input, in [0, 1).
        state_dropout: Dropout rate of states that a linear layer reads, in [0, 1).
    """

    def __init__(
        self,
        n_in: int,
        n_hidden: int,
        activation: nn.Module,
        nodes: Sequence[nn.Module],
        flags: Sequence[Size],
        *,
        input_dropout: float = 0.0,
        state_dropout: float = 0.0,
    ) -> None:
        super().__init__(n_in, n_hidden)
        self.dropouts = {
            "x": (n_in, check_rate("input_dropout", input_dropout)),
            "h": (n_hidden, check_rate("state_dropout", state_dropout)),
        }
        self.first = nn.Linear(n_in + n_hidden, 2 * n_hidden, bias=False)
        self.activation, self.nodes, self.flags = activation, nn.ModuleList(nodes), tuple(flags)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -INIT_RANGE, INIT_RANGE)

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        (h,) = state
        read = torch.cat((self.masked("x", x), self.masked("h", h)), dim=1)
        change, carry = self.first(read).chunk(2, dim=1)
        first: Tensor = self.activation(change)
        states = [h + torch.sigmoid(carry) * (first - h)]
        pairs = []
        for node in self.nodes:
            pairs.append((states[-1], self.masked("h", states[-1])))
            states.append(node(pairs))
        out = torch.stack([s for s, flag in zip(states, self.flags, strict=True) if current(flag)]).mean(0)
        return out, (out,)
