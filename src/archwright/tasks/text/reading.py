"""Texts from files, divided into parts and into words or characters; every fault is one line that names the file."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from archwright.core.config import check_range
from archwright.core.errors import DataError, InvalidValueError
from archwright.spaces.base import MAX_CLASSES

Level = Literal["word", "character"]

UNKNOWN, LINE_END = "<unk>", "<eos>"
SHARES = (0.8, 0.9)
"""Where the training part and the validation part of a text in one piece end."""

_PARTS = {"train": ("train",), "valid": ("valid", "val", "validation"), "test": ("test",)}

Texts = tuple[str, str, str] | str
"""Training, validation and test text, or one text that is still to be divided."""


@dataclass(frozen=True)
class Vocabulary:
    """The vocabulary of a text: its known tokens by number.

    Attributes:
        words: Words or characters by number: the most frequent of the training part first, equal ones in their order.
        level: What a token is.
    """

    words: tuple[str, ...]
    level: Level

    @classmethod
    def of(cls, source: str, tokens: Sequence[str], level: Level, n_most: int) -> Vocabulary:
        """The most frequent tokens and `<unk>`, which stands for all others.

        Args:
            source: How the data are called in errors.
            tokens: Those of the training part.
            level: What a token is.
            n_most: Largest size, `<unk>` included.

        Raises:
            InvalidValueError: If `n_most` is below 2, or more than a network has outputs.
            DataError: If the text has fewer than two different tokens.
        """
        check_range("vocabulary", n_most, 2, MAX_CLASSES)
        counts = Counter(tokens)
        different = counts.keys() - {LINE_END, UNKNOWN}
        if len(different) < 2:
            found = f"one {level} only, {next(iter(different))!r}" if different else f"no {level} at all"
            raise DataError(f"{source}: the training text has {found}; give a text of at least 2 different {level}s")
        words = sorted(counts, key=lambda word: (-counts[word], word))
        if UNKNOWN not in counts:
            words = [*words[: n_most - 1], UNKNOWN]
        elif UNKNOWN in (kept := words[:n_most]):
            words = kept
        else:
            words = [*words[: n_most - 1], UNKNOWN]
        return cls(tuple(words), level)

    def encode(self, tokens: Sequence[str]) -> NDArray[np.int64]:
        """The number of each token (n,), that of `<unk>` for one that is not in the vocabulary."""
        numbers = {word: number for number, word in enumerate(self.words)}
        unknown = numbers[UNKNOWN]
        return np.fromiter((numbers.get(token, unknown) for token in tokens), dtype=np.int64, count=len(tokens))


def check_level(level: str) -> Level:
    """The level of tokens, checked.

    Raises:
        InvalidValueError: If it is not.
    """
    if level not in get_args(Level):
        raise InvalidValueError(f"level is {level!r}; choose one of {', '.join(get_args(Level))}")
    return level  # type: ignore[return-value]  # just checked


def tokens_of(text: str, level: Level) -> list[str]:
    """The tokens of a text: its characters, or its words (separated by blanks) with `<eos>` at the end of each line.

    >>> tokens_of("a cat\\nsat", "word")
    ['a', 'cat', '<eos>', 'sat', '<eos>']
    """
    text = text.replace("\r\n", "\n")
    if level == "character":
        return list(text)
    lines = text.removesuffix("\n").split("\n") if text else []
    return [token for line in lines for token in (*line.split(), LINE_END)]


def divided(tokens: Sequence[str]) -> tuple[Sequence[str], Sequence[str], Sequence[str]]:
    """Tokens divided in order: the first 80 %, the next 10 % and the last 10 %."""
    first, second = (int(share * len(tokens)) for share in SHARES)
    return tokens[:first], tokens[first:second], tokens[second:]


def read_texts(path: Path) -> Texts:
    """One text from a file; three from a folder with a file for each of train, valid (or val) and test.

    A file of a folder is known by a part of its name between dots: train.txt, ptb.train.txt, wiki.train.tokens.

    Raises:
        DataError: If there is no such file, it cannot be read, or it is not UTF-8.
    """
    try:
        is_folder = path.is_dir()
    except OSError as error:  # such as a name that is too long
        raise DataError(f"{path} cannot be read: {error.strerror}; give a text file, or a folder of them") from None
    if not is_folder:
        return _read(path)
    return _read(_part_file(path, "train")), _read(_part_file(path, "valid")), _read(_part_file(path, "test"))


def _part_file(folder: Path, part: str) -> Path:
    try:
        files = sorted(file for file in folder.iterdir() if file.is_file())
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror}") from None
    found = [file for file in files if not set(file.name.lower().split(".")).isdisjoint(_PARTS[part])]
    if len(found) != 1:
        what = f"{len(found)} files ({', '.join(file.name for file in found[:3])})" if found else "no file"
        raise DataError(
            f"{folder} has {what} for the part {part!r}; give one each of train.txt, valid.txt and test.txt, "
            "or a single file"
        )
    return found[0]


def _read(path: Path) -> str:
    if path.exists() and not path.is_file():  # a device may never end
        raise DataError(f"{path} is no file; give a text file, or a folder of them")
    try:
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(f"{path} cannot be read: {reason}; give a text file, or a folder of them") from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 (byte {error.start}); convert it, or give another file") from None
    if not text.strip():
        raise DataError(f"{path} is empty; give a text")
    return text


def pydoc_text() -> str:
    """The topics of CPython's documentation, in words and marks, lower case, one line a line."""
    from pydoc_data.topics import topics

    lines = (line.lower() for name in sorted(topics) for line in topics[name].splitlines())
    apart = (" ".join(re.findall(r"\w+|[^\w\s]", line)) for line in lines)
    return "\n".join(line for line in apart if any(character.isalnum() for character in line))
