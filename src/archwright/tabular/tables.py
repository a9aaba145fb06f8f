"""Tables of figures, CSV or Parquet: columns as arrays, read when they are asked for."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from archwright.core.errors import DataError, MissingExtraError
from archwright.runs.files import is_file

NOT_MEASURED = ("", "nan", "none", "null", "na", "n/a")
"""Cells without a figure, in lower case."""


class Table:
    """Named columns of texts, each as long as the others.

    Args:
        path: Where it is from, for messages.
        columns: Texts of each column, by its name.
    """

    def __init__(self, path: Path, columns: dict[str, Sequence[str]]) -> None:
        self.path, self._columns = path, columns

    def __len__(self) -> int:
        return len(next(iter(self._columns.values()), ()))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(self._columns)

    def texts(self, name: str) -> Sequence[str]:
        """The cells of a column.

        Raises:
            DataError: If there is no such column.
        """
        if name not in self._columns:
            raise DataError(f"{self.path} has no column {name!r}; its columns: {', '.join(self.names) or 'none'}")
        return self._columns[name]

    def numbers(self, name: str, *, not_measured: float | None = None) -> NDArray[np.float64]:
        """The numbers of a column (n,); NaN where a cell holds no figure, which is never taken for a number.

        Args:
            name: The column.
            not_measured: A number that stands for "not measured" in it, such as -1.

        Raises:
            DataError: If there is no such column, or a cell is neither a finite number nor empty.
        """
        cells = self.texts(name)
        try:
            values = np.array(cells, dtype=np.float64)
        except ValueError:
            values = np.array([self._number(cell, i, name) for i, cell in enumerate(cells)], dtype=np.float64)
        if np.isinf(values).any():
            i = int(np.isinf(values).argmax())
            raise DataError(f"{self.path}, line {i + 2}: {name} is {cells[i]!r}; give a finite number or nothing")
        if not_measured is not None:
            values[values == not_measured] = np.nan
        return values

    def _number(self, cell: str, i: int, name: str) -> float:
        if cell.strip().lower() in NOT_MEASURED:
            return np.nan
        try:
            return float(cell)
        except ValueError:
            raise DataError(
                f"{self.path}, line {i + 2}: {name} is {cell!r}; give a finite number, or nothing where there is none"
            ) from None

    def joined(self, other: Table, key: str) -> Table:
        """This table with another one's further columns, line by line in the order of this one.

        Args:
            other: Has one line for each of this one's.
            key: Column that tells which.

        Raises:
            DataError: If a line has none in the other table, or several.
        """
        places = {cell: i for i, cell in enumerate(other.texts(key))}
        if len(places) != len(other):
            raise DataError(f"{other.path} has a {key} twice; keep one line for each")
        missing = [cell for cell in self.texts(key) if cell not in places]
        if missing:
            raise DataError(
                f"{other.path} has no line with the {key} {missing[0]} of {self.path} ({len(missing)} such)"
            )
        order = [places[cell] for cell in self.texts(key)]
        added = {name: [cells[i] for i in order] for name, cells in other._columns.items() if name not in self._columns}
        return Table(self.path, {**self._columns, **added})

    def with_column(self, name: str, cells: Sequence[str]) -> Table:
        """This table with one column more, or in the place of the one of that name.

        Args:
            name: Of the column.
            cells: As many as the table has lines.
        """
        return Table(self.path, {**self._columns, name: cells})


def read_table(path: Path | str) -> Table:
    """A table of a file: Parquet if its name ends in .parquet, else CSV with a header, gzipped if it ends in .gz.

    Args:
        path: The file.

    Raises:
        DataError: If the file cannot be used; the message says where and why.
        MissingExtraError: If it is a Parquet file, and pyarrow is not installed.
    """
    path = Path(path)
    if not is_file(path):
        raise DataError(f"{path}: there is no such file; give a table, CSV or Parquet")
    if path.suffix == ".parquet":
        return _parquet(path)
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8-sig")
        header, columns = _unquoted(text) if '"' not in text else _quoted(text)
    except (OSError, EOFError, ValueError, zlib.error, csv.Error) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path}: cannot be read as CSV ({type(error).__name__}: {reason})") from None
    except _Uneven as error:
        raise DataError(f"{path}, {error}") from None
    if not columns or not columns[0]:
        raise DataError(f"{path} holds no line below its header; give a table with one line an architecture")
    header = [name.strip() for name in header]
    if len(set(header)) < len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise DataError(f"{path} has two columns {twice!r}; name each column once")
    return Table(path, dict(zip(header, columns, strict=True)))


class _Uneven(Exception):
    """A line has more cells than the header, or fewer."""


def _unquoted(text: str) -> tuple[list[str], list[list[str]]]:
    """Header and columns of a CSV without quotation marks: cut up at once, several times as fast as line by line."""
    lines = [line for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n") if line]
    if not lines:
        return [], []
    n = lines[0].count(",") + 1
    for i, line in enumerate(lines[1:]):
        if line.count(",") + 1 != n:
            raise _Uneven(_uneven(i, line.count(",") + 1, n))
    cells = ",".join(lines).split(",")
    return cells[:n], [cells[n + i :: n] for i in range(n)]


def _quoted(text: str) -> tuple[list[str], list[list[str]]]:
    lines = [line for line in csv.reader(io.StringIO(text, newline="")) if line]
    for i, line in enumerate(lines[1:]):
        if len(line) != len(lines[0]):
            raise _Uneven(_uneven(i, len(line), len(lines[0])))
    return lines[0], [list(column) for column in zip(*lines[1:], strict=True)]


def _uneven(i: int, n: int, expected: int) -> str:
    return f"line {i + 2} has {n} cells, and the header {expected}"


def _parquet(path: Path) -> Table:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        raise MissingExtraError(f"reading {path}, a Parquet file,", "tables") from None
    try:
        found = parquet.read_table(path).to_pydict()
    except (OSError, ArrowException) as error:
        raise DataError(f"{path}: cannot be read as Parquet ({' '.join(str(error).split())})") from None
    return Table(path, {name: ["" if cell is None else str(cell) for cell in cells] for name, cells in found.items()})
