"""The contract of stores finds what a store can get wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from archwright.core.trial import Trial
from archwright.stores import MemoryStore, Store
from archwright.testing import StoreContract


class Unordered(MemoryStore):
    """Gives trials as they came."""

    def trials(self) -> list[Trial]:
        return list(self._trials.values())


class Overwriting(MemoryStore):
    """Takes a number again."""

    def add(self, trials: Sequence[Trial]) -> None:
        self._trials |= {trial.number: trial for trial in trials}


class Partial(MemoryStore):
    """Keeps what came before the trial that it refuses."""

    def add(self, trials: Sequence[Trial]) -> None:
        for trial in trials:
            super().add([trial])


class Rounding(MemoryStore):
    """Keeps fewer digits."""

    def add(self, trials: Sequence[Trial]) -> None:
        rounded = [replace(t, metrics={name: round(value, 6) for name, value in t.metrics.items()}) for t in trials]
        super().add(rounded)


class Cheerful(MemoryStore):
    """Has no word for failures."""

    def add(self, trials: Sequence[Trial]) -> None:
        super().add([replace(trial, status="complete", failure="") for trial in trials])


class Empty(MemoryStore):
    """Is false while it is empty."""

    def __bool__(self) -> bool:
        return bool(self._trials)


@pytest.mark.parametrize(
    ("broken", "test"),
    [
        (Unordered, "test_trials_come_back_in_number_order"),
        (Overwriting, "test_a_present_number_is_refused_and_nothing_is_added"),
        (Overwriting, "test_a_number_twice_in_a_batch_is_refused"),
        (Partial, "test_a_number_twice_in_a_batch_is_refused"),
        (Rounding, "test_every_field_comes_back"),
        (Cheerful, "test_failed_trials_come_back"),
        (Empty, "test_adding_nothing"),
    ],
)
def test_a_broken_store_is_noticed(fails: Callable[..., bool], broken: type[MemoryStore], test: str) -> None:
    """By the test that states what it breaks; the store in memory passes it."""
    contract = Contract()
    assert not fails(contract, test)
    contract.member = broken
    assert fails(contract, test)


@pytest.mark.parametrize("test", ["test_a_reopened_store_goes_on", "test_what_add_returned_from_another_sees"])
def test_a_store_that_does_not_last_is_noticed(fails: Callable[..., bool], test: str) -> None:
    """Unless it says so."""
    contract = Contract()
    contract.is_durable = True  # type: ignore[misc]
    assert fails(contract, test)


def test_studies_in_one_place_are_noticed(fails: Callable[..., bool]) -> None:
    """Both phases of a run would number their trials from 0."""
    shared = MemoryStore()

    class OnePlace(StoreContract):
        def make(self, folder: Path, study: str) -> Store:
            return shared

    assert fails(OnePlace(), "test_studies_are_kept_apart")


class Contract(StoreContract):
    is_durable = False
    member: type[MemoryStore] = MemoryStore

    def make(self, folder: Path, study: str) -> Store:
        return self.member()
