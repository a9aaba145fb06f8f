"""`archwright profile`."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

Cli = Callable[..., Any]
RunPython = Callable[..., subprocess.CompletedProcess[str]]

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


def test_a_stopped_measurement_goes_on(cli: Cli, toy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was timed before is not timed again; asked otherwise, or of a damaged file, all is."""
    from archwright.costs.profiling import profile as profiling

    path, measure, names = tmp_path / "table.json", profiling.measure_latency, list[str]()
    command = ("profile", toy, "--backend", "torch", "--repeats", 2, "-o", path)

    def stops_after(n: int) -> None:
        def timed(network: Any, *arguments: Any, **how: Any) -> Any:
            if len(names) == n:
                raise KeyboardInterrupt
            names.append(type(network).__name__)
            return replace(measure(network, *arguments, **how), spread=0.0)

        names.clear()
        monkeypatch.setattr(profiling, "measure_latency", timed)

    stops_after(99)
    assert cli(*command).code == 0
    n_all = len(names)
    for damage, left in ((None, n_all - 3), ("{", n_all)):
        stops_after(3)
        assert cli(*command).code == 130
        partial = tmp_path / "table.json.unfinished"
        if damage:
            partial.write_text(damage)
        stops_after(99)
        assert cli(*command).code == 0
        assert len(names) == left
        assert not partial.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--backend", "tvm", "-o", "t.json"), "backend is 'tvm'; choose one of onnxruntime, torch"),
        (("--repeats", "0", "-o", "t.json"), "repeats is 0; give at least 1"),
        (("--input", "5", "-o", "."), "is a folder; give the file to write"),
        ((), "no file is given for the table; add -o FILE, or --bundle DIR"),
        (("--bundle", "new", "-o", "t.json"), "leave -o out"),
        (("--bundle", "new", "--backend", "torch"), "measured in ONNX Runtime, not in torch; leave --backend out"),
        (("--bundle", "new", "--from", "m.json"), "give one of them"),
        (("--bundle", "."), "is not empty; give a new folder"),
        (("--from", "m.json"), "no file is given for the table"),
        (("--from", "m.json", "-o", "t.json", "--threads", "2", "--repeats", "9"), "leave --threads and --repeats out"),
        (("--from", "m.json", "-o", "t.json"), "m.json cannot be read: No such file or directory; give the file that"),
    ],
)
def test_what_can_be_mended_is_one_line(cli: Cli, toy: str, options: tuple[str, ...], message: str) -> None:
    """Exit code 2, and nothing is measured."""
    done = cli("profile", toy, *options)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert message in done.err


def test_a_table_comes_back_from_the_device(cli: Cli, toy: str, tmp_path: Path, run_python: RunPython) -> None:
    """By the two commands of the folder's README; what is printed says where it was measured."""
    options = ("--input", "1x5x5", "--classes", 3)
    done = cli("profile", toy, "--bundle", tmp_path / "bundle", *options, "--repeats", 3)
    assert done.code == 0, done.err
    assert done.out.startswith(f"wrote {tmp_path / 'bundle'}: 5 parts, 0.")
    script, command = [
        line.strip() for line in (tmp_path / "bundle/README.txt").read_text().splitlines() if line[:7] == " " * 7
    ]
    measured = run_python(*[str(tmp_path / "bundle" / name) for name in shlex.split(script)[1:]])
    assert (measured.returncode, measured.stderr) == (0, "")
    program, *arguments = shlex.split(command)
    assert program == "archwright"
    paths = {"measurements.json": tmp_path / "bundle/measurements.json", "table.json": tmp_path / "table.json"}
    done = cli(*[paths.get(argument, argument) for argument in arguments])
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[0] == f"{toy} at 1x5x5 in onnxruntime, 1 thread: 2 entries"
    assert any(line.startswith("measured on ") and ", ONNX Runtime 1." in line for line in lines)
    assert any(line.startswith("clock: ") and "% apart" in line for line in lines)
    document = json.loads((tmp_path / "table.json").read_text())
    assert document["space_args"] == {"input_shape": [1, 5, 5], "n_classes": 3}
    assert document["machine"]["repeats"] == 3


def test_a_bundle_of_another_input_is_refused(cli: Cli, toy: str, tmp_path: Path) -> None:
    """One line that says what differs."""
    assert cli("profile", toy, "--bundle", tmp_path / "bundle").code == 0
    bundle = json.loads((tmp_path / "bundle/bundle.json").read_text())
    document = {"format": 1, "unit": "ms", "bundle": bundle, "bundle_sha256": bundle["sha256"]}
    (tmp_path / "m.json").write_text(json.dumps(document))
    done = cli("profile", toy, "--from", tmp_path / "m.json", "-o", tmp_path / "t.json", "--input", "1x5x5")
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert "was measured for input_shape [1, 4, 4] instead of [1, 5, 5]; give what belongs to it" in done.err
