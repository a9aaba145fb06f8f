"""Single-path one-shot search from data to an exported network."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from scipy.stats import chisquare

from archwright.core.arch import Arch
from archwright.core.errors import InvalidValueError, UnknownNameError
from archwright.costs import BitOps, Macs, SpaceTable, count
from archwright.evaluators import CalibrationConfig
from archwright.export.onnx import onnx_metadata, onnx_session
from archwright.export.preprocessing import preprocess
from archwright.policies import UniformInCostBins
from archwright.recipes import SposConfig, spos
from archwright.recipes.augmenting import with_augment
from archwright.recipes.base import open_search
from archwright.recipes.rehearsal import Rehearsal
from archwright.recipes.spos import _large_enough
from archwright.reports.building import build_report
from archwright.spaces import SposBits, SposSpace, open_architecture
from archwright.stores import open_store
from archwright.strategies import EvolutionConfig
from archwright.tasks import digits
from archwright.training.config import TrainingConfig
from archwright.training.evaluate import evaluate
from archwright.weight_sharing.uniform_path import UniformPath

RESULT_KEYS = {
    *("format", "recipe", "space", "dataset", "seed", "arch", "metric", "direction", "test", "validation", "params"),
    *(
        "macs",
        "memory_access_bytes",
        "latency_ms",
        "n_evaluated",
        "constraints",
        "random_baseline",
        "plain_baseline",
        "selected",
        "ledger",
    ),
}
PHASES = [
    *("start", "supernet", "search", "baseline", "retrain-winner", "retrain-baseline", "retrain-draw0"),
    *("retrain-plain", "test", "export", "latency"),
]


TINY = f"{Path(__file__).with_name('tiny_space.py')}:Tiny"


def _without_clocks(record: dict[str, Any]) -> dict[str, Any]:
    clocks = ("ledger", "latency_ms")
    kept = {key: value for key, value in record.items() if key not in clocks}
    selected = [{key: value for key, value in one.items() if key not in clocks} for one in record["selected"]]
    return {**kept, "selected": selected}


# ── the result ────────────────────────────────────────────────────────────────────────────────────


def test_result_has_the_keys_others_rely_on(finished: Any) -> None:
    """Those of the documented result.json; nested records too."""
    record = json.loads((finished.folder / "result.json").read_text())
    assert record == finished.result.record
    assert record.keys() >= RESULT_KEYS
    fixed = ("format", "recipe", "space", "dataset", "seed", "metric", "direction")
    assert [record[key] for key in fixed] == [1, "spos", "spos", "digits", 0, "top1_accuracy", "max"]
    assert record["random_baseline"].keys() >= {"test", "macs", "n_evaluated", "draws"}
    assert [draw.keys() >= {"arch", "test", "macs"} for draw in record["random_baseline"]["draws"]] == [True]
    assert [limit.keys() for limit in record["constraints"]] == [{"cost", "limit", "predicted", "value", "satisfied"}]
    assert record["selected"][0].items() <= record.items()
    assert list(record["ledger"]) == PHASES
    for entry in record["ledger"].values():
        assert entry.keys() >= {"wall_s", "cpu_s", "peak_rss_mb"}


def test_winner_keeps_the_limit(finished: Any) -> None:
    """As counted on the network that was trained; so do the baseline, the draws and the plain network."""
    record = finished.result.record
    limit = finished.config.limits[0][1]
    counted = count(finished.result.network, (1, 8, 8))
    assert (record["macs"], record["params"]) == (counted.macs, counted.params)
    assert record["constraints"] == [
        {"cost": "macs", "limit": limit, "predicted": counted.macs, "value": counted.macs, "satisfied": True}
    ]
    assert counted.macs <= limit
    baseline = record["random_baseline"]
    plain = record["plain_baseline"]
    assert max(baseline["macs"], plain["macs"], *(draw["macs"] for draw in baseline["draws"])) <= limit


def test_baseline_has_as_many_evaluations(finished: Any) -> None:
    """Eight each, by the same evaluator, in stores of their own; random ones are random."""
    record = finished.result.record
    assert record["n_evaluated"] == record["random_baseline"]["n_evaluated"] == 8
    with open_store(finished.folder, "search") as search, open_store(finished.folder, "baseline") as baseline:
        searched, drawn = search.trials(), baseline.trials()
    assert tuple(searched) == finished.result.trials
    assert (len(searched), len(drawn)) == (8, 8)
    assert {trial.candidate.origin for trial in drawn} == {"random"}
    assert record["validation"] == max(trial.metrics["top1_accuracy"] for trial in searched)
    assert record["random_baseline"]["validation"] == max(trial.metrics["top1_accuracy"] for trial in drawn)


def test_winner_is_the_best_trial(finished: Any) -> None:
    """The earliest of those with the highest validation accuracy."""
    best = max(finished.result.trials, key=lambda trial: (trial.metrics["top1_accuracy"], -trial.number))
    assert finished.result.arch == best.arch
    assert Arch.from_json(finished.result.record["arch"]) == best.arch


# ── the one test ──────────────────────────────────────────────────────────────────────────────────


def test_test_part_is_read_once_a_network(finished: Any, in_memory: Any) -> None:
    """Winner, baseline, one draw, a plain network: four reads, after everything that chooses or trains."""
    for run in (finished, in_memory):
        record = run.result.record
        baseline = record["random_baseline"]
        archs = [record["arch"], baseline["arch"], *(draw["arch"] for draw in baseline["draws"])]
        n_distinct = len({Arch.from_json(arch) for arch in archs})
        assert run.task.n_test_reads == run.task.asked.count("test") == n_distinct + 1 == 4
        first = run.task.asked.index("test")
        assert set(run.task.asked[first:]) == {"test"}


def test_reported_accuracy_is_that_of_the_network_in_hand(finished: Any) -> None:
    """Evaluated anew on fresh data of the same name."""
    measured = evaluate(finished.result.model(), digits(), "test")
    assert measured["top1_accuracy"] == finished.result.record["test"]


def test_retraining_takes_training_and_validation_part(finished: Any) -> None:
    """The search never scores what it trains on; at the end nothing is held back but the test part."""
    before_test = finished.task.asked[: finished.task.asked.index("test")]
    assert before_test[-1] == "train+validation"
    assert {"train", "validation", "train+validation"} == set(before_test)


# ── files ─────────────────────────────────────────────────────────────────────────────────────────


def test_onnx_gives_torch_s_logits_on_raw_images(finished: Any) -> None:
    """Test images as they are stored, through the preprocessing in the file; the classes' names are there too."""
    from sklearn.datasets import load_digits

    session = onnx_session(finished.folder / "best" / "model.onnx")
    texts = onnx_metadata(session)
    found: Any = load_digits()
    raw = np.round(found.images[:64] * 255 / 16).astype(np.uint8)
    inputs = preprocess(raw, json.loads(texts["preprocessing"]))
    (logits,) = session.run(None, {session.get_inputs()[0].name: inputs})
    with torch.no_grad():
        expected = finished.result.model()(torch.from_numpy(inputs)).numpy()
    np.testing.assert_allclose(logits, expected, atol=1e-4)
    assert json.loads(texts["class_names"]) == [str(digit) for digit in range(10)]


