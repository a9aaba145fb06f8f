"""Random, grid and regularized-evolution searches from data to a result; each candidate is trained on its own."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from archwright.core.arch import Arch
from archwright.core.errors import InfeasibleError, InvalidValueError
from archwright.core.objective import Goal, Objective
from archwright.core.trial import derive_seed
from archwright.evaluators.zero_cost.scores import ZeroCost
from archwright.finish.result import Result
from archwright.recipes import (
    AshaConfig,
    EvolutionSearchConfig,
    GridSearchConfig,
    LamarckianConfig,
    Nsga2SearchConfig,
    PredictorSearchConfig,
    RandomSearchConfig,
    asha,
    grid_search,
    lamarckian,
    nsga2,
    predictor,
    random_search,
    regularized_evolution,
)
from archwright.recipes.trials import TrialsConfig
from archwright.reports.view import run_view
from archwright.runners import ProcessPool
from archwright.runs.phase import Phase
from archwright.search import search
from archwright.spaces import LeNet
from archwright.strategies import GridConfig, RegularizedEvolutionConfig
from archwright.strategies.halving import HalvingConfig
from archwright.strategies.nsga2 import Nsga2Config
from archwright.strategies.predictor_guided import PredictorConfig
from archwright.strategies.random import Random
from archwright.tasks import ImageTask, digits
from archwright.testing import toy_task
from archwright.training.config import TrainingConfig
from archwright.training.evaluate import evaluate
from archwright.training.networks import train_network

TINY = f"{Path(__file__).with_name('tiny_space.py')}:Tiny"
SHORT = TrainingConfig(steps=2, batch_size=16, learning_rate=0.05)
EVOLUTION = RegularizedEvolutionConfig(population=4, sample=2, cycles=10, lookahead=2)
COMMON: dict[str, Any] = {
    **{"training": SHORT, "retrain": SHORT, "n_draws": 1, "int8": False},
    **{"threads": 1, "device": "cpu"},
}
CONFIGS: dict[str, TrialsConfig] = {
    "random": RandomSearchConfig(space=TINY, n_trials=6, **COMMON),
    "grid": GridSearchConfig(space=TINY, grid=GridConfig(n_trials=6), **COMMON),
    "regularized-evolution": EvolutionSearchConfig(space=TINY, evolution=EVOLUTION, **COMMON),
    "nsga2": Nsga2SearchConfig(
        space=TINY, nsga2=Nsga2Config(population=3, generations=1), goals=("macs",), plain=False, **COMMON
    ),
    "predictor": PredictorSearchConfig(
        space=TINY, n_trials=6, predictor=PredictorConfig(start=3), plain=False, zero_cost="synflow", **COMMON
    ),
    "asha": AshaConfig(
        space=TINY, halving=HalvingConfig(budgets=(1, 3), eta=2, n_trials=7, lookahead=2), plain=False, **COMMON
    ),
    "lamarckian": LamarckianConfig(space=TINY, evolution=EVOLUTION, child_steps=1, plain=False, **COMMON),
}
RECIPES: dict[str, Any] = {
    "random": random_search,
    "grid": grid_search,
    "regularized-evolution": regularized_evolution,
    "nsga2": nsga2,
    "predictor": predictor,
    "asha": asha,
    "lamarckian": lamarckian,
}


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.fixture(scope="module")
def in_memory() -> Callable[[str], Result]:
    """The result of an undisturbed run of a recipe on the digits, made once."""
    made: dict[str, Result] = {}

    def run(name: str) -> Result:
        if name not in made:
            made[name] = RECIPES[name](CONFIGS[name], digits())
        return made[name]

    return run


@pytest.fixture(scope="module")
def lenets() -> tuple[Result, ImageTask]:
    """A grid over the LeNets of at most 52,428 bytes on toy images, and the task."""
    task = toy_task(LeNet())
    config = GridSearchConfig(space="lenet", limits=(("model_size_bytes", 52_428.0),), **COMMON)
    return grid_search(config, task), task


# ── grid ──────────────────────────────────────────────────────────────────────────────────────────


def test_grid_evaluates_exactly_the_seventeen_feasible_lenets(lenets: tuple[Result, ImageTask]) -> None:
    """Of 729, each once; which they are follows from a formula by hand."""
    result, _ = lenets
    values = ((3, 6, 9), (3, 5, 7), (12, 16, 20), (3, 5, 7), (64, 128, 256), (32, 84, 120))
    expected = [chosen for chosen in itertools.product(*values) if _lenet_bytes(*chosen) <= 52_428]
    names = ("conv1.channels", "conv1.kernel", "conv2.channels", "conv2.kernel", "hidden1", "hidden2")
    assert [tuple(trial.arch[name] for name in names) for trial in result.trials] == expected
    assert len(expected) == result.record["n_evaluated"] == 17


def _lenet_bytes(c1: int, k1: int, c2: int, k2: int, h1: int, h2: int) -> int:
    side = ((28 - k1 + 1) // 2 - k2 + 1) // 2
    convolutions = (k1 * k1 + 1) * c1 + (k2 * k2 * c1 + 1) * c2
    return 4 * (convolutions + (c2 * side * side + 1) * h1 + (h1 + 1) * h2 + (h2 + 1) * 10)


def test_the_winner_is_chosen_on_validation(lenets: tuple[Result, ImageTask]) -> None:
    """Of the equals the first; the test part is read once for each network that is reported."""
    result, task = lenets
    scores = [trial.metrics["top1_accuracy"] for trial in result.trials]
    assert result.arch == result.trials[int(np.argmax(scores))].arch
    assert result.record["validation"] == max(scores)
    baseline = result.record["random_baseline"]
    reported = [result.record["arch"], baseline["arch"], *(draw["arch"] for draw in baseline["draws"])]
    assert task.n_test_reads == len({Arch.from_json(arch) for arch in reported}) + 1  # the plain network


def test_a_candidate_is_trained_from_its_own_seed(lenets: tuple[Result, ImageTask]) -> None:
    """On the training part, by the run's seed and its number: recomputed for one of them."""
    result, task = lenets
    trial = result.trials[5]
    assert trial.candidate.seed == derive_seed(derive_seed(0, "search"), "trial", 5)
    network, _ = train_network(
        result.space,
        trial.arch,
        task,
        SHORT,
        part="train",
        seed=trial.candidate.seed,
        device=torch.device("cpu"),
    )
    assert evaluate(network, task, "validation")["top1_accuracy"] == trial.metrics["top1_accuracy"]


