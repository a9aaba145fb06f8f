"""`archwright rank`."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from archwright.cli.rank import _lines
from archwright.core.errors import DataError

Cli = Callable[..., Any]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What `rank_run` was called with; a folder named "broken" is refused."""
    made: list[dict[str, Any]] = []
    ranking = ModuleType("archwright.ranking")

    def rank_run(folder: Path, *, progress: object, **options: Any) -> dict[str, Any]:
        if folder.name == "broken":
            raise DataError("broken table")
        made.append({"folder": folder, **options})
        figures = {"n": 5, "kendall": 0.4, "spearman": 0.5, "pearson": math.nan}
        intervals = {"kendall": [0.1, 0.7], "spearman": [0.2, 0.8], "pearson": [math.nan, math.nan]}
        more = {"metric": "top1_accuracy", "part": "validation", "truth": options["truth"], "column": "test"}
        return {**figures, "ci95": intervals, "baselines": {"macs": 0.6}, **more}

    ranking.__dict__["rank_run"] = rank_run
    monkeypatch.setitem(sys.modules, "archwright.ranking", ranking)
    return made


def test_defaults(cli: Cli, calls: list[dict[str, Any]]) -> None:
    """Twenty architectures, each trained."""
    assert cli("rank", "run").code == 0
    assert calls == [
        {"folder": Path("run"), "truth": "train", "column": None, "n": 20, "seed": 0, "deterministic": True}
    ]


def test_options(cli: Cli, calls: list[dict[str, Any]]) -> None:
    """Each as given."""
    cli("rank", "run", "--truth", "t.csv", "--column", "test", "--n", 5, "--seed", 7)
    assert calls == [
        {"folder": Path("run"), "truth": "t.csv", "column": "test", "n": 5, "seed": 7, "deterministic": True}
    ]


def test_text(cli: Cli, calls: list[dict[str, Any]]) -> None:
    """Each coefficient with its interval, and what multiply-accumulates alone would give."""
    assert cli("rank", "run", "--truth", "t.csv").out.splitlines() == [
        "compared       top1_accuracy on the validation part with test of t.csv",
        "architectures  5",
        "kendall        0.400 (0.100 to 0.700)",
        "spearman       0.500 (0.200 to 0.800)",
        "pearson        nan (too few architectures for an interval)",
        "macs alone     kendall 0.600",
    ]


def test_withdrawn_promise() -> None:
    """Where torch warned of operations without a deterministic form."""
    document = {"truth": "train", "metric": "loss", "part": "test", "n": 2, "ci95": {}, "baselines": {"macs": 0.0}}
    figures = dict.fromkeys(("kendall", "spearman", "pearson"), 0.5)
    document |= {**figures, "ci95": {name: [0.0, 1.0] for name in figures}, "nondeterministic": ["put_"]}
    said = "the same seed may give other bits: put_ has no deterministic form here"
    assert " ".join(" ".join(_lines(document)).split()).endswith(f" no promise {said}")


def test_json(cli: Cli, calls: list[dict[str, Any]]) -> None:
    """One document; what is not a number is null."""
    document = json.loads(cli("rank", "run", "--json").out)
    assert (document["n"], document["kendall"], document["ci95"]["kendall"]) == (5, 0.4, [0.1, 0.7])
    assert (document["pearson"], document["ci95"]["pearson"]) == (None, [None, None])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--n", "1"), "--n is 1; a ranking needs at least 2"),
        (("--seed", "-1"), "--seed is -1; give a number from 0"),
        (("--column", "test"), "--column is 'test', but there is no table; add --truth PATH"),
        (("--n", "many"), "valid integer"),
    ],
)
def test_options_out_of_range(cli: Cli, calls: list[dict[str, Any]], arguments: tuple[str, ...], message: str) -> None:
    """Exit code 2, one line, nothing called."""
    done = cli("rank", "run", *arguments)
    assert (done.code, done.out, calls) == (2, "", [])
    assert message in done.err
    assert done.err.count("\n") == 1


def test_refusal(cli: Cli, calls: list[dict[str, Any]]) -> None:
    """Exit code 2 and the function's own line."""
    done = cli("rank", "broken")
    assert (done.code, done.out, done.err) == (2, "", "error: broken table\n")
