"""From what a user writes to a space or an architecture, or to one clear line."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from archwright.core.errors import InvalidArchError, InvalidValueError, SpaceError, UnknownNameError, UsageError
from archwright.costs.counting.count import count
from archwright.spaces import SposSpace, arch_document, open_architecture, open_space
from archwright.testing import BranchSpace

MY_SPACE = """
import torch
import archwright as aw

class MySpace(aw.Space):
    input_shape, n_classes = (3, 8, 8), 4

    def network(self, choose):
        width = choose.number("width", [4, 8])
        stem = aw.nn.Conv2d(3, width, choose.number("kernel", [1, 3]))
        act = choose.op("act", {"relu": torch.nn.ReLU, "silu": torch.nn.SiLU})
        head = aw.nn.Linear(width, self.n_classes)
        return torch.nn.Sequential(stem, act, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), head)

class Sized(MySpace):
    def __init__(self, *, size=1, **rest):
        super().__init__(**rest)
        if size == 13:
            raise RuntimeError("unlucky\\nsize")
        self.size_argument = size

class NoNetwork(aw.Space):
    pass

number = 7
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A user's file with spaces in it."""
    path = tmp_path / "mine.py"
    path.write_text(MY_SPACE, "utf-8")
    return path


@pytest.fixture
def stored(tmp_path: Path) -> Callable[..., Path]:
    """An arch.json of the branch space with parts of it replaced."""
    space = BranchSpace()
    document = arch_document(space, space.sample(1, np.random.default_rng(0))[0])

    def write(**changes: Any) -> Path:
        path = tmp_path / "arch.json"
        path.write_text(json.dumps(document | changes), "utf-8")
        return path

    return write


def message_of(kind: type[UsageError], act: Callable[[], object]) -> str:
    """The message of the error, once it is known to be one line."""
    with pytest.raises(kind) as caught:
        act()
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("name", "macs", "params"),
    [("spos-block", 318_729_024, 3_345_088), ("spos-block-released", 322_918_720, 3_558_464)],
)
def test_published_architectures_have_their_costs(name: str, macs: int, params: int) -> None:
    """At the paper's input size and number of classes."""
    opened = open_architecture(name)
    with torch.device("meta"):
        network = opened.space.build(opened.arch)
    counted = count(network, opened.space.input_shape)
    assert (opened.space.input_shape, opened.space.n_classes) == ((3, 224, 224), 1000)
    assert (counted.macs, counted.params) == (macs, params)


@pytest.mark.parametrize("spelling", ["SPOS-Block", "spos_block"])
def test_published_names_in_other_spellings(spelling: str) -> None:
    """Case does not matter, and an underscore is a hyphen."""
    assert open_architecture(spelling).name == "spos-block"


def test_a_published_architecture_for_other_classes() -> None:
    """Arguments replace the stored ones."""
    assert open_architecture("spos-block", n_classes=10).space.n_classes == 10


def test_an_architecture_by_code() -> None:
    """A digit a block."""
    opened = open_architecture("spos:3210321032", input_shape=(1, 28, 28))
    assert isinstance(opened.space, SposSpace)
    assert [opened.arch[f"block{i}"] for i in range(4)] == ["xception", "shuffle7", "shuffle5", "shuffle3"]


def test_a_space_in_a_file(file: Path) -> None:
    """Opened, built, and known by what the user wrote."""
    space = open_space(f"{file}:MySpace")
    assert (space.size(), space.name) == (8, f"{file}:MySpace")
    assert open_architecture(f"{file}:MySpace:010").arch == {"width": 4, "kernel": 3, "act": "relu"}


@pytest.mark.parametrize(
    ("spec", "space"),
    [
        ("nasbench201-size:8:16:8:8:64", "nasbench201-size"),
        ("NASBENCH201_SIZE:8:16:8:8:64", "nasbench201-size"),
        ("archwright.spaces:NasBench201Size:8:16:8:8:64", "archwright.spaces:NasBench201Size"),
    ],
)
def test_a_code_may_hold_colons(spec: str, space: str) -> None:
    """Behind a catalogue name all is code; behind a module comes the class first."""
    opened = open_architecture(spec)
    assert (opened.space.name, opened.space.code(opened.arch)) == (space, "8:16:8:8:64")


