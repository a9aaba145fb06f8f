"""Files and modules of users' spaces with what they import from beside themselves, and whether they have changed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from archwright.core.errors import SpaceError
from archwright.spaces import open_space
from archwright.spaces.opening import code_identity
from archwright.spaces.user_code import code_digest

SPACE = """
from torch import nn
import archwright as aw
{imports}


class Mine(aw.Space):
    def network(self, choose):
        width = {width}
        act = choose.op("act", {{"relu": nn.ReLU, "silu": nn.SiLU}})
        body = [nn.Conv2d(self.input_shape[0], width, 3), act, nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        return nn.Sequential(*body, nn.Linear(width, self.n_classes))
"""

Write = Callable[..., Path]


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    """Import paths and modules are those of before again."""
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if getattr(sys.modules[name], "__file__", None) is None or "pytest" in str(sys.modules[name].__file__):
            del sys.modules[name]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a space that imports `width` somehow, and other files; returns the space's file."""

    def make(imports: str, width: str, *, where: str = "mine.py", **files: str) -> Path:
        for name, text in {where: SPACE.format(imports=imports, width=width), **files}.items():
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return tmp_path / where

    return make


def _width(file: Path) -> int:
    space = open_space(f"{file}:Mine")
    return int(space.build(space.parse("0"))[0].out_channels)


def test_a_neighbour_by_name(write: Write) -> None:
    """As of a script."""
    assert _width(write("from sizes import WIDTH", "WIDTH", **{"sizes.py": "WIDTH = 5"})) == 5


def test_a_neighbour_relatively(write: Write) -> None:
    """Although its folder is no package."""
    assert _width(write("from .sizes import WIDTH", "WIDTH", **{"sizes.py": "WIDTH = 6"})) == 6


def test_a_package_is_imported_as_one(write: Write) -> None:
    """With what lies above the file."""
    files = {
        "pkg/__init__.py": "",
        "pkg/sub/__init__.py": "",
        "pkg/sizes.py": "from . import base\nWIDTH = base.ONE * 7",
    }
    file = write("from ..sizes import WIDTH", "WIDTH", where="pkg/sub/mine.py", **files, **{"pkg/base.py": "ONE = 1"})
    assert _width(file) == 7


def test_two_files_with_neighbours_of_one_name(write: Write, tmp_path: Path) -> None:
    """Each has its own."""
    one = write("from sizes import WIDTH", "WIDTH", where="one/mine.py", **{"one/sizes.py": "WIDTH = 3"})
    other = write("from sizes import WIDTH", "WIDTH", where="other/mine.py", **{"other/sizes.py": "WIDTH = 4"})
    assert (_width(one), _width(other)) == (3, 4)


def test_a_neighbour_that_is_imported_when_it_is_needed(write: Write) -> None:
    """In a method, after the file itself was imported."""
    assert _width(write("", "__import__('sizes_later').WIDTH", **{"sizes_later.py": "WIDTH = 9"})) == 9


def test_a_module_below_the_present_folder(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """`package.module:Class`, as `python -m` finds it."""
    file = write("", "8", where="below/mine_here.py", **{"below/__init__.py": ""})
    monkeypatch.chdir(file.parent.parent)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry not in ("", str(file.parent.parent))])
    space = open_space("below.mine_here:Mine")
    assert space.build(space.parse("0"))[0].out_channels == 8


def test_what_a_neighbour_raises_is_named(write: Write) -> None:
    with pytest.raises(SpaceError, match=r"mine.py raised while it was imported: .*no such width"):
        _width(write("import broken", "1", **{"broken.py": "raise ValueError('no such width')"}))


# ── whether it has changed ────────────────────────────────────────────────────────────────────────


def _digest(file: Path) -> str:
    space = open_space(f"{file}:Mine")
    return code_digest(sys.modules[type(space).__module__])


@pytest.mark.parametrize(
    ("old", "new", "is_same"),
    [
        ("WIDTH = 5", "WIDTH = 5  # wide", True),
        ("WIDTH = 5", '"""Sizes."""\n\nWIDTH   =   5', True),
        ("WIDTH = 5", "WIDTH = 6", False),
        ("WIDTH = 5", "WIDTH = 5\nOTHER = 1", False),
    ],
)
def test_what_counts_as_a_change(write: Write, old: str, new: str, is_same: bool) -> None:
    """Comments, layout and docstrings do not, also of a neighbour."""
    file = write("from sizes import WIDTH", "WIDTH", **{"sizes.py": old})
    before = _digest(file)
    (file.parent / "sizes.py").write_text(new)
    assert (_digest(file) == before) is is_same


def test_what_is_not_imported_does_not_count(write: Write) -> None:
    file = write("", "5", **{"other.py": "X = 1"})
    before = _digest(file)
    (file.parent / "other.py").write_text("X = 2")
    assert _digest(file) == before


def test_imports_of_imports_count(write: Write) -> None:
    file = write("import a", "a.b.WIDTH", **{"a.py": "import b", "b.py": "WIDTH = 5"})
    before = _digest(file)
    (file.parent / "b.py").write_text("WIDTH = 6")
    assert _digest(file) != before


def test_spaces_of_this_package_have_no_digest() -> None:
    """Their code is known by its version."""
    assert code_identity(open_space("lenet")) == {}
