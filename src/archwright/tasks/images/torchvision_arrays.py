"""Small data sets in torchvision's file formats, read without torchvision.

Its own classes unpickle CIFAR, and old copies of MNIST; nothing is unpickled here.
"""

from __future__ import annotations

import importlib
import math
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archwright.core.errors import DataError
from archwright.runs.files import read_maybe_gzipped

Pair = tuple[NDArray[Any], NDArray[Any]]
"""Images (N, C, H, W) and labels (N,)."""

MAX_BYTES = 2**31
"""Largest accepted size of an unpacked file; those of the known sets have at most a tenth of it."""

_CIFAR_PAGE = "https://www.cs.toronto.edu/~kriz"


Reader = Callable[[Path], tuple[Pair, Pair, list[str] | None]]
"""From the root folder: training pair, test pair, class names (None: their numbers)."""


def idx_set(name: str, train: str, test: str, classes: list[str] | None = None) -> Reader:
    """A reader of MNIST and of data sets in its format: ROOT/NAME/raw/TRAIN-images-idx3-ubyte and three more files.

    Each file may be plain or gzipped.

    Args:
        name: Folder of the data set inside the root.
        train: Beginning of the names of the training part's files.
        test: Beginning of the names of the test part's files.
        classes: Names of the classes; None for their numbers.
    """

    def read(root: Path) -> tuple[Pair, Pair, list[str] | None]:
        raw = root / name / "raw"
        pairs = [
            (read_idx(raw / f"{part}-images-idx3-ubyte", 3)[:, None], read_idx(raw / f"{part}-labels-idx1-ubyte", 1))
            for part in (train, test)
        ]
        return pairs[0], pairs[1], classes

    return read


def read_idx(path: Path, n_axes: int) -> NDArray[np.uint8]:
    """The array of bytes in an idx file (two zeros, type, number of axes, big-endian sizes, values), plain or .gz.

    Raises:
        DataError: If there is no such file or its header and length do not agree.
    """
    zipped = path.with_name(f"{path.name}.gz")
    content = _content(path) if path.exists() or not zipped.exists() else _content(zipped)
    start = 4 + 4 * n_axes
    sizes = [int.from_bytes(content[place : place + 4], "big") for place in range(4, start, 4)]
    if content[:4] != bytes([0, 0, 8, n_axes]) or len(content) != start + math.prod(sizes):
        raise DataError(f"{path}: no idx file of {n_axes} axes of bytes, or a truncated one; download it again")
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(sizes)


def cifar_set(folder: str, pickled: str, train: list[str], test: str, names: str, n_labels: int) -> Reader:
    """A reader of CIFAR's binary version: records of label bytes, of which the last counts, and 3x32x32 values.

    Args:
        folder: Folder of the binary version inside the root.
        pickled: Folder of the Python version, which is never read; where only that is there, the error says so.
        train: Files of the training part.
        test: File of the test part.
        names: File of the class names, separated by white space.
        n_labels: Label bytes in a record.
    """

    def read(root: Path) -> tuple[Pair, Pair, list[str] | None]:
        home = root / folder
        if not home.is_dir():
            if (root / pickled).is_dir():
                raise DataError(
                    f"{root / pickled}: Python pickles, which are never read here; unpack the binary version beside "
                    f"it: {_CIFAR_PAGE}/{folder.removesuffix('-batches-bin').removesuffix('-binary')}-binary.tar.gz"
                )
            raise DataError(f"{home}: no such folder; unpack the binary version of {_CIFAR_PAGE}/cifar.html in {root}")
        classes = _content(home / names).decode("utf-8", "replace").split()
        return (
            _records([home / name for name in train], n_labels, len(classes)),
            _records([home / test], n_labels, len(classes)),
            classes,
        )

    return read


def _records(paths: list[Path], n_labels: int, n_classes: int) -> Pair:
    length = n_labels + 3 * 32 * 32
    every = []
    for path in paths:
        content = _content(path)
        if not content or len(content) % length:
            raise DataError(f"{path}: {len(content)} bytes, no multiple of {length}; unpack the archive again")
        every.append(np.frombuffer(content, dtype=np.uint8).reshape(-1, length))
    records = np.concatenate(every)
    labels = records[:, n_labels - 1]
    if labels.max() >= n_classes:
        raise DataError(f"{paths[0]}: holds label {labels.max()} of {n_classes} classes; unpack the archive again")
    return records[:, n_labels:].reshape(-1, 3, 32, 32), labels


def read_svhn(root: Path) -> tuple[Pair, Pair, list[str] | None]:
    """The cropped digits of Street View House Numbers: ROOT/train_32x32.mat and test_32x32.mat."""
    return _svhn(root / "train_32x32.mat"), _svhn(root / "test_32x32.mat"), None


def _svhn(path: Path) -> Pair:
    loadmat = importlib.import_module("scipy.io").loadmat  # scipy publishes no types
    if not path.exists():
        raise _missing(path)
    try:
        found = loadmat(path)
        images, labels = found["X"].transpose(3, 2, 0, 1), found["y"].ravel().astype(np.int64)
    except Exception as error:  # a damaged file makes the parser raise nearly anything
        raise DataError(f"{path}: cannot be read ({' '.join(str(error).split())}); download it again") from None
    return images, labels % 10  # the digit 0 is stored as 10


def _content(path: Path) -> bytes:
    try:
        return read_maybe_gzipped(path, MAX_BYTES)
    except FileNotFoundError:
        raise _missing(path) from None
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error}); download it again") from None


def _missing(path: Path) -> DataError:
    return DataError(
        f"{path}: no such file; download the data with torchvision first (download=True), or give its root"
    )


_DIGITS = "0123456789"

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghnqrt"
_CLOTHES = "T-shirt/top Trouser Pullover Dress Coat Sandal Shirt Sneaker Bag Ankle_boot"
_KANA = "o ki su tsu na ha ma ya re wo"

SETS: dict[str, Reader] = {
    "MNIST": idx_set("MNIST", "train", "t10k"),
    "FashionMNIST": idx_set("FashionMNIST", "train", "t10k", [name.replace("_", " ") for name in _CLOTHES.split()]),
    "KMNIST": idx_set("KMNIST", "train", "t10k", _KANA.split()),
    # the balanced split; images lie as in the files, which is transposed, as in torchvision
    "EMNIST": idx_set("EMNIST", "emnist-balanced-train", "emnist-balanced-test", [*_DIGITS, *_LETTERS]),
    "CIFAR10": cifar_set(
        "cifar-10-batches-bin",
        "cifar-10-batches-py",
        train=[f"data_batch_{i}.bin" for i in range(1, 6)],
        test="test_batch.bin",
        names="batches.meta.txt",
        n_labels=1,
    ),
    "CIFAR100": cifar_set(
        "cifar-100-binary",
        "cifar-100-python",
        train=["train.bin"],
        test="test.bin",
        names="fine_label_names.txt",
        n_labels=2,
    ),
    "SVHN": read_svhn,
}
