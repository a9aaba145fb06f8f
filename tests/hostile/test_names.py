"""Names that broke programs, wherever a name is shown or becomes a path: they stay text, and stay inside."""

from __future__ import annotations

import copy
import io
import json
import os
import re
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from archwright.cli.boundary import quoted
from archwright.cli.text import columns, print_lines
from archwright.core.arch import Arch
from archwright.core.errors import InvalidValueError, RunError, RunFolderError
from archwright.core.trial import Candidate, Trial
from archwright.export.files import write_export
from archwright.export.onnx import onnx_metadata, onnx_session
from archwright.export.preprocessing import input_metadata
from archwright.export.source import network_source
from archwright.export.weights import load_weights
from archwright.reports.page import render_page
from archwright.runs.files import write_text
from archwright.runs.phase import Phase
from archwright.runs.progress import PlainProgress, RichProgress, Standing
from archwright.runs.run import Run, check_folder, open_run
from archwright.testing.hostile import NASTY_TEXTS

PREPROCESSING = {"layout": "CHW", "scale": 1.0, "mean": [0.0], "std": [1.0]}
BIDI = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
WRITABLE = [name for name in NASTY_TEXTS if not re.search("[\ud800-\udfff]", name)]
"""Those that a UTF-8 file can hold."""


def begin(folder: Path, *, resume: bool = False) -> Run:
    return open_run(folder, {"recipe": "toy"}, seed=0, threads=1, resume=resume)


def tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


# ── the page ──────────────────────────────────────────────────────────────────────────────────────


class Tags(HTMLParser):
    """Every tag with the names of its attributes, in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, tuple[str, ...]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, tuple(name for name, _ in attrs)))


def document(name: str) -> dict[str, Any]:
    """A run in which everything that can be named is named so."""
    trial = {
        **{"number": 0, "status": "complete", "arch": {name: name}},
        **{"metrics": {name: 0.5}, "costs": {name: 3.0}},
    }
    result = {
        **{"recipe": name, "space": name, "dataset": name, "arch": {name: name}, "metric": name, "direction": "max"},
        **{"test": 0.5, "params": 1, "macs": 2, "latency_ms": {name: {"median": 1.0}}, "n_evaluated": 1},
        "constraints": [{"cost": name, "limit": 4.0, "predicted": 3.0, "value": 3.0, "satisfied": True}],
        "int8": {"test": 0.5, "agreement": 1.0, "agreement_on": name},
        "passed_over": [{"cost": name, "value": 1.0, "predicted": 2.0}],
        "random_baseline": {"test": 0.4, "n_evaluated": 1, "draws": [{"test": 0.3}]},
        "ledger": {name: {"wall_s": 1.0, "cpu_s": 1.0, "peak_rss_mb": 1.0}},
        "not_exported": {name: name},
    }
    run = {
        **{"seed": 0, "threads": 1, "versions": {name: name}, "host": {name: name}, "command": [name, name]},
        **{"started": name, "config": {name: {name: name}, f"{name}2": [name]}},
    }
    return {
        **{"result": result, "run": run, "trials": {"search": [trial], "baseline": [copy.deepcopy(trial)]}},
        **{"architecture": [{"name": name, "value": name}], "layers": [{name: name}]},
        "training": {name: [(0, 1.0), (1, 0.5)]},
    }


@pytest.fixture(scope="module")
def plain() -> list[tuple[str, tuple[str, ...]]]:
    """The tags of a page of plain names."""
    return Tags(render_page(document("name"))).found


@pytest.mark.parametrize("name", [name for name in NASTY_TEXTS if name], ids=ascii)
def test_page_keeps_its_form(tmp_path: Path, plain: list[tuple[str, tuple[str, ...]]], name: str) -> None:
    """The same tags and attributes as for plain names; no control or direction character, and it can be written."""
    page = render_page(document(name))
    assert Tags(page).found == plain
    assert not BIDI.search(page)
    assert not CONTROL.search(page)
    write_text(tmp_path / "page.html", page)
    assert (tmp_path / "page.html").read_text("utf-8") == page


# ── terminals and logs ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", NASTY_TEXTS, ids=ascii)
def test_terminal_shows_names_without_obeying_them(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Plain lines, a live bar, tables and results: one line each, of printable characters."""
    stream, bar = io.StringIO(), io.StringIO()
    for shown in (PlainProgress(stream), RichProgress(bar)):
        shown.begin(Standing(name, 0, 2, {name: name}))
        shown.end(Standing(name, 2, 2, {"best": name}), 1.0, is_done=True)
        shown.close()
    assert all(line.isprintable() for line in stream.getvalue().split("\n"))
    assert len(stream.getvalue().split("\n")) == 3
    drawn = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|[\r\n]", "", bar.getvalue())
    assert drawn.isprintable()
    print_lines([name, *columns([(name, name)])])
    assert all(line.isprintable() for line in capsys.readouterr().out.split("\n"))