def test_an_exhaustive_grid_has_the_same_archs_as_baseline(lenets: tuple[Result, ImageTask]) -> None:
    """As many evaluations, of the same members in other trainings."""
    baseline = lenets[0].record["random_baseline"]
    assert (baseline["n_evaluated"], baseline["is_search"]) == (17, False)


# ── random ────────────────────────────────────────────────────────────────────────────────────────


def test_a_random_search_is_its_own_baseline(in_memory: Callable[[str], Result]) -> None:
    """No second one: the winner stands in its place and the record says so; the draws remain."""
    record = in_memory("random").record
    baseline = record["random_baseline"]
    assert baseline["is_search"] is True
    for key in ("arch", "test", "validation", "macs", "n_evaluated"):
        assert baseline[key] == record[key]
    assert len(baseline["draws"]) == 1
    assert "baseline" not in record["ledger"]
    assert "retrain-baseline" not in record["ledger"]


def test_people_are_told_that_it_has_no_baseline(in_memory: Callable[[str], Result]) -> None:
    """In the summary and on the page, where no comparison with itself appears."""
    result = in_memory("random")
    said = result.summary()
    assert "baseline   none beside it: the search was random search itself (6 evaluations)" in said
    assert f"{statistics.mean(d['test'] for d in result.record['random_baseline']['draws']):.4f} mean of 1" in said[-2]
    view = run_view({"result": result.record})
    assert "The search was random search itself, so no other random search stands beside it." in view["verdict"]
    assert not [sentence for sentence in view["verdict"] if "the best of a random search" in sentence]
    assert "best of random search" not in [tile["name"] for tile in view["tiles"]]


