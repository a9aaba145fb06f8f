"""`archwright profile`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Cli = Callable[..., Any]

SPACE = """
import torch
import archwright as aw

class Toy(aw.Space):
    input_shape, n_classes = (1, 4, 4), 2

    def network(self, choose):
        body = choose.op("op", {"pass": torch.nn.Identity, "relu": torch.nn.ReLU})
        height, width = self.input_shape[1:]
        return torch.nn.Sequential(body, torch.nn.Flatten(), torch.nn.Linear(height * width, self.n_classes))
"""


@pytest.fixture
def toy(tmp_path: Path) -> str:
    """Two networks."""
    (tmp_path / "toy.py").write_text(SPACE)
    return f"{tmp_path / 'toy.py'}:Toy"


def test_a_table_is_written(cli: Cli, toy: str, tmp_path: Path) -> None:
    """At the input that was asked for; predicted stands beside measured for whole networks."""
    path = tmp_path / "table.json"
    done = cli("profile", toy, "--backend", "torch", "--input", "1x5x5", "--classes", 3, "--repeats", 2, "-o", path)
    assert done.code == 0
    document = json.loads(path.read_text())
    assert document["space_args"] == {"input_shape": [1, 5, 5], "n_classes": 3}
    assert (document["backend"], document["threads"], document["unit"]) == ("torch", 1, "ms")
    assert set(document["entries"]) == {"op=pass", "op=relu"}
    lines = done.out.splitlines()
    assert lines[0] == f"{toy} at 1x5x5 in torch, 1 thread: 2 entries"
    assert lines[3].split() == ["predicted", "measured", "whole", "network"]
    assert len([line for line in lines if " ms  " in line]) == len(document["checked"]) == 2
    assert lines[-1] == f"wrote {path}"
    assert done.err.startswith("profile: started")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--backend", "tvm", "-o", "t.json"), "backend is 'tvm'; choose one of onnxruntime, torch"),
        (("--repeats", "0", "-o", "t.json"), "repeats is 0; give at least 1"),
        (("--input", "5", "-o", "."), "is a folder; give the file to write"),
        ((), "Missing option"),
    ],
)
def test_what_can_be_mended_is_one_line(cli: Cli, toy: str, options: tuple[str, ...], message: str) -> None:
    """Exit code 2, and nothing is measured."""
    done = cli("profile", toy, *options)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert message in done.err
