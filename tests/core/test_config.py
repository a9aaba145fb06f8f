"""Configs as JSON and as settings."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archwright.core.config import (
    absent_settings,
    added_field,
    from_json,
    parse_quantity,
    settings_of,
    to_json,
    with_settings,
)
from archwright.core.errors import InvalidValueError, UnknownNameError


@dataclass(frozen=True)
class Training:
    steps: int | None = 100
    learning_rate: float = 0.5
    schedule: Literal["cosine", "linear"] = "linear"
    betas: tuple[float, float] = (0.9, 0.999)
    milestones: tuple[int, ...] = ()
    nesterov: bool = False

    def __post_init__(self) -> None:
        if self.learning_rate <= 0:
            raise InvalidValueError(f"learning_rate is {self.learning_rate}; give a positive number")


@dataclass(frozen=True)
class Config:
    name: str = "toy"
    training: Training = Training()
    retrain: Training | None = None
    limits: tuple[tuple[str, float], ...] = ()
    arguments: Mapping[str, Any] = field(default_factory=dict)
    depth: int | str = 3


@dataclass(frozen=True)
class Needed:
    seed: int


@dataclass(frozen=True)
class Grumpy:
    n: int = 1

    def __post_init__(self) -> None:
        if self.n > 9:
            raise ValueError("too many")


RICH = Config(
    name="über [red]",
    training=Training(steps=None, betas=(0.5, 0.25), milestones=(1, 2), nesterov=True),
    retrain=Training(schedule="cosine"),
    limits=(("macs", 2e6), ("params", math.inf)),
    arguments={"width": [1, 2.5]},
    depth="auto",
)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("20M", 20e6),
        ("1.5G", 1.5e9),
        ("2k", 2000.0),
        ("2K", 2000.0),
        ("3T", 3e12),
        ("300", 300.0),
        ("1e6", 1e6),
        ("1_000", 1000.0),
        (".5", 0.5),
        (" -4 ", -4.0),
        ("0.1M", 100000.0),
    ],
)
def test_quantity(text: str, number: float) -> None:
    """Suffixes are powers of 1000; the product is exact, not a rounded float times a factor."""
    assert parse_quantity(text) == number


@pytest.mark.parametrize(
    "text", ["", "M", "2MM", "2Mi", "1,5", "nan", "inf", "0x10", "1e9999", "٣", "two", "1 2", "9" * 400]
)
def test_no_quantity(text: str) -> None:
    """Anything else is refused with an example, a huge exponent too."""
    with pytest.raises(InvalidValueError, match="20M"):
        parse_quantity(text)


@pytest.mark.parametrize("config", [Config(), RICH])
def test_json_round_trip(config: Config) -> None:
    """What is written is strict JSON, and reads back equal."""
    text = json.dumps(to_json(config), allow_nan=False)
    assert from_json(Config, json.loads(text)) == config


def test_missing_fields_take_their_defaults() -> None:
    """An older document lacks newer fields."""
    assert from_json(Config, {"training": {"steps": 7}}) == Config(training=Training(steps=7))


def test_integer_serves_as_number_and_becomes_one() -> None:
    """JSON writes 1.0 as 1 in places; the field's type decides."""
    value = from_json(Config, {"training": {"learning_rate": 1}}).training.learning_rate
    assert (value, type(value)) == (1.0, float)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"training": {"steps": "x"}}, "training.steps is 'x'; give an integer"),
        ({"training": {"steps": True}}, "training.steps is True"),
        ({"training": {"nesterov": 1}}, "training.nesterov is 1; give true or false"),
        ({"training": {"schedule": "cubic"}}, "training.schedule is 'cubic'; give one of cosine, linear"),
        ({"training": {"betas": [0.1]}}, r"training.betas is \[0.1\]; give a list of a number, a number"),
        ({"training": {"milestones": [1, "a"]}}, r"training.milestones\[1\] is 'a'; give an integer"),
        ({"training": {"learning_rate": float("nan")}}, "training.learning_rate is nan"),
        ({"training": {"learning_rate": 10**400}}, "training.learning_rate is 1000"),
        ({"training": 5}, "training is 5; give a JSON object"),
        ({"limits": [["macs"]]}, r"limits\[0\] is \['macs'\]"),
        ({"depth": None}, "depth is None; give an integer or text"),
        ([], r"Config is \[\]; give a JSON object"),
    ],
)
def test_wrong_json_value_is_named(document: Any, message: str) -> None:
    """The message holds the dotted name, what came and what is accepted."""
    with pytest.raises(InvalidValueError, match=message):
        from_json(Config, document)


def test_unknown_key_offers_the_nearest() -> None:
    """The dotted name leads to the group."""
    with pytest.raises(UnknownNameError, match=r"'training.stpes'; did you mean training.steps"):
        from_json(Config, {"training": {"stpes": 1}})