# ── regularized evolution ─────────────────────────────────────────────────────────────────────────


def test_evolution_breeds_after_the_initial_population(in_memory: Callable[[str], Result]) -> None:
    """Four random archs, then children of trials; the baseline has as many evaluations."""
    result = in_memory("regularized-evolution")
    origins = [trial.candidate.origin for trial in result.trials]
    assert origins[:4] == ["random"] * 4
    assert set(origins[4:]) <= {"mutation", "identity"}
    assert result.record["n_evaluated"] == result.record["random_baseline"]["n_evaluated"] == 10


@pytest.mark.slow
def test_workers_change_nothing(in_memory: Callable[[str], Result]) -> None:
    """Two processes evaluate; trials and winner are those of one."""
    config = CONFIGS["regularized-evolution"]
    assert isinstance(config, EvolutionSearchConfig)
    result = regularized_evolution(config, digits(), runner=ProcessPool(2, threads=1))
    assert _trials(result) == _trials(in_memory("regularized-evolution"))
    assert _timeless(result.record) == _timeless(in_memory("regularized-evolution").record)


# ── those of the black box ────────────────────────────────────────────────────────────────────────


def test_nsga2_reports_the_trade_off(in_memory: Callable[[str], Result]) -> None:
    """Two goals; six trials, the second three of them children."""
    result = in_memory("nsga2")
    assert [trial.candidate.origin for trial in result.trials][:3] == ["random"] * 3
    assert result.record["n_evaluated"] == 6


def test_asha_promotes_and_its_baseline_has_as_many_steps(in_memory: Callable[[str], Result]) -> None:
    """Only trials of the longest training may win; the baseline pays full trainings of 2 steps with the search's."""
    result = in_memory("asha")
    budgets = [trial.candidate.budget or 0 for trial in result.trials]
    assert set(budgets) == {1, 3}
    assert result.record["random_baseline"]["n_evaluated"] == sum(budgets) // 2


def test_lamarckian_children_are_short_and_the_baseline_has_as_many_steps(in_memory: Callable[[str], Result]) -> None:
    """Four trainings of 2 steps and six of 1 are seven of 2."""
    result = in_memory("lamarckian")
    assert sum(trial.candidate.parent is not None for trial in result.trials) == 6
    assert result.record["random_baseline"]["n_evaluated"] == (4 * 2 + 6) // 2


def test_a_search_begins_with_what_scores_best_untrained(in_memory: Callable[[str], Result]) -> None:
    """The first three trials have the best SynFlow of the pool, in that order."""
    result, config = in_memory("predictor"), CONFIGS["predictor"]
    task = digits()
    seed = derive_seed(0, "zero-cost")
    drawn = search(
        result.space,
        Random(result.space, n_trials=config.zero_cost_pool, seed=seed),
        ZeroCost(result.space, task, ["synflow"], seed=0),
        Objective((Goal("synflow"),)),
    )
    expected = sorted(drawn.trials, key=lambda trial: (-trial.metrics["synflow"], trial.number))
    assert [trial.arch for trial in result.trials[:3]] == [trial.arch for trial in expected[:3]]
    assert "zero-cost" in result.record["ledger"]


def test_the_predictor_s_worth_is_told(tmp_path: Path) -> None:
    """By cross-validation over its trials, from ten on, in the log."""
    config = replace(CONFIGS["predictor"], n_trials=10, n_draws=0, zero_cost="")  # type: ignore[call-arg]
    predictor(config, digits(), out=tmp_path / "run")
    assert (
        "the predictor's cross-validated Kendall's tau over its 10 trials: " in (tmp_path / "run/log.txt").read_text()
    )


