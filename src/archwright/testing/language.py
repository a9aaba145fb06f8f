"""Small spaces of language models: two kinds of cell, widths, tied weights, and a cell whose nodes are searched."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from archwright.nn.carrying import State
from archwright.nn.choice import Chooser
from archwright.nn.ops.language_model import LanguageModel, Regularization
from archwright.nn.ops.recurrent import GRUCell, LSTMCell, Recurrent, RecurrentCell
from archwright.nn.sizes import Size
from archwright.nn.source import source_template
from archwright.spaces.language import LanguageSpace


class RnnTiny(LanguageSpace):
    """One recurrent layer, an LSTM or a GRU, of one of three widths, after an embedding of width 16."""

    input_shape = (8,)
    n_classes = 20

    def network(self, choose: Chooser) -> nn.Module:
        width = choose.number("width", [8, 16, 24])
        cells = {"lstm": partial(_layer, LSTMCell, 16, width), "gru": partial(_layer, GRUCell, 16, width)}
        noise = Regularization(input_dropout=0.1, output_dropout=0.1, slowness_l2=1e-3)
        return LanguageModel(choose.op("cell", cells), n_tokens=self.n_tokens, n_embedding=16, regularization=noise)


class RnnTied(LanguageSpace):
    """`RnnTiny` with tied weights: the embedding is as wide as the cell and is also the decoder."""

    input_shape = (8,)
    n_classes = 20

    def network(self, choose: Chooser) -> nn.Module:
        width = choose.number("width", [8, 16])
        cells = {"lstm": partial(_layer, LSTMCell, width, width), "gru": partial(_layer, GRUCell, width, width)}
        return LanguageModel(choose.op("cell", cells), n_tokens=self.n_tokens, n_embedding=width, tied=True)


class RnnNodes(LanguageSpace):
    """A cell of three nodes; the last two choose an earlier node to read and an activation, as in ENAS and DARTS."""

    input_shape = (4,)
    n_classes = 12

    def network(self, choose: Chooser) -> nn.Module:
        return LanguageModel(NodeCell(choose, 8, 8), n_tokens=self.n_tokens, n_embedding=8)


@source_template('''
    class NodeCell(nn.Module):
        """Nodes that each read an earlier one; the output is their mean."""

        def __init__(self, first: nn.Module, nodes: nn.Module) -> None:
            super().__init__()
            self.first, self.nodes = first, nodes

        def begin(self, batch: int, device: torch.device) -> tuple[Tensor, ...]:
            return (torch.zeros(batch, self.first.out_features, device=device),)

        def forward(self, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
            states = [torch.tanh(self.first(torch.cat([x, *state], dim=1)))]
            for node in self.nodes:
                states.append(node(states))
            h = torch.stack(states).mean(0)
            return h, (h,)
''')
class NodeCell(RecurrentCell):
    """Nodes that each read an earlier one; the output is their mean.

    Args:
        choose: The chooser, asked for each node's input and activation.
        n_in: Features of a step's input.
        n_hidden: Features of the output.
    """

    def __init__(self, choose: Chooser, n_in: int, n_hidden: int) -> None:
        super().__init__(n_in, n_hidden)
        activations = {"tanh": nn.Tanh, "relu": nn.ReLU, "sigmoid": nn.Sigmoid}

        def edge(node: int, _source: int) -> nn.Module:
            return nn.Sequential(nn.Linear(n_hidden, n_hidden), choose.op(f"node{node}.activation", activations))

        self.first = nn.Linear(n_in + n_hidden, n_hidden)
        self.nodes = nn.ModuleList(choose.inputs(f"node{i}.input", i, 1, partial(edge, i)) for i in (1, 2))

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        states = [torch.tanh(self.first(torch.cat([x, *state], dim=1)))]
        for node in self.nodes:
            states.append(node(states))
        h = torch.stack(states).mean(0)
        return h, (h,)


def _layer(cell: type[RecurrentCell], n_in: Size, n_hidden: Size) -> Recurrent:
    return Recurrent(cell(n_in, n_hidden))
