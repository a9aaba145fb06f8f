"""The base of spaces of language models, which read tokens and predict the next token at every position."""

from __future__ import annotations

from collections.abc import Sequence

from archwright.core.config import check_range
from archwright.core.errors import InvalidValueError
from archwright.spaces.base import Shape, Space

MAX_TOKENS = 10_000
"""Most tokens of one input; a network is unrolled over them."""


class LanguageSpace(Space):
    """A space whose networks take tokens, int64 (N, T), and give logits (N, T, n_classes).

    A subclass writes `network`, usually as an `nn.LanguageModel` over `self.n_classes` tokens.

    Args:
        input_shape: (T,), the number of tokens of one input; 35 by default, as in most papers.
        n_classes: Size of the vocabulary; 10,000 by default, that of the Penn Treebank.

    Raises:
        InvalidValueError: If the input shape is not (T,), or T is out of range, or the vocabulary has fewer than two
            tokens.
    """

    input_shape: Shape = (35,)
    n_classes = 10_000

    def __init__(self, *, input_shape: Sequence[int] | None = None, n_classes: int | None = None) -> None:
        super().__init__(input_shape=input_shape, n_classes=n_classes)
        if len(self.input_shape) != 1:
            shape = "x".join(map(str, self.input_shape))
            raise InvalidValueError(
                f"space {self.name!r} takes sequences of tokens, but the input is {shape}; "
                "give one number, such as 35, or data that are text: --data pydoc or text:PATH"
            )
        check_range("tokens of an input", self.input_shape[0], 1, MAX_TOKENS)
        if self.n_classes < 2:
            raise InvalidValueError(f"the vocabulary has {self.n_classes} token; give at least 2")

    @property
    def n_tokens(self) -> int:
        """Size of the vocabulary."""
        return self.n_classes

    @property
    def output_shape(self) -> Shape:
        return (*self.input_shape, self.n_classes)

    def input_forms(self) -> list[str]:
        return ["any number of tokens, any vocabulary of two or more"]