def test_inputs_are_those_of_the_task(finished: Any) -> None:
    """The preprocessing that travels along gives what the network was tested on."""
    session = onnx_session(finished.folder / "best" / "model.onnx")
    document = json.loads(onnx_metadata(session)["preprocessing"])
    task = digits()
    images = task._split("test")._images  # (N, H, W, C), uint8
    inputs, labels = next(task.split("test").ordered(10_000))
    np.testing.assert_allclose(preprocess(np.asarray(images), document), inputs.numpy(), atol=1e-6)
    (logits,) = session.run(None, {session.get_inputs()[0].name: np.ascontiguousarray(inputs.numpy())})
    assert (logits.argmax(axis=1) == labels.numpy()).mean() == finished.result.record["test"]


def test_arch_and_weights_open_again(finished: Any) -> None:
    """arch.json gives space and arch, model.safetensors its weights, strictly: the same logits to the bit."""
    opened = open_architecture(str(finished.folder / "best" / "arch.json"))
    assert opened.arch == finished.result.arch
    network = opened.space.build(opened.arch)
    weights = safetensors.torch.load_file(finished.folder / "best" / "model.safetensors")
    network.load_state_dict(weights, strict=True)
    images = torch.randn(8, 1, 8, 8)
    with torch.no_grad():
        assert torch.equal(network.eval()(images), finished.result.model()(images))


def test_page_and_log_are_there(finished: Any) -> None:
    """A page that shows every decision of the winner; a log that says when the run began and ended."""
    page = (finished.folder / "report.html").read_text()
    assert [name for name in finished.result.arch if name not in page] == []
    log = (finished.folder / "log.txt").read_text().splitlines()
    assert "started spos with seed 0" in log[0]
    assert log[-1].endswith("finished")


