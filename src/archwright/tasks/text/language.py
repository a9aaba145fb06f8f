"""Predicting the next token of a text: parallel streams, windows of fixed length, perplexity."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from archwright.core.blueprint import Blueprint
from archwright.core.catalog import listed
from archwright.core.config import check_range
from archwright.core.errors import DataError, InvalidValueError
from archwright.core.objective import Direction
from archwright.core.trial import derive_seed
from archwright.runs.files import read_json, write_json
from archwright.spaces.language import MAX_TOKENS
from archwright.tasks.base import Batch, Meter, Part, Split, Task, given_options
from archwright.tasks.batching import steps_per_epoch
from archwright.tasks.splitting import share_bounds
from archwright.tasks.text.reading import (
    LINE_END,
    UNKNOWN,
    Level,
    Texts,
    Vocabulary,
    check_level,
    divided,
    pydoc_text,
    read_texts,
    tokens_of,
)

TOKENS, VOCABULARY = 35, 10_000
"""Default tokens of an input, as in most papers; default largest vocabulary, that of the Penn Treebank."""

N_STREAMS = 10
"""Streams a text is scored in, whatever the batch size: a score depends a little on their number."""

IGNORED = -100
"""Target of a position after the end of the text; losses and metrics leave it out."""

Tokens = NDArray[np.int64]


class TextSplit(Split):
    """A text of n + 1 tokens; each of the last n is a target, predicted from the tokens before it.

    An example is a window of T tokens. A batch of B examples is B parallel streams, and the next batch goes on where
    it ended; a pass begins at a place drawn anew, so that another remainder is left out each time.

    Args:
        text: Token numbers (n + 1,).
        n_window: T.
    """

    is_stream = True

    def __init__(self, text: Tokens, n_window: int) -> None:
        self._text, self._n_window = text, min(n_window, len(text) - 1)

    @property
    def n(self) -> int:
        return (len(self._text) - 1) // self._n_window

    def batches(self, batch_size: int, *, seed: int, first_step: int = 0, n_steps: int) -> Iterator[Batch]:
        per_pass, n_streams = steps_per_epoch(self.n, batch_size), min(batch_size, self.n)
        n_each = per_pass * self._n_window
        n_left = len(self._text) - 1 - n_streams * n_each
        for step in range(first_step, first_step + n_steps):
            number, k = divmod(step, per_pass)
            offset = int(np.random.default_rng(derive_seed(seed, "pass", number)).integers(n_left + 1))
            starts = offset + n_each * np.arange(n_streams) + k * self._n_window
            places = starts[:, None] + np.arange(self._n_window)
            yield Batch(torch.from_numpy(self._text[places]), torch.from_numpy(self._text[places + 1]))

    def ordered(self, batch_size: int) -> Iterator[Batch]:
        """Batches in which every token but the first is a target once, in ten streams at any batch size.

        Streams are equally long; where the last one ends early, inputs are repeated and targets are `IGNORED`. The last
        batch may have fewer steps.
        """
        if batch_size < 1:
            raise InvalidValueError(f"batch_size is {batch_size}; give at least 1")
        n = len(self._text) - 1
        n_streams = min(N_STREAMS, n)
        n_each = math.ceil(n / n_streams)
        places = np.arange(n_streams * n_each).reshape(n_streams, n_each)
        inputs = self._text[np.minimum(places, n - 1)]
        targets = np.where(places < n, self._text[np.minimum(places + 1, n)], IGNORED)
        for start in range(0, n_each, self._n_window):
            window = slice(start, start + self._n_window)
            yield Batch(torch.from_numpy(inputs[:, window].copy()), torch.from_numpy(targets[:, window].copy()))


class PerplexityMeter(Meter):
    """`perplexity`, the exponential of the mean cross-entropy a token, which is `loss`; and that in bits.

    A loss that is not finite gives an infinite perplexity.
    """

    def __init__(self) -> None:
        self._sum = torch.zeros((), dtype=torch.float64)
        self._n = torch.zeros((), dtype=torch.int64)

    def update(self, outputs: Tensor, batch: Batch) -> None:
        """Take in logits (N, T, V) for targets (N, T)."""
        targets = batch.targets
        losses = functional.cross_entropy(
            outputs.detach().float().flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="none"
        )
        self._sum = self._sum.to(losses.device) + losses.double().sum()
        self._n = self._n.to(losses.device) + (targets != IGNORED).sum()

    def result(self) -> dict[str, float]:
        if not int(self._n):
            raise InvalidValueError("no token was measured; give the meter at least one batch")
        loss = float(self._sum / self._n)
        perplexity = math.exp(loss) if loss < 700 else math.inf  # also where it is not a number
        return {"perplexity": perplexity, "loss": loss, "bits_per_token": loss / math.log(2)}


class LanguageTask(Task):
    """Language modelling: predict the next token at every position of a text.

    Words are those of the training part; others are `<unk>`. The parts are the text's own, so no seed changes them.

    Args:
        name: How the data are called in results and errors.
        texts: Training, validation and test text, or one that is divided 80/10/10 in order.
        tokens: Tokens of an input; back-propagation goes back so far, the state of a network farther.
        vocabulary: Largest number of different tokens, `<unk>` included.
        level: "word" or "character".
        marks_apart: Whether words are in lower case and marks words of their own; only said, for exported networks.
        seed: Not used; every task takes one.

    Raises:
        DataError: If a part has too little text, or the training part less than two different tokens.
        InvalidValueError: If an option cannot be.
    """

    metric = "perplexity"
    direction: Direction = "min"
    n_classes: int

    def __init__(
        self,
        name: str,
        texts: Texts,
        *,
        tokens: int | None = None,
        vocabulary: int | None = None,
        level: str | None = None,
        marks_apart: bool = False,
        seed: int = 0,
    ) -> None:
        self.name, self.options = name, given_options(tokens=tokens, vocabulary=vocabulary, level=level)
        n_window, of = TOKENS if tokens is None else tokens, check_level(level or "word")
        check_range("tokens", n_window, 1, MAX_TOKENS)
        parts = _tokens_of_parts(texts, of)
        _check_lengths(name, [len(part) for part in parts], n_window)
        known = Vocabulary.of(name, parts[0], of, VOCABULARY if vocabulary is None else vocabulary)
        self._fill(known, [known.encode(part) for part in parts], n_window, marks_apart)

    def _fill(self, vocabulary: Vocabulary, parts: list[Tokens], n_window: int, marks_apart: bool) -> None:
        self.class_names, self.n_classes = vocabulary.words, len(vocabulary.words)
        self.input_shape = (n_window,)
        train, validation, test = parts
        self._texts: dict[Part, Tokens] = {
            "train": train,
            "validation": validation,
            "train+validation": np.concatenate([train, validation]),
            "test": test,
        }
        self.preprocessing = {
            "layout": "T",
            "level": vocabulary.level,
            "unknown": UNKNOWN,
            "line_end": LINE_END if vocabulary.level == "word" else None,
            "marks_apart": marks_apart,
        }

    @property
    def vocabulary(self) -> Vocabulary:
        """The tokens by number."""
        return Vocabulary(self.class_names, self.preprocessing["level"])

    def example(self, n: int) -> Batch:
        zeros = torch.zeros(n, *self.input_shape, dtype=torch.int64)
        return Batch(zeros, zeros)

    def blueprint(self, folder: Path) -> Blueprint:
        """As `Task.blueprint`; workers map the texts' files, so they share one copy in memory."""
        for part in ("train", "validation", "test"):
            np.save(folder / f"{part}.npy", self._texts[part], allow_pickle=False)
        write_json(folder / "vocabulary.json", list(self.class_names))
        arguments = {"name": self.name, "folder": str(folder), "tokens": self.input_shape[0]}
        arguments |= {name: self.preprocessing[name] for name in ("level", "marks_apart")}
        return Blueprint(f"{__name__}:rebuild", arguments)

    def _split(self, part: Part) -> TextSplit:
        return TextSplit(self._texts[part], self.input_shape[0])

    def _shares(self, part: Part, fractions: Sequence[float], seed: int) -> list[Split]:
        text, n_window = self._texts[part], self.input_shape[0]
        bounds = share_bounds(len(text), fractions, f"the {part} part of {self.name}")
        for fraction, (start, stop) in zip(fractions, bounds, strict=True):
            if stop - start <= n_window:
                raise InvalidValueError(
                    f"a share of {fraction} of the {part} part of {self.name} has {stop - start} tokens, an input "
                    f"{n_window}; give more of it, or shorter inputs (--set data.tokens=N)"
                )
        return [TextSplit(text[start:stop], n_window) for start, stop in bounds]

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) over the parts, the vocabulary and the length of an input; the name does not enter."""
        sha = hashlib.sha256()
        for part in ("train", "validation", "test"):
            text = self._texts[part]
            sha.update(f"{text.shape}".encode())
            sha.update(np.ascontiguousarray(text).data)
        sha.update(json.dumps([self.class_names, self.preprocessing, self.input_shape]).encode())
        return sha.hexdigest()

    def loss(self, outputs: Tensor, batch: Batch, *, label_smoothing: float = 0.0) -> Tensor:
        """Mean cross-entropy a token of logits (N, T, V) against targets (N, T)."""
        return functional.cross_entropy(
            outputs.flatten(0, 1), batch.targets.flatten(), ignore_index=IGNORED, label_smoothing=label_smoothing
        )

    def meter(self) -> PerplexityMeter:
        return PerplexityMeter()


def rebuild(name: str, folder: str, tokens: int, level: Level, marks_apart: bool) -> LanguageTask:
    """The task that a `LanguageTask.blueprint` describes.

    Args:
        name: Name of the data in results and errors.
        folder: Folder of the files with the parts and the vocabulary.
        tokens: Tokens of an input.
        level: "word" or "character".
        marks_apart: As of `LanguageTask`.
    """
    parts = [
        np.load(Path(folder) / f"{part}.npy", mmap_mode="r", allow_pickle=False)
        for part in ("train", "validation", "test")
    ]
    words: Any = read_json(Path(folder) / "vocabulary.json")
    task = LanguageTask.__new__(LanguageTask)
    task.name = name
    task._fill(Vocabulary(tuple(words), level), [np.asarray(part) for part in parts], tokens, marks_apart)
    return task


@listed("dataset", "text", summary="text:PATH, a file or a folder of train, valid and test, to predict word by word")
def text(
    path: str, *, seed: int = 0, tokens: int | None = None, vocabulary: int | None = None, level: str | None = None
) -> LanguageTask:
    """A UTF-8 text file, divided 80/10/10 in order, or a folder with a file for each part.

    Args:
        path: The file or folder.
        seed: Not used; every task takes one.
        tokens: Tokens of an input; 35 if not given.
        vocabulary: Largest number of different tokens, `<unk>` included; 10,000 if not given.
        level: "word", the default, or "character".

    Raises:
        DataError: If a file cannot be read, is empty or not UTF-8, or a part has too little text.
        InvalidValueError: If an option cannot be.
    """
    options = {"tokens": tokens, "vocabulary": vocabulary, "level": level}
    return LanguageTask(f"text:{path}", read_texts(Path(path)), seed=seed, **options)  # type: ignore[arg-type]


@listed("dataset", "pydoc", summary="the text of Python's own documentation, to predict word by word", source="CPython")
def pydoc(
    *, seed: int = 0, tokens: int | None = None, vocabulary: int | None = None, level: str | None = None
) -> LanguageTask:
    """The topics that `help()` knows: some 120,000 words and marks of English, which come with Python itself.

    The text differs from one version of Python to the next.

    Args:
        seed: Not used; every task takes one.
        tokens: Tokens of an input; 35 if not given.
        vocabulary: Largest number of different tokens, `<unk>` included; 10,000 if not given.
        level: "word", the default, or "character".

    Raises:
        InvalidValueError: If an option cannot be.
    """
    options = {"tokens": tokens, "vocabulary": vocabulary, "level": level}
    return LanguageTask("pydoc", pydoc_text(), seed=seed, marks_apart=True, **options)  # type: ignore[arg-type]


# what `tasks.smoke_options` reads: an input's length is what exporting an unrolled network takes its time for
text.smoke = pydoc.smoke = {"tokens": 8}  # type: ignore[attr-defined]


def _tokens_of_parts(texts: Texts, level: Level) -> list[list[str]]:
    if isinstance(texts, str):
        return [list(part) for part in divided(tokens_of(texts, level))]
    return [tokens_of(part, level) for part in texts]


def _check_lengths(name: str, lengths: list[int], n_window: int) -> None:
    for part, n in zip(("training", "validation", "test"), lengths, strict=True):
        if n < 2:
            raise DataError(f"{name}: the {part} part has {n} tokens; give a longer text, at least 2 tokens a part")
    if lengths[0] <= n_window:
        raise DataError(
            f"{name}: an input has {n_window} tokens, but the training part has {lengths[0]}, of which the last only "
            f"is predicted; give a longer text, or inputs of at most {lengths[0] - 1} tokens (--set data.tokens=N)"
        )