def test_the_path_of_a_file_may_hold_colons(file: Path) -> None:
    """The class stands behind `.py`."""
    moved = file.rename(file.parent / "a:b.py")
    assert open_architecture(f"{moved}:MySpace:010").space.size() == 8


def test_a_space_in_a_module() -> None:
    """Imported because the user names it."""
    assert open_space("archwright.testing:BranchSpace", n_classes=7).n_classes == 7


def test_a_written_architecture_comes_back(tmp_path: Path, file: Path) -> None:
    """With its space, the space's arguments and its values, through a file."""
    space = open_space(f"{file}:Sized", n_classes=7, input_shape=(3, 9, 9))
    arch = space.sample(1, np.random.default_rng(0))[0]
    path = tmp_path / "arch.json"
    path.write_text(json.dumps(arch_document(space, arch)), "utf-8")
    opened = open_architecture(str(path))
    assert (opened.arch, opened.space.args(), opened.space.name) == (arch, space.args(), space.name)


def test_an_unknown_space_offers_the_nearest() -> None:
    """One line with the name received."""
    assert "unknown space 'sposs'; did you mean spos" in message_of(UnknownNameError, lambda: open_space("sposs"))


def test_an_unknown_architecture_offers_the_nearest() -> None:
    """And says what is accepted."""
    message = message_of(UnknownNameError, lambda: open_architecture("spos-blok"))
    assert "did you mean spos-block" in message
    assert "arch.json" in message


def test_a_name_longer_than_any_file_is_just_unknown() -> None:
    """The operating system's complaint does not come through."""
    assert "unknown architecture" in message_of(UnknownNameError, lambda: open_architecture("x" * 5000))


@pytest.mark.parametrize(
    ("spec", "kind", "message"),
    [
        ("{file}:MySpac", UnknownNameError, "did you mean MySpace"),
        ("{file}:number", SpaceError, "no subclass of archwright.Space; .* has MySpace, Sized"),
        ("{file}:NoNetwork", SpaceError, "could not be made: TypeError"),
        ("{file}.py:MySpace", InvalidValueError, "there is no file"),
        ("no.such.module:Space", SpaceError, "module 'no.such.module' cannot be imported: ModuleNotFoundError"),
        (":Space", SpaceError, "cannot be imported"),
    ],
)
def test_code_that_holds_no_such_space(file: Path, spec: str, kind: type[UsageError], message: str) -> None:
    """Another name, another thing, an unfinished class, no file, no module."""
    found = message_of(kind, lambda: open_space(spec.format(file=file)))
    assert re.search(message, found)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("def f(:", "SyntaxError"),
        ("import nothing_of_that_name", "ModuleNotFoundError"),
        ("raise ValueError('two\\nlines')", "ValueError: two lines"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
    ],
)
def test_a_file_that_raises_when_imported(tmp_path: Path, text: str, shown: str) -> None:
    """The file and what it raised, on one line; a second try says the same."""
    path = tmp_path / "broken.py"
    path.write_text(text, "utf-8")
    for _ in range(2):
        message = message_of(SpaceError, lambda: open_space(f"{path}:MySpace"))
        assert "broken.py raised while it was imported" in message
        assert shown in message


def test_an_unknown_argument_is_named() -> None:
    """With the nearest one the space takes."""
    message = message_of(UnknownNameError, lambda: open_space("spos", n_class=10))
    assert message == "unknown argument of space 'spos' 'n_class'; did you mean n_classes?"


def test_a_space_with_open_arguments_refuses_them_itself(file: Path) -> None:
    """A constructor that passes on what it does not know: inherited arguments work, unknown ones fail in one line."""
    assert open_space(f"{file}:Sized", size=2, n_classes=3).n_classes == 3
    assert "colour" in message_of(SpaceError, lambda: open_space(f"{file}:Sized", colour=1))


