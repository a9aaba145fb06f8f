"""Looking names up in the catalogue."""

from __future__ import annotations

import json

import pytest

from archwright.core import catalog
from archwright.core.errors import UnknownNameError


@pytest.mark.parametrize("spelling", ["spos", "SPOS", " Spos "])
def test_case_does_not_matter(spelling: str) -> None:
    """One entry, however its name is written."""
    assert catalog.find("space", spelling).name == "spos"


def test_underscore_is_hyphen() -> None:
    """spos_evolution names spos-evolution."""
    assert catalog.find("strategy", "spos_evolution").name == "spos-evolution"


def test_a_name_leads_to_its_object() -> None:
    """The class that carries the mark."""
    assert catalog.load("space", "spos").__name__ == "SposSpace"


def test_an_unknown_name_offers_the_nearest() -> None:
    """And names the kind."""
    with pytest.raises(UnknownNameError, match="unknown strategy 'randm'; did you mean random"):
        catalog.find("strategy", "randm")


def test_a_name_of_another_kind_is_unknown() -> None:
    """Kinds have names of their own."""
    with pytest.raises(UnknownNameError, match="unknown cost 'spos'"):
        catalog.find("cost", "spos")


def test_entries_of_all_kinds_contain_those_of_one() -> None:
    """And nothing of another kind is among the latter."""
    spaces = catalog.entries("space")
    assert {entry.kind for entry in spaces} == {"space"}
    assert set(spaces) < set(catalog.entries())


def test_listing_leaves_the_object_as_it_is() -> None:
    """The mark is one attribute that holds the place it was defined in."""

    @catalog.listed("cost", "toy", summary="a toy", source="nowhere")
    def toy() -> int:
        return 7

    assert toy() == 7
    entry = toy.__listing__  # type: ignore[attr-defined]
    assert (entry.name, entry.kind, entry.source) == ("toy", "cost", "nowhere")
    assert entry.target.startswith(f"{__name__}:")


def test_the_file_is_sorted_by_kind_and_name() -> None:
    """Two entries the wrong way round come out in order."""
    one, other = (catalog.Entry(name, kind, "", "", "m:a") for name, kind in (("b", "space"), ("z", "recipe")))  # type: ignore[arg-type]
    assert [entry["name"] for entry in json.loads(catalog.dump([one, other]))] == ["z", "b"]


def test_known_names_are_told_from_others() -> None:
    """In any spelling, of that kind only."""
    assert catalog.is_known("space", "SPOS")
    assert not catalog.is_known("cost", "spos")
    assert not catalog.is_known("space", "spo")
