"""`archwright cost`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

Cli = Callable[..., Any]
DOCUMENT = {
    "arch": "toy:1",
    "input": [3, 32, 32],
    "params": 9_876,
    "macs": 2_345_678,
    "flops": 4_691_356,
    "memory_access_bytes": None,
    "uncounted": [],
}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the counting function was asked, in place of which a canned document answers; "uncounted" may be set."""
    said: dict[str, Any] = {"uncounted": []}
    spaces, costs = ModuleType("archwright.spaces"), ModuleType("archwright.costs")

    def count(space: Any, arch: Any, **options: Any) -> dict[str, Any]:
        said.update(space=space, arch=arch, **options)
        return {**DOCUMENT, "uncounted": said["uncounted"]}

    costs.__dict__["cost"] = count
    spaces.__dict__["open_architecture"] = lambda spec: SimpleNamespace(name=spec, space="the space", arch="the arch")
    monkeypatch.setitem(sys.modules, "archwright.spaces", spaces)
    monkeypatch.setitem(sys.modules, "archwright.costs", costs)
    return said


def test_text(cli: Cli, asked: dict[str, Any]) -> None:
    """Exact numbers, large ones with their magnitude; the zero-cost convention is said."""
    assert cli("cost", "toy:1").out.splitlines() == [
        "toy:1",
        "  input                3x32x32",
        "  params               9,876",
        "  macs                 2,345,678 (2.3 M)",
        "  flops                4,691,356 (4.7 M)",
        "  memory_access_bytes  unknown",
        "  not counted          nothing; zero by convention: batch norm, activations, pooling, additions",
    ]


def test_what_was_not_counted_is_named(cli: Cli, asked: dict[str, Any]) -> None:
    """Never silently zero."""
    asked["uncounted"] = ["aten::fft_fft", "toy.Strange"]
    assert cli("cost", "toy:1").out.splitlines()[-1] == "  not counted          aten::fft_fft, toy.Strange"


def test_options_reach_the_function(cli: Cli, asked: dict[str, Any]) -> None:
    """Input and classes as numbers; none where they are not given."""
    cli("cost", "toy:1")
    assert (asked["input_shape"], asked["n_classes"]) == (None, None)
    cli("cost", "toy:1", "--input", "3x64x48", "--classes", 7)
    assert (asked["space"], asked["input_shape"], asked["n_classes"]) == ("the space", (3, 64, 48), 7)


def test_json_is_the_document(cli: Cli, asked: dict[str, Any]) -> None:
    """One document on stdout and nothing else."""
    assert json.loads(cli("cost", "toy:1", "--json").out) == DOCUMENT


def test_bad_input_is_refused_before_anything_is_built(cli: Cli, asked: dict[str, Any]) -> None:
    """One line that shows the form."""
    done = cli("cost", "toy:1", "--input", "224")
    assert done.code == 0
    done = cli("cost", "toy:1", "--input", "3x224x")
    assert (done.code, done.out) == (2, "")
    assert done.err == "error: --input is '3x224x'; give channels x height x width, like 3x224x224\n"


def test_real_architecture(cli: Cli) -> None:
    """A SPOS network by its code: the documented keys, and flops twice the macs."""
    document = json.loads(cli("cost", "spos:" + "0" * 20, "--input", "3x224x224", "--json").out)
    documented = {"arch", "input", "params", "macs", "flops", "memory_access_bytes", "activation_peak_bytes"}
    assert set(document) >= documented - {"memory_access_bytes", "activation_peak_bytes"} | {"uncounted"}
    assert document["flops"] == 2 * document["macs"] > 0
    assert document["input"] == [3, 224, 224]


def test_unknown_architecture(cli: Cli) -> None:
    """Exit code 2 and one line."""
    done = cli("cost", "spso-block")
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