def test_live_bar_obeys_no_markup() -> None:
    """Square brackets are characters."""
    stream = io.StringIO()
    bar = RichProgress(stream)
    bar.begin(Standing("[red]x[/red]", 0, 2))
    bar.close()
    assert "[red]x[/red]" in stream.getvalue()


def test_log_is_one_line_an_entry(tmp_path: Path) -> None:
    """Failure text of a trial may hold anything; no entry can be forged with it."""
    with begin(tmp_path / "run") as run:
        before = (tmp_path / "run/log.txt").read_bytes().count(b"\n")
        for name in NASTY_TEXTS:
            run.log(name)
    lines = (tmp_path / "run/log.txt").read_text("utf-8").split("\n")
    assert len(lines) == before + len(NASTY_TEXTS) + 1
    assert all(line.isprintable() for line in lines)


def test_failure_text_is_kept_with_the_trial(tmp_path: Path) -> None:
    """As it was, to the character."""
    with begin(tmp_path / "run") as run:
        candidates = [Candidate(i, Arch({"op": name}), 0) for i, name in enumerate(WRITABLE)]
        trials = [Trial(one, "failed", {}, {}, 0.0, str(one.arch["op"])) for one in candidates]
        run.store().add(trials)
        found = run.store().trials()
    assert [trial.arch for trial in found] == [trial.arch for trial in trials]
    assert [trial.failure for trial in found] == WRITABLE


def test_command_to_resume_can_be_pasted() -> None:
    """bash makes the same names of it, and it is one printable line."""
    names = [name for name in NASTY_TEXTS if "\0" not in name and "\ud800" not in name]
    line = quoted(*names)
    assert line.isprintable()
    shown = subprocess.run(["bash", "-c", f"printf '%s\\0' {line}"], capture_output=True, check=True).stdout
    assert [os.fsdecode(one) for one in shown.split(b"\0")[:-1]] == names


def test_status_shows_hostile_files(cli: Callable[..., Any], tmp_path: Path) -> None:
    """Names in the files of a run reach the terminal as text only."""
    begin(tmp_path / "run").close()
    for name in ("\x1b[2J\nstate  finished", "\u202e", "[red]"):
        standing = {"state": "running", "phase": name, "done": 1, "total": 2, "best": name, "updated": name}
        (tmp_path / "run/status.json").write_text(json.dumps(standing))
        done = cli("status", tmp_path / "run")
        assert done.code == 0
        assert all(line.isprintable() for line in done.out.split("\n"))
        assert sum(line.startswith("state") for line in done.out.split("\n")) == 1


# ── files that carry class names ──────────────────────────────────────────────────────────────────


def _classes(names: list[str]) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(4, len(names)))


def test_source_gives_class_names_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The file runs, its names are equal, and what it prints is printable."""
    names = list(NASTY_TEXTS)
    text = network_source(_classes(names), input_shape=(1, 2, 2), class_names=names, preprocessing=PREPROCESSING)
    text.encode("utf-8")
    assert "\r" not in text
    model: dict[str, Any] = {"__name__": "model", "__file__": str(tmp_path / "model.py")}
    exec(compile(text, "model.py", "exec"), model)
    assert model["CLASS_NAMES"] == names
    write_export(
        _classes(WRITABLE),
        "safetensors",
        tmp_path / "w.safetensors",
        input_shape=(1, 2, 2),
        metadata=input_metadata(WRITABLE, PREPROCESSING),
    )
    model["build"] = lambda: _classes(WRITABLE)
    model["CLASS_NAMES"] = WRITABLE
    for start in range(0, len(WRITABLE), 5):
        order = [*WRITABLE[start:], *WRITABLE[:start]]
        model["predict"] = lambda network, inputs, shown=order: [[(name, 0.5) for name in shown[:5]]]
        model["main"]([str(tmp_path / "w.safetensors")])
    assert all(line.isprintable() for line in capsys.readouterr().out.split("\n"))


@pytest.mark.parametrize("format", ["onnx", "safetensors", "python"])
def test_exported_files_give_class_names_back(tmp_path: Path, format: str) -> None:
    """All of them in one network, as data in the file."""
    path, network = tmp_path / "model", _classes(WRITABLE)
    metadata = input_metadata(WRITABLE, PREPROCESSING)
    write_export(network, format, path, input_shape=(1, 2, 2), metadata=metadata)
    if format == "onnx":
        found = json.loads(onnx_metadata(onnx_session(path))["class_names"])
    elif format == "safetensors":
        found = json.loads(load_weights(network, path)["class_names"])
    else:
        names: dict[str, Any] = {"__name__": "model"}
        exec(compile(path.read_text("utf-8"), "model.py", "exec"), names)
        found = SimpleNamespace(**names).CLASS_NAMES
    assert found == WRITABLE


# ── paths ─────────────────────────────────────────────────────────────────────────────────────────


def test_phase_name_cannot_leave_the_folder(tmp_path: Path) -> None:
    """A name is a file's name, or refused; nothing appears beside the run."""
    with begin(tmp_path / "run") as run:
        for name in (*NASTY_TEXTS, "a/b", "../x", "/x", ".x", "x" * 101, "x.safetensors/../../y", "x\n"):
            try:
                phase = run.phase(name)
            except InvalidValueError:
                continue
            assert isinstance(phase, Phase)
            phase.finish({"a": torch.ones(1)})
    assert tree(tmp_path)[0] == "run"
    assert all(re.fullmatch(r"run(/[\w.-]+){0,2}", path) for path in tree(tmp_path))


