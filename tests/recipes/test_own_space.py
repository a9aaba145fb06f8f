"""A user's own space, in a file of its own, from the command line to an exported network; and what can be wrong."""

from __future__ import annotations

import json
import shutil
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from archwright.costs import count
from archwright.export.onnx import onnx_session
from archwright.finish.result import open_winner
from archwright.spaces import open_space

Cli = Callable[..., Any]
SETTINGS = {
    **{"supernet.batch_size": 8, "supernet.steps": 2, "retrain.batch_size": 8, "retrain.steps": 2, "n_draws": 0},
    **{"evolution.population": 2, "evolution.top": 1, "evolution.mutations": 1, "evolution.crossovers": 1},
}
TINY = tuple(word for name, value in SETTINGS.items() for word in ("--set", f"{name}={value}"))
SMOKE = ("search", "spos", "--preset", "smoke", "--threads", "1", "--device", "cpu")

MY_SPACE = """
import torch
import archwright as aw

print("a user's file may print")


class MySpace(aw.Space):                                    # a user's space: one method
    input_shape, n_classes = (3, 32, 32), 10
    def network(self, choose):
        width = choose.number("width", [16, 24, 32])
        stem  = aw.nn.Conv2d(3, width, choose.number("kernel", [3, 5, 7]))
        body  = choose.repeat("depth", [2, 3, 4], lambda i: aw.nn.ResidualBlock(width, name=f"block{i}"))
        act   = choose.op("act", {"relu": torch.nn.ReLU, "silu": torch.nn.SiLU})
        return aw.nn.Classifier(stem, body, act, n_classes=self.n_classes)


class AnyImage(aw.Space):
    def network(self, choose):
        width = choose.number("width", [16, 24, 32])
        stem  = aw.nn.Conv2d(self.input_shape[0], width, choose.number("kernel", [3, 5, 7]))
        body  = choose.repeat("depth", [2, 3, 4], lambda i: aw.nn.ResidualBlock(width, name=f"block{i}"))
        act   = choose.op("act", {"relu": torch.nn.ReLU, "silu": torch.nn.SiLU})
        return aw.nn.Classifier(stem, body, act, n_classes=self.n_classes)
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file with both spaces."""
    path = tmp_path_factory.mktemp("own") / "mine.py"
    path.write_text(MY_SPACE, "utf-8")
    return path


@pytest.fixture(scope="module")
def colours(file: Path) -> str:
    """120 colour images in ten classes, as `--data`."""
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (120, 32, 32, 3), dtype=np.uint8), np.arange(120) % 10
    path = file.with_name("colours.npz")
    np.savez(path, x_train=images, y_train=labels, x_test=images[:40], y_test=labels[:40])
    return f"npz:{path}"


@pytest.fixture(scope="module")
def run(file: Path) -> Path:
    """A finished run on the digits, under a limit; tests do not change it."""
    from archwright.cli import main

    folder = file.with_name("run")
    space = f"{file}:AnyImage"
    assert main([*SMOKE, "--data", "digits", "--space", space, "--max-macs", "2M", "--out", str(folder)]) == 0
    return folder


# ── from the file to the network ──────────────────────────────────────────────────────────────────


def test_the_documented_space_is_searched_and_exported(cli: Cli, file: Path, colours: str) -> None:
    """On colour images, as its stem takes them: the ONNX file gives the logits of the winner's weights."""
    folder = file.with_name("colour-run")
    done = cli(*SMOKE, "--data", colours, "--space", f"{file}:MySpace", *TINY, "--out", folder)
    assert done.code == 0, done.err
    found, network, _ = open_winner(folder)
    images = np.random.default_rng(1).normal(size=(3, 3, 32, 32)).astype(np.float32)
    logits = onnx_session(folder / "best" / "model.onnx").run(None, {"images": images})[0]
    with torch.no_grad():
        np.testing.assert_allclose(logits, network(torch.from_numpy(images)), rtol=1e-4, atol=1e-4)
    assert (found.space.name, found.space.size()) == (f"{file}:MySpace", 3 * 3 * 3 * 2)


