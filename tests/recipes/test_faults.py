"""Every command that can be resumed, stopped anywhere and damaged anywhere."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import ClassVar

from archwright.testing.children import Ended, Job, as_arguments, run_child
from archwright.testing.contracts.faults import FaultContract
from archwright.testing.faults import differences

TINY = f"{Path(__file__).with_name('tiny_space.py')}:Tiny"
SMOKE = ("--data", "digits", "--preset", "smoke", "--seed", "0", "--threads", "1", "--device", "cpu")


class TestSpos(FaultContract):
    arguments = ("search", "spos", *SMOKE, "--space", TINY)


class TestTrain(FaultContract):
    arguments = ("train", f"{TINY}:0120", *SMOKE)
    studies = ()


class TestRank(FaultContract):
    """Its own state are the networks it trains, in `rank.sqlite`; what it says is its result."""

    arguments = ("--truth", "train", "--n", "4", "--json")
    studies = ("search", "baseline")
    origin: ClassVar[list[Path]] = []

    def command(self, folder: Path) -> tuple[str, ...]:
        return as_arguments(["rank", folder, *self.arguments])

    def prepare(self, folder: Path) -> None:
        if not self.origin:
            made = folder.with_name("supernet")
            assert run_child(Job((*TestSpos.arguments, "--set", "n_draws=0", "--out", str(made)))).code == 0
            self.origin.append(made)
        shutil.copytree(self.origin[0], folder)

    def compare(self, folder: Path, ended: Ended, calm: tuple[Path, Ended], *, products_only: bool) -> list[str]:
        said = [] if ended.out == calm[1].out else ["what it says"]
        return said + differences(folder, calm[0], self.studies, products_only=True)
