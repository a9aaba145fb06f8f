"""A toy of sequences to sequences: networks of three inputs, a task scored by its loss and measured by decoding."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from archwright.core.blueprint import Blueprint
from archwright.core.errors import InvalidValueError
from archwright.core.objective import Direction
from archwright.nn.choice import Chooser
from archwright.nn.elastic import Embedding, Linear
from archwright.nn.inputs import Inputs, Signature, TensorSpec
from archwright.nn.ops.recurrent import GRUCell, Recurrent
from archwright.nn.sizes import Size
from archwright.nn.source import source_template
from archwright.spaces.arguments import whole_number
from archwright.spaces.base import Space
from archwright.tasks.base import Batch, Meter, Part, Split, Task
from archwright.tasks.batching import stored_order, training_order
from archwright.testing.arrays import array_digest

PADDING, BEGIN = 0, 1
"""Tokens that stand for nothing, and for the beginning of an answer."""


# ── networks ──────────────────────────────────────────────────────────────────────────────────────


@source_template('''
    class Encoder(nn.Module):
        """Source tokens (N, T) → memory (N, T, width)."""

        def __init__(self, tokens: nn.Module, places: nn.Module, layer: nn.Module) -> None:
            super().__init__()
            self.tokens, self.places, self.layer = tokens, places, layer

        def forward(self, source: Tensor) -> Tensor:
            x = self.tokens(source) + self.places(torch.arange(source.shape[1], device=source.device))
            return x + self.layer(x)
''')
class Encoder(nn.Module):
    """Source tokens (N, T) → memory (N, T, width).

    Args:
        n_tokens: Size of the vocabulary.
        length: Most tokens.
        width: Features; may be a decision.
        layer: From (N, T, width) to the same.
    """

    def __init__(self, n_tokens: int, length: int, width: Size, layer: nn.Module) -> None:
        super().__init__()
        self.tokens, self.places, self.layer = Embedding(n_tokens, width), Embedding(length, width), layer

    def forward(self, source: Tensor) -> Tensor:
        x = self.tokens(source) + self.places(torch.arange(source.shape[1], device=source.device))
        found: Tensor = x + self.layer(x)
        return found


@source_template('''
    class Decoder(nn.Module):
        """Tokens so far (N, U) and the memory (N, T, width), where mask is true → scores of the next ones."""

        def __init__(
            self, tokens: nn.Module, places: nn.Module, layer: nn.Module, query: nn.Module, head: nn.Module
        ) -> None:
            super().__init__()
            self.tokens, self.places, self.layer, self.query, self.head = tokens, places, layer, query, head

        def forward(self, target: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
            x = self.tokens(target) + self.places(torch.arange(target.shape[1], device=target.device))
            x = x + self.layer(x)
            scores = self.query(x) @ memory.transpose(1, 2) / math.sqrt(memory.shape[-1])
            weights = scores.masked_fill(~mask[:, None], -1e9).softmax(-1)
            return self.head(x + weights @ memory)
''')
class Decoder(nn.Module):
    """Tokens so far (N, U) and the memory (N, T, width), read where a mask (N, T) is true → scores (N, U, n_tokens).

    No place sees later ones.

    Args:
        n_tokens: Size of the vocabulary.
        length: Most tokens.
        width: Features; may be a decision.
        layer: From (N, U, width) to the same.
    """

    def __init__(self, n_tokens: int, length: int, width: Size, layer: nn.Module) -> None:
        super().__init__()
        self.tokens, self.places, self.layer = Embedding(n_tokens, width), Embedding(length, width), layer
        self.query, self.head = Linear(width, width), Linear(width, n_tokens)

    def forward(self, target: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
        """Scores (N, U, n_tokens) of the token after each place.

        Args:
            target: Tokens so far (N, U), `BEGIN` first.
            memory: What the encoder gave (N, T, width).
            mask: Truth values (N, T); where False, the memory is not read.
        """
        x = self.tokens(target) + self.places(torch.arange(target.shape[1], device=target.device))
        x = x + self.layer(x)
        scores = self.query(x) @ memory.transpose(1, 2) / math.sqrt(memory.shape[-1])
        weights = scores.masked_fill(~mask[:, None], -1e9).softmax(-1)  # not infinity: a mask may leave nothing
        found: Tensor = self.head(x + weights @ memory)
        return found


@source_template('''
    class SequenceToSequence(nn.Module):
        """Source tokens (N, T), their mask and the answer shifted by one (N, U) → scores of the answer."""

        def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
            super().__init__()
            self.encoder, self.decoder = encoder, decoder

        def forward(self, source: Tensor, source_mask: Tensor, target: Tensor) -> Tensor:
            return self.decoder(target, self.encoder(source), source_mask)
''')
class SequenceToSequence(nn.Module):
    """Source tokens (N, T), their mask and the answer shifted by one (N, U) → scores of the answer (N, U, n_tokens)."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def forward(self, source: Tensor, source_mask: Tensor, target: Tensor) -> Tensor:
        """Scores (N, U, n_tokens) of each token of the answer, from those before it.

        Args:
            source: Source tokens (N, T).
            source_mask: Truth values (N, T); False at padding.
            target: The answer (N, U), shifted by one: `BEGIN` first, its last token left out.
        """
        found: Tensor = self.decoder(target, self.encoder(source), source_mask)
        return found


