"""The README's examples run as they stand."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def blocks(repository: Path, markdown_blocks: Callable[[Path], list[Any]]) -> list[str]:
    """The Python blocks, in order."""
    return [block.text for block in markdown_blocks(repository / "README.md") if block.language == "python"]


def run(block: str) -> None:
    """As a file of the reader's: without the future statement of this one."""
    exec(compile(block, "README.md", "exec", dont_inherit=True), {"__name__": "readme"})


def test_first_block_searches(blocks: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It leaves a finished run where it says."""
    monkeypatch.chdir(tmp_path)
    run(blocks[0])
    assert (tmp_path / "runs/digits/result.json").is_file()


def test_second_block_defines_a_space(blocks: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """It prints the size that its comment derives, then a network and the same again from the supernet."""
    run(blocks[1])
    size, networks = capsys.readouterr().out.split("\n", 1)
    half = len(networks) // 2
    assert size == "54"
    assert networks[:half] == networks[half:]


def test_make_targets_exist(repository: Path) -> None:
    """Every `make ...` that README and CONTRIBUTING name is a target."""
    text = "".join((repository / name).read_text("utf-8") for name in ("README.md", "CONTRIBUTING.md"))
    named = set(re.findall(r"(?:`|^)make ([a-z]+)", text, re.MULTILINE))
    targets = set(re.findall(r"^([a-z]+):", (repository / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert {"demo", "test", "check"} <= named <= targets
