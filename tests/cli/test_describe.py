"""`archwright describe`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Cli = Callable[..., Any]

SPACE = """
import torch
import archwright as aw

class Toy(aw.Space):
    input_shape, n_classes = (1, 4, 4), 2

    def network(self, choose):
        def block(i):
            return choose.op(f"op{i}", {"pass": torch.nn.Identity, "relu": torch.nn.ReLU})

        body = choose.repeat("depth", [1, 2], block)
        return torch.nn.Sequential(body, torch.nn.Flatten(), torch.nn.Linear(16, 2))
"""


def test_text_of_the_papers_space(cli: Cli) -> None:
    """The exact size beside its magnitude, the extremes, the inputs, and the decisions with their values."""
    lines = cli("describe", "spos").out.splitlines()
    assert lines[:2] == ["space     spos", "size      1,099,511,627,776 (1.10e+12)"]
    assert lines[2].startswith("smallest  arch 30003000300000003000, ")
    assert lines[4:7] == [
        "inputs    3x224x224, 1000 classes (shown here)",
        "          64 pixels a side and more: form imagenet, 20 blocks",
        "          4 to 63 pixels: form small, 10 blocks",
    ]
    assert lines[8:10] == ["20 decisions", "  block0   shuffle3, shuffle5, shuffle7, xception"]


def test_a_users_own_space_with_conditions(cli: Cli, tmp_path: Any) -> None:
    """The second block is chosen only where there is one: 2 + 4 architectures."""
    file = tmp_path / "toy.py"
    file.write_text(SPACE)
    document = json.loads(cli("describe", f"{file}:Toy", "--json").out)
    assert document["size"] == 6
    assert document["decisions"][-1] == {"name": "op1", "values": ["pass", "relu"], "when": [{"depth": [2]}]}
    assert cli("describe", f"{file}:Toy").out.splitlines()[-1].endswith("when depth 2")


def test_json_has_the_documented_keys(cli: Cli) -> None:
    """The size stays an exact integer."""
    document = json.loads(cli("describe", "spos", "--json").out)
    assert list(document) == ["space", "size", "n_decisions", "decisions", "smallest", "largest", "uncounted", "inputs"]
    assert document["size"] == 4 ** document["n_decisions"] == 4**20


def test_unknown_space_offers_the_nearest(cli: Cli) -> None:
    """Exit code 2 and one line."""
    done = cli("describe", "spso")
    assert (done.code, done.out) == (2, "")
    assert done.err == "error: unknown space 'spso'; did you mean spos or snas?\n"


def test_long_lists_of_values_are_cut(cli: Cli, tmp_path: Path) -> None:
    """63 sets of six states: the first eight, the last, and how many; all of them with --json."""
    (tmp_path / "sets.py").write_text(SETS)
    name = f"{tmp_path / 'sets.py'}:Sets"
    text = " ".join(cli("describe", name).out.split())
    assert "[0], [1], [2], [3], [4], [5], [0, 1], [0, 2], …, [0, 1, 2, 3, 4, 5] (63 in all)" in text
    (kept,) = json.loads(cli("describe", name, "--json").out)["decisions"]
    assert len(kept["values"]) == 63


SETS = """
import torch
import archwright as aw


class Several(torch.nn.Module):
    def forward(self, x):
        return [x] * 6


class Sets(aw.Space):
    input_shape, n_classes = (1, 4, 4), 2

    def network(self, choose):
        node = choose.inputs("kept", 6, range(1, 7), lambda j: torch.nn.Conv2d(1, 2, 1))
        return torch.nn.Sequential(Several(), node, aw.nn.GlobalAvgPool2d(), torch.nn.Linear(2, self.n_classes))
"""