def test_limits_hold_for_elastic_sizes(run: Path) -> None:
    """Searched by table, counted on the winner: the same figure, below the limit."""
    record = json.loads((run / "result.json").read_text("utf-8"))
    _, network, _ = open_winner(run)
    macs = count(network, (1, 8, 8)).macs
    limit = {"cost": "macs", "limit": 2e6, "predicted": macs, "value": macs, "satisfied": True}
    assert record["constraints"] == [limit]
    assert record["macs"] == macs <= 2e6


def test_the_run_s_arch_opens_its_space_again(run: Path, file: Path) -> None:
    """By the file and the class the user named, for the images it was searched on, with the hash of its decisions."""
    document = json.loads((run / "best" / "arch.json").read_text("utf-8"))
    space = open_space(f"{file}:AnyImage")
    assert document["space"] == f"{file}:AnyImage"
    assert document["space_args"] == {"input_shape": [1, 8, 8], "n_classes": 10}
    assert document["decisions"] == space.decisions.fingerprint


def test_a_finished_run_is_opened_again(cli: Cli, run: Path) -> None:
    """With --resume and nothing else: the space is part of the run."""
    done = cli("search", "spos", "--out", run, "--resume")
    assert (done.code, done.out.splitlines()[0].split()[0]) == (0, "winner")


def test_a_run_that_stopped_goes_on(cli: Cli, run: Path, tmp_path: Path) -> None:
    """From the stored trials of a run whose end is missing, to the same result."""
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    (copy / "result.json").unlink()
    shutil.rmtree(copy / "best")
    (copy / "checkpoints" / "export.safetensors").unlink()
    assert cli("search", "spos", "--out", copy, "--resume").code == 0
    records = [json.loads((folder / "result.json").read_text("utf-8")) for folder in (run, copy)]
    whole, continued = ({name: value for name, value in r.items() if name != "ledger"} for r in records)
    assert continued == whole


def test_describe_and_cost_print_results_only(cli: Cli, file: Path) -> None:
    """One JSON document on stdout, though the file prints; exact size, documented keys."""
    described = json.loads(cli("describe", f"{file}:MySpace", "--json").out)
    assert (described["size"], described["n_decisions"]) == (54, 4)
    costed = json.loads(cli("cost", f"{file}:MySpace:2221", "--json").out)
    # stem 3 -> 32 of 7x7 with bias, four blocks of two 3x3 convolutions, classifier; each on 32 x 32 pixels
    assert costed["macs"] == 32 * 32 * (3 * 32 * 49 + 8 * 32 * 32 * 9) + 32 * 10
    assert costed["uncounted"] == []


def test_a_file_is_imported_once_and_only_when_named(cli: Cli, tmp_path: Path) -> None:
    """A search that names one file runs it once; another file in the same folder is left alone."""
    noted = tmp_path / "noted.txt"
    for name in ("used", "unused"):
        text = f"with open({str(noted)!r}, 'a') as notes: notes.write('{name} ')\n" + MY_SPACE
        (tmp_path / f"{name}.py").write_text(text, "utf-8")
    assert cli(*SMOKE, "--space", f"{tmp_path / 'used.py'}:AnyImage", "--dry-run").code == 0
    assert cli("describe", f"{tmp_path / 'used.py'}:AnyImage").code == 0
    assert cli("describe", "spos").code == 0
    assert noted.read_text() == "used "


# ── what can be wrong ─────────────────────────────────────────────────────────────────────────────


def refused(done: Any) -> str:
    """The line on stderr of a command that ends with 2 and prints nothing else."""
    lines = [line for line in done.err.splitlines() if line != "a user's file may print"]
    assert (done.code, done.out, len(lines)) == (2, "", 1), done
    assert lines[0].startswith("error: ")
    return str(lines[0])


def test_a_network_for_other_images_is_refused(cli: Cli, file: Path, tmp_path: Path) -> None:
    """Three channels are written down, the digits have one: layer, input and what to do."""
    folder = tmp_path / "run"
    line = refused(cli(*SMOKE, "--data", "digits", "--space", f"{file}:MySpace", "--out", folder))
    assert f"space '{file}:MySpace' at input (1, 8, 8): layer '0' (ElasticConv2d) fails whatever is chosen: " in line
    assert "(its input: (2, 1, 8, 8))" in line
    assert "by itself the class takes (3, 32, 32) and 10 classes; let its network take these from self.inp" in line
    assert not folder.exists()


