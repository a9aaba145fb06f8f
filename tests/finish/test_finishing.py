"""What follows every search: retraining, baseline, the one test, export."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from archwright.core.arch import Arch
from archwright.core.errors import InfeasibleError, RunError, RunFolderError
from archwright.core.objective import Constraint, Goal, Objective
from archwright.core.trial import Candidate, Metrics, Trial, derive_seed
from archwright.costs import Latency, Macs, SpaceTable, TorchLatency, count
from archwright.evaluators import Evaluator, FromScratch
from archwright.finish import FinalTraining, Found, baseline
from archwright.finish.finalists import Finalist, train_finalists
from archwright.finish.finishing import effective_config, finish
from archwright.finish.quantised import Int8Terms
from archwright.finish.result import Result, open_winner, reopen
from archwright.nn import Chooser
from archwright.runs.run import Run, open_run
from archwright.search import SearchResult, search
from archwright.strategies import Random, base
from archwright.tasks import ImageTask, Part
from archwright.tasks.images.in_memory import ImageSplit
from archwright.testing import NumberSpace
from archwright.training.config import TrainingConfig
from archwright.training.evaluate import evaluate
from archwright.training.loop import fit
from archwright.training.networks import train_network

CPU = torch.device("cpu")
RETRAIN = TrainingConfig(steps=2, batch_size=16)
SPACE = NumberSpace()


class Table(Evaluator):
    """A score that is a function of the arch's place among all; notes what it is asked."""

    def __init__(self, metric: str = "top1_accuracy") -> None:
        self.metric = metric
        self.asked: list[Arch] = []

    def evaluate(self, candidates: Sequence[Candidate]) -> list[Metrics]:
        self.asked += [candidate.arch for candidate in candidates]
        return [{self.metric: _score(candidate.arch)} for candidate in candidates]

    def model(self, arch: Arch, seed: int) -> nn.Module:
        raise AssertionError("not used here")


def _score(arch: Arch) -> float:
    return derive_seed(arch.key) % 97 / 100


class WatchedTask(ImageTask):
    """36 noisy images in three classes; notes which parts were read."""

    asked: list[Part]

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        labels = np.arange(36) % 3
        images = (rng.integers(0, 120, (36, 3, 6, 6)) + 40 * labels[:, None, None, None]).astype(np.uint8)
        super().__init__("toy", images, labels, images[:12], labels[:12])
        self.asked = []

    def _split(self, part: Part) -> ImageSplit:
        self.asked.append(part)
        return super()._split(part)


class LossTask(WatchedTask):
    """The same, judged by its loss: less is better."""

    metric = "loss"
    direction = "min"


@dataclass
class Done:
    """A finished run and what went into it."""

    result: Result
    task: WatchedTask
    evaluator: Table
    found: SearchResult


def _finished(
    *,
    n_trials: int = 3,
    n_draws: int = 2,
    task: WatchedTask | None = None,
    out: Path | None = None,
    limit: float = 1e9,
    int8: Int8Terms | None = None,
    strategy: type[Random] = Random,
) -> Done:
    task = task or WatchedTask()
    evaluator = Table(task.metric)
    objective = Objective((Goal(task.metric, task.direction),), (Constraint("macs", limit),))
    with open_run(out, {"recipe": "toy"}, seed=4, threads=1) as run:
        found = search(
            SPACE, strategy(SPACE, n_trials=n_trials, seed=1), evaluator, objective, store=run.store("search")
        )
        result = finish(
            run,
            SPACE,
            Found((found,)),
            task,
            FinalTraining(RETRAIN),
            recipe="toy",
            n_draws=n_draws,
            int8=int8,
            device=CPU,
        )
    return Done(result, task, evaluator, found)


@pytest.fixture(scope="module")
def done() -> Done:
    return _finished()


