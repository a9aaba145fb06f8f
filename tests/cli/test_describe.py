"""`archwright describe`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

Cli = Callable[..., Any]
DOCUMENT = {
    "space": "toy",
    "size": 4**20,
    "n_decisions": 2,
    "decisions": [
        {"name": "depth", "values": [1, 2], "when": None},
        {"name": "kernel", "values": [3, 5, 7], "when": "depth is 2"},
    ],
    "smallest": {"params": 1234, "macs": 5_600_000},
    "largest": {"params": 2_000_000, "macs": 7_800_000},
    "inputs": ["3x224x224", "3x32x32"],
}


@pytest.fixture
def canned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any space answers with the same description."""
    spaces = ModuleType("archwright.spaces")
    spaces.__dict__["open_space"] = lambda spec: SimpleNamespace(describe=lambda: DOCUMENT)
    monkeypatch.setitem(sys.modules, "archwright.spaces", spaces)


@pytest.mark.usefixtures("canned")
def test_text(cli: Cli) -> None:
    """The exact size beside its magnitude; decisions with their values and when they matter."""
    assert cli("describe", "toy").out.splitlines() == [
        "space     toy",
        "size      1,099,511,627,776 (1.10e+12)",
        "smallest  params 1.2 k, macs 5.6 M",
        "largest   params 2.0 M, macs 7.8 M",
        "inputs    3x224x224, 3x32x32",
        "",
        "2 decisions",
        "  depth   1, 2",
        "  kernel  3, 5, 7 when depth is 2",
    ]


@pytest.mark.usefixtures("canned")
def test_json_is_the_document(cli: Cli) -> None:
    """The size stays an exact integer."""
    assert json.loads(cli("describe", "toy", "--json").out) == DOCUMENT


def test_real_space(cli: Cli) -> None:
    """The paper's space: 20 blocks of 4 choices at 224 pixels."""
    document = json.loads(cli("describe", "spos", "--json").out)
    assert set(document) >= {"space", "size", "n_decisions", "decisions", "smallest", "largest", "inputs"}
    assert document["size"] == 4 ** document["n_decisions"]


def test_unknown_space_offers_the_nearest(cli: Cli) -> None:
    """Exit code 2 and one line."""
    done = cli("describe", "spso")
    assert (done.code, done.out) == (2, "")
    assert done.err == "error: unknown space 'spso'; did you mean spos?\n"
