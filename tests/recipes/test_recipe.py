"""One object a method: running it, the estimate and opening its shared weights follow from its body."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from archwright.core.errors import RunFolderError
from archwright.core.objective import Objective
from archwright.core.trial import Candidate
from archwright.costs import Macs, count
from archwright.evaluators import FromScratch
from archwright.finish import Found
from archwright.recipes import RandomSearchConfig, random_search
from archwright.recipes.base import open_search
from archwright.recipes.opened import OpenSearch
from archwright.recipes.recipe import Recipe, known_recipe, recipe
from archwright.recipes.rehearsal import Rehearsal
from archwright.recipes.trials import TrialsConfig
from archwright.runs.files import SEAL
from archwright.spaces import PlainChain
from archwright.tasks import digits
from archwright.training.config import TrainingConfig

ROOT = Path(__file__).resolve().parents[2]
TINY = f"{Path(__file__).with_name('tiny_space.py')}:Tiny"
SHORT = TrainingConfig(steps=2, batch_size=16, learning_rate=0.05)
CONFIG = TrialsConfig(space=TINY, training=SHORT, retrain=SHORT, threads=1, device="cpu", n_draws=1, int8=False)


@recipe("first", TrialsConfig, summary="takes the first arch of the space")
def first(search: OpenSearch, config: TrialsConfig) -> Found:
    """Derives an arch and scores none."""

    def derive(objective: Objective) -> Candidate:
        return Candidate(0, search.space.decisions.archs(search.space.decisions.enumerate_rows()[:1])[0], 0)

    return search.derived(derive, search.from_scratch(config.training))


def test_a_method_may_score_none() -> None:
    """Its winner is retrained and tested like any other; one random arch trained from scratch stands beside it."""
    result = first(CONFIG, digits())
    assert result.record["recipe"] == "first"
    assert result.record["code"] == result.space.code(result.arch)
    assert result.record["random_baseline"]["n_evaluated"] == 1
    assert result.record["pareto"] == []
    assert result.summary()[0].startswith("winner     top1_accuracy ")


def test_the_estimate_goes_through_the_body() -> None:
    """Nothing is trained for it; what follows a search is counted too."""
    lines = first.estimate(CONFIG, digits())
    assert [line.split("  ")[-1] for line in lines[1:]] == [
        "baseline, 1 networks of 2 steps",
        "retraining, 3 networks and 1 plain of 2 steps",
    ]
    config = RandomSearchConfig(**{**vars(CONFIG), "n_trials": 4, "limits": (("params", 1e6), ("params", 2e6))})
    lines = random_search.estimate(config, digits())
    assert [line.split("  ")[-1] for line in lines[1:]] == [
        "search, 4 evaluations, 2 steps of 16",
        "search-params-2000000, 4 evaluations, 2 steps of 16",
        "retraining, 4 networks and 2 plain of 2 steps",
    ]
    inherited = replace(config, final="inherited", limits=())
    lines = random_search.estimate(inherited, digits())
    assert [line.split("  ")[-1] for line in lines[1:]] == [
        "search, 4 evaluations, 2 steps of 16",
        "training once more, 2 networks of 2 steps",
        "retraining, 1 plain of 2 steps",
    ]
    (last,) = random_search.workload(replace(config, plain=False), digits()).parts[-1:]
    assert last.what == "retraining, 4 networks of 2 steps"


def test_a_large_plain_network_is_estimated_as_such() -> None:
    """Its training counts as much as its multiply-accumulates are of those that are timed, up to ten times as many."""
    config = RandomSearchConfig(**{**vars(CONFIG), "n_trials": 1, "n_draws": 0})
    chain = PlainChain(input_shape=(1, 8, 8), max_width=40)
    with torch.device("meta"):
        plain = [count(chain.build({"width": width}), chain.signature).macs for width in chain.widths]
    for limit in (1e6, 1e9):
        limited = replace(config, limits=(("macs", limit),))
        opened = open_search(limited, digits())
        typical = float(Macs().cost_rows(opened.space, opened.members(4)).mean())
        work = random_search.workload(limited, digits())
        widest = max(macs for macs in plain if macs <= min(limit, 10 * typical))
        assert work.parts[-1].load.trained == pytest.approx((1 + widest / typical) * 2 * 16)


def test_members_keep_the_limits_of_some_winner() -> None:
    """What is timed is what a search under limits trains; without limits, or where hardly one keeps them, any arch."""
    config = RandomSearchConfig(**{**vars(CONFIG), "limits": (("macs", 6e4), ("macs", 9e4))})
    opened = open_search(config, digits())
    macs = Macs().cost_rows(opened.space, opened.members(4))
    assert (macs <= 9e4).all()  # 11 of the 81 architectures
    assert (opened.members(4) == opened.members(4)).all()
    free = open_search(replace(config, limits=()), digits())
    assert (free.members(4) == free.space.decisions.sample(4, np.random.default_rng(0))).all()


def test_a_recipe_is_listed_and_documented_as_its_body() -> None:
    """What the catalogue and the reference read."""
    found = known_recipe("random")
    assert isinstance(found, Recipe)
    assert found is random_search
    assert found.__listing__.target == "archwright.recipes.random_search:random_search"
    assert str(found.__doc__).startswith("Uniform over the feasible architectures")
    assert found.config is RandomSearchConfig


def test_goals_on_costs_stand_in_the_result() -> None:
    """Behind the metric, which picks the winner; the front holds both."""
    config = RandomSearchConfig(**{**vars(CONFIG), "n_trials": 4, "goals": ("params",)})
    record: Any = random_search(config, digits()).record
    assert all(one["goals"].keys() == {"top1_accuracy", "params"} for one in record["pareto"])
    best = max(one["goals"]["top1_accuracy"] for one in record["pareto"])
    assert record["validation"] == best


def test_a_run_inherits_the_weights_of_its_search() -> None:
    """By a setting: what was trained on the training part is what is handed over."""
    config = RandomSearchConfig(**{**vars(CONFIG), "n_trials": 2, "final": "inherited"})
    result = random_search(config, digits())
    assert result.record["provenance"] == "inherited"
    (best,) = [trial for trial in result.trials if trial.arch == result.arch]
    evaluator = FromScratch(result.space, digits(), SHORT)
    expected = evaluator.model(best.arch, best.candidate.seed).state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in result.network.state_dict().items())


def test_a_run_of_before_a_setting_goes_on(tmp_path: Path) -> None:
    """What run.json lacks means what was done before there was the setting."""
    config = RandomSearchConfig(**{**vars(CONFIG), "n_trials": 1, "n_draws": 0})
    run = tmp_path / "run"
    made = random_search(config, digits(), out=run)
    record = json.loads((run / "run.json").read_text())
    for name in ("final", "goals"):
        del record["config"][name]
    del record[SEAL]
    (run / "run.json").write_text(json.dumps(record))
    assert random_search(config, digits(), out=run, resume=True).record == made.record
    with pytest.raises(RunFolderError, match="final was 'scratch' and is now 'inherited'"):
        random_search(replace(config, final="inherited"), digits(), out=run, resume=True)


def test_recipes_are_short() -> None:
    """What is left of a method's file is the method."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "recipe_lines.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert len(done.stdout.splitlines()) >= 4


def test_a_method_may_ask_for_shares_of_the_training_part() -> None:
    """Halves by the run's seed: disjoint, of equal size, none of the validation part."""
    task = digits()
    search = Rehearsal(open_search(CONFIG, task))
    one, other = search.shares(0.5, 0.5)
    assert abs(one.n - other.n) <= 10
    assert one.n + other.n <= task.split("train").n
    again, _ = Rehearsal(open_search(CONFIG, task)).shares(0.5, 0.5)
    first, repeated = (next(iter(split.ordered(8))) for split in (one, again))
    assert torch.equal(first.inputs, repeated.inputs)