def test_a_random_search_with_chosen_beginnings_has_a_baseline() -> None:
    """It is no longer what it is compared with."""
    config = replace(CONFIGS["random"], zero_cost="macs", zero_cost_pool=8, n_draws=0, plain=False)
    record = random_search(config, digits()).record
    assert record["random_baseline"]["is_search"] is False
    assert record["random_baseline"]["n_evaluated"] == 6


def test_a_grid_begins_nowhere_else() -> None:
    with pytest.raises(InvalidValueError, match="a grid has an order of its own"):
        grid_search(replace(CONFIGS["grid"], zero_cost="macs"), digits())


# ── all of them ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", RECIPES)
def test_dying_anywhere_changes_nothing(
    name: str, tmp_path: Path, in_memory: Callable[[str], Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ended within and behind the search and within what follows; the end is that of an undisturbed run, to the bit."""
    moments = [("search", 1), ("search", 4), ("baseline", 3), ("retrain-winner", 1), ("test", 1)]
    for moment in moments[:2] + moments[3:] if name == "random" else moments:
        with monkeypatch.context() as patch:
            _kill_at(patch, *moment)
            with pytest.raises(Killed):
                RECIPES[name](CONFIGS[name], digits(), out=tmp_path / "run", resume=True)
    result = RECIPES[name](CONFIGS[name], digits(), out=tmp_path / "run", resume=True)
    calm = in_memory(name)
    assert _trials(result) == _trials(calm)
    assert _timeless(result.record) == _timeless(calm.record)
    weights, expected = result.network.state_dict(), calm.network.state_dict()
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[key], expected[key]) for key in weights)
    assert {path.name for path in (tmp_path / "run" / "best").iterdir()} == {
        *("README.md", "arch.json", "model.safetensors", "model.onnx", "model.py")
    }
    again = RECIPES[name](CONFIGS[name], digits(), out=tmp_path / "run", resume=True)
    assert again.record == result.record


def _kill_at(patch: pytest.MonkeyPatch, name: str, done: int) -> None:
    advance = Phase.advance

    def advancing(phase: Phase, so_far: int, **figures: float | str) -> None:
        advance(phase, so_far, **figures)
        if (phase.name, so_far) == (name, done):
            raise Killed

    patch.setattr(Phase, "advance", advancing)


def _trials(result: Result) -> list[Any]:
    return [replace(trial, duration_s=0.0) for trial in result.trials]


def _timeless(document: Any) -> Any:
    if isinstance(document, dict):
        return {key: _timeless(value) for key, value in document.items() if key not in ("ledger", "latency_ms")}
    return [_timeless(item) for item in document] if isinstance(document, list) else document


@pytest.mark.parametrize("name", RECIPES)
def test_a_limit_out_of_reach_is_refused_before_the_folder_is_made(name: str, tmp_path: Path) -> None:
    """With the smallest value that can be reached."""
    config = replace(CONFIGS[name], limits=(("params", 3.0),))
    with pytest.raises(InfeasibleError, match="the smallest reachable is"):
        RECIPES[name](config, digits(), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


# ── numbers ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("config", [RandomSearchConfig, EvolutionSearchConfig])
def test_paper_preset_has_the_paper_s_numbers(config: type[TrialsConfig]) -> None:
    """regularized-evolution.md, sections 1 and 2: 20,000 models of 25 epochs; the winner 600 epochs at batch 128."""
    paper = config.preset("paper", (3, 32, 32))
    training = TrainingConfig(
        epochs=25,
        batch_size=128,
        optimizer="sgd",
        learning_rate=0.024,
        momentum=0.9,
        weight_decay=5e-4,
        schedule="cosine",
        augment="crop,mirror",
    )
    assert (paper.training, paper.retrain) == (training, replace(training, epochs=600))
    if isinstance(paper, EvolutionSearchConfig):
        assert (paper.evolution.population, paper.evolution.sample, paper.evolution.cycles) == (100, 25, 20_000)
        assert (paper.evolution.aging, paper.evolution.identity_probability) == (True, 0.05)
    else:
        assert isinstance(paper, RandomSearchConfig)
        assert paper.n_trials == 20_000


@pytest.mark.parametrize("config", [RandomSearchConfig, GridSearchConfig, EvolutionSearchConfig])
@pytest.mark.parametrize("name", ["smoke", "quick", "long"])
def test_small_presets_count_steps_and_evaluations(config: type[TrialsConfig], name: str) -> None:
    """Never passes over data: the same work on any machine; quick retrains three random networks."""
    found = config.preset(name, (1, 28, 28))
    assert found.training.steps is not None
    assert found.retrain.steps is not None
    assert found.n_draws == {"smoke": 1, "quick": 3, "long": 0}[name]


@pytest.mark.parametrize(
    ("config", "name", "choices"),
    [
        (GridSearchConfig, "paper", "smoke or quick or long"),
        (RandomSearchConfig, "fast", "smoke or quick or long or paper"),
    ],
)
def test_unknown_presets(config: type[TrialsConfig], name: str, choices: str) -> None:
    """A grid has no paper; those there are get named."""
    with pytest.raises(InvalidValueError, match=f"unknown preset '{name}'; choose {choices}"):
        config.preset(name, (1, 8, 8))


def test_estimate_counts_all_work() -> None:
    """A grid of 17 members and its baseline, five networks; a random search once, and its winner needs no rival."""
    limits = (("model_size_bytes", 52_428.0),)
    grid = replace(GridSearchConfig.preset("quick", (1, 28, 28)), space="lenet", limits=limits, threads=1)
    drawn = replace(RandomSearchConfig.preset("quick", (1, 28, 28)), space="lenet", threads=1)
    task = toy_task(LeNet())
    lines = [
        line for config, run in ((grid, grid_search), (drawn, random_search)) for line in run.estimate(config, task)
    ]
    assert [line.split("  ")[-1] for line in lines if not line.startswith("estimated time ")] == [
        "search and baseline, 17 evaluations each, 200 steps of 64",
        "retraining, 5 networks and 1 plain of 1,000 steps",
        "search, 20 evaluations, 200 steps of 64",
        "retraining, 4 networks and 1 plain of 1,000 steps",
    ]


# ── commands ──────────────────────────────────────────────────────────────────────────────────────


def test_command_line_names_the_recipes(cli: Callable[..., Any]) -> None:
    """In the list; what does not fit is said in one line before anything starts."""
    assert all(f"  {name} " in cli("list", "recipes").out for name in RECIPES)
    done = cli("search", "grid", "--space", "lenet", "--data", "digits")
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert "images of at least 22x22 pixels, not 8x8" in done.err
    done = cli("search", "regularized-evolution", "--set", "evolution.sample=0", "--dry-run")
    assert (done.code, done.err) == (2, "error: evolution.sample is 0; give at least 1\n")
    done = cli("search", "random", "--preset", "smoke", "--set", "n_trials=0", "--dry-run")
    assert (done.code, done.err.count("\n")) == (2, 1)


def test_command_line_runs_one(cli: Callable[..., Any], tmp_path: Path) -> None:
    """Settings of the strategy are set by name; a coarser grid."""
    arguments = ("--preset", "smoke", "--space", TINY, "--set", "grid.n_trials=2", "--threads", "1", "--device", "cpu")
    done = cli("search", "grid", *arguments, "--out", tmp_path / "run", "--workers", "1")
    assert done.code == 0
    assert "search and baseline, 2 evaluations each, 8 steps of 32" in done.out
    assert "by random search with as many evaluations (2)" in done.out
