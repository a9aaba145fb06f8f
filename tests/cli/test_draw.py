"""`archwright draw`."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from archwright.cli.draw import MAX_NAME, file_name

Cli = Callable[..., Any]

SPACE = """
from functools import partial
import torch
import archwright as aw

class Own(aw.Space):
    input_shape, n_classes = (1, 6, 6), 2

    def network(self, choose):
        print("a user's own output")
        ops = {"</svg><script>": partial(torch.nn.Conv2d, 1, 4, 3), "plain": partial(torch.nn.Conv2d, 1, 4, 1)}
        head = [torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(4, self.n_classes)]
        return torch.nn.Sequential(choose.op("op", ops), *head)
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder is the test's own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def texts(file: Path) -> list[str]:
    return [node.text or "" for node in ET.fromstring(file.read_text("utf-8")).iter() if node.tag.endswith("}text")]


def test_a_published_network_goes_to_a_file_of_its_name(cli: Cli, here: Path) -> None:
    """Twenty blocks under its name; the file is said on stdout."""
    done = cli("draw", "spos-block")
    assert (done.code, done.out, done.err) == (0, "wrote spos-block.svg\n", "")
    found = texts(here / "spos-block.svg")
    assert found[0] == "spos-block"
    assert sum(text.startswith(("shuffle", "xception")) for text in found) == 20


def test_a_cell_by_its_index_as_png(cli: Cli, here: Path) -> None:
    """The suffix says the format."""
    assert cli("draw", "nasbench201:6111", "-o", "new/cell.png").out == "wrote new/cell.png\n"
    assert (here / "new/cell.png").read_bytes().startswith(b"\x89PNG")


def test_an_arch_file(cli: Cli, here: Path) -> None:
    """The picture is named after the file and shows its path."""
    document = {"format": 1, "space": "spos", "space_args": {"input_shape": [3, 32, 32], "n_classes": 10}}
    names = ("shuffle3", "shuffle5")
    document["arch"] = {f"block{i}": names[i % 2] for i in range(10)}
    (here / "mine.json").write_text(json.dumps(document))
    assert cli("draw", "mine.json").out == "wrote mine.svg\n"
    assert texts(here / "mine.svg").count("shuffle5") == 5


def test_another_input_and_class_number(cli: Cli, here: Path) -> None:
    """Both can be read in the picture."""
    assert cli("draw", "spos-block", "--input", "3x32x32", "--classes", "7", "-o", "a.svg").code == 0
    found = texts(here / "a.svg")
    assert "3 × 32 × 32" in found
    assert "7 outputs" in found


def test_a_users_own_space(cli: Cli, here: Path) -> None:
    """Nothing to write for it; its names do no harm, its output stays off stdout."""
    (here / "own.py").write_text(SPACE)
    done = cli("draw", "own.py:Own:0")
    assert (done.code, done.out) == (0, "wrote own.py-Own-0.svg\n")
    assert "<script" not in (here / "own.py-Own-0.svg").read_text("utf-8")


def test_drawing_again_replaces_the_drawing(cli: Cli, here: Path) -> None:
    """The same bytes, with or without -o."""
    cli("draw", "nasbench201:3")
    first = (here / "nasbench201-3.svg").read_bytes()
    assert cli("draw", "nasbench201:3").code == 0
    assert cli("draw", "nasbench201:3", "-o", "nasbench201-3.svg").code == 0
    assert (here / "nasbench201-3.svg").read_bytes() == first


def test_a_file_that_is_no_drawing_is_kept_unless_named(cli: Cli, here: Path) -> None:
    """A default must not cost anyone a file."""
    file = here / "nasbench201-3.svg"
    file.write_text("my own")
    done = cli("draw", "nasbench201:3")
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert "give -o nasbench201-3.svg to replace it" in done.err
    assert file.read_text() == "my own"
    assert cli("draw", "nasbench201:3", "-o", file).code == 0
    assert texts(file)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("spso-block",), "did you mean spos-block"),
        (("nasbench201:15625",), "give 0 to 15624"),
        (("spos-block", "-o", "a.pdf"), "ends with .svg or .png"),
        (("spos-block", "-o", "."), "is a folder"),
        (("spos-block", "--input", "224x"), "--input is"),
        (("spos-block", "--input", "3x3x3"), "at least 4 pixels"),
        (("spos-block", "--classes", "0"), "number of classes is 0"),
        ((), "ARCH"),
    ],
)
def test_what_cannot_be_drawn_is_said_in_one_line(
    cli: Cli, here: Path, arguments: tuple[str, ...], message: str
) -> None:
    """Exit code 2, nothing on stdout, no file."""
    done = cli("draw", *arguments)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert message in done.err
    assert list(here.iterdir()) == []


def test_long_codes_give_short_names_that_differ() -> None:
    """Two cells that begin alike do not share a file."""
    cells = [
        f"nasbench201:|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|none~0|none~1|{op}~2|" for op in ("a", "b")
    ]
    one, other = map(file_name, cells)
    assert one != other
    assert max(len(one), len(other)) <= MAX_NAME + 13


@pytest.mark.parametrize("spec", ["", "...", "///", "||||", "\x00", "日本", ".json"])
def test_every_text_gives_a_name(spec: str) -> None:
    """A visible file in the current folder."""
    name = file_name(spec)
    assert name.endswith(".svg")
    assert "/" not in name
    assert not name.startswith((".", "-"))