def test_missing_required_field() -> None:
    """A field without a default must be there."""
    with pytest.raises(InvalidValueError, match="seed is missing; give an integer"):
        from_json(Needed, {})


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("training.steps", "2k", 2000),
        ("training.steps", "none", None),
        ("training.learning_rate", "1e-3", 0.001),
        ("training.learning_rate", "2", 2.0),
        ("training.schedule", "COSINE", "cosine"),
        ("training.nesterov", "true", True),
        ("training.nesterov", "off", False),
        ("training.betas", "0.5, 0.25", (0.5, 0.25)),
        ("training.milestones", "1k,2k", (1000, 2000)),
        ("training.milestones", "", ()),
        ("limits", "macs:2M,params:1.5k", (("macs", 2e6), ("params", 1500.0))),
        ("limits", "macs:inf", (("macs", math.inf),)),
        ("arguments", '{"width": 3}', {"width": 3}),
        ("name", "20M", "20M"),
        ("depth", "4", 4),
        ("depth", "auto", "auto"),
    ],
)
def test_setting_is_read_by_the_type_of_its_field(name: str, text: str, value: object) -> None:
    """Text becomes the field's type; other fields stay as they were."""
    changed = with_settings(Config(), {name: text})
    after = settings_of(changed)
    assert (after[name], type(after[name])) == (value, type(value))
    assert {**after, name: None} == {**settings_of(Config()), name: None}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("training.steps", "abc", "training.steps is 'abc'; give an integer or none"),
        ("training.steps", "1.5", "training.steps is '1.5'; give an integer or none"),
        ("training.nesterov", "maybe", "training.nesterov is 'maybe'; give true or false"),
        ("training.betas", "1", "training.betas is '1'; give a list of a number, a number"),
        ("training.schedule", "none", "give one of cosine, linear"),
        ("training", "5", "'training' is a group of settings; set one of training.steps"),
        ("retrain.steps", "5", "'retrain' is none"),
        ("arguments", "{", "arguments is '{'; give a JSON object"),
        ("training.learning_rate", "-1", "learning_rate is -1.0; give a positive number"),
    ],
)
def test_wrong_setting_is_named(name: str, text: str, message: str) -> None:
    """One line, with the dotted name."""
    with pytest.raises(InvalidValueError, match=message):
        with_settings(Config(), {name: text})


def test_unknown_setting_offers_the_nearest() -> None:
    """Also across groups."""
    with pytest.raises(UnknownNameError, match=r"did you mean training\.learning_rate"):
        with_settings(Config(), {"training.learning_rat": "1"})


def test_settings_of_one_group_are_checked_together() -> None:
    """Two values that are only valid as a pair can be set in one go."""

    @dataclass(frozen=True)
    class Pair:
        low: int = 1
        high: int = 2

        def __post_init__(self) -> None:
            if self.low >= self.high:
                raise InvalidValueError("low is not below high")

    assert with_settings(Pair(), {"low": "5", "high": "6"}) == Pair(5, 6)


def test_foreign_error_of_a_config_becomes_ours() -> None:
    """A config that raises a plain ValueError still ends in one clear line."""
    with pytest.raises(InvalidValueError, match=r"config cannot take \{'n': 10\}: too many"):
        with_settings(Grumpy(), {"n": "10"})


def test_settings_are_listed_in_field_order() -> None:
    """Dotted names, groups in place; a group that is none is one name."""
    names = list(settings_of(Config()))
    assert names[:3] == ["name", "training.steps", "training.learning_rate"]
    assert names[-4:] == ["retrain", "limits", "arguments", "depth"]


@given(st.text(max_size=20), st.sampled_from(sorted(settings_of(Config()))))
def test_any_text_is_taken_or_refused_in_our_own_words(text: str, name: str) -> None:
    """No other exception comes out, whatever is typed."""
    try:
        changed = with_settings(Config(), {name: text})
    except InvalidValueError as error:
        told = str(error)
    else:
        told = name if name in settings_of(changed) else ""
    assert name in told or "learning_rate" in told


@dataclass(frozen=True)
class Later:
    """A config whose field `scaled` came after configs had been stored, with another default than what was done."""

    steps: int = 1
    scaled: bool = added_field(True, absent=False)


@dataclass(frozen=True)
class Outer:
    """It as a part of another."""

    inner: Later = Later()
    pair: tuple[int, int] = added_field((1, 2), absent=(0, 0))


def test_a_document_without_an_added_field_means_what_was_done_then() -> None:
    """The declared value, not the default of new configs; what the document holds counts as before."""
    assert from_json(Outer, {"inner": {"steps": 3}}) == Outer(Later(3, scaled=False), (0, 0))
    assert from_json(Later, {"scaled": True}).scaled
    assert absent_settings(Outer()) == {"inner.scaled": False, "pair": [0, 0]}
