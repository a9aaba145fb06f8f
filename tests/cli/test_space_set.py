"""Settings of a space from the command line: how they are read, where they are stored, what overrides what."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from archwright.core.errors import InvalidValueError, UnknownNameError
from archwright.spaces import NasBench201, open_space
from archwright.spaces.opening import parse_settings, space_of

Cli = Callable[..., Any]
SMOKE = ("--preset", "smoke", "--threads", "1", "--device", "cpu")


@pytest.mark.parametrize(
    ("space", "texts", "expected"),
    [
        ("nasbench201", {"channels": "8", "affine": "true"}, {"channels": 8, "affine": True}),
        ("darts", {"channels": "none", "drop_path": "0.5"}, {"channels": None, "drop_path": 0.5}),
        ("fbnet", {"widths": "16,24"}, {"widths": (16, 24)}),
        ("spos-bits", {"bits": "1:2,3:4"}, {"bits": ((1, 2), (3, 4))}),
        ("nasnet", {"form": "cifar", "ops": "a,b"}, {"form": "cifar", "ops": ("a", "b")}),
        ("smash", {"bank": "6"}, {"bank": 6}),
        ("enas-rnn", {"input_shape": "35"}, {"input_shape": (35,)}),
    ],
)
def test_texts_are_read_by_the_constructor(space: str, texts: dict[str, str], expected: dict[str, Any]) -> None:
    """Numbers, truth values, texts, lists, and lists of lists."""
    assert parse_settings(space, texts) == expected


def test_what_a_constructor_passes_on_is_read_by_its_base(tmp_path: Path) -> None:
    """A user's space with `**rest`: types of the base class; without a type, what the text looks like."""
    (tmp_path / "mine.py").write_text(
        "import archwright as aw\n"
        "class Mine(aw.spaces.NasBench201):\n"
        "    def __init__(self, size=1, **rest): super().__init__(**rest)\n",
        "utf-8",
    )
    texts = {"size": "3", "cells": "1", "affine": "no"}
    assert parse_settings(f"{tmp_path}/mine.py:Mine", texts) == {"size": 3, "cells": 1, "affine": False}


@pytest.mark.parametrize(
    ("texts", "error", "message"),
    [
        (
            {"chanels": "8"},
            UnknownNameError,
            "unknown setting of space 'nasbench201' 'chanels'; did you mean channels?",
        ),
        ({"channels": "many"}, InvalidValueError, "channels is 'many'; give an integer"),
        ({"affine": "perhaps"}, InvalidValueError, "affine is 'perhaps'; give true or false"),
        ({"reduce": "maybe"}, InvalidValueError, "reduce is 'maybe'; give one of"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(texts: dict[str, str], error: type[Exception], message: str) -> None:
    """In one line with what is accepted."""
    with pytest.raises(error, match=message):
        parse_settings("nasbench201", texts)


OWN = """
import archwright as aw
from torch import nn


class Own(aw.Space):
    def __init__(self, *, width: int = 8, bias: bool = True, **rest):
        self.width, self.bias = width, bias
        super().__init__(**rest)

    def args(self):
        return {**super().args(), "width": self.width, "bias": self.bias}

    def network(self, choose):
        act = choose.op("act", {"relu": nn.ReLU, "tanh": nn.Tanh})
        first = nn.Linear(64, self.width, bias=self.bias)
        return nn.Sequential(nn.Flatten(), first, act, nn.Linear(self.width, self.n_classes))
"""


def test_settings_are_stored_and_resumed(cli: Cli, tmp_path: Path) -> None:
    """In run.json and arch.json; a resumed run knows them, another value is another run; `train` may change them."""
    out, trained, file = tmp_path / "run", tmp_path / "train", tmp_path / "own.py"
    file.write_text(OWN, "utf-8")
    chosen = ("--space", f"{file}:Own", "--space-set", "width=4,bias=no", "--set", "n_trials=1", "--set", "n_draws=0")
    done = cli("search", "random", *chosen, *SMOKE, "--out", out)
    assert done.code == 0, done.err
    assert json.loads((out / "run.json").read_text("utf-8"))["config"]["space_args"] == {"width": 4, "bias": False}
    arch = out / "best" / "arch.json"
    stored = json.loads(arch.read_text("utf-8"))
    assert (stored["space_args"]["width"], stored["space_args"]["bias"]) == (4, False)
    assert cli("search", "random", "--out", out, "--resume").code == 0
    other = cli("search", "random", "--out", out, "--resume", "--space-set", "width=6")
    assert other.code == 2
    assert "space_args.width was 4 and is now 6" in other.err
    done = cli("train", arch, "--space-set", "width=6", *SMOKE, "--out", trained)
    assert done.code == 0, done.err
    again = json.loads((trained / "best" / "arch.json").read_text("utf-8"))
    assert (again["space_args"]["width"], again["space_args"]["bias"]) == (6, False)
    assert again["decisions"] == stored["decisions"]
    assert space_of(str(arch)) == f"{file}:Own"


def test_commands_that_name_a_space_take_settings(cli: Cli) -> None:
    """`describe` and `cost` count the smaller network."""
    args = ("--space-set", "channels=8", "--space-set", "cells=1")
    described = json.loads(cli("describe", "nasbench201", *args, "--json").out)
    assert (
        described["largest"]["params"] < json.loads(cli("describe", "nasbench201", "--json").out)["largest"]["params"]
    )
    counted = json.loads(cli("cost", "nasbench201:6111", *args, "--json").out)
    space = NasBench201(channels=8, cells=1)
    expected = sum(p.numel() for p in space.build(space.parse("6111")).parameters())
    assert counted["params"] == expected
    assert open_space("nasbench201", channels=8, cells=1).args() == space.args()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("--space-set", "cels=1"), "unknown setting of space 'nasbench201' 'cels'; did you mean cells"),
        (("--space-set", "1"), "--space-set is '1'; write it as NAME=VALUE"),
        (("--space-set", "cells=1,cells=2"), "--space-set names 'cells' twice"),
        (("--space-set", "n_classes=3"), "the setting 'n_classes' of the space follows from the data; leave it out"),
        (("--space-set", "cells=0"), "cells"),
    ],
)
def test_bad_settings_are_one_line(cli: Cli, given: tuple[str, ...], message: str) -> None:
    """Before anything starts."""
    done = cli("search", "random", "--space", "nasbench201", *given, *SMOKE, "--dry-run")
    assert done.code == 2
    assert message in done.err
    assert len(done.err.strip().splitlines()) == 1
