"""A network that predicts the next token of a text at every place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archwright.core.errors import InvalidValueError, SpaceError
from archwright.nn.added_losses import LossOf
from archwright.nn.choice.extract import active_state
from archwright.nn.dropout import check_rate, embedded, locked_dropout
from archwright.nn.elastic import Embedding, Linear
from archwright.nn.ops.classifier import out_size
from archwright.nn.ops.recurrent import Recurrent, RecurrentCell
from archwright.nn.sizes import Size
from archwright.nn.source import source_template


@dataclass(frozen=True)
class Regularization:
    """Regularisation that keeps a language model from overfitting its text; it acts in training only.

    Masks stay the same along a sequence. Regularisation inside a cell (dropped weights, masks of its nodes) is set at
    the cell. Rates are probabilities in [0, 1).

    Attributes:
        word_dropout: Rate at which words lose their whole embedding, wherever they occur.
        input_dropout: Dropout rate of the embedded input.
        layer_dropout: Dropout rate between layers.
        output_dropout: Dropout rate between the last layer and the decoder.
        activation_l2: Factor of the mean square of the dropped outputs, added to the loss (alpha of Merity et al.).
        slowness_l2: Factor of the mean square of the change of the outputs from step to step (their beta).

    Raises:
        InvalidValueError: If a rate is not in [0, 1), or a factor is negative.
    """

    word_dropout: float = 0.0
    input_dropout: float = 0.0
    layer_dropout: float = 0.0
    output_dropout: float = 0.0
    activation_l2: float = 0.0
    slowness_l2: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name.endswith("dropout"):
                check_rate(field.name, value)
            elif not 0 <= value < math.inf:
                raise InvalidValueError(f"{field.name} is {value}; give 0 or more")


NO_REGULARIZATION = Regularization()


@source_template(
    '''
    class TiedDecoder(nn.Module):
        """Scores of all tokens: products with their embeddings."""

        def __init__(self, n_tokens: int, bias: bool = True) -> None:
            super().__init__()
            self.bias = nn.Parameter(torch.zeros(n_tokens)) if bias else None

        def forward(self, x: Tensor, weight: Tensor) -> Tensor:
            return F.linear(x, weight, self.bias)
    ''',
    arguments=lambda decoder: {"n_tokens": decoder.n_tokens, "bias": decoder.bias is not None},
)
class TiedDecoder(nn.Module):
    """Scores of all tokens as products with their embeddings (Press and Wolf, 2017); only the bias is its own.

    Args:
        n_tokens: Size of the vocabulary.
        n_embedding: Width of the embedding; may be a decision.
        bias: Whether to add a bias.
    """

    def __init__(self, n_tokens: int, n_embedding: Size, *, bias: bool = True) -> None:
        super().__init__()
        self.n_tokens, self.n_embedding = n_tokens, n_embedding
        self.bias = nn.Parameter(torch.zeros(n_tokens)) if bias else None

    def forward(self, x: Tensor, weight: Tensor) -> Tensor:
        """(N, T, n_embedding) and the embedding's rows (n_tokens, n_embedding) → (N, T, n_tokens)."""
        return F.linear(x, weight, self.bias)


