"""docs/search-spaces.md: its table has every listed space, and its formulas and numbers are the spaces' sizes."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from archwright.core import catalog
from archwright.spaces import open_space

PAGE = Path(__file__).resolve().parents[2] / "docs" / "search-spaces.md"


def rows() -> dict[str, tuple[str, str]]:
    """By space: the number and the formula."""
    lines = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| `")]
    cells = [[cell.strip().strip("`") for cell in line.split("|")[1:-1]] for line in lines]
    return {name: (number, formula) for name, number, formula, _ in cells}


ROWS = rows()
NAMES = {"__builtins__": {}, "factorial": math.factorial, "comb": math.comb, "sum": sum, "range": range}


def test_every_space_has_a_row() -> None:
    """And no other."""
    assert set(ROWS) == {entry.name for entry in catalog.entries("space")}


@pytest.mark.parametrize("name", ROWS)
def test_number_and_formula_are_the_size(name: str) -> None:
    """Evaluated with factorials and binomials; a number with an e has three digits."""
    number, formula = ROWS[name]
    size = open_space(name).size()
    assert eval(formula, NAMES) == size
    assert number == (three_digits(size) if "e" in number else f"{size:,}")


def three_digits(size: int) -> str:
    """Like 2.56e25, beyond what a float holds too."""
    digits = len(str(size)) - 1
    first = round(size * 100 // 10**digits + (size * 1000 // 10**digits % 10 >= 5)) / 100
    return f"{first:g}e{digits}"
