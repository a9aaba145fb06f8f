"""What a shell is offered behind Tab."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any, get_args

import pytest

from archwright.cli import completion
from archwright.cli.app import COMMANDS
from archwright.cli.export import FORMATS
from archwright.cli.listing import PLURALS
from archwright.core import catalog
from archwright.costs.latency import Backend
from archwright.export.files import EXPORT_FORMATS
from archwright.recipes import SposConfig

Complete = Callable[[str], list[str]]


@pytest.fixture
def offered(cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Complete:
    """What bash offers for a line that is typed up to its end."""

    def complete(line: str) -> list[str]:
        monkeypatch.setenv("_ARCHWRIGHT_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(len(line.split(" ")) - 1))
        done = cli()
        assert (done.code, done.err) == (0, "")
        return str(done.out).split()

    return complete


def test_commands(offered: Complete) -> None:
    """All of them, or those that begin so."""
    assert offered("archwright ") == list(COMMANDS)
    assert offered("archwright se") == [name for name in COMMANDS if name.startswith("se")]


def test_options(offered: Complete) -> None:
    """Those of the command."""
    assert offered("archwright search spos --max-") == ["--max-macs", "--max-params", "--max-latency-ms"]


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("archwright search ", "recipe"),
        ("archwright search spos --space ", "space"),
        ("archwright describe ", "space"),
        ("archwright profile ", "space"),
    ],
)
def test_names_of_the_catalogue(offered: Complete, line: str, kind: catalog.Kind) -> None:
    """As `list` names them."""
    assert offered(line) == [entry.name for entry in catalog.entries(kind)]


@pytest.mark.parametrize("command", ["cost", "train", "draw"])
def test_architectures(offered: Complete, command: str) -> None:
    """Published names, and spaces that a code follows."""
    found = offered(f"archwright {command} ")
    assert found[: len(catalog.entries("architecture"))] == [e.name for e in catalog.entries("architecture")]
    assert "nasbench201:" in found


def test_data(offered: Complete) -> None:
    """Names that need a path end in a colon."""
    assert offered("archwright search spos --data ") == [
        "digits",
        "folder:",
        "mnist5k",
        "npz:",
        "pydoc",
        "text:",
        "torchvision:",
    ]


def test_every_kind_of_names_is_offered(offered: Complete) -> None:
    """Of `list`."""
    assert offered("archwright list ") == list(PLURALS)


def test_presets_are_those_of_recipes(offered: Complete) -> None:
    """Each is one that a recipe takes."""
    presets = offered("archwright search spos --preset ")
    assert presets == list(completion.PRESETS)
    assert all(SposConfig.preset(name, (3, 32, 32)) for name in presets)


def test_fixed_values_are_those_accepted(offered: Complete) -> None:
    """Formats of `export` and backends of `profile`, written down once more because torch must not be waited for."""
    assert set(FORMATS) == set(EXPORT_FORMATS)
    assert offered("archwright export runs/a --format ") == list(FORMATS)
    assert offered("archwright profile spos --backend ") == list(get_args(Backend))


def test_limits(offered: Complete) -> None:
    """The name with its equals sign, spelled as results spell it."""
    assert offered("archwright search spos --limit m") == ["macs=", "memory_access_bytes=", "model_size_bytes="]


def test_spelling_does_not_matter() -> None:
    """Case and underscores: what names are compared in."""
    assert [value for value, _ in completion.names("space")("NASBENCH201_S")] == ["nasbench201-size"]


def test_torch_is_not_waited_for(child_environment: Mapping[str, str]) -> None:
    """A Tab must answer at once."""
    code = """
import atexit, sys
atexit.register(lambda: print({"torch", "numpy", "rich"} & {*sys.modules}))
from archwright.cli import main
main()
"""
    words = {"_ARCHWRIGHT_COMPLETE": "complete_bash", "COMP_WORDS": "archwright search ", "COMP_CWORD": "2"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**child_environment, **words},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.splitlines()[-1] == "set()"
    assert "spos" in done.stdout.splitlines()
