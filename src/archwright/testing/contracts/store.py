"""The contract of stores: trials are read back as they were added, all of them or none."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from archwright.core.arch import Arch
from archwright.core.errors import InvalidValueError, RunFolderError
from archwright.core.trial import Candidate, Trial, derive_seed
from archwright.stores.base import Store
from archwright.testing.contracts.base import Contract, error_of, skip, to_do


class StoreContract(Contract):
    """Tests of one store.

    Attributes:
        is_durable: Whether trials are kept after the store is closed, for another store opened in the same place.
    """

    is_durable: ClassVar[bool] = True

    def make(self, folder: Path, study: str) -> Store:
        """A store for one study, in the folder if it is durable; a second call opens the same place again."""
        to_do(self, "make(self, folder: Path, study: str) -> Store")

    def write_future_format(self, folder: Path) -> None:
        """Change the stored data in the folder into a format that only a later version knows."""
        to_do(self, "write_future_format(self, folder: Path)")

    def test_trials_come_back_in_number_order(self, tmp_path: Path) -> None:
        """The order in which they were added does not matter."""
        with self.make(tmp_path, "search") as store:
            store.add([make_trial(2)])
            store.add([make_trial(1), make_trial(0)])
            assert store.trials() == [make_trial(0), make_trial(1), make_trial(2)]
            assert len(store) == 3

    def test_a_trial_comes_back_by_number(self, tmp_path: Path) -> None:
        """`get` gives the trial of a number, or None if there is none."""
        with self.make(tmp_path, "search") as store:
            store.add([make_trial(5)])
            assert store.get(5) == make_trial(5)
            assert store.get(4) is None

    def test_every_field_comes_back(self, tmp_path: Path) -> None:
        """Values keep their types: subsets, texts, whole numbers and fractions in an arch; large seeds; no budget."""
        arch = Arch({"in": (0, 2), "op": "3×3 'conv\"", "width": 16, "ratio": 0.1, "depth": 0})
        full = Candidate(3, arch, 2**63 - 1, budget=7, parent=1, origin="mutation")
        trials = [
            Trial(full, "complete", {"top1_accuracy": 1 / 3, "loss": 5e-324}, {"macs": 1e300}, 0.1),
            Trial(Candidate(4, Arch({}), 0)),
        ]
        with self.make(tmp_path, "search") as store:
            store.add(trials)
            assert store.trials() == trials
            assert repr(store.trials()) == repr(trials)  # 1 and 1.0, a tuple and a list are equal, but not the same

    def test_failed_trials_come_back(self, tmp_path: Path) -> None:
        """A failed trial keeps the text of its failure and the costs that were known."""
        failed = Trial(
            Candidate(0, Arch({"op": "conv"}), 1), "failed", costs={"macs": 5.0}, failure="RuntimeError: 1\n2"
        )
        with self.make(tmp_path, "search") as store:
            store.add([failed])
            assert store.trials() == [failed]
            assert not store.trials()[0].is_complete

    def test_figures_that_are_not_finite_come_back(self, tmp_path: Path) -> None:
        """Infinities and not-a-number are kept, in metrics, in costs and as the duration."""
        metrics = {"up": math.inf, "down": -math.inf, "none": math.nan, "zero": -0.0}
        with self.make(tmp_path, "search") as store:
            store.add([Trial(Candidate(0, Arch({}), 0), "complete", metrics, metrics, math.nan)])
            found = store.trials()[0]
        for figures in (found.metrics, found.costs):
            assert {name: repr(value) for name, value in figures.items()} == {n: repr(v) for n, v in metrics.items()}
        assert math.isnan(found.duration_s)

    def test_any_text_comes_back(self, tmp_path: Path) -> None:
        """NUL, lone surrogates and escapes are kept, in failures, origins, and the names in archs and figures."""
        texts = [
            "a\x00b",
            "\udc80 of a file name",
            "\\x00",
            "\x01json:",
            "'; DROP TABLE trials; --",
            "%s %(a)s ? :a",
            "ü\n",
        ]
        trials = [
            Trial(Candidate(i, Arch({text: text}), 0, origin=text), "failed", {text: 1.0}, {text: 2.0}, failure=text)
            for i, text in enumerate(texts)
        ]
        with self.make(tmp_path, "search") as store:
            store.add(trials)
            assert store.trials() == trials

    def test_adding_nothing(self, tmp_path: Path) -> None:
        """An empty batch is fine, and an empty store is still a store."""
        with self.make(tmp_path, "search") as store:
            store.add([])
            assert len(store) == 0
            assert store.trials() == []
            assert store

    def test_a_present_number_is_refused_and_nothing_is_added(self, tmp_path: Path) -> None:
        """The error has the number, nothing of the batch is kept, and the store works afterwards."""
        with self.make(tmp_path, "search") as store:
            store.add([make_trial(7)])
            message = error_of(InvalidValueError, lambda: store.add([make_trial(8), make_trial(7)]))
            assert "trial 7 is already in" in message
            assert store.trials() == [make_trial(7)]
            store.add([make_trial(8)])
            assert [trial.number for trial in store.trials()] == [7, 8]

    def test_a_number_twice_in_a_batch_is_refused(self, tmp_path: Path) -> None:
        """Nothing of the batch is kept."""
        with self.make(tmp_path, "search") as store:
            trials = [make_trial(3), make_trial(4), make_trial(3)]
            assert "trial 3 is already in" in error_of(InvalidValueError, lambda: store.add(trials))
            assert len(store) == 0

    def test_what_cannot_be_stored_is_refused(self, tmp_path: Path) -> None:
        """The error of a durable store names the trial whose seed is too large; nothing of the batch is kept."""
        self._needs_durable()
        with self.make(tmp_path, "search") as store:
            trials = [make_trial(3), Trial(Candidate(4, Arch({}), 2**63))]
            assert "trial 4 cannot be stored" in error_of(InvalidValueError, lambda: store.add(trials))
            assert len(store) == 0

    def test_what_could_not_be_read_again_is_refused(self, tmp_path: Path) -> None:
        """Truth values, fractions in a subset, texts as figures and None as a name are refused."""
        self._needs_durable()
        unreadable: list[Any] = [
            Trial(Candidate(3, Arch({"bias": True}), 0)),
            Trial(Candidate(3, Arch({"in": (0.5,)}), 0)),  # type: ignore[dict-item]
            Trial(Candidate(3, Arch({}), 0), metrics={"loss": "low"}),  # type: ignore[dict-item]
            Trial(Candidate(3, Arch({}), 0), metrics={"loss": None}),  # type: ignore[dict-item]
            Trial(Candidate(3, Arch({}), 0), costs={None: 1.0}),  # type: ignore[dict-item]
            Trial(Candidate(3, Arch({}), 0), "lost"),  # type: ignore[arg-type]
            Trial(Candidate(3, Arch({}), 0), failure=RuntimeError("1")),  # type: ignore[arg-type]
            Trial(Candidate(3, Arch({}), 1.5)),  # type: ignore[arg-type]
        ]
        with self.make(tmp_path, "search") as store:
            for trial in unreadable:
                assert "trial 3 cannot be stored" in error_of(InvalidValueError, partial(store.add, [trial]))
            assert len(store) == 0

    def test_closing_twice_is_fine(self, tmp_path: Path) -> None:
        """The second close does nothing."""
        store = self.make(tmp_path, "search")
        store.close()
        store.close()

    def test_a_reopened_store_goes_on(self, tmp_path: Path) -> None:
        """A store opened again has its trials, and new ones are added after them."""
        self._needs_durable()
        for number in range(3):
            with self.make(tmp_path, "search") as store:
                assert store.trials() == [make_trial(i) for i in range(number)]
                store.add([make_trial(number)])

    def test_what_add_returned_from_another_sees(self, tmp_path: Path) -> None:
        """A second store in the same place reads what the first has added, while the first is open."""
        self._needs_durable()
        with self.make(tmp_path, "search") as writer, self.make(tmp_path, "search") as reader:
            writer.add([make_trial(0)])
            assert reader.trials() == [make_trial(0)]
            assert "trial 0 is already in" in error_of(InvalidValueError, lambda: reader.add([make_trial(0)]))

    def test_studies_are_kept_apart(self, tmp_path: Path) -> None:
        """Two studies in one place both number their trials from 0."""
        with self.make(tmp_path, "search") as search, self.make(tmp_path, "baseline") as baseline:
            search.add([make_trial(0), make_trial(1)])
            baseline.add([make_trial(1)])
            assert [trial.number for trial in search.trials()] == [0, 1]
            assert [trial.number for trial in baseline.trials()] == [1]
            assert baseline.get(0) is None

    def test_a_future_format_is_refused(self, tmp_path: Path) -> None:
        """The error is one line that says which version can read the data; nothing is changed."""
        self._needs_durable()
        with self.make(tmp_path, "search") as store:
            store.add([make_trial(0)])
        self.write_future_format(tmp_path)
        before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        assert "version" in error_of(RunFolderError, lambda: self.make(tmp_path, "search"))
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before

    def _needs_durable(self) -> None:
        if not self.is_durable:
            skip("this store ends with its process")


def make_trial(number: int) -> Trial:
    """A complete trial with that number; equal at each call."""
    arch = Arch({"op": f"conv{number % 3}", "inputs": (0, number)})
    candidate = Candidate(number, arch, derive_seed(0, "trial", number), parent=number - 1 if number else None)
    return Trial(candidate, metrics={"top1_accuracy": number / 7}, costs={"macs": 1e6 + number}, duration_s=0.25)
