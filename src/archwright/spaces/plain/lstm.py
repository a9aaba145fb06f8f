"""The plain network for texts: two layers of LSTM."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import nn

from archwright.core.catalog import listed
from archwright.core.decisions import Rows
from archwright.nn.choice import Chooser
from archwright.nn.ops.language_model import LanguageModel
from archwright.nn.ops.recurrent import LSTMCell
from archwright.spaces.language import LanguageSpace
from archwright.spaces.pieces import CostFormula
from archwright.spaces.plain.width import WidthSpace

N_LAYERS = 2


@listed(
    "space",
    "plain-lstm",
    summary="plain baseline for texts: two LSTM layers, only their width is open",
    source="after Zaremba et al., 2014, arXiv:1409.2329; tied as in Press & Wolf, EACL 2017, arXiv:1608.05859",
)
class PlainLstm(WidthSpace, LanguageSpace):
    """A language model of two LSTM layers; embedding, layers and decoder have one width W, a multiple of 4.

    The decoder's weights are those of the embedding. Nothing is dropped in training: the width of the paper's largest
    network is the widest here, but its dropout is not.

    Args:
        input_shape: (T,), the tokens of one input.
        n_classes: Size of the vocabulary.
        max_width: The largest W.
    """

    step = 4
    max_width = 1500

    def network(self, choose: Chooser) -> nn.Module:
        width = choose.number("width", self.widths)
        cells = [LSTMCell(width, width) for _ in range(N_LAYERS)]
        return LanguageModel(cells, n_tokens=self.n_tokens, n_embedding=width, tied=True)

    def cost_formula(self) -> CostFormula:
        """Counting runs an unrolled network, for as long as the text is."""

        def of(rows: Rows) -> dict[str, NDArray[np.float64]]:
            width = np.array(self.widths, dtype=np.float64)[rows[:, 0]]
            embedding, gates = self.n_tokens * width, N_LAYERS * 8 * width**2
            params = embedding + self.n_tokens + gates + N_LAYERS * 8 * width
            macs = self.input_shape[0] * (embedding + gates)
            return {"params": params, "macs": macs, "model_size_bytes": 4 * params}

        return of
