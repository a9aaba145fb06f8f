"""Fixtures that tests of every part may use."""

from __future__ import annotations

import gc
import os
import re
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent

# tests run beside each other; a worker that takes every core slows all of them
os.environ.setdefault("OMP_NUM_THREADS", "1")

# figures worked out by hand are of float32, whatever the processor would rather train in; `test_forms.py` has the rule
os.environ["ONEDNN_MAX_CPU_ISA"] = "AVX512_CORE"

# how long an example takes says nothing on a busy machine
settings.register_profile("archwright", deadline=None, print_blob=True)
settings.load_profile("archwright")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is collected lives to the end: looking through it for garbage took a tenth of all time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(scope="session", autouse=True)
def one_drawing_process() -> Iterator[None]:
    """Pages do not wait for an engine each; `test_vega.py` looks at the process that draws one."""
    from archwright.testing.drawing import one_drawing_process

    with one_drawing_process():
        yield


@pytest.fixture(scope="session", autouse=True)
def short_glances() -> Iterator[None]:
    """Commands estimate their time from single steps: to time two networks for a second each is most of many tests."""
    from archwright.training import timing

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timing, "GLANCE_S", 0.0)
        yield


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator with a fixed seed, new for each test."""
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def repository() -> Path:
    """The folder that holds pyproject.toml."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """A file or folder of real data by its name below ARCHWRIGHT_DATA; the test is skipped where it is absent."""

    def find(name: str) -> Path:
        folder = os.environ.get("ARCHWRIGHT_DATA")
        if not folder:
            pytest.skip("ARCHWRIGHT_DATA names no folder of data sets")
        path = Path(folder) / name
        if not path.exists():
            pytest.skip(f"there is no {name} in the folder ARCHWRIGHT_DATA")
        return path

    return find


@dataclass(frozen=True)
class Block:
    """A fenced block of a Markdown page: what it holds, the comment before it, the line it begins at."""

    language: str
    title: str
    text: str
    marker: str
    line: int


_BLOCK = re.compile(
    r'(?:^<!-- (?P<marker>[^>]*?) -->\n)?^```(?P<language>\w*)(?: title="(?P<title>[^"]*)")?\n(?P<text>.*?)^```$',
    re.MULTILINE | re.DOTALL,
)


@pytest.fixture(scope="session")
def markdown_blocks() -> Callable[[Path], list[Block]]:
    """The fenced blocks of a page, in order."""

    def read(path: Path) -> list[Block]:
        text = path.read_text("utf-8")
        found = []
        for match in _BLOCK.finditer(text):
            parts = {name: value or "" for name, value in match.groupdict().items()}
            found.append(Block(**parts, line=text.count("\n", 0, match.start("text")) + 1))
        return found

    return read


@pytest.fixture(scope="session")
def child_environment() -> dict[str, str]:
    """Environment of a child process that imports archwright from this source tree, on one thread."""
    paths = [str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1", "COLUMNS": "120"}


@pytest.fixture
def run_python(child_environment: Mapping[str, str], tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `python ARGUMENTS` in a child process inside the test's own folder; text output is captured."""

    def run(*arguments: str, timeout: float = 120.0) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *arguments]
        return subprocess.run(
            command,
            cwd=tmp_path,
            env=dict(child_environment),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    """Run a command line in this process: exit code, stdout, stderr."""
    from archwright.cli import main

    monkeypatch.setenv("COLUMNS", "100")

    def run(*arguments: object) -> Outcome:
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run