def test_networks_are_retrained_alike(done: Done) -> None:
    """Winner, baseline and draws from one seed, on training and validation part together; then tested."""
    record, task = done.result.record, WatchedTask()
    baseline = record["random_baseline"]
    for entry in (record, baseline, *baseline["draws"]):
        network, _ = train_network(
            SPACE,
            Arch.from_json(entry["arch"]),
            task,
            RETRAIN,
            part="train+validation",
            seed=derive_seed(4, "retrain"),
            device=CPU,
        )
        assert evaluate(network, task, "test")["top1_accuracy"] == entry["test"]
        with torch.device("meta"):
            assert count(network, SPACE.input_shape).macs == entry["macs"]


def test_winner_is_what_the_search_found(done: Done) -> None:
    """With its validation metric and its seed."""
    record = done.result.record
    assert done.result.arch == done.found.best.arch
    assert (record["validation"], record["n_evaluated"]) == (done.found.best.metrics["top1_accuracy"], 3)
    assert (record["recipe"], record["dataset"], record["seed"]) == ("toy", "toy", 4)
    assert record["code"] == SPACE.code(done.result.arch)
    assert done.result.trials == done.found.trials


def test_baseline_is_random_search_at_equal_budget(done: Done) -> None:
    """As many evaluations by the same evaluator, the best of them; other archs than the method's own stream gives."""
    searched, drawn = done.evaluator.asked[:3], done.evaluator.asked[3:]
    assert len(drawn) == done.result.record["random_baseline"]["n_evaluated"] == 3
    assert len(set(drawn)) == 3
    assert drawn != searched
    best = Arch.from_json(done.result.record["random_baseline"]["arch"])
    assert best == max(drawn, key=_score)
    assert done.result.record["random_baseline"]["validation"] == _score(best)


def test_test_part_is_read_once_a_distinct_network(done: Done) -> None:
    """After everything else; an arch in two roles is trained and tested once."""
    record = done.result.record
    archs = [entry["arch"] for entry in (record, record["random_baseline"], *record["random_baseline"]["draws"])]
    n_distinct = len({Arch.from_json(arch) for arch in archs})
    assert done.task.asked[-n_distinct:] == ["test"] * n_distinct
    assert done.task.n_test_reads == done.task.asked.count("test") == n_distinct


def test_one_arch_in_two_roles_is_one_network() -> None:
    """Search and baseline that both see all 8 archs have one winner: one training, one test, one figure."""
    done = _finished(n_trials=8, n_draws=0)
    record = done.result.record
    assert record["arch"] == record["random_baseline"]["arch"]
    assert record["test"] == record["random_baseline"]["test"]
    assert done.task.n_test_reads == 1
    assert [name for name in record["ledger"] if name.startswith("retrain")] == ["retrain-winner"]


def test_weights_that_are_inherited_are_those_of_the_trial() -> None:
    """Two searches that find one arch trained it from two seeds: two networks. From scratch it is one."""
    task, (arch,) = WatchedTask(), SPACE.sample(1, np.random.default_rng(0))
    evaluator = FromScratch(SPACE, task, RETRAIN)
    finalists = [Finalist(f"winner{seed}", arch, evaluator, seed) for seed in (1, 2)]
    with open_run(None, {}, seed=0, threads=1) as run:
        found = train_finalists(run, SPACE, finalists, task, FinalTraining(RETRAIN, "inherited"), CPU).networks
    for one in finalists:
        expected = evaluator.model(arch, one.seed).state_dict()
        assert all(torch.equal(own, expected[name]) for name, own in found[one.role].state_dict().items())
    with open_run(None, {}, seed=0, threads=1) as run:
        found = train_finalists(run, SPACE, finalists, task, FinalTraining(RETRAIN, "scratch"), CPU).networks
    assert found["winner1"] is found["winner2"]


