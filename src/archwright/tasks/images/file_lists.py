"""Lists of many file paths in little memory."""

from __future__ import annotations

import os
import stat
from array import array
from collections.abc import Iterable, Sequence
from typing import overload

import numpy as np


def is_folder(path: str | os.PathLike[str]) -> bool:
    """Whether there is a folder of that name; False too where the name is too long for the system."""
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)
    except (OSError, ValueError):
        return False


class FileList(Sequence[str]):
    """Paths below one folder, in the order given: one text, and where each path ends in it.

    A million Python strings take some 100 bytes each beside their characters; here it is 8.

    Args:
        root: The folder.
        names: Paths relative to it.
    """

    def __init__(self, root: str | os.PathLike[str], names: Iterable[str]) -> None:
        self.root = os.fspath(root)
        text, ends = bytearray(), array("q", [0])
        for name in names:
            text += os.fsencode(name)
            ends.append(len(text))
        self.text = bytes(text)
        self.ends = np.asarray(ends, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.ends) - 1

    def name(self, i: int) -> str:
        """The path of file i, relative to the root."""
        return os.fsdecode(self.text[self.ends[i] : self.ends[i + 1]])

    @overload
    def __getitem__(self, i: int) -> str: ...
    @overload
    def __getitem__(self, i: slice) -> list[str]: ...
    def __getitem__(self, i: int | slice) -> str | list[str]:
        """The full path of file i."""
        if isinstance(i, slice):
            return [self[k] for k in range(*i.indices(len(self)))]
        if not -len(self) <= i < len(self):
            raise IndexError(f"file {i} of {len(self)}")
        return os.path.join(self.root, self.name(i % len(self)))

    @property
    def nbytes(self) -> int:
        """Memory that the list takes, in bytes."""
        return len(self.text) + self.ends.nbytes


def joined(first: FileList, second: FileList) -> FileList:
    """The files of two lists below one folder, one list behind the other."""
    found = FileList(first.root, ())
    found.text = first.text + second.text
    found.ends = np.concatenate([first.ends, second.ends[1:] + len(first.text)])
    return found