def test_a_constructor_that_raises(file: Path) -> None:
    """Its words, on one line."""
    assert "RuntimeError: unlucky size" in message_of(SpaceError, lambda: open_space(f"{file}:Sized", size=13))


@pytest.mark.parametrize(
    ("code", "message"),
    [("012", "has 3 positions; space 'spos' has 20 decisions"), ("4" * 20, "'4' for decision 'block0'; use 0 to 3")],
)
def test_a_wrong_code(code: str, message: str) -> None:
    """Length and digit."""
    assert message in message_of(InvalidArchError, lambda: open_architecture(f"spos:{code}"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 2}, "format 2; this version reads format 1"),
        ({"format": "1"}, "format '1'"),
        ({"decisions": "0" * 64}, "has changed since this file was written"),
        ({"space": 7}, "not an arch.json"),
        ({"space_args": [1]}, "space_args is list"),
        ({"space_args": {"colour": 1}}, "'colour'"),
        ({"arch": None}, "NoneType"),
        ({"arch": {"last": "relu"}}, "is missing"),
        ({"arch": {"nobody": 1}}, "unknown decision 'nobody'"),
        ({"space": "nosuch"}, "unknown space 'nosuch'"),
    ],
)
def test_a_wrong_document(stored: Callable[..., Path], changes: dict[str, Any], message: str) -> None:
    """Format, decisions, kinds of values, membership: each in one line."""
    assert message in message_of(UsageError, lambda: open_architecture(str(stored(**changes))))


def test_a_document_without_fingerprint_is_read(stored: Callable[..., Path]) -> None:
    """It may have been written by hand."""
    path = stored()
    document = json.loads(path.read_text("utf-8"))
    del document["decisions"]
    path.write_text(json.dumps(document), "utf-8")
    assert isinstance(open_architecture(str(path)).space, BranchSpace)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"{", "cannot be read as JSON"), (b"\xff\xfe\x00", "cannot be read as JSON"), (b"[1]", "not an arch.json")],
)
def test_a_file_that_is_no_document(tmp_path: Path, content: bytes, message: str) -> None:
    """Half a file, no text, another document: the file is named."""
    path = tmp_path / "arch.json"
    path.write_bytes(content)
    found = message_of(InvalidArchError, lambda: open_architecture(str(path)))
    assert message in found
    assert "arch.json" in found


def test_a_missing_document(tmp_path: Path) -> None:
    """What ends in .json was meant as a file."""
    path = tmp_path / "none.json"
    assert "there is no such file" in message_of(InvalidArchError, lambda: open_architecture(str(path)))


def test_a_folder_is_no_document(tmp_path: Path) -> None:
    """One line for the operating system's refusal as well."""
    path = tmp_path / "folder.json"
    path.mkdir()
    assert "cannot be read" in message_of(InvalidArchError, lambda: open_architecture(str(path)))


def test_what_a_file_prints_is_no_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """While it is imported, when its class is made and when its network is recorded: all on stderr."""
    path = tmp_path / "talking.py"
    talking = MY_SPACE.replace(
        "    def network(self, choose):", "    def network(self, choose):\n        print('built')"
    )
    path.write_text("print('imported')\n" + talking, "utf-8")
    open_space(f"{path}:MySpace")
    assert capsys.readouterr() == ("", "imported\nbuilt\n")


def test_a_folder_stands_for_the_architecture_in_it(stored: Callable[..., Path], tmp_path: Path) -> None:
    """A folder with an arch.json, and one whose best/ has it."""
    path = stored()
    expected = open_architecture(str(path)).arch
    for folder in (tmp_path / "winner", tmp_path / "run" / "best"):
        folder.mkdir(parents=True)
        (folder / "arch.json").write_text(path.read_text("utf-8"), "utf-8")
    for folder in (tmp_path / "winner", tmp_path / "run", tmp_path / "run" / "best"):
        assert open_architecture(str(folder)).arch == expected


def test_a_folder_without_an_architecture_is_refused(tmp_path: Path) -> None:
    """Says what was looked for."""
    with pytest.raises(InvalidArchError, match=r"holds neither arch\.json nor best/arch\.json"):
        open_architecture(str(tmp_path))