def test_draws_are_distinct_and_keep_the_limits() -> None:
    """Where only some archs do; a limited cost of the winner is counted on its network."""
    macs = sorted(Macs().cost_rows(SPACE, SPACE.decisions.enumerate_rows()))
    done = _finished(n_draws=3, limit=macs[4])
    draws = done.result.record["random_baseline"]["draws"]
    assert len({Arch.from_json(draw["arch"]) for draw in draws}) == 3
    assert max(draw["macs"] for draw in draws) <= macs[4]
    (limit,) = done.result.record["constraints"]
    value = count(done.result.network, SPACE.input_shape).macs
    assert limit == {"cost": "macs", "limit": macs[4], "predicted": value, "value": value, "satisfied": True}


def test_a_network_without_use_is_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    """An infinite perplexity on the test part ends the run with advice: a result holds figures."""
    monkeypatch.setattr("archwright.finish.finalists.evaluate", lambda *_args, **_kwargs: {"loss": float("inf")})
    with pytest.raises(RunError, match=r"loss of the winner on the test part is inf: .* lower learning_rate"):
        _finished(task=LossTask(), n_draws=0)


def test_metrics_that_fall_are_honoured() -> None:
    """A task judged by its loss: the least wins in search and baseline."""
    done = _finished(task=LossTask(), n_draws=0)
    record = done.result.record
    assert (record["metric"], record["direction"]) == ("loss", "min")
    assert done.result.arch == min(done.evaluator.asked[:3], key=_score)
    assert Arch.from_json(record["random_baseline"]["arch"]) == min(done.evaluator.asked[3:], key=_score)
    assert record["test"] == evaluate(done.result.network, done.task, "test")["loss"]


