"""Tables from files: numbers, cells without a figure, and files that are none."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from archwright.core.errors import DataError, MissingExtraError
from archwright.tabular.tables import read_table

TEXT = "arch,val,seconds\na,1.5,3\nb,,-1\nc,nan,2\n"


def written(folder: Path, text: str, name: str = "table.csv") -> Path:
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


@pytest.mark.parametrize("name", ["table.csv", "table.csv.gz"])
def test_columns(tmp_path: Path, name: str) -> None:
    """Texts, and numbers with NaN where there is no figure."""
    table = read_table(written(tmp_path, TEXT, name))
    assert (len(table), table.names) == (3, ("arch", "val", "seconds"))
    assert list(table.texts("arch")) == ["a", "b", "c"]
    np.testing.assert_array_equal(table.numbers("val"), [1.5, np.nan, np.nan])


def test_a_number_may_stand_for_not_measured(tmp_path: Path) -> None:
    """It is no figure then."""
    table = read_table(written(tmp_path, TEXT))
    np.testing.assert_array_equal(table.numbers("seconds", not_measured=-1), [3, np.nan, 2])
    np.testing.assert_array_equal(table.numbers("seconds"), [3, -1, 2])


def test_tables_are_joined_by_a_column(tmp_path: Path) -> None:
    """In the order of the first; the first one's columns stay."""
    other = read_table(written(tmp_path, "arch,val,mj\nc,9,30\na,9,10\nb,9,20\n", "other.csv"))
    joined = read_table(written(tmp_path, TEXT)).joined(other, "arch")
    assert joined.names == ("arch", "val", "seconds", "mj")
    assert joined.numbers("mj").tolist() == [10, 20, 30]
    assert joined.numbers("val")[0] == 1.5


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("arch,val\n", "holds no line below its header"),
        ("arch,arch\na,b\n", "two columns 'arch'"),
        ("arch,val\na,1,2\n", "line 2 has 3 cells, and the header 2"),
    ],
)
def test_files_that_are_no_table(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        read_table(written(tmp_path, text))


@pytest.mark.parametrize(("cell", "said"), [("x", "line 3: val is 'x'"), ("inf", "line 3: val is 'inf'")])
def test_cells_that_are_no_number(tmp_path: Path, cell: str, said: str) -> None:
    table = read_table(written(tmp_path, f"arch,val\na,1\nb,{cell}\n"))
    with pytest.raises(DataError, match=said):
        table.numbers("val")


def test_columns_and_lines_that_are_missing(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, TEXT))
    with pytest.raises(DataError, match=r"no column 'test'; its columns: arch, val, seconds"):
        table.numbers("test")
    short = read_table(written(tmp_path, "arch,mj\na,1\n", "short.csv"))
    with pytest.raises(DataError, match=r"short.csv has no line with the arch b of .*table.csv \(2 such\)"):
        table.joined(short, "arch")
    twice = read_table(written(tmp_path, "arch,mj\na,1\na,2\nb,1\nc,1\n", "twice.csv"))
    with pytest.raises(DataError, match="has a arch twice"):
        table.joined(twice, "arch")


def test_files_that_are_missing_or_damaged(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no such file"):
        read_table(tmp_path / "none.csv")
    (tmp_path / "broken.csv.gz").write_bytes(b"no gzip")
    with pytest.raises(DataError, match="cannot be read as CSV"):
        read_table(tmp_path / "broken.csv.gz")


def test_parquet(tmp_path: Path) -> None:
    """The same table; None is no figure."""
    parquet, pyarrow = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
    path = tmp_path / "table.parquet"
    parquet.write_table(pyarrow.table({"arch": ["a", "b"], "val": [1.5, None]}), path)
    np.testing.assert_array_equal(read_table(path).numbers("val"), [1.5, np.nan])


def test_parquet_without_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "table.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"archwright\[tables\]"):
        read_table(tmp_path / "table.parquet")
