"""What damage does to a file, and that it can be undone."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from archwright.testing.damage import FOLDER_KINDS, KINDS, Kind, damage, kinds_for, restore, targets

DATA = b"0123456789"


@pytest.mark.parametrize(
    ("kind", "left"),
    [("emptied", b""), ("halved", DATA[:5]), ("short of a byte", DATA[:-1]), ("longer", DATA + b"\0")],
)
def test_sizes(tmp_path: Path, kind: Kind, left: bytes) -> None:
    """By name."""
    (tmp_path / "x").write_bytes(DATA)
    damage(tmp_path / "x", kind, random.Random(0))
    assert (tmp_path / "x").read_bytes() == left


def test_one_bit_by_the_seed(tmp_path: Path) -> None:
    """The same one for the same seed."""
    found = []
    for seed in (1, 1, 2):
        (tmp_path / "x").write_bytes(DATA)
        damage(tmp_path / "x", "flipped", random.Random(seed))
        found.append((tmp_path / "x").read_bytes())
        differing = int.from_bytes(found[-1], "big") ^ int.from_bytes(DATA, "big")
        assert differing.bit_count() == 1
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_is_put_back(tmp_path: Path, kind: Kind) -> None:
    """Whatever stands in its place."""
    for name in ("x", "original"):
        (tmp_path / name).write_bytes(DATA)
    damage(tmp_path / "x", kind, random.Random(0))
    restore(tmp_path / "x", tmp_path / "original")
    assert (tmp_path / "x").read_bytes() == DATA
    assert (tmp_path / "x").stat().st_mode == (tmp_path / "original").stat().st_mode


@pytest.mark.parametrize("kind", FOLDER_KINDS)
def test_a_folder_is_put_back(tmp_path: Path, kind: Kind) -> None:
    """With what it holds."""
    for name in ("x", "original"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "y").write_bytes(DATA)
    damage(tmp_path / "x", kind, random.Random(0))
    restore(tmp_path / "x", tmp_path / "original")
    assert (tmp_path / "x" / "y").read_bytes() == DATA


def test_everything_in_a_folder_is_a_target(tmp_path: Path) -> None:
    """A file that a later version adds too; an empty one cannot be cut."""
    (tmp_path / "deep").mkdir()
    for name in ("new", "deep/.hidden"):
        (tmp_path / name).touch()
    assert targets(tmp_path) == ["deep", "deep/.hidden", "new"]
    assert kinds_for(tmp_path / "deep") == FOLDER_KINDS
    assert kinds_for(tmp_path / "new") == ("longer", "a folder", "deleted", "a dangling link", "forbidden")
