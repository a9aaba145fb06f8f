"""Searches by a controller, from data to a result: trained on their own, and by shared weights."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from archwright.core.errors import InvalidValueError
from archwright.recipes import (
    EnasMacroConfig,
    EnasMicroConfig,
    EnasRnnConfig,
    MnasNetConfig,
    NasNetConfig,
    NasRlConfig,
    NasRlRnnConfig,
    enas_macro,
    mnasnet,
    nas_rl,
    nasnet,
)
from archwright.strategies.rewards import RewardConfig
from archwright.tasks import digits

CONFIGS: dict[str, Any] = {
    "nas-rl": NasRlConfig,
    "nasnet": NasNetConfig,
    "mnasnet": MnasNetConfig,
    "enas-macro": EnasMacroConfig,
    "enas-micro": EnasMicroConfig,
}


def smoke(config: Any, **changes: Any) -> Any:
    return replace(config.preset("smoke", (1, 8, 8)), threads=1, device="cpu", plain=False, n_draws=0, **changes)


def test_a_controller_s_children_are_trained_on_their_own() -> None:
    """NAS with RL: the trials are those of the policy, the baseline has as many."""
    record = nas_rl(smoke(NasRlConfig), digits()).record
    assert record["n_evaluated"] == record["random_baseline"]["n_evaluated"] == 4


def test_enas_trains_weights_and_controller_and_derives() -> None:
    """Six steps of the weights, two turns of two of the controller; three draws."""
    result = enas_macro(smoke(EnasMacroConfig), digits())
    assert result.record["n_evaluated"] == 3
    assert {trial.candidate.origin for trial in result.trials} <= {"policy", "random"}
    assert {"supernet", "search"} <= set(result.record["ledger"])


@pytest.mark.slow
@pytest.mark.parametrize("run", [nasnet, mnasnet])
def test_the_others_run(run: Any) -> None:
    """From nothing to a tested network."""
    config = {"nasnet": NasNetConfig, "mnasnet": MnasNetConfig}[run.name]
    assert 0 <= run(smoke(config), digits()).record["test"] <= 1


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("preset", ["smoke", "quick", "long", "paper"])
def test_presets(name: str, preset: str) -> None:
    config = CONFIGS[name].preset(preset, (3, 32, 32))
    assert config.space == name


def test_paper_presets_have_the_papers_numbers() -> None:
    """nas-rl.md section 4, nasnet.md section 5, mnasnet.md section 4, enas.md sections 5 and 6."""
    nas, text = NasRlConfig.preset("paper", (3, 32, 32)), NasRlRnnConfig.preset("paper", (35,))
    assert (nas.reinforce.n_trials, nas.reinforce.replicas, nas.reinforce.children) == (12_800, 100, 8)
    assert (nas.reinforce.learning_rate, nas.reinforce.shards, nas.best_of, nas.training.epochs) == (6e-4, 20, 5, 50)
    assert (text.reinforce.n_trials, text.reinforce.replicas, text.reinforce.children) == (15_000, 400, 1)
    assert (text.reinforce.learning_rate, text.reinforce.accumulate, text.training.epochs) == (5e-4, 10, 35)
    cells = NasNetConfig.preset("paper", (3, 32, 32)).reinforce
    assert (cells.n_trials, cells.children, cells.learning_rate, cells.entropy) == (20_000, 20, 3.5e-4, 1e-5)
    assert (cells.hidden, cells.update, cells.baseline_decay, cells.spread) == (100, "ppo", 0.95, 0.1)
    mobile = MnasNetConfig.preset("paper", (3, 224, 224))
    assert (mobile.reinforce.n_trials, mobile.training.epochs, mobile.reinforce.reward.form) == (8_000, 5, "soft")
    macro, micro = EnasMacroConfig.preset("paper", (3, 32, 32)), EnasMicroConfig.preset("paper", (3, 32, 32))
    assert (macro.supernet.epochs, macro.supernet.batch_size, macro.supernet.weight_decay) == (310, 128, 5e-4)
    assert (macro.controller.steps, macro.controller.children, macro.controller.skip_target) == (50, 20, 0.4)
    assert (micro.supernet.epochs, micro.controller.steps, micro.controller.children) == (150, 30, 10)
    assert micro.controller.optimizer.learning_rate == 3.5e-3
    rnn = EnasRnnConfig.preset("paper", (35,))
    assert (rnn.controller.every, rnn.controller.steps, rnn.supernet.batch_size) == (400, 2_000, 64)


def test_a_reward_of_a_cost_that_no_trial_has() -> None:
    config = smoke(MnasNetConfig)
    reward = RewardConfig("soft", cost="latency_ms", target=3.0)
    changed = replace(config, reinforce=replace(config.reinforce, reward=reward))
    with pytest.raises(InvalidValueError, match="the reward weighs latency_ms, which no trial has: they have params"):
        mnasnet(changed, digits())


def test_a_target_of_zero() -> None:
    with pytest.raises(InvalidValueError, match=r"reward\.target is 0; give a positive number"):
        RewardConfig("soft", target=0)
