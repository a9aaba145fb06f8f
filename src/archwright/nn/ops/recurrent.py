"""Recurrent cells, and the layer that runs one along a sequence.

A cell is one step; write a new one as a `RecurrentCell` with `forward(x, state)`. What has to stay the same over all
steps of a sequence (dropout masks, dropped weights) a cell draws in `prepare` and finds in `shared`. Its source
template has `begin` and `forward` with the same arguments.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archwright.nn.carrying import Carrier, State
from archwright.nn.choice.extract import active_state
from archwright.nn.dropout import check_rate, dropout_mask
from archwright.nn.elastic import Linear
from archwright.nn.sizes import Size, current
from archwright.nn.source import source_template


class RecurrentCell(nn.Module):
    """One step of a recurrent network.

    Args:
        n_in: Features of a step's input; may be a decision, as `n_hidden`.
        n_hidden: Features of the output.

    Attributes:
        n_states: How many tensors (N, n_hidden) the state holds, unless a cell overrides `begin`.
        shared: Tensors that all steps of the current sequence share; empty between sequences.
        dropouts: For each mask, by its name in `shared`: its number of features and its dropout rate in training.
    """

    n_states: ClassVar[int] = 1

    def __init__(self, n_in: Size, n_hidden: Size) -> None:
        super().__init__()
        self.n_in, self.n_hidden = n_in, n_hidden
        self.shared: dict[str, Tensor] = {}
        self.dropouts: dict[str, tuple[int, float]] = {}

    @property
    def out_size(self) -> Size:
        """Features of the output, under the name that other layers use for it."""
        return self.n_hidden

    def begin(self, batch: int, device: torch.device) -> State:
        """The state before the first step: zeros (batch, n_hidden), in the type of the cell's parameters."""
        dtype = next((parameter.dtype for parameter in self.parameters()), torch.float32)
        n_hidden = current(self.n_hidden)
        return tuple(torch.zeros(batch, n_hidden, dtype=dtype, device=device) for _ in range(self.n_states))

    def prepare(self, batch: int, device: torch.device) -> None:
        """Put what all steps of a sequence share into `shared`; called before the first step of each sequence.

        This version draws the dropout masks.
        """
        for name, (n_features, rate) in self.dropouts.items():
            if self.training and rate:
                self.shared[name] = dropout_mask(next(self.parameters()), (batch, n_features), rate)

    def masked(self, name: str, x: Tensor) -> Tensor:
        """The tensor (N, n_features) times the mask of that name; unchanged if there is no such mask."""
        return x * self.shared[name] if name in self.shared else x

    def release(self) -> None:
        """Empty `shared`; called after the last step of a sequence."""
        self.shared.clear()

    @abstractmethod
    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """The output (N, n_hidden) and the next state, from an input (N, n_in) and the state before."""


class GatedCell(RecurrentCell):
    """A cell of `n_gates` gates, each an affine map of the input plus one of the state.

    Args:
        n_in: Features of a step's input; may be a decision, as `n_hidden`.
        n_hidden: Features of the output.
        weight_drop: Rate at which weights from state to gates are dropped in training, one mask a sequence
            (DropConnect as in Merity et al., 2018).
    """

    n_gates: ClassVar[int] = 1

    def __init__(self, n_in: Size, n_hidden: Size, *, weight_drop: float = 0.0) -> None:
        super().__init__(n_in, n_hidden)
        self.weight_drop = check_rate("weight_drop", weight_drop)
        n_out: Any = n_hidden
        for _ in range(self.n_gates - 1):
            n_out = n_out + n_hidden  # gates lie behind each other: each keeps its place where the width is a decision
        self.input, self.hidden = Linear(n_in, n_out), Linear(n_hidden, n_out)

    def prepare(self, batch: int, device: torch.device) -> None:
        if self.training and self.weight_drop:
            self.shared["weight"] = F.dropout(active_state(self.hidden)["weight"], self.weight_drop)

    def of_hidden(self, h: Tensor) -> Tensor:
        """The state's part of the gates, (N, n_gates * n_hidden)."""
        if "weight" in self.shared:
            return F.linear(h, self.shared["weight"], active_state(self.hidden)["bias"])
        found: Tensor = self.hidden(h)
        return found


