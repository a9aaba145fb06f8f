"""A small space of language models: two cells, widths, tied weights."""

from __future__ import annotations

from functools import partial

from torch import nn

from archwright.nn.choice import Chooser
from archwright.nn.ops.language_model import LanguageModel, Regularization
from archwright.nn.ops.recurrent import GRUCell, LSTMCell, Recurrent, RecurrentCell
from archwright.nn.sizes import Size
from archwright.spaces.language import LanguageSpace


class RnnTiny(LanguageSpace):
    """One recurrent layer of an LSTM or a GRU, of one of three widths, behind an embedding of 16 numbers."""

    input_shape = (8,)
    n_classes = 20

    def network(self, choose: Chooser) -> nn.Module:
        width = choose.number("width", [8, 16, 24])
        cells = {"lstm": partial(_layer, LSTMCell, 16, width), "gru": partial(_layer, GRUCell, 16, width)}
        noise = Regularization(input_dropout=0.1, output_dropout=0.1, slowness_l2=1e-3)
        return LanguageModel(choose.op("cell", cells), n_tokens=self.n_tokens, n_embedding=16, regularization=noise)


class RnnTied(LanguageSpace):
    """As `RnnTiny`, but the embedding is as wide as the cell and serves as decoder too."""

    input_shape = (8,)
    n_classes = 20

    def network(self, choose: Chooser) -> nn.Module:
        width = choose.number("width", [8, 16])
        cells = {"lstm": partial(_layer, LSTMCell, width, width), "gru": partial(_layer, GRUCell, width, width)}
        return LanguageModel(choose.op("cell", cells), n_tokens=self.n_tokens, n_embedding=width, tied=True)


def _layer(cell: type[RecurrentCell], n_in: Size, n_hidden: Size) -> Recurrent:
    return Recurrent(cell(n_in, n_hidden))
