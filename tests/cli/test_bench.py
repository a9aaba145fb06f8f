"""`archwright bench`: the table, the document, the page, and what it refuses before anything runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from archwright.spaces import LeNet

Cli = Callable[..., Any]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """All 729 LeNets: wide ones are better, deep kernels slower."""
    space = LeNet()
    rows = space.decisions.enumerate_rows()
    lines = [
        f"{space.code(arch)},{row.sum()},{row.sum() + 0.5 * row[0]},{1 + row[1]}\n"
        for arch, row in zip(space.decisions.archs(rows), rows, strict=True)
    ]
    path = tmp_path / "lenets.csv"
    path.write_text("arch,early,final,ms\n" + "".join(lines))
    return path


def arguments(table: Path, *more: object) -> tuple[object, ...]:
    own = ("--signal", "early", "--truth", "final")
    return ("bench", "lenet", "--table", table, *own, "--evals", 25, "--seeds", 4, *more)


def test_text(cli: Cli, table: Path) -> None:
    """Means at the checkpoints, then median, interval, share of the optimum and the difference to random search."""
    done = cli(*arguments(table, "--strategy", "local-search"))
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[0] == "lenets.csv: true score of the best so far, 4 seeds, mean"
    assert lines[1] == "the best within the limits has 13"
    assert lines[3].split() == ["evaluations", "10", "25"]
    assert [line.split()[0] for line in lines[4:6]] == ["random", "local-search"]
    assert "(p " in lines[-1]


def test_json(cli: Cli, table: Path) -> None:
    """One document with the promised keys; the same seed gives the same figures."""
    one, other = (json.loads(cli(*arguments(table, "--json", "--strategy", "nsga2")).out) for _ in range(2))
    assert {"benchmark", "dataset", "seeds", "curves"} <= one.keys()
    assert {"mean", "median", "ci95"} <= one["curves"]["nsga2"]["25"].keys()
    assert one["curves"] == other["curves"]


def test_limits_settings_and_seed(cli: Cli, table: Path) -> None:
    """The optimum is one within the limit; settings reach the strategy; another seed is another search."""
    shared = ("--strategy", "nsga2", "--set", "nsga2.population=4", "--json")
    found = json.loads(cli(*arguments(table, *shared, "--limit", "ms=1.5")).out)
    assert found["limits"] == {"ms": 1.5}
    assert found["optimum"] == 11
    other = json.loads(cli(*arguments(table, *shared, "--limit", "ms=1.5", "--seed", 1)).out)
    assert other["curves"] != found["curves"]


def test_page(cli: Cli, table: Path, tmp_path: Path) -> None:
    """Self-contained, with a curve of each strategy and random search."""
    path = tmp_path / "bench.html"
    done = cli(*arguments(table, "--strategy", "local-search", "-o", path))
    assert done.out.splitlines()[-1] == f"wrote {path}"
    text = path.read_text()
    assert text.count("local-search") > 2
    assert "Against random search" in text
    assert "http://" not in text.split("</style>")[1].replace("http://www.w3.org", "")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--evals", "0"), "0 evaluations compare nothing"),
        (("--seeds", "0"), "0 seeds compare nothing"),
        (("--seed", "-1"), "--seed is -1; give a number from 0"),
        (("--strategy", "magic"), "unknown strategy 'magic'"),
        (("--limit", "ms"), "--limit is 'ms'; write it like NAME=VALUE"),
        (("--limit", "mj=1"), "unknown column 'mj'"),
        (("--limit", "ms=0.1"), "no architecture of space 'lenet'"),
        (("--set", "population=3"), "names no strategy; write it like nsga2.population=20"),
        (("--set", "random.x=3"), "'random' has no settings"),
        (("--budget", "3"), "no evaluation of 3 epochs"),
        (("--dataset", "c10"), "your own table says by its columns what it is of"),
    ],
)
def test_refusals(cli: Cli, table: Path, more: tuple[str, ...], said: str) -> None:
    """Exit code 2, one line on stderr, nothing on stdout."""
    done = cli(*arguments(table, *more))
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("bench", "nasbench201"), "--table is missing"),
        (("bench", "lenet", "--table", "t.csv", "--signal", "early"), "both --signal and --truth are needed"),
        (("bench", "magic", "--table", "{table}"), "unknown benchmark 'magic'"),
        (("bench", "nasbench201", "--table", "{table}"), "has an? arch that is none of space"),
        (("bench", "nasbench201", "--table", "{table}", "--minimise"), "are for your own table"),
    ],
)
def test_what_is_no_benchmark(cli: Cli, table: Path, given: tuple[str, ...], said: str) -> None:
    import re

    done = cli(*(part.format(table=table) for part in given))
    assert (done.code, done.out) == (2, "")
    assert re.search(said, done.err)