NETWORKS = {
    "asked again with other values": (
        'aw.nn.Classifier(aw.nn.Conv2d(1, choose.number("w", [4, 8]), 3), aw.nn.Conv2d(4, choose.number("w", [4]), 3))',
        "decision 'w' was first asked as number of [4, 8] and then as number of [4]; use one list for one name, or two",
    ),
    "a width of zero everywhere": (
        'aw.nn.Conv2d(1, choose.number("width", [0]), 3)',
        "a layer's size is 0 at most (decisions width); give it a value of at least 1 (",
    ),
    "a width of zero for one value": (
        'aw.nn.Classifier(aw.nn.Conv2d(1, choose.number("width", [0, 8]), 3), n_classes=10)',
        "decision 'width' = 0 breaks layer '0' (ElasticConv2d) (8 does not): it has a size of 0",
    ),
    "raises": ("1 / 0", "cannot be built: ZeroDivisionError: division by zero ("),
    "exits": ("sys.exit(3)", "cannot be built: SystemExit: 3 ("),
    "branches on a lazy value": (
        'aw.nn.Conv2d(1, 4, 3 if choose.number("width", [4, 8]) > 4 else 1)',
        "comparison (<) of a value that depends on decision 'width': it has no single value while the space is defined",
    ),
    "returns no module": ("choose.number('width', [4, 8])", "is LazyDecision; it must return a torch.nn.Module"),
    "has no forward for its input": (
        'torch.nn.Sequential(choose.op("op", {"a": Odd, "b": Odd}), torch.nn.Flatten())',
        "layer '0.b' (Odd) fails whatever is chosen: KeyError: 'missing' (its input: (2, 1, 8, 8))",
    ),
    "mixes up what is chosen": ("choose.number('width', ['a', 'b'])", "give plain numbers, at least one"),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_faulty_network_is_refused_in_one_line(cli: Cli, tmp_path: Path, name: str) -> None:
    """Before anything starts; with the line of the file where Python knows it."""
    body, message = NETWORKS[name]
    path = tmp_path / "mine.py"
    text = f"""
        import sys
        import torch
        import archwright as aw

        class Odd(torch.nn.Module):
            def forward(self, x):
                return {{}}["missing"]

        class Mine(aw.Space):
            def network(self, choose):
                return {body}
        """
    path.write_text(textwrap.dedent(text), "utf-8")
    line = refused(cli(*SMOKE, "--space", f"{path}:Mine", "--out", tmp_path / "run"))
    assert message in line
    assert f"space '{path}:Mine'" in line
    if "cannot be built" in line:
        assert line.endswith(f"({path}, line 12)")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("text", "spec", "message"),
    [
        (
            "x = 1\nraise ValueError('two\\nlines')",
            "Mine",
            "raised while it was imported: ValueError: two lines ({file}, ",
        ),
        ("def f(:", "Mine", "raised while it was imported: SyntaxError: invalid syntax (mine.py, line 1)"),
        ("import sys\nsys.exit('bye')", "Mine", "raised while it was imported: SystemExit: bye ({file}, line 2)"),
        ("import nothing_like_it", "Mine", "ModuleNotFoundError: No module named 'nothing_like_it' ({file}, line 1)"),
        (MY_SPACE, "AnyImages", "unknown space in {file} 'AnyImages'; did you mean AnyImage?"),
        ("Mine = 3", "Mine", "{file}:Mine is no subclass of archwright.Space; {file} has none"),
        (
            "import archwright as aw\nclass Mine(aw.Space):\n def __init__(self): pass\n def network(self, c): pass",
            "Mine",
            "takes no input_shape, which the data decide; let it take **rest and call super().__init__(**rest)",
        ),
        (
            "import archwright as aw\nclass Mine(aw.Space):\n def __init__(self, **r): 1 / 0\n def network(self, c): 0",
            "Mine",
            "could not be made: ZeroDivisionError: division by zero",
        ),
    ],
)
def test_a_faulty_file_is_refused_in_one_line(cli: Cli, tmp_path: Path, text: str, spec: str, message: str) -> None:
    """By name, with what Python said and where."""
    path = tmp_path / "mine.py"
    path.write_text(text, "utf-8")
    line = refused(cli(*SMOKE, "--space", f"{path}:{spec}", "--out", tmp_path / "run"))
    assert message.format(file=path) in line
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("before", "after", "what"),
    [
        ("[16, 24, 32]", "[8, 64]", "decision 'width' has no value"),
        ('"depth"', '"length"', "unknown decision 'depth'"),
        ('"silu"', '"gelu"', ""),
    ],
)
def test_an_arch_whose_space_has_changed_is_refused(
    cli: Cli, run: Path, file: Path, tmp_path: Path, before: str, after: str, what: str
) -> None:
    """Both hashes are shown, and what of the arch no longer fits, if anything; so for the run it lies in."""
    changed = tmp_path / "changed.py"
    changed.write_text(MY_SPACE.replace(before, after), "utf-8")
    document = json.loads((run / "best" / "arch.json").read_text("utf-8"))
    path = tmp_path / "arch.json"
    path.write_text(json.dumps(document | {"space": f"{changed}:AnyImage"}), "utf-8")
    line = refused(cli("cost", path))
    assert f"{path}: space '{changed}:AnyImage' has changed since this file was written: " in line
    now = open_space(f"{changed}:AnyImage").decisions.fingerprint
    assert f"the hash {document['decisions'][:12]} and now have {now[:12]}" in line
    assert what in line
    assert line.endswith("restore the space's code, or search again")


