"""Every command that can be resumed, stopped anywhere and damaged anywhere."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest

from archwright.core.trial import Trial
from archwright.stores.opening import open_store
from archwright.testing import FaultContract
from archwright.testing.children import Ended, Job, as_arguments, run_child

TINY = f"{Path(__file__).with_name('tiny_space.py')}:Tiny"
SHORT = ("--set", "n_draws=0", "--set", "training.steps=2", "--set", "retrain.steps=2")
SMOKE = ("--data", "digits", "--preset", "smoke", "--seed", "0", "--threads", "1", "--device", "cpu")
TEXT = ("--data", "pydoc", "--set", "data.tokens=6", "--set", "data.vocabulary=50", *SMOKE[2:])


class TestSpos(FaultContract):
    arguments = ("search", "spos", *SMOKE, "--space", TINY)


class TestRandom(FaultContract):
    arguments = ("search", "random", *SMOKE, "--space", TINY, *SHORT, "--set", "n_trials=4")
    n_kills = n_damaged = 2


class TestGrid(FaultContract):
    arguments = ("search", "grid", *SMOKE, "--space", TINY, *SHORT, "--set", "grid.n_trials=4")
    n_kills = n_damaged = 2


class TestRegularizedEvolution(FaultContract):
    arguments = (
        *("search", "regularized-evolution", *SMOKE, "--space", TINY, *SHORT),
        *("--set", "evolution.population=3", "--set", "evolution.sample=2", "--set", "evolution.cycles=5"),
    )
    n_kills = n_damaged = 2


class TestNsga2(FaultContract):
    arguments = (
        *("search", "nsga2", *SMOKE, "--space", TINY, *SHORT, "--goal", "macs"),
        *("--set", "nsga2.population=3", "--set", "nsga2.generations=1"),
    )
    n_kills = n_damaged = 2


class TestPredictor(FaultContract):
    arguments = (
        *("search", "predictor", *SMOKE, "--space", TINY, *SHORT, "--set", "n_trials=5", "--set", "predictor.start=2"),
        *("--set", "zero_cost=az-nas+synflow", "--set", "zero_cost_pool=3"),
    )
    studies = ("zero-cost", "search", "baseline")
    n_kills = n_damaged = 2


class TestAsha(FaultContract):
    arguments = (
        *("search", "asha", *SMOKE, "--space", TINY, *SHORT),
        *("--set", "halving.budgets=1,2", "--set", "halving.eta=2", "--set", "halving.n_trials=6"),
    )
    n_kills = n_damaged = 2


class TestLamarckian(FaultContract):
    arguments = (
        *("search", "lamarckian", *SMOKE, "--space", TINY, *SHORT, "--set", "child_steps=1"),
        *("--set", "evolution.population=2", "--set", "evolution.sample=2", "--set", "evolution.cycles=5"),
    )
    n_kills = n_damaged = 2


class TestNasRl(FaultContract):
    arguments = ("search", "nas-rl", *SMOKE, *SHORT, "--set", "plain=false")
    n_kills = n_damaged = 1


@pytest.mark.slow
class TestNasNet(FaultContract):
    arguments = ("search", "nasnet", *SMOKE, *SHORT, "--set", "plain=false")
    n_kills = n_damaged = 1


@pytest.mark.slow
class TestMnasNet(FaultContract):
    arguments = ("search", "mnasnet", *SMOKE, *SHORT, "--set", "plain=false")
    n_kills = n_damaged = 1


@pytest.mark.slow
class TestNasRlRnn(FaultContract):
    arguments = ("search", "nas-rl-rnn", *TEXT, *SHORT, "--set", "plain=false")
    n_kills = n_damaged = 1


ENAS = ("--set", "n_draws=0", "--set", "supernet.steps=4", "--set", "retrain.steps=2", "--set", "plain=false")


class TestEnasMacro(FaultContract):
    arguments = ("search", "enas-macro", *SMOKE, *ENAS)
    n_kills = n_damaged = 1


@pytest.mark.slow
class TestEnasMicro(FaultContract):
    arguments = ("search", "enas-micro", *SMOKE, *ENAS)
    n_kills = n_damaged = 1


@pytest.mark.slow
class TestEnasRnn(FaultContract):
    arguments = ("search", "enas-rnn", *TEXT, *ENAS)
    n_kills = n_damaged = 1


GRADIENT = (
    *("--set", "n_draws=0", "--set", "supernet.steps=4", "--set", "retrain.steps=2", "--set", "plain=false"),
    *("--set", "candidate.steps=2"),
)


class TestDarts(FaultContract):
    arguments = ("search", "darts", *SMOKE, *GRADIENT)
    studies = ("baseline",)
    n_kills = n_damaged = 1


@pytest.mark.slow
class TestDartsFirstOrder(FaultContract):
    arguments = ("search", "darts-first-order", *SMOKE, *GRADIENT, "--set", "stop=eigenvalue")
    studies = ("baseline",)
    n_kills = n_damaged = 1


@pytest.mark.slow
class TestDartsRnn(FaultContract):
    arguments = ("search", "darts-rnn", *TEXT, *GRADIENT)
    studies = ("baseline",)
    n_kills = n_damaged = 1


@pytest.mark.slow
class TestSnas(FaultContract):
    arguments = ("search", "snas", *SMOKE, *GRADIENT)
    studies = ("baseline",)
    n_kills = n_damaged = 1


@pytest.mark.slow
class TestFBNet(FaultContract):
    arguments = ("search", "fbnet", *SMOKE, *GRADIENT, "--max-macs", "300k")
    n_kills = n_damaged = 1


@pytest.mark.slow
class TestProxylessNas(FaultContract):
    arguments = ("search", "proxylessnas", *SMOKE, *GRADIENT)
    studies = ("baseline",)
    n_kills = n_damaged = 1


@pytest.mark.slow
class TestProxylessNasRl(FaultContract):
    arguments = ("search", "proxylessnas-rl", *SMOKE, *GRADIENT[:-2])
    studies = ("baseline",)
    n_kills = n_damaged = 1


@pytest.mark.slow
class TestPathDropout(FaultContract):
    arguments = ("search", "path-dropout", *SMOKE, *GRADIENT[:-2])
    studies = ("search",)
    n_kills = n_damaged = 1


class TestAuto(FaultContract):
    arguments = (
        *("search", "auto", *SMOKE, "--space", f"{Path(__file__).with_name('stepped_space.py')}:Stepped"),
        *("--max-macs", "592", "--set", "n_draws=0", "--set", "retrain.steps=2"),
    )
    n_kills = n_damaged = 2


class TestTrain(FaultContract):
    arguments = ("train", f"{TINY}:0120", *SMOKE, "--set", "int8=true", "--set", "int8_agreement=0")
    studies = ()
    n_damaged = None


class TestRank(FaultContract):
    """Its own state are the networks it trains, in `rank.sqlite`; what it says is its result."""

    arguments = ("--truth", "train", "--n", "4", "--json")
    origin: ClassVar[list[Path]] = []
    name = "rank"

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
        trained = [_trained(path) for path in (folder, calm[0])]
        return said if trained[0] == trained[1] else [*said, "rank.sqlite"]

    def concerns(self, name: str) -> bool:
        return name.startswith(("rank.sqlite", "run.json", "checkpoints/supernet"))


def _trained(folder: Path) -> list[Trial]:
    with open_store(folder / "rank.sqlite", "truth-0") as store:
        return [replace(trial, duration_s=0.0) for trial in store.trials()]