def test_page_is_made_again_from_the_folder(finished: Any, tmp_path: Path) -> None:
    """`archwright report` gives the page that stands there, to the byte; layers and loss curves are kept for it."""
    again = build_report([finished.folder], tmp_path / "page.html").read_text("utf-8")
    assert again == (finished.folder / "report.html").read_text("utf-8")
    kept = json.loads((finished.folder / "report.json").read_text())
    assert sum(row["macs"] for row in kept["layers"]) == finished.result.record["macs"]
    assert {"supernet", "retrain-winner"} <= kept["training"].keys()


# ── repeatability ─────────────────────────────────────────────────────────────────────────────────


def test_same_seed_same_result_on_disk_and_in_memory(finished: Any, in_memory: Any) -> None:
    """Result, trials and weights, bit for bit, clocks aside; in memory nothing is exported."""
    assert _without_clocks(in_memory.result.record) == _without_clocks(finished.result.record)
    timeless = [[replace(t, duration_s=0.0) for t in run.result.trials] for run in (finished, in_memory)]
    assert timeless[0] == timeless[1]
    pairs = zip(
        in_memory.result.model().state_dict().items(), finished.result.model().state_dict().items(), strict=True
    )
    assert all(name == other and torch.equal(a, b) for (name, a), (other, b) in pairs)
    assert in_memory.result.folder is None
    assert list(in_memory.result.record["ledger"]) == [phase for phase in PHASES if phase != "export"]


def test_other_seed_other_result(smoke_config: Callable[[int], SposConfig]) -> None:
    """Archs, scores and weights, here on a tiny space; the data's split is the task's own affair."""
    one, other = (spos(replace(smoke_config(seed), space=TINY, limits=()), digits()) for seed in (0, 1))
    assert (one.record["seed"], other.record["seed"]) == (0, 1)
    assert [trial.arch for trial in one.trials] != [trial.arch for trial in other.trials]
    last = [result.network.state_dict()["5.3.bias"] for result in (one, other)]
    assert not torch.equal(*last)


# ── latency ───────────────────────────────────────────────────────────────────────────────────────


def test_a_latency_limit_needs_only_data(tmp_path: Path, smoke_config: Callable[[int], SposConfig]) -> None:
    """The table is measured at the start and kept in the folder; predicted stands beside measured."""
    config = replace(smoke_config(0), space=TINY, limits=(("latency_ms.torch", 1e3), ("memory_access_bytes", 1e9)))
    result = spos(config, digits(), out=tmp_path / "run")
    record = result.record
    assert list(record["ledger"])[:3] == ["start", "profile-torch", "supernet"]
    latency, memory = record["constraints"]
    assert latency["value"] == record["latency_ms"]["torch"]["median"]
    assert memory["predicted"] == memory["value"] == record["memory_access_bytes"]
    assert latency["satisfied"] is memory["satisfied"] is True
    assert spos(config, digits(), out=tmp_path / "run", resume=True).record == record
    again = replace(config, latency_table=str(tmp_path / "run" / "latency_ms_torch.json"))
    lines = [spos.estimate(one, digits())[-1] for one in (config, again)]
    assert ["measuring a latency table first" in line for line in lines] == [True, False]
    repeated = spos(again, digits())
    assert "profile-torch" not in repeated.record["ledger"]
    assert [t.costs for t in repeated.trials] == [t.costs for t in result.trials]