def decoded(network: nn.Module, source: Tensor, mask: Tensor, n: int) -> Tensor:
    """The answer (N, n) of a network by greedy decoding: token by token, the most likely one after those before.

    Args:
        network: A `SequenceToSequence`, or what has its `encoder` and `decoder`.
        source: Source tokens (N, T).
        mask: Truth values (N, T); False at padding.
        n: Tokens of the answer.
    """
    encoder, decoder = network.get_submodule("encoder"), network.get_submodule("decoder")
    memory = encoder(source)
    tokens = torch.full((len(source), 1), BEGIN, device=source.device)
    for _ in range(n):
        tokens = torch.cat([tokens, decoder(tokens, memory, mask)[:, -1:].argmax(-1)], dim=1)
    return tokens[:, 1:]


class SequenceSpace(Space):
    """An encoder and a decoder with attention, of one of two widths, each with a layer of one of two kinds.

    Args:
        length: Tokens of a source, and of an answer.
        n_tokens: Size of both vocabularies.
    """

    def __init__(self, *, length: int = 6, n_tokens: int = 8) -> None:
        self.length = whole_number("length", length, 1000)
        self.n_tokens = whole_number("n_tokens", n_tokens, 1000, least=3)

    def args(self) -> dict[str, Any]:
        return {"length": self.length, "n_tokens": self.n_tokens}

    @property
    def signature(self) -> Signature:
        tokens = partial(TensorSpec, (self.length,), "int64", self.n_tokens)
        mask = TensorSpec((self.length,), "bool", name="source_mask")
        scores = TensorSpec((self.length, self.n_tokens), name="scores")
        return Signature((tokens(name="source"), mask, tokens(name="target")), (scores,))

    def use(self, network: nn.Module, inputs: Inputs) -> Tensor:
        """One answer by greedy decoding."""
        source, mask, target = inputs
        return decoded(network, source, mask, target.shape[1])

    def network(self, choose: Chooser) -> nn.Module:
        width = choose.number("width", [8, 16])
        sizes = (self.n_tokens, self.length, width)
        encoder = Encoder(*sizes, choose.op("encoder", _layers(width)))
        return SequenceToSequence(encoder, Decoder(*sizes, choose.op("decoder", _layers(width))))


def _layers(width: Size) -> dict[str, Any]:
    return {"gru": lambda: Recurrent(GRUCell(width, width)), "linear": partial(Linear, width, width)}


# ── the task ──────────────────────────────────────────────────────────────────────────────────────


class ReversalTask(Task):
    """Sequences of some tokens, to be written backwards; sources are filled up in front, answers behind.

    A search is scored by the loss of answers whose beginning is given; networks are measured by decoding.

    Args:
        n: Sequences; three fifths are the training part, a fifth each for validation and test.
        length: Most tokens of a sequence.
        n_tokens: Size of the vocabulary.
        seed: Draws the sequences.
    """

    metric = "sequence_accuracy"
    direction: Direction = "max"
    n_classes = None

    def __init__(self, *, n: int = 120, length: int = 6, n_tokens: int = 8, seed: int = 0) -> None:
        self.name, self.input_shape, self.n_tokens, self.seed = "reversal", (length,), n_tokens, seed
        self.sources, self.targets = _sequences(n, length, n_tokens, seed)
        train, validation = 3 * n // 5, 4 * n // 5
        places = np.arange(n)
        self._places: dict[Part, NDArray[np.int64]] = {
            "train": places[:train],
            "validation": places[train:validation],
            "train+validation": places[:validation],
            "test": places[validation:],
        }

    @property
    def search_metric(self) -> str:
        return "loss"

    @property
    def search_direction(self) -> Direction:
        return "min"

    def space_args(self) -> dict[str, Any]:
        return {"length": self.input_shape[0], "n_tokens": self.n_tokens}

    @property
    def fingerprint(self) -> str:
        return array_digest(self.sources, self.targets)

    def blueprint(self, folder: Path) -> Blueprint:
        arguments = {"n": len(self.sources), **self.space_args(), "seed": self.seed}
        return Blueprint(f"{__name__}:ReversalTask", arguments)

    def _split(self, part: Part) -> Split:
        places = self._places[part]
        return SequenceSplit(self.sources[places], self.targets[places])

    def example(self, n: int) -> Batch:
        return _batch(*(np.full((n, self.input_shape[0]), BEGIN) for _ in range(2)))

    def loss(self, outputs: Tensor, batch: Batch, *, label_smoothing: float = 0.0) -> Tensor:
        """Mean cross-entropy a token; padding does not count."""
        scores, targets = outputs.flatten(0, 1), batch.targets.flatten()
        return F.cross_entropy(scores, targets, ignore_index=PADDING, label_smoothing=label_smoothing)

    def meter(self) -> DecodingMeter:
        return DecodingMeter()

    def search_meter(self) -> TokenMeter:
        return TokenMeter()