@source_template(
    '''
    class LanguageModel(nn.Module):
        """Tokens (N, T) → scores of the token that follows each, (N, T, n_tokens)."""

        def __init__(self, embedding: nn.Module, layers: nn.Module, decoder: nn.Module, tied: bool = False) -> None:
            super().__init__()
            self.embedding, self.layers, self.decoder, self.tied = embedding, layers, decoder, tied

        def forward(self, tokens: Tensor) -> Tensor:
            x = self.embedding(tokens)
            for layer in self.layers:
                x = layer(x)
            return self.decoder(x, self.embedding.weight) if self.tied else self.decoder(x)
'''
)
class LanguageModel(nn.Module):
    """Tokens, int64 (N, T) → logits of the token that follows each, (N, T, n_tokens).

    Weights of the embedding and of the decoder begin uniform in ±0.1, the decoder's bias at 0 (as in DARTS and ENAS).

    Args:
        layers: A recurrent cell, a layer (N, T, F) → (N, T, F'), or several in order.
        n_tokens: Size of the vocabulary.
        n_embedding: Width of the embedding; may be a decision.
        tied: Whether the decoder's weights are the embedding's; the last layer has its width then.
        decoder_bias: Whether the decoder has a bias.
        regularization: Dropout and penalties.

    Raises:
        SpaceError: If there is no layer, its width is not known, or tied widths differ.
    """

    def __init__(
        self,
        layers: nn.Module | Sequence[nn.Module],
        *,
        n_tokens: int,
        n_embedding: Size,
        tied: bool = False,
        decoder_bias: bool = True,
        regularization: Regularization = NO_REGULARIZATION,
    ) -> None:
        super().__init__()
        every = [layers] if isinstance(layers, nn.Module) else list(layers)
        self.n_tokens, self.tied, self.regularization = n_tokens, tied, regularization
        self.embedding = Embedding(n_tokens, n_embedding)
        self.layers = nn.ModuleList(Recurrent(each) if isinstance(each, RecurrentCell) else each for each in every)
        self.decoder = _decoder(out_size(self.layers), n_tokens, n_embedding, tied, decoder_bias)
        self._penalty: Tensor | None = None
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        if isinstance(self.decoder, nn.Linear):
            nn.init.uniform_(self.decoder.weight, -0.1, 0.1)
            if decoder_bias:
                nn.init.zeros_(self.decoder.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        rates = self.regularization
        x = locked_dropout(self._embedded(tokens), rates.input_dropout, self.training)
        for i, layer in enumerate(self.layers):
            x = layer(x if i == 0 else locked_dropout(x, rates.layer_dropout, self.training))
        kept = locked_dropout(x, rates.output_dropout, self.training)
        self._penalty = _penalty(x, kept, rates) if self.training else None
        weights = (active_state(self.embedding)["weight"],) if self.tied else ()
        logits: Tensor = self.decoder(kept, *weights)
        return logits

    def added_loss(self, loss_of: LossOf) -> Tensor | None:
        """The penalties of the last batch in training mode; None if there are none or they were asked for before."""
        found, self._penalty = self._penalty, None
        return found

    def __getstate__(self) -> dict[str, Any]:
        """For copies, which have no part in the last batch."""
        return {**vars(self), "_penalty": None}

    def _embedded(self, tokens: Tensor) -> Tensor:
        rate = self.regularization.word_dropout
        if self.training and rate:
            return embedded(tokens, active_state(self.embedding)["weight"], rate, True)
        found: Tensor = self.embedding(tokens)
        return found


def _decoder(width: Size | None, n_tokens: int, n_embedding: Size, tied: bool, bias: bool) -> nn.Module:
    if width is None:
        raise SpaceError("a language model cannot tell how wide its last layer is; give layers that have an out_size")
    if not tied:
        return Linear(width, n_tokens, bias=bias)
    if width is not n_embedding and not (
        isinstance(width, int) and isinstance(n_embedding, int) and width == n_embedding
    ):
        raise SpaceError(
            f"a tied decoder takes the width of the embedding, {n_embedding}, but the last layer gives {width}; "
            "make them one value, or do not tie them"
        )
    return TiedDecoder(n_tokens, n_embedding, bias=bias)


def _penalty(outputs: Tensor, kept: Tensor, factors: Regularization) -> Tensor | None:
    """The penalties on the last layer's outputs (N, T, F), before and after dropout."""
    terms = []
    if factors.activation_l2:
        terms.append(factors.activation_l2 * kept.pow(2).mean())
    if factors.slowness_l2 and outputs.shape[1] > 1:
        terms.append(factors.slowness_l2 * (outputs[:, 1:] - outputs[:, :-1]).pow(2).mean())
    return sum(terms[1:], terms[0]) if terms else None
