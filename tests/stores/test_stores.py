"""What every store promises, for the one in memory and the one in SQLite."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from archwright.core.arch import Arch
from archwright.core.errors import InvalidValueError
from archwright.core.trial import Candidate, Trial, derive_seed
from archwright.stores import MemoryStore, Store, open_store
from archwright.stores.sql import SqlStore


def make_trial(number: int) -> Trial:
    arch = Arch({"op": f"conv{number % 3}", "inputs": (0, number)})
    candidate = Candidate(number, arch, derive_seed(0, "trial", number), parent=number - 1 if number else None)
    return Trial(candidate, metrics={"top1_accuracy": number / 7}, costs={"macs": 1e6 + number}, duration_s=0.25)


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with MemoryStore() if request.param == "memory" else SqlStore(tmp_path / "trials.sqlite") as made:
        yield made


def test_trials_come_back_equal_in_number_order(store: Store) -> None:
    """Whatever order they were added in."""
    store.add([make_trial(2)])
    store.add([make_trial(1), make_trial(0)])
    assert store.trials() == [make_trial(0), make_trial(1), make_trial(2)]
    assert len(store) == 3


def test_get(store: Store) -> None:
    """By number; None where there is none."""
    store.add([make_trial(5)])
    assert store.get(5) == make_trial(5)
    assert store.get(4) is None


def test_adding_nothing(store: Store) -> None:
    """An empty batch is fine and an empty store is still a store."""
    store.add([])
    assert len(store) == 0
    assert store


def test_a_present_number_is_refused_by_name_and_nothing_is_added(store: Store) -> None:
    """All or none: trial 8 of the refused batch is not there afterwards."""
    store.add([make_trial(7)])
    with pytest.raises(InvalidValueError, match="trial 7 is already in"):
        store.add([make_trial(8), make_trial(7)])
    assert store.trials() == [make_trial(7)]


def test_a_number_twice_in_a_batch_is_refused(store: Store) -> None:
    """All or none again."""
    with pytest.raises(InvalidValueError, match="trial 3 is already in"):
        store.add([make_trial(3), make_trial(4), make_trial(3)])
    assert len(store) == 0


def test_the_store_works_on_after_a_refusal(store: Store) -> None:
    """No transaction stays open."""
    store.add([make_trial(0)])
    with pytest.raises(InvalidValueError):
        store.add([make_trial(0)])
    store.add([make_trial(1)])
    assert [trial.number for trial in store.trials()] == [0, 1]


def test_open_store_by_what_is_named(tmp_path: Path) -> None:
    """None is memory, a store is itself, a folder holds trials.sqlite, a file and a URL are that file."""
    assert isinstance(open_store(None), MemoryStore)
    memory = MemoryStore()
    assert open_store(memory) is memory
    with open_store(tmp_path / "run") as in_folder:
        in_folder.add([make_trial(0)])
    with open_store(tmp_path / "run" / "trials.sqlite") as by_file:
        assert by_file.get(0) == make_trial(0)
    with open_store(f"sqlite:///{tmp_path}/run/trials.sqlite") as by_url:
        assert by_url.get(0) == make_trial(0)
    with open_store(str(tmp_path / "other.db")):
        assert (tmp_path / "other.db").is_file()


def test_a_folder_may_be_called_like_a_file(tmp_path: Path) -> None:
    """What exists counts more than the suffix."""
    (tmp_path / "run.db").mkdir()
    with open_store(tmp_path / "run.db"):
        assert (tmp_path / "run.db" / "trials.sqlite").is_file()


@pytest.mark.parametrize("where", ["", "nosuch://host/db", "://"])
def test_open_store_refuses_what_names_nothing(where: str) -> None:
    """One line, no traceback of SQLAlchemy's."""
    with pytest.raises(InvalidValueError):
        open_store(where)
