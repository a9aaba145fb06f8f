"""What the documentation shows runs as it stands.

Blocks of a page run in order in one namespace and one folder. `archwright search` and `train` are given `--preset
smoke` where they name no preset. A comment before a block says how it is treated otherwise:

<!-- output -->            what the block before printed; figures may differ, `…` stands for further lines
<!-- long -->              its commands are only parsed; `pytest -m slow` runs them
<!-- not run: REASON -->   left alone
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("docs/**/*.md"))
N_NOT_RUN = 5
"""Blocks that are left alone, over all pages."""

Blocks = Callable[[Path], list[Any]]


@pytest.mark.parametrize("name", PAGES)
def test_blocks_run(open_page: Callable[..., Any], name: str) -> None:
    """Those that take seconds; long ones are parsed."""
    open_page(ROOT / name).run()


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", [name for name in PAGES if "<!-- long -->" in (ROOT / name).read_text("utf-8")])
def test_long_blocks_run(open_page: Callable[..., Any], name: str) -> None:
    """With all others of their page."""
    open_page(ROOT / name, run_long=True).run()


def test_blocks_say_what_they_are(markdown_blocks: Blocks) -> None:
    """Each has a language that is known here, and a marker that is."""
    for name in PAGES:
        for block in markdown_blocks(ROOT / name):
            where = f"{name}, line {block.line}"
            assert block.language in ("python", "bash", "text", "json"), where
            assert block.marker in ("", "output", "long") or block.marker.startswith("not run: "), where


def test_few_blocks_are_left_alone(markdown_blocks: Blocks) -> None:
    """A new one is counted here on purpose, or runs."""
    every = [block for name in PAGES for block in markdown_blocks(ROOT / name)]
    assert sum(block.marker.startswith("not run: ") for block in every) == N_NOT_RUN