def test_study_name_is_no_path(tmp_path: Path) -> None:
    """Studies lie side by side in one database."""
    with begin(tmp_path / "run") as run:
        files = tree(tmp_path)
        for name in WRITABLE:
            if 0 < len(name) <= 200 and name.isprintable():
                run.store(name).add([Trial(Candidate(0, Arch({"op": name}), 0), "complete", {"x": 1.0}, {}, 0.0, "")])
                assert run.store(name).trials()[0].arch["op"] == name
    assert {path for path in tree(tmp_path) if "trials.sqlite" not in path} == set(files)


@pytest.mark.parametrize("name", ["..", ".", "", "/etc/passwd", "a/../../b", "best/../../x", "a\0b", "out/x", "up"])
def test_run_path_cannot_leave_the_folder(tmp_path: Path, name: str) -> None:
    """Neither by dots nor by a link."""
    with begin(tmp_path / "run") as run:
        (tmp_path / "run/out").symlink_to(tmp_path)
        (tmp_path / "run/up").symlink_to("..")
        with pytest.raises(InvalidValueError, match="is no file inside the run's folder"):
            run.path(name)
        with pytest.raises(InvalidValueError):
            run.write_json(name, {})
    assert tree(tmp_path)[0] == "run"


@pytest.mark.parametrize("name", ["checkpoints", "best", "log.txt", "trials.sqlite"])
def test_link_out_of_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    """Resuming would write where it leads."""
    begin(tmp_path / "run").close()
    target = tmp_path / "mine"
    target.mkdir() if name in ("checkpoints", "best") else target.write_text("mine")
    (tmp_path / "run" / name).unlink(missing_ok=True)
    (tmp_path / "run" / name).symlink_to("../mine")
    with pytest.raises(RunFolderError, match=f"{re.escape(name)} is a link out of the run's folder"):
        begin(tmp_path / "run", resume=True)
    assert tree(target) == [] if target.is_dir() else target.read_text() == "mine"


def test_folder_of_a_run_may_be_a_link(tmp_path: Path) -> None:
    """Who names it means where it leads, and links within it stay within it."""
    (tmp_path / "disk/run").mkdir(parents=True)
    (tmp_path / "run").symlink_to("disk/run")
    begin(tmp_path / "run").close()
    (tmp_path / "disk/run/kept").mkdir()
    (tmp_path / "disk/run/checkpoints").symlink_to("kept")
    with begin(tmp_path / "run", resume=True) as run:
        run.phase("a").finish({"a": torch.ones(1)})
    assert (tmp_path / "disk/run/kept/a.safetensors").is_file()


@pytest.mark.parametrize("kind", ["folder", "device", "pipe"])
def test_nothing_but_a_file_is_replaced(tmp_path: Path, kind: str) -> None:
    """A rename would put the file in the place of a device."""
    path = Path("/dev/null") if kind == "device" else tmp_path / "x"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    before = path.lstat()
    with pytest.raises(RunError, match="there is a folder or a device of that name"):
        write_text(path, "text")
    assert (path.lstat().st_mode, path.lstat().st_ino) == (before.st_mode, before.st_ino)


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "file/x"])
def test_folder_that_cannot_be_is_refused_before_anything_starts(tmp_path: Path, name: str) -> None:
    """By the check that comes first, and by the run itself."""
    (tmp_path / "file").write_text("")
    for call in (lambda: check_folder(tmp_path / name, resume=False), lambda: begin(tmp_path / name)):
        with pytest.raises(RunFolderError, match="choose another --out"):
            call()
    assert tree(tmp_path) == ["file"]