def test_in_memory_nothing_is_written(done: Done, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The record is strict JSON all the same, with a ledger of every phase."""
    monkeypatch.chdir(tmp_path)
    again = _finished()
    assert list(tmp_path.iterdir()) == []
    assert again.result.folder is None
    strict = json.loads(json.dumps(again.result.record, allow_nan=False))
    assert strict == again.result.record
    assert _timeless(strict) == _timeless(done.result.record)
    assert list(strict["ledger"])[:2] == ["baseline", "retrain-winner"]


def _timeless(document: Any) -> Any:
    """A record without what the clock says."""
    if isinstance(document, dict):
        return {key: _timeless(value) for key, value in document.items() if key not in ("ledger", "latency_ms")}
    return [_timeless(item) for item in document] if isinstance(document, list) else document


def test_memory_and_latency_are_told(done: Done, on_disk: Done) -> None:
    """Memory access as counted; torch's latency always, ONNX Runtime's where a file was exported."""
    for run, backends in ((done, {"torch"}), (on_disk, {"onnxruntime", "torch"})):
        record = run.result.record
        counted = count(run.result.network, SPACE.input_shape)
        assert record["memory_access_bytes"] == record["selected"][0]["memory_access_bytes"]
        assert record["memory_access_bytes"] == counted.memory_access_bytes
        assert record["latency_ms"].keys() == backends
        assert all(0 < one["median"] <= one["p90"] for one in record["latency_ms"].values())
        assert record["passed_over"] == []


def test_the_next_trial_is_taken_where_the_winner_is_too_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Predicted alike, measured as their multiply-accumulates say: retrained and tested is the best that keeps it."""
    macs = {arch: float(Macs().cost_rows(SPACE, SPACE.row(arch)[None])[0]) for arch in _every_arch()}
    limit = sorted(macs.values())[3]

    def measure(network: nn.Module, input_shape: Sequence[int], **how: Any) -> Latency:
        milliseconds = float(count(network, input_shape).macs)
        return Latency(milliseconds, milliseconds, 1, 1, how["backend"])

    monkeypatch.setattr("archwright.finish.measuring.measure_latency", measure)
    table = SpaceTable(
        "t",
        {},
        limit / 2,
        space_args=SPACE.args(),
        decisions=SPACE.decisions.fingerprint,
        backend="torch",
    )
    objective = Objective((Goal("top1_accuracy"),), (Constraint("latency_ms.torch", limit),))
    with open_run(None, {"recipe": "toy"}, seed=4, threads=1) as run:
        costs = [Macs(), TorchLatency(table)]
        found = search(SPACE, Random(SPACE, n_trials=8, seed=1), Table(), objective, costs=costs)
        result = finish(
            run, SPACE, Found((found,)), WatchedTask(), FinalTraining(RETRAIN), recipe="toy", n_draws=1, device=CPU
        )
    by_score = sorted(macs, key=_score, reverse=True)
    taken = next(arch for arch in by_score if macs[arch] <= limit)
    assert result.arch == taken
    assert by_score.index(taken) > 0  # else this test shows nothing
    record = result.record
    assert [Arch.from_json(one["arch"]) for one in record["passed_over"]] == by_score[: by_score.index(taken)]
    (kept,) = record["constraints"]
    assert (kept["predicted"], kept["value"], kept["satisfied"]) == (limit / 2, macs[taken], True)
    assert count(result.network, SPACE.input_shape).macs == macs[taken]
    assert any("passed over" in line for line in result.summary())


def _every_arch() -> list[Arch]:
    return SPACE.decisions.archs(SPACE.decisions.enumerate_rows())


@pytest.fixture(scope="module")
def on_disk(tmp_path_factory: pytest.TempPathFactory) -> Done:
    return _finished(out=tmp_path_factory.mktemp("finish") / "run", n_draws=0)


def _reopened(folder: Path) -> tuple[Run, Result]:
    with open_run(folder, {"recipe": "toy"}, seed=4, threads=1, resume=True) as run:
        return run, reopen(run, SPACE)


def test_finished_run_opens_again(on_disk: Done) -> None:
    """Record, trials and the retrained network, bit for bit."""
    folder = on_disk.result.folder
    assert folder is not None
    _, again = _reopened(folder)
    assert again.record == on_disk.result.record
    assert again.trials == on_disk.result.trials
    assert again.summary() == on_disk.result.summary()
    assert not again.model().training
    pairs = zip(again.network.state_dict().values(), on_disk.result.network.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_exported_winner_is_the_retrained_one(on_disk: Done) -> None:
    """arch.json and weights in best/; the export was compared with torch."""
    folder = on_disk.result.folder
    assert folder is not None
    found, network, metadata = open_winner(folder)
    assert found.arch == on_disk.result.arch
    pairs = zip(network.state_dict().values(), on_disk.result.network.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert metadata.keys() == {"class_names", "preprocessing"}
    assert sorted(path.name for path in (folder / "best").iterdir()) == [
        "README.md",
        "arch.json",
        "model.onnx",
        "model.py",
        "model.safetensors",
    ]


class Doubled(nn.Module):
    """Has no source template."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * x


class UntoldSpace(NumberSpace):
    """With a module that cannot be written as source."""

    def network(self, choose: Chooser) -> nn.Module:
        return nn.Sequential(super().network(choose), Doubled())


def test_an_int8_file_stands_beside_the_float_one(tmp_path: Path) -> None:
    """In the folder, the record, the page and the summary; it is one more reading of the test part."""
    without, task = _finished(n_draws=0), WatchedTask()
    done = _finished(n_draws=0, out=tmp_path / "run", task=task, int8=Int8Terms(0.0))
    assert task.n_test_reads == without.task.n_test_reads + 1
    assert (tmp_path / "run" / "best" / "model.int8.onnx").exists()
    record = done.result.record
    assert record["int8"] == record["selected"][0]["int8"]
    assert {"test", "agreement", "latency_ms", "bytes", "calibration"} <= record["int8"].keys()
    assert "best/model.int8.onnx" in json.loads((tmp_path / "run" / "status.json").read_text())["files_sha256"]
    assert "test score in int8" in (tmp_path / "run" / "report.html").read_text()
    (said,) = (line for line in done.result.summary() if line.startswith("int8"))
    assert f"{record['int8']['test']:.4f} on the test part" in said
    (files,) = (line for line in done.result.summary() if line.startswith("files"))
    assert "model.int8.onnx, " in files
    _, again = _reopened(tmp_path / "run")
    assert again.record == record
    rest = {key: value for key, value in record.items() if key not in ("int8", "selected", "ledger", "latency_ms")}
    assert rest == {key: without.result.record[key] for key in rest}


def test_a_failing_quantiser_leaves_a_finished_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the reason where other files that are missing have theirs."""

    def fail(*_: Any) -> None:
        raise RuntimeError("no rule")

    monkeypatch.setattr("archwright.finish.quantised.quantise", fail)
    done = _finished(n_draws=0, out=tmp_path / "run", int8=Int8Terms())
    assert done.result.record["int8"] == {"reason": "RuntimeError: no rule"}
    assert done.result.record["not_exported"] == {"model.int8.onnx": "RuntimeError: no rule"}
    assert "missing    model.int8.onnx: RuntimeError: no rule" in done.result.summary()
    assert "model.int8.onnx is missing: RuntimeError: no rule" in (tmp_path / "run" / "report.html").read_text()
    assert not (tmp_path / "run" / "best" / "model.int8.onnx").exists()
    _, again = _reopened(tmp_path / "run")
    assert again.record == done.result.record


def test_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """The run ends with the others: in its result, its log, its page and its summary stands why."""
    space, task, evaluator = UntoldSpace(), WatchedTask(), Table()
    objective = Objective((Goal(task.metric, task.direction),), ())
    with open_run(tmp_path, {"recipe": "toy"}, seed=4, threads=1) as run:
        found = search(space, Random(space, n_trials=1, seed=1), evaluator, objective, store=run.store("search"))
        result = finish(run, space, Found((found,)), task, FinalTraining(RETRAIN), recipe="toy", n_draws=0, device=CPU)
    (reason,) = result.record["not_exported"].values()
    assert "1 is a " in reason
    assert ".Doubled, which has no source template" in reason
    assert json.loads((tmp_path / "result.json").read_text())["not_exported"] == {"model.py": reason}
    assert f"model.py is not written: {reason}" in (tmp_path / "log.txt").read_text()
    assert "model.py is missing: " in (tmp_path / "report.html").read_text()
    assert f"missing    model.py: {reason}" in result.summary()
    assert not any("model.py IMAGE" in line for line in result.summary())
    names = sorted(path.name for path in (tmp_path / "best").iterdir())
    assert names == ["README.md", "arch.json", "model.onnx", "model.safetensors"]


def test_lost_weights_are_missed(on_disk: Done, tmp_path: Path) -> None:
    """A finished run whose checkpoint of the winner is gone says so."""
    folder = on_disk.result.folder
    assert folder is not None
    shutil.copytree(folder, tmp_path / "run")
    (tmp_path / "run" / "checkpoints" / "retrain-winner.safetensors").unlink()
    with pytest.raises(RunFolderError, match=r"retrain-winner\.safetensors is gone, which holds the winner's"):
        _reopened(tmp_path / "run")


def test_effective_config_identifies_the_data() -> None:
    """Name and digest of the data beside the config, as a file gives it back."""
    task = WatchedTask()
    document = effective_config({"recipe": "toy", "limits": (("macs", 1.0),)}, task)
    assert document == {
        "data": "toy",
        "data_sha256": task.fingerprint,
        "recipe": "toy",
        "limits": [["macs", 1.0]],
    }


def test_effective_config_keeps_the_options_of_the_data() -> None:
    """What a resumed run needs to open the same data again; a run without options has no such key."""
    task = WatchedTask()
    task.options = {"val_images": 3}
    assert effective_config({"recipe": "toy"}, task)["data_options"] == {"val_images": 3}


# ── several winners, other ways to final weights, budgets ─────────────────────────────────────────


def _objective(limit: float) -> Objective:
    return Objective((Goal("top1_accuracy"),), (Constraint("macs", limit),))


def _run_finish(found: Found, final: FinalTraining, *, out: Path | None = None, n_draws: int = 0) -> Result:
    with open_run(out, {"recipe": "toy"}, seed=4, threads=1) as run:
        return finish(run, SPACE, found, WatchedTask(), final, recipe="toy", n_draws=n_draws, device=CPU)


def test_a_winner_for_each_limit(tmp_path: Path) -> None:
    """Each the best within its own limit, beside random search under the same one; the first lies in best/ itself."""
    macs = {arch: float(Macs().cost_rows(SPACE, SPACE.row(arch)[None])[0]) for arch in _every_arch()}
    limits = sorted(macs.values())[2], sorted(macs.values())[6]
    searches = [search(SPACE, Random(SPACE, n_trials=8, seed=1), Table(), _objective(limit)) for limit in limits]
    result = _run_finish(Found(tuple(searches)), FinalTraining(RETRAIN), out=tmp_path / "run", n_draws=1)
    assert [one["folder"] for one in result.record["selected"]] == ["best", f"best/macs-{limits[1]:.0f}"]
    for one, limit in zip(result.record["selected"], limits, strict=True):
        feasible = [arch for arch in macs if macs[arch] <= limit]
        assert Arch.from_json(one["arch"]) == max(feasible, key=_score)
        assert one["random_baseline"]["n_evaluated"] == len(feasible)
        assert one["constraints"][0]["limit"] == limit
        names = sorted(path.name for path in (tmp_path / "run" / one["folder"]).iterdir() if path.is_file())
        assert names == ["README.md", "arch.json", "model.onnx", "model.py", "model.safetensors"]
        assert one["code"] in (tmp_path / "run" / one["folder"] / "README.md").read_text("utf-8")
    assert [line[:6] for line in result.summary()].count("winner") == 2
    _, again = _reopened(tmp_path / "run")
    assert again.record == result.record


def test_a_method_that_scores_none_is_met_by_what_its_steps_pay_for() -> None:
    """Five search steps pay for two archs trained from scratch for two steps each, scored on validation."""
    trial = Trial(Candidate(0, _every_arch()[3], 0), costs={"macs": 1.0})
    derived = SearchResult((trial,), _objective(1e9), Table(), (Macs(),), is_scored=False)
    record = _run_finish(Found((derived,), n_steps=5), FinalTraining(RETRAIN)).record
    assert Arch.from_json(record["arch"]) == trial.arch
    assert "validation" not in record
    assert (record["n_evaluated"], record["n_steps"]) == (0, 5)
    baseline = record["random_baseline"]
    assert (baseline["n_evaluated"], baseline["n_steps"]) == (2, 4)
    one = _run_finish(Found((derived,), n_steps=1), FinalTraining(RETRAIN)).record
    assert one["random_baseline"]["n_evaluated"] == 1


def _searched(objective: Objective, n_trials: int = 3) -> SearchResult:
    """By an evaluator that trains each candidate."""
    evaluator = FromScratch(SPACE, WatchedTask(), TrainingConfig(steps=3, batch_size=16))
    return search(SPACE, Random(SPACE, n_trials=n_trials, seed=1), evaluator, objective)


def test_inherited_weights_are_those_of_the_search(tmp_path: Path) -> None:
    """Nothing is trained any more: the network tests as the evaluator's own does, also after the run was left."""
    found = _searched(_objective(1e9))
    result = _run_finish(Found((found,)), FinalTraining(RETRAIN, "inherited"), out=tmp_path / "run")
    expected = found.evaluator.model(found.best.arch, found.best.candidate.seed)
    assert result.record["provenance"] == "inherited"
    assert result.record["test"] == evaluate(expected, WatchedTask(), "test")["top1_accuracy"]
    assert all(torch.equal(a, b) for a, b in zip(_weights(result.network), _weights(expected), strict=True))
    _, again = _reopened(tmp_path / "run")
    assert all(torch.equal(a, b) for a, b in zip(_weights(again.network), _weights(expected), strict=True))


def test_fine_tuning_starts_from_the_search_s_weights() -> None:
    """The same as training the evaluator's network on."""
    found = _searched(_objective(1e9))
    result = _run_finish(Found((found,)), FinalTraining(RETRAIN, "fine-tuned"))
    expected = found.evaluator.model(found.best.arch, found.best.candidate.seed)
    fit(expected, WatchedTask(), RETRAIN, part="train+validation", seed=derive_seed(4, "retrain"))
    assert all(torch.equal(a, b) for a, b in zip(_weights(result.network), _weights(expected), strict=True))
    assert result.record["provenance"] == "fine-tuned"


def _weights(network: nn.Module) -> list[torch.Tensor]:
    return list(network.state_dict().values())


class Bandit(Random):
    """Every second candidate is trained for one step only."""

    def ask(self, n: int) -> list[Candidate]:
        return [replace(c, budget=1 if c.number % 2 else 3) for c in super().ask(n)]


def test_only_trials_of_the_largest_budget_are_ranked_and_random_search_gets_the_same_steps() -> None:
    """Four trials of 3, 1, 3 and 1 steps: two are ranked; random search tries two of three steps, which is 6 of 8."""
    evaluator = FromScratch(SPACE, WatchedTask(), TrainingConfig(steps=3, batch_size=16))
    found = search(SPACE, Bandit(SPACE, n_trials=4, seed=1), evaluator, _objective(1e9))
    assert sorted(trial.number for trial in found.ranked) == [0, 2]
    assert {trial.number for trial in found.pareto()} <= {0, 2}
    assert found.n_steps == 8
    record = _run_finish(Found((found,)), FinalTraining(RETRAIN)).record
    assert (record["n_evaluated"], record["n_steps"]) == (4, 8)
    assert (record["random_baseline"]["n_evaluated"], record["random_baseline"]["n_steps"]) == (2, 6)


def test_the_score_of_the_search_need_not_be_the_task_s_metric() -> None:
    """Ranked by loss, tested by accuracy; both are told."""
    found = _searched(Objective((Goal("loss", "min"),)))
    record = _run_finish(Found((found,)), FinalTraining(RETRAIN)).record
    best = min(found.trials, key=lambda trial: trial.metrics["loss"])
    assert Arch.from_json(record["arch"]) == best.arch
    assert (record["search_metric"], record["search_direction"]) == ("loss", "min")
    assert (record["metric"], record["validation"]) == ("top1_accuracy", best.metrics["loss"])


def test_the_front_of_goals_stands_in_the_record() -> None:
    """Of accuracy and parameters: what no other trial beats in both, by brute force."""
    objective = Objective((Goal("top1_accuracy"), Goal("params", "min")))
    found = search(SPACE, Random(SPACE, n_trials=8, seed=1), Table(), objective)
    record = _run_finish(Found((found,)), FinalTraining(RETRAIN)).record
    values = {t.number: (-t.metrics["top1_accuracy"], t.costs["params"]) for t in found.trials}
    front = {
        number
        for number, (a, b) in values.items()
        if not any(x <= a and y <= b and (x, y) != (a, b) for x, y in values.values())
    }
    assert {one["number"] for one in record["pareto"]} == front
    assert all(one["goals"].keys() == {"top1_accuracy", "params"} for one in record["pareto"])


def test_limits_that_no_random_arch_keeps(monkeypatch: pytest.MonkeyPatch) -> None:
    """The search found one all the same: it stands in the baseline's place, and nothing is drawn."""

    def none(*_: object, **__: object) -> None:
        raise InfeasibleError("none of 1048512 random architectures meets the limits; raise a limit")

    found = {"draw": base.draw_feasible}

    class Once(Random):
        """Random search that finds something, as one that goes down from others may."""

        def ask(self, n: int) -> list[Candidate]:
            monkeypatch.setattr(base, "draw_feasible", found["draw"])
            asked = super().ask(n)
            monkeypatch.setattr(base, "draw_feasible", none)
            return asked

    monkeypatch.setattr(baseline, "draw_feasible", none)
    done = _finished(strategy=Once)
    entry = done.result.record["random_baseline"]
    assert entry["arch"] == done.result.record["arch"]
    assert (entry["n_evaluated"], entry["draws"]) == (1, [])
