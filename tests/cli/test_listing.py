"""`archwright list`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from archwright.core import catalog

Cli = Callable[..., Any]
ENTRIES = (
    catalog.Entry("spos", "recipe", "single path", "arXiv:1904.00420", "m:a"),
    catalog.Entry("random", "strategy", "uniform", "", "m:b"),
)


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """A catalogue of two names."""
    monkeypatch.setattr(
        catalog, "entries", lambda kind=None: tuple(entry for entry in ENTRIES if kind in (None, entry.kind))
    )


@pytest.mark.usefixtures("known")
def test_text_groups_by_kind(cli: Cli) -> None:
    """A heading a kind, its source in brackets where there is one."""
    expected = ["recipes", "  spos  single path (arXiv:1904.00420)", "", "strategies", "  random  uniform"]
    assert cli("list").out.splitlines() == expected


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize("kind", ["strategies", "strategy", "Strategies"])
def test_one_kind(cli: Cli, kind: str) -> None:
    """In the plural or the singular."""
    assert cli("list", kind).out.splitlines() == ["strategies", "  random  uniform"]


@pytest.mark.usefixtures("known")
def test_json_has_the_documented_keys(cli: Cli) -> None:
    """One document on stdout and nothing else."""
    expected = [{"name": "random", "kind": "strategy", "summary": "uniform", "source": ""}]
    assert json.loads(cli("list", "strategies", "--json").out) == expected


@pytest.mark.usefixtures("known")
def test_kind_without_names_says_so(cli: Cli) -> None:
    """Not an empty screen; JSON is an empty list."""
    assert cli("list", "benchmarks").out == "no benchmarks are known in this version\n"
    assert json.loads(cli("list", "benchmarks", "--json").out) == []


def test_unknown_kind(cli: Cli) -> None:
    """The nearest is offered."""
    done = cli("list", "recipees")
    assert (done.code, done.err) == (
        2,
        "error: unknown kind of names 'recipees'; did you mean recipes or strategies or policies?\n",
    )


def test_package_lists_what_it_has(cli: Cli) -> None:
    """The generated catalogue is read."""
    names = {line["name"] for line in json.loads(cli("list", "spaces", "--json").out)}
    assert "spos" in names
