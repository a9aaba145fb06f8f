"""Searches by gradient, from data to a result: what each derives, limits, options, and the papers' numbers."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from archwright.core.errors import InfeasibleError, InvalidValueError, SpaceError, UnknownNameError
from archwright.costs.counted import Macs, Params
from archwright.policies import Categorical, DirichletWeights, GumbelSoftmax, Shrinking, SigmoidWeights
from archwright.recipes import (
    DartsConfig,
    DartsFirstOrderConfig,
    DartsRnnConfig,
    FBNetConfig,
    PathDropoutConfig,
    ProxylessNasConfig,
    ProxylessNasRlConfig,
    SnasConfig,
    darts,
    darts_first_order,
    darts_rnn,
    fbnet,
    path_dropout,
    proxylessnas,
    proxylessnas_rl,
    snas,
)
from archwright.recipes.by_gradient import MixingConfig
from archwright.recipes.reopening import open_supernet
from archwright.spaces import Darts
from archwright.spaces.base import Space
from archwright.tasks import digits
from archwright.testing import EdgesSpace
from archwright.training.config import OptimizerConfig

RUNS: dict[str, tuple[Any, Any]] = {
    "darts": (darts, DartsConfig),
    "darts-first-order": (darts_first_order, DartsFirstOrderConfig),
    "snas": (snas, SnasConfig),
    "fbnet": (fbnet, FBNetConfig),
    "proxylessnas": (proxylessnas, ProxylessNasConfig),
    "proxylessnas-rl": (proxylessnas_rl, ProxylessNasRlConfig),
    "path-dropout": (path_dropout, PathDropoutConfig),
}
SPACES = {"darts-first-order": "darts", "proxylessnas-rl": "proxylessnas", "path-dropout": "one-shot"}


def smoke(name: str, **changes: Any) -> Any:
    config = RUNS[name][1].preset("smoke", (1, 8, 8))
    return replace(config, threads=1, device="cpu", plain=False, n_draws=0, **changes)


@pytest.mark.parametrize("name", ["darts-first-order", "proxylessnas"])
def test_from_data_to_a_tested_network(name: str) -> None:
    """What the arch parameters derive is built, trained and tested; random search has as many steps."""
    result = RUNS[name][0](smoke(name), digits())
    assert 0 <= result.record["test"] <= 1
    assert {"supernet", "baseline"} <= set(result.record["ledger"])
    assert result.trials[0].candidate.origin == "alpha"
    assert result.record["n_evaluated"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["darts", "snas", "fbnet", "proxylessnas-rl", "path-dropout"])
def test_the_others_run(name: str) -> None:
    assert 0 <= RUNS[name][0](smoke(name), digits()).record["test"] <= 1


@pytest.mark.slow
def test_recurrent_cells_are_searched() -> None:
    from archwright.tasks import pydoc

    config = replace(DartsRnnConfig.preset("smoke", (6,)), threads=1, device="cpu", plain=False, n_draws=0)
    assert darts_rnn(config, pydoc(tokens=6, vocabulary=50)).record["test"] > 1


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("preset", ["smoke", "quick", "long", "paper"])
def test_presets(name: str, preset: str) -> None:
    config = RUNS[name][1].preset(preset, (3, 32, 32))
    assert config.space == SPACES.get(name, name)


# ── limits ────────────────────────────────────────────────────────────────────────────────────────


def limits_of(name: str, share: float) -> tuple[Space, float]:
    """The space of a smoke run, and a limit that a share of random archs keeps."""
    from archwright.spaces.opening import open_space_for

    config, task = smoke(name), digits()
    space = open_space_for(task.name, task.space_args(), config.space, config.space_args)
    costs = Macs().cost_rows(space, space.decisions.sample(200, np.random.default_rng(0)))
    return space, float(np.quantile(costs, share))


@pytest.mark.parametrize("name", ["darts-first-order", "proxylessnas"])
def test_a_limit_is_kept_and_used(name: str) -> None:
    """At most the limit, and at least 95 % of it: of two limits at once, each winner its own."""
    _, low = limits_of(name, 0.2)
    _, high = limits_of(name, 0.8)
    result = RUNS[name][0](smoke(name, limits=(("macs", low), ("macs", high))), digits())
    for selected, limit in zip(result.record["selected"], (low, high), strict=True):
        assert 0.95 * limit <= selected["macs"] <= limit
    assert len([phase for phase in result.record["ledger"] if phase.startswith("supernet")]) == 2


@pytest.mark.slow
def test_several_costs_are_kept_at_once() -> None:
    space, macs = limits_of("fbnet", 0.4)
    params = float(np.quantile(Params().cost_rows(space, space.decisions.sample(200, np.random.default_rng(0))), 0.6))
    config = smoke("fbnet", limits=(("macs", macs), ("params", params)), derive="likeliest")
    record = fbnet(config, digits()).record
    assert record["macs"] <= macs
    assert record["params"] <= params
    assert max(record["macs"] / macs, record["params"] / params) >= 0.95


def test_a_limit_under_the_smallest_network() -> None:
    with pytest.raises(InfeasibleError, match=r"no architecture of space 'proxylessnas' .* has macs <= 10"):
        proxylessnas(smoke("proxylessnas", limits=(("macs", 10.0),)), digits())


def test_a_cost_that_is_no_sum() -> None:
    """Refused before the run begins."""
    config = smoke("proxylessnas", limits=(("activation_peak_bytes", 1e9),))
    with pytest.raises(InvalidValueError, match="activation_peak_bytes is no sum over the parts of a network"):
        proxylessnas(config, digits())


# ── spaces without mixtures ───────────────────────────────────────────────────────────────────────


def test_numbers_cannot_be_mixed(tmp_path: Path) -> None:
    """Before a folder is made."""
    config = smoke("darts-first-order", space="conv-chain")
    with pytest.raises(InvalidValueError, match=r"chooses a number, and numbers cannot be mixed"):
        darts_first_order(replace(config, space_args={}), digits(), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_sizes_that_depend_on_inputs_cannot_be_mixed(tmp_path: Path) -> None:
    config = smoke("darts-first-order", space="enas-micro")
    with pytest.raises(SpaceError, match=r"sizes depend on decision .* so that it cannot be relaxed"):
        darts_first_order(replace(config, space_args={"cells": 3, "channels": 8}), digits(), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_numbers_are_no_paths() -> None:
    config = replace(smoke("path-dropout"), space="conv-chain", space_args={})
    with pytest.raises(InvalidValueError, match="numbers are no paths that could be dropped"):
        path_dropout(config, digits())


# ── options ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        (MixingConfig(), Categorical),
        (MixingConfig("gumbel", hard=True), GumbelSoftmax),
        (MixingConfig("dirichlet"), DirichletWeights),
        (MixingConfig("sigmoid", edge_weights=True), SigmoidWeights),
        (MixingConfig("shrinking"), Shrinking),
    ],
)
def test_ways_to_mix(config: MixingConfig, kind: type[Categorical]) -> None:
    policy = config.open(EdgesSpace(), 0)
    assert type(policy) is kind
    assert (policy.edge_alpha is not None) == config.edge_weights


@pytest.mark.parametrize(
    "changes",
    [
        {"mixing": MixingConfig("gumbel", hard=True)},
        {"mixing": MixingConfig("dirichlet")},
        {"mixing": MixingConfig("sigmoid")},
        {"mixing": MixingConfig("shrinking")},
        {"mixing": MixingConfig(edge_weights=True), "partial": 2},
        {"stop": "skip"},
        {"stop": "eigenvalue"},
        {"derive": "shared"},
        {"derive": "trained"},
    ],
)
@pytest.mark.slow
def test_repairs_run(changes: dict[str, Any]) -> None:
    """GDAS, DrNAS, FairDARTS, P-DARTS, PC-DARTS, early stops, and other ways to derive."""
    config, share = smoke("darts-first-order"), changes.pop("partial", 1)
    config = replace(config, space_args={**config.space_args, "search_partial": share}, **changes)
    record = darts_first_order(config, digits()).record
    assert 0 <= record["test"] <= 1


def test_partial_channels_are_of_the_search_alone() -> None:
    """PC-DARTS: the search network has narrower operations, the derived one is the usual."""
    space = Darts(input_shape=(1, 8, 8), channels=8, cells=3, search_partial=4)
    arch = space.sample(1, np.random.default_rng(0))[0]
    usual = Darts(input_shape=(1, 8, 8), channels=8, cells=3)
    assert Macs().cost_module(space.build(arch), space.signature) == Macs().cost_module(
        usual.build(arch), usual.signature
    )
    narrow, wide = (sum(p.numel() for p in s.search_form().supernet().parameters()) for s in (space, usual))
    assert narrow < wide / 2


def test_partial_channels_that_do_not_divide() -> None:
    with pytest.raises(InvalidValueError, match="search_partial is 3, of 16 channels; give a divisor of them"):
        Darts(search_partial=3)


def test_shared_weights_are_opened_again(tmp_path: Path) -> None:
    """`rank` and others find the supernet of a derived run."""
    config = smoke("proxylessnas")
    proxylessnas(config, digits(), out=tmp_path / "run")
    found = open_supernet(tmp_path / "run")
    assert found.space.name == "proxylessnas"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stop": "skips"}, "unknown stop 'skips'"),
        ({"derive": "argmax"}, "unknown derive 'argmax'"),
    ],
)
def test_unknown_names(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UnknownNameError, match=message):
        smoke("darts", **changes)


def test_a_constraint_that_is_none() -> None:
    with pytest.raises(UnknownNameError, match="unknown constraint 'strong'"):
        smoke("snas", constraint="strong")
    with pytest.raises(UnknownNameError, match="unknown resource 'macs'"):
        smoke("snas", resource="macs")


def test_gates_without_weights_of_edges() -> None:
    with pytest.raises(InvalidValueError, match=r"mixing.edge_weights is True, and gates have none; leave it out"):
        MixingConfig("gates", edge_weights=True)


def test_short_presets_hurry() -> None:
    """α at a higher rate, more often and on more examples; gates keep an Adam without momentum."""
    config = ProxylessNasConfig.preset("quick", (1, 28, 28))
    assert (config.alpha.every, config.alpha.share, config.alpha.warmup) == (2, 0.2, 0.2)
    assert (config.alpha.optimizer.betas, config.alpha.optimizer.learning_rate) == ((0.0, 0.999), 0.02)
    assert FBNetConfig.preset("quick", (1, 28, 28)).alpha.every is None
    assert "mirror" not in config.supernet.augment


# ── the papers' numbers ───────────────────────────────────────────────────────────────────────────


def paper(name: str, shape: tuple[int, ...] = (3, 32, 32)) -> Any:
    return RUNS[name][1].preset("paper", shape)


def test_darts_has_the_released_numbers() -> None:
    """darts.md, sections 2 and 3."""
    config = paper("darts")
    weights, alpha = config.supernet, config.alpha
    assert (weights.epochs, weights.batch_size, weights.learning_rate) == (50, 64, 0.025)
    assert (weights.final_learning_rate, weights.momentum, weights.weight_decay) == (0.001, 0.9, 3e-4)
    assert weights.clip_norm == 5.0
    assert weights.decay_norm_and_bias
    expected = OptimizerConfig(
        optimizer="adam",
        learning_rate=3e-4,
        betas=(0.5, 0.999),
        weight_decay=1e-3,
        decay_norm_and_bias=True,
        schedule="constant",
    )
    assert alpha.optimizer == expected
    assert (alpha.order, alpha.share, alpha.every) == ("second", 0.5, 1)
    assert config.mixing == MixingConfig("softmax", spread=1e-3)
    assert config.space_args == {"auxiliary": 0.4, "drop_path": 0.2}
    assert (config.retrain.epochs, config.retrain.batch_size) == (600, 96)
    assert paper("darts-first-order").alpha.order == "first"
    assert Darts().search_form().args()["channels"] == 16


def test_snas_has_the_released_numbers() -> None:
    """snas.md, sections 2 and 3."""
    config = paper("snas")
    assert (config.supernet.epochs, config.supernet.batch_size) == (150, 64)
    assert (config.mixing.kind, config.mixing.temperature.start, config.mixing.temperature.end) == ("gumbel", 1.0, 0.03)
    assert config.mixing.temperature.shape == "linear"
    assert (config.alpha.level, config.constraint, config.is_log) == ("single", "mild", True)


def test_fbnet_has_the_paper_s_numbers() -> None:
    """fbnet.md, section 2."""
    config = paper("fbnet", (3, 224, 224))
    assert (config.supernet.epochs, config.supernet.batch_size, config.supernet.learning_rate) == (90, 192, 0.1)
    assert (config.alpha.every, config.alpha.share) == (None, 0.2)
    assert config.alpha.warmup * 90 == pytest.approx(10)
    assert (config.alpha.optimizer.learning_rate, config.alpha.optimizer.weight_decay) == (0.01, 5e-4)
    pressure = config.alpha.pressure
    assert (pressure.form, pressure.weight, pressure.exponent, pressure.sampled) == ("log-power", 0.2, 0.6, True)
    heat = config.mixing.temperature
    assert (heat.start, heat.shape) == (5.0, "exponential")
    assert heat.at(89 / 90) == pytest.approx(5 * math.exp(-0.045 * 89), rel=1e-2)
    assert config.derive == "trained"


def test_proxylessnas_has_the_released_numbers() -> None:
    """proxylessnas.md, sections 3 and 4."""
    config = paper("proxylessnas", (3, 224, 224))
    assert (config.supernet.epochs, config.supernet.batch_size, config.supernet.learning_rate) == (160, 256, 0.025)
    assert (config.supernet.nesterov, config.supernet.weight_decay, config.supernet.label_smoothing) == (
        True,
        4e-5,
        0.1,
    )
    assert (config.alpha.every, config.alpha.paths, config.alpha.warmup) == (5, "path", 0.25)
    assert (config.alpha.optimizer.learning_rate, config.alpha.optimizer.betas) == (1e-3, (0.0, 0.999))
    assert (config.mixing.kind, config.mixing.paths, config.mixing.spread) == ("gates", 2, 1e-3)
    assert (config.alpha.pressure.form, config.alpha.pressure.weight) == ("relative", 0.1)
    by_reward = paper("proxylessnas-rl", (3, 224, 224))
    assert (by_reward.controller.children, by_reward.controller.baseline_decay, by_reward.exponent) == (10, 0.01, 0.1)


def test_path_dropout_has_its_numbers() -> None:
    """path-dropout.md: from memory, so that they are only kept."""
    config = paper("path-dropout")
    assert (config.rate, config.ghost, config.supernet.batch_size) == (0.05, 32, 1024)