def test_a_table_of_another_space_stops_nothing_halfway(
    tmp_path: Path, smoke_config: Callable[[int], SposConfig]
) -> None:
    """It is refused before the folder is made."""
    space = SposSpace(input_shape=(1, 8, 8), n_classes=10)
    SpaceTable("t", {}, space="spos", space_args=space.args(), decisions="other").save(tmp_path / "t.json")
    config = replace(smoke_config(0), limits=(("latency_ms", 1.0),), latency_table=str(tmp_path / "t.json"))
    with pytest.raises(InvalidValueError, match="is a latency table of space 'spos' with other decisions"):
        spos(config, digits(), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


# ── numbers ───────────────────────────────────────────────────────────────────────────────────────


def test_paper_preset_has_the_paper_s_numbers() -> None:
    """spos.md, sections 6 to 9."""
    config = SposConfig.preset("paper", (3, 224, 224))
    supernet = TrainingConfig(
        steps=150_000,
        batch_size=1024,
        optimizer="sgd",
        learning_rate=0.5,
        momentum=0.9,
        nesterov=False,
        weight_decay=4e-5,
        decay_norm_and_bias=False,
        schedule="linear",
        warmup_steps=0,
        final_learning_rate=0.0,
        augment="crop,mirror,jitter",
        label_smoothing=0.1,
    )
    assert config.supernet == supernet
    assert config.retrain == replace(supernet, steps=300_000)
    assert config.bin_edges == (290e6, 300e6, 310e6, 320e6, 330e6, 340e6, 350e6, 360e6)
    assert config.calibration == CalibrationConfig(batches=200, batch_size=128, augment="crop,mirror,jitter")
    assert config.evolution == EvolutionConfig(
        population=50, top=10, mutations=25, crossovers=25, mutation_probability=0.1, generations=20
    )
    assert config.evolution.n_evaluations == 1050
    assert config.limits == (("macs", 330e6),)
    assert config.space == "spos"
    assert SposSpace().dropout == 0.1
    policy = UniformInCostBins(SposSpace(), _macs(), config.bin_edges)
    assert policy.max_tries == 500


def _macs() -> Any:
    from archwright.costs import Macs

    return Macs()


def test_paper_preset_at_another_scale_has_bins_of_its_own() -> None:
    """330 M and 290 to 360 M belong to 224 pixels, and jitter to photos; the rest stays."""
    small, large = (SposConfig.preset("paper", (3, side, side)) for side in (32, 224))
    assert with_augment(replace(large, limits=(), bin_edges=()), "crop,mirror") == small
    assert small.n_bins == 7


@pytest.mark.parametrize("name", ["smoke", "quick", "long", "paper"])
def test_presets_count_steps_and_evaluations(name: str) -> None:
    """Never seconds or passes over data: the same work on any machine."""
    config = SposConfig.preset(name, (1, 28, 28))
    assert config.supernet.steps is not None
    assert config.retrain.steps is not None
    assert config.supernet.epochs is config.retrain.epochs is None
    assert config.supernet.n_steps(5) == config.supernet.n_steps(50_000) == config.supernet.steps


class Reached(Exception):
    """The training of the supernet was about to begin."""


def _policy_of_supernet(monkeypatch: pytest.MonkeyPatch, config: SposConfig) -> UniformInCostBins:
    """What a run draws its supernet's paths from."""
    found: list[UniformInCostBins] = []

    def fit(self: UniformPath, supernet: Any, policy: UniformInCostBins, task: Any, **rest: Any) -> None:
        found.append(policy)
        raise Reached

    monkeypatch.setattr(UniformPath, "fit", fit)
    with pytest.raises(Reached):
        spos(config, digits())
    return found[0]


def test_paths_of_bits_are_drawn_by_bit_operations(
    monkeypatch: pytest.MonkeyPatch, smoke_config: Callable[[int], SposConfig]
) -> None:
    """Flat over seven bins of them; by multiply-accumulates, of which there is one value, a draw would be uniform."""
    config = replace(smoke_config(0), space="spos-bits", limits=())
    policy = _policy_of_supernet(monkeypatch, config)
    rows = policy.draw(700, np.random.default_rng(0))
    counts = np.histogram(BitOps().cost_rows(SposBits(input_shape=(1, 8, 8)), rows), bins=policy.edges)[0]
    assert (len(counts), counts.sum()) == (7, 700)
    assert chisquare(counts).pvalue > 0.01


def test_paths_of_other_spaces_are_drawn_by_macs(
    monkeypatch: pytest.MonkeyPatch, smoke_config: Callable[[int], SposConfig]
) -> None:
    """What nearly every space names."""
    assert _policy_of_supernet(monkeypatch, smoke_config(0)).cost.name == "macs"


def test_paths_under_limits_are_drawn_close_to_them(
    monkeypatch: pytest.MonkeyPatch, smoke_config: Callable[[int], SposConfig]
) -> None:
    """From three quarters of the lowest limit on multiply-accumulates to the highest."""
    config = replace(smoke_config(0), space="conv-chain", limits=(("macs", 2e6), ("macs", 4e6), ("params", 1e5)))
    edges = _policy_of_supernet(monkeypatch, config).edges
    assert 1.5e6 <= edges[0] < 1.6e6
    assert 3.9e6 < edges[-1] <= 4e6


def test_long_is_an_hour_shared_as_quick_is() -> None:
    """No random networks beside it, as in every run of a given time."""
    quick = SposConfig.preset("quick", (1, 28, 28))
    assert SposConfig.preset("long", (1, 28, 28)) == replace(quick, time_s=3600.0, n_draws=0)


def test_bins_of_another_cost_are_refused(tmp_path: Path, smoke_config: Callable[[int], SposConfig]) -> None:
    """Edges in multiply-accumulates hold no bit operations; before the folder is made."""
    config = replace(smoke_config(0), space="spos-bits", limits=(), bin_edges=(290e6, 300e6))
    with pytest.raises(InvalidValueError, match=r"bin_edges from 290,000,000 .* its bit_ops lie between"):
        spos(config, digits(), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_quick_retrains_three_random_networks() -> None:
    """Beside winner and baseline."""
    assert SposConfig.preset("quick", (1, 28, 28)).n_draws == 3


def test_unknown_preset() -> None:
    """The three there are."""
    with pytest.raises(InvalidValueError, match="unknown preset 'fast'; choose smoke, quick, long or paper"):
        SposConfig.preset("fast", (1, 8, 8))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_bins": 0}, "n_bins is 0; give at least 1"),
        ({"n_draws": -1}, "n_draws is -1; give 0 or more"),
        ({"threads": 0}, "threads is 0; give at least 1"),
        ({"limits": (("macs", -1.0),)}, "limit on 'macs' is -1.0; give a positive number"),
        ({"limits": (("macs", 1.0), ("macs", 1.0))}, "a limit on macs is given twice: 1, 1"),
        (
            {"limits": (("macs", 1.0), ("macs", 2.0), ("params", 1.0), ("params", 2.0))},
            "limits of macs and params have several values each; give several to one cost at most",
        ),
    ],
)
def test_numbers_out_of_range(change: dict[str, Any], message: str) -> None:
    """Refused where the config is made."""
    with pytest.raises(InvalidValueError, match=message):
        SposConfig(**change)