@source_template('''
    class LSTMCell(nn.Module):
        """One step of an LSTM."""

        def __init__(self, input: nn.Module, hidden: nn.Module) -> None:
            super().__init__()
            self.input, self.hidden = input, hidden

        def begin(self, batch: int, device: torch.device) -> tuple[Tensor, ...]:
            zeros = torch.zeros(batch, self.hidden.in_features, device=device)
            return zeros, zeros

        def forward(self, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
            h, c = state
            i, f, g, o = (self.input(x) + self.hidden(h)).chunk(4, dim=1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            return h, (h, c)
''')
class LSTMCell(GatedCell):
    """Long short-term memory (Hochreiter and Schmidhuber, 1997), as torch.nn.LSTMCell computes it.

    `input` and `hidden` hold what torch calls weight_ih, bias_ih and weight_hh, bias_hh; the state is (h, c).
    """

    n_gates = 4
    n_states = 2

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        h, c = state
        i, f, g, o = (self.input(x) + self.of_hidden(h)).chunk(4, dim=1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        return h, (h, c)


@source_template('''
    class GRUCell(nn.Module):
        """One step of a gated recurrent unit."""

        def __init__(self, input: nn.Module, hidden: nn.Module) -> None:
            super().__init__()
            self.input, self.hidden = input, hidden

        def begin(self, batch: int, device: torch.device) -> tuple[Tensor, ...]:
            return (torch.zeros(batch, self.hidden.in_features, device=device),)

        def forward(self, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
            (h,) = state
            (xr, xz, xn), (hr, hz, hn) = self.input(x).chunk(3, dim=1), self.hidden(h).chunk(3, dim=1)
            z = torch.sigmoid(xz + hz)
            n = torch.tanh(xn + torch.sigmoid(xr + hr) * hn)
            h = (1 - z) * n + z * h
            return h, (h,)
''')
class GRUCell(GatedCell):
    """Gated recurrent unit (Cho et al., 2014), as torch.nn.GRUCell computes it; the state is (h,)."""

    n_gates = 3

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        (h,) = state
        (xr, xz, xn), (hr, hz, hn) = self.input(x).chunk(3, dim=1), self.of_hidden(h).chunk(3, dim=1)
        z = torch.sigmoid(xz + hz)
        n = torch.tanh(xn + torch.sigmoid(xr + hr) * hn)
        h = (1 - z) * n + z * h
        return h, (h,)


@source_template('''
    class Recurrent(nn.Module):
        """A cell, run along a sequence."""

        def __init__(self, cell: nn.Module) -> None:
            super().__init__()
            self.cell = cell

        def forward(self, x: Tensor) -> Tensor:
            state, outputs = self.cell.begin(x.shape[0], x.device), []
            for step in x.unbind(1):
                output, state = self.cell(step, state)
                outputs.append(output)
            return torch.stack(outputs, dim=1)
''')
class Recurrent(Carrier):
    """A cell run along a sequence: (N, T, n_in) → (N, T, n_hidden).

    Each batch begins with the cell's `begin`; in a `Stream` it goes on with the state after the last one.

    Args:
        cell: The cell; its own choices may be searched. To choose among cells, choose among such layers.
    """

    def __init__(self, cell: RecurrentCell) -> None:
        super().__init__()
        self.cell = cell

    @property
    def out_size(self) -> Size:
        """Features of the output."""
        return self.cell.n_hidden

    def forward(self, x: Tensor) -> Tensor:
        state = self.resumed(self.cell.begin(x.shape[0], x.device))
        self.cell.prepare(x.shape[0], x.device)
        outputs = []
        for step in x.unbind(1):
            output, state = self.cell(step, state)
            outputs.append(output)
        self.cell.release()
        self.keep(state)
        return torch.stack(outputs, dim=1)