def test_a_run_whose_space_has_changed_is_refused(cli: Cli, run: Path, file: Path, tmp_path: Path) -> None:
    """Also where the change is no more than the order of two values, which no weight and no name shows."""
    copy, changed = tmp_path / "run", tmp_path / "mine.py"
    shutil.copytree(run, copy)
    changed.write_text(MY_SPACE.replace("[3, 5, 7]", "[5, 3, 7]"), "utf-8")
    record = json.loads((copy / "run.json").read_text("utf-8"))
    del record["sha256"]
    (copy / "run.json").write_text(json.dumps(record).replace(str(file), str(changed)), "utf-8")
    line = refused(cli("search", "spos", "--out", copy, "--resume"))
    assert "is another run: " in line
    assert "decisions_sha256 was" in line


def test_an_arch_whose_space_is_gone_names_both_files(cli: Cli, run: Path, tmp_path: Path) -> None:
    """The arch.json and the file it asks for."""
    document = json.loads((run / "best" / "arch.json").read_text("utf-8"))
    path = tmp_path / "arch.json"
    path.write_text(json.dumps(document | {"space": "gone.py:AnyImage"}), "utf-8")
    line = refused(cli("cost", path))
    assert f"{path}: there is no file gone.py" in line


def test_edited_code_is_not_exported_in_silence(cli: Cli, file: Path, colours: str, tmp_path: Path) -> None:
    """The same parameters, another network: one line, and the run's files stay."""
    edited = tmp_path / "edited.py"
    edited.write_text(MY_SPACE, "utf-8")
    folder = tmp_path / "run"
    done = cli(*SMOKE, "--data", colours, "--space", f"{edited}:MySpace", *TINY, "--out", folder)
    assert done.code == 0, done.err
    before = (folder / "best" / "model.onnx").read_bytes()
    edited.write_text(MY_SPACE + "\n\nCHANGED = True\n", "utf-8")
    line = refused(cli("export", folder))
    assert "was edited since the run" in line
    assert line.endswith("restore the file as it was")
    assert (folder / "best" / "model.onnx").read_bytes() == before


def test_another_operator_set_stands_beside_the_run_s_file(cli: Cli, run: Path) -> None:
    """The run is as usable as before; its own file is not written over."""
    done = cli("export", run, "--opset", "13")
    written = run / "best" / "model.opset13.onnx"
    assert done.out == f"wrote {written}\n"
    assert written.exists()
    assert cli("export", run, "--format", "safetensors", "-o", run / "copy.safetensors").code == 0
    line = refused(cli("export", run, "--opset", "13", "-o", run / "best" / "model.onnx"))
    assert "is the run's own file" in line
    written.unlink()
    (run / "copy.safetensors").unlink()
