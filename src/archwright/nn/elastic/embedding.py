"""Embeddings of tokens whose width may be a decision."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from archwright.nn.elastic.layers import Elastic, Places, _checked
from archwright.nn.sizes import Lazy, Size, places


def Embedding(n_tokens: int, n_embedding: Size) -> nn.Embedding:
    """One row of `n_embedding` numbers for each of `n_tokens` tokens: (N, ...) → (N, ..., n_embedding)."""
    if isinstance(n_embedding, Lazy):
        return ElasticEmbedding(n_tokens, n_embedding)
    n_rows, n_columns = _checked(n_tokens, n_embedding)
    return nn.Embedding(n_rows, n_columns)


class ElasticEmbedding(Elastic, nn.Embedding):
    """An embedding that runs at the active width, the first columns of its weight."""

    def __init__(self, n_tokens: int, n_embedding: Lazy) -> None:
        n_rows, n_columns = _checked(n_tokens, n_embedding)
        super().__init__(n_rows, n_columns)
        self.sizes, self.out_size = (n_embedding,), n_embedding

    def axes(self) -> dict[str, tuple[Places, ...]]:
        (n_embedding,) = self.sizes
        return {"weight": ((slice(0, self.num_embeddings),), places(n_embedding))}

    def forward(self, tokens: Tensor) -> Tensor:
        return F.embedding(tokens, self.active_state()["weight"])