def test_nothing_starts_where_a_name_is_unknown(tmp_path: Any, smoke_config: Callable[[int], SposConfig]) -> None:
    """Space and limited cost are looked up before the folder is made."""
    for change in ({"space": "spoos"}, {"limits": (("mcas", 1e6),)}):
        with pytest.raises(UnknownNameError, match="did you mean"):
            spos(replace(smoke_config(0), **change), digits(), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_estimate_counts_all_work(smoke_config: Callable[[int], SposConfig]) -> None:
    """Steps and evaluations of every phase, with a time; three networks: winner, baseline, one draw."""
    lines = spos.estimate(smoke_config(0), digits())
    assert lines[0].startswith("estimated time ")
    assert lines[0].endswith("on 1 thread of cpu")
    assert [line.split("  ")[-1] for line in lines[1:]] == [
        "supernet, 8 steps of 32",
        "search and baseline, 8 evaluations each",
        "retraining, 3 networks and 1 plain of 8 steps",
    ]


@pytest.mark.parametrize(("least", "lowest"), [(0.0, 0.0), (0.9, 0.9 * 4.5e6)])
def test_small_networks_are_left_out_on_request(least: float, lowest: float) -> None:
    """Those of the search and of random search beside it use at least that share of the limit, where many can."""
    settings = {"limits": (("macs", 4.5e6),), "least_of_limit": least, "n_draws": 0, "plain": False}
    config = replace(SposConfig.preset("smoke", (1, 8, 8)), threads=1, device="cpu", **settings)
    rehearsal = Rehearsal(open_search(config, digits()))
    cost = Macs()
    rows = rehearsal.space.decisions.sample(500, np.random.default_rng(1))
    (objective,) = rehearsal.opened.objectives
    keeps = _large_enough(rehearsal, objective, cost, least)
    macs = cost.cost_rows(rehearsal.space, rows)
    assert (keeps is None) == (least == 0)
    if keeps is not None:
        assert (keeps(rows) == (macs >= lowest)).all()
    assert _large_enough(rehearsal, replace(objective, constraints=()), cost, least) is None


def test_where_few_use_the_limit_all_are_tried() -> None:
    """A limit above all networks is no size to come near to."""
    config = replace(SposConfig.preset("smoke", (1, 8, 8)), threads=1, device="cpu", limits=(("macs", 1e12),))
    rehearsal = Rehearsal(open_search(config, digits()))
    assert _large_enough(rehearsal, rehearsal.opened.objectives[0], Macs(), 0.9) is None
