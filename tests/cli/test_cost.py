"""`archwright cost`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from archwright.costs import SpaceTable
from archwright.spaces.opening import open_space

Cli = Callable[..., Any]

SPACE = """
import torch
import archwright as aw

class Strange(torch.nn.Module):
    def forward(self, x):
        return torch.linalg.matrix_exp(x)

class Toy(aw.Space):
    input_shape, n_classes = (1, 4, 4), 2

    def network(self, choose):
        body = choose.op("op", {"pass": torch.nn.Identity, "strange": Strange})
        height, width = self.input_shape[1:]
        return torch.nn.Sequential(body, torch.nn.Flatten(), torch.nn.Linear(height * width, 2))
"""


@pytest.fixture
def toy(tmp_path: Any) -> str:
    """A space with an operation that has no rule."""
    (tmp_path / "toy.py").write_text(SPACE)
    return f"{tmp_path / 'toy.py'}:Toy"


def test_text_of_a_published_network(cli: Cli) -> None:
    """The paper's network to the digit; the zero-cost convention is said."""
    lines = cli("cost", "spos-block").out.splitlines()
    assert lines[:5] == [
        "spos-block",
        "  input                  3x224x224",
        "  params                 3,345,088 (3.3 M)",
        "  macs                   318,729,024 (318.7 M)",
        "  flops                  637,458,048 (637.5 M)",
    ]
    assert [line.split()[0] for line in lines[5:8]] == [
        "memory_access_bytes",
        "activation_peak_bytes",
        "model_size_bytes",
    ]
    assert lines[8] == "  not counted            nothing"
    assert lines[9].startswith("  zero by convention     batch and layer norms, activations")


def test_what_was_not_counted_is_named(cli: Cli, toy: str) -> None:
    """Never silently zero."""
    document = json.loads(cli("cost", f"{toy}:1", "--json").out)
    assert document["macs"] == 16 * 2
    assert any("matrix_exp" in name for name in document["uncounted"])


def test_another_input_and_class_number(cli: Cli) -> None:
    """A published network keeps its 20 blocks at 32 pixels; a class more is 1024 weights more."""
    ten, eleven = (
        json.loads(cli("cost", "SPOS_block", "--input", "3x32x32", "--classes", n, "--json").out) for n in (10, 11)
    )
    assert ten["input"] == [3, 32, 32]
    assert len(ten["arch"]) == 20
    assert eleven["params"] - ten["params"] == 1024


def test_json_has_the_documented_keys(cli: Cli) -> None:
    """One document on stdout; flops are twice the macs."""
    document = json.loads(cli("cost", "spos:" + "0" * 20, "--json").out)
    memory = {"memory_access_bytes", "activation_peak_bytes", "model_size_bytes"}
    assert set(document) >= {"arch", "input", "params", "macs", "flops", "uncounted", *memory}
    assert document["flops"] == 2 * document["macs"] == 2 * 295_842_496


@pytest.mark.parametrize("text", ["224", "3x224x", "3x0x3"])
def test_an_input_of_another_form_is_refused(cli: Cli, text: str) -> None:
    """Exit code 2 and one line."""
    done = cli("cost", "spos-block", "--input", text)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)


def test_too_small_an_input_says_the_smallest(cli: Cli) -> None:
    """Only an explicit input can be too small."""
    done = cli("cost", "spos-block", "--input", "3x3x3")
    assert done.code == 2
    assert "at least 4 pixels" in done.err


def test_unknown_architecture(cli: Cli) -> None:
    """Exit code 2 and the nearest name."""
    done = cli("cost", "spso-block")
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert "spos-block" in done.err


def test_latency_is_measured_now(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """By both backends, as in result.json."""
    found = json.loads(cli("cost", "lenet:000000", "--latency", "--json").out)["latency_ms"]
    assert list(found) == ["onnxruntime", "torch"]
    for one in found.values():
        assert 0 < one["median"] <= one["p90"]
        assert (one["threads"], one["repeats"]) == (1, 50)
    monkeypatch.setenv("COLUMNS", "200")
    lines = cli("cost", "lenet:000000", "--latency").out.splitlines()
    assert [line.split()[0] for line in lines if "latency" in line] == ["latency_ms", "latency_ms.torch"]
    assert any("(torch, batch 1, 1 thread, median; nine in ten passes stay below " in line for line in lines)


@pytest.fixture
def table(toy: str, tmp_path: Any) -> Any:
    """Of the toy space: 3 ms, and 1 more where the operation is strange; twice that and 1."""
    space = open_space(toy)
    machine = {"processor": "a board", "machine": "aarch64", "cpu_count": 4, "platform": "Linux"}
    about = {"space": space.name, "space_args": space.args(), "decisions": space.decisions.fingerprint}
    line = {"factor": 2.0, "intercept": 1.0, "machine": machine, "threads": 2}
    entries = {"op=pass": 0.0, "op=strange": 1.0}
    SpaceTable("t", entries, 3.0, scopes=(("op",),), **about, **line).save(tmp_path / "table.json")
    return tmp_path / "table.json"


def test_latency_is_predicted_by_a_table(cli: Cli, toy: str, table: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """2 x (3 + 1) + 1 ms by hand; the text names the machine of the table."""
    document = json.loads(cli("cost", f"{toy}:1", "--latency", "--table", table, "--json").out)
    machine = {"processor": "a board", "machine": "aarch64", "cpu_count": 4, "platform": "Linux"}
    assert document["latency_ms"] == {"onnxruntime": {"predicted": 9.0, "threads": 2, "machine": machine}}
    monkeypatch.setenv("COLUMNS", "200")
    text = cli("cost", f"{toy}:1", "--latency", "--table", table).out
    how = "onnxruntime, batch 1, 2 threads; predicted by a table of a board, 4 CPUs, Linux"
    assert f"latency_ms             9 ({how})" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("lenet:000000", "--latency"), "with other decisions than 'lenet' has; measure this one"),
        (("--input", "1x5x5", "--latency"), "was measured for input_shape [1, 4, 4] instead of [1, 5, 5]"),
        (("lenet:000000",), "--table predicts a latency; add --latency"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(
    cli: Cli, toy: str, table: Any, arguments: tuple[str, ...], message: str
) -> None:
    """Exit code 2 and one line, before anything is counted."""
    arch = () if arguments[0].startswith("lenet") else (f"{toy}:1",)
    done = cli("cost", *arch, *arguments, "--table", table)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert message in done.err