class SequenceSplit(Split):
    """Sources (n, T) and answers (n, U); inputs are sources, their masks and answers shifted by one."""

    def __init__(self, sources: NDArray[np.int64], targets: NDArray[np.int64]) -> None:
        self._sources, self._targets = sources, targets

    @property
    def n(self) -> int:
        return len(self._sources)

    def batches(self, batch_size: int, *, seed: int, first_step: int = 0, n_steps: int) -> Iterator[Batch]:
        for _, chosen in training_order(self.n, batch_size, seed=seed, first_step=first_step, n_steps=n_steps):
            yield _batch(self._sources[chosen], self._targets[chosen])

    def ordered(self, batch_size: int) -> Iterator[Batch]:
        for part in stored_order(self.n, batch_size):
            yield _batch(self._sources[part], self._targets[part])


class TokenMeter(Meter):
    """`loss` and `token_accuracy` of answers whose beginning is given."""

    def __init__(self) -> None:
        self._loss = self._n_right = 0.0
        self._n = 0

    def update(self, outputs: Tensor, batch: Batch) -> None:
        targets, counts = batch.targets, batch.targets != PADDING
        scores = outputs.detach().float()
        losses = F.cross_entropy(scores.flatten(0, 1), targets.flatten(), ignore_index=PADDING, reduction="sum")
        self._loss += float(losses)
        self._n_right += int(((scores.argmax(-1) == targets) & counts).sum())
        self._n += int(counts.sum())

    def result(self) -> dict[str, float]:
        if not self._n:
            raise InvalidValueError("no token was measured; give the meter at least one batch")
        return {"loss": self._loss / self._n, "token_accuracy": self._n_right / self._n}


class DecodingMeter(Meter):
    """`sequence_accuracy`, the share of answers that are right from end to end, and `token_accuracy`, by decoding."""

    decodes: ClassVar[bool] = True

    def __init__(self) -> None:
        self._n_right = self._n_tokens_right = self._n = self._n_tokens = 0

    def measure(self, network: nn.Module, batch: Batch) -> None:
        source, mask, target = batch.inputs
        self.update(decoded(network, source, mask, target.shape[1]), batch)

    def update(self, outputs: Tensor, batch: Batch) -> None:
        """Take in decoded tokens (N, U)."""
        counts = batch.targets != PADDING
        right = outputs == batch.targets
        self._n_right += int((right | ~counts).all(1).sum())
        self._n_tokens_right += int((right & counts).sum())
        self._n, self._n_tokens = self._n + len(outputs), self._n_tokens + int(counts.sum())

    def result(self) -> dict[str, float]:
        if not self._n:
            raise InvalidValueError("no answer was measured; give the meter at least one batch")
        return {"sequence_accuracy": self._n_right / self._n, "token_accuracy": self._n_tokens_right / self._n_tokens}


def _sequences(n: int, length: int, n_tokens: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Different sources, filled up in front, and their answers, filled up behind: the source read backwards."""
    rng, found = np.random.default_rng(seed), dict[bytes, NDArray[np.int64]]()
    for _ in range(100 * n):
        tokens = rng.integers(BEGIN + 1, n_tokens, size=length)
        tokens[: length - rng.integers(min(2, length), length + 1)] = PADDING
        found[tokens.tobytes()] = tokens
        if len(found) == n:
            break
    else:
        raise InvalidValueError(f"there are fewer than {n} sequences of {length} tokens; ask for fewer")
    sources = np.stack(list(found.values()))
    return sources, np.ascontiguousarray(sources[:, ::-1])


def _batch(sources: NDArray[np.int64], targets: NDArray[np.int64]) -> Batch:
    shifted = np.concatenate([np.full((len(targets), 1), BEGIN), targets[:, :-1]], axis=1)
    source = torch.from_numpy(np.ascontiguousarray(sources))
    return Batch(
        (source, source != PADDING, torch.from_numpy(shifted)), torch.from_numpy(np.ascontiguousarray(targets))
    )
