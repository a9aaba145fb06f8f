"""The plain network beside a winner: its width, its training, what is said of it, and when there is none."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from archwright.core.arch import Arch
from archwright.core.errors import DivergedError
from archwright.core.objective import Constraint, Goal, Objective
from archwright.core.trial import Candidate, Trial, derive_seed
from archwright.costs import BitOps, Cost, Latency, Macs, ModelSize, Params, SpaceTable, TorchLatency, count
from archwright.evaluators import FromScratch
from archwright.finish import FinalTraining, Found, Provenance
from archwright.finish.finishing import finish
from archwright.finish.plain import SWITCHED_OFF, Plain, choose_plain, open_plain
from archwright.finish.result import Result, summary_lines
from archwright.recipes import RandomSearchConfig, random_search
from archwright.reports.building import build_report
from archwright.runs.files import SEAL
from archwright.runs.phase import Phase
from archwright.runs.run import Run, open_run
from archwright.search import SearchResult
from archwright.spaces import PlainChain, PlainLstm, PlainResidual, Space
from archwright.tasks import ImageTask, Task, digits
from archwright.testing import NumberSpace, PictureTask, ReversalTask, toy_task, toy_text
from archwright.testing.faults import differences
from archwright.testing.language import RnnTiny
from archwright.training.config import TrainingConfig
from archwright.training.evaluate import evaluate
from archwright.training.networks import train_network

CPU = torch.device("cpu")
RETRAIN = TrainingConfig(steps=2, batch_size=16)
SPACE = NumberSpace()
TINY = f"{Path(__file__).parents[1] / 'recipes' / 'tiny_space.py'}:Tiny"
CHAIN = PlainChain(input_shape=(1, 8, 8), max_width=64)


def found(limits: dict[str, float], costs: Sequence[Cost], space: Space = SPACE) -> SearchResult:
    """A search with one trial, the arch in the middle of the space."""
    (arch,) = space.decisions.archs(space.decisions.enumerate_rows()[3:4])
    objective = Objective((Goal("top1_accuracy"),), tuple(Constraint(name, limit) for name, limit in limits.items()))
    values = {cost.name: 1.0 for cost in costs}
    trial = Trial(Candidate(0, arch, 0), metrics={"top1_accuracy": 0.5}, costs=values)
    evaluator = FromScratch(space, toy_task(space), RETRAIN)
    return SearchResult((trial,), objective, evaluator, tuple(costs))


def chosen(
    limits: dict[str, float], costs: Sequence[Cost], *, winner_macs: float = 1e15, space: Space | str = CHAIN
) -> Plain | str:
    with open_run(None, {}, seed=0, threads=1) as run:
        return choose_plain(run, space, found(limits, costs), winner_macs)


def counted(space: Space, width: int) -> Any:
    with torch.device("meta"):
        return count(space.build({"width": width}), space.signature)


# ── how wide ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "limits",
    [
        {"macs": 250e3},
        {"params": 20e3},
        {"macs": 1e6, "params": 20e3},
        {"macs": 250e3, "params": 1e6},
        {"model_size_bytes": 51_200},
    ],
)
def test_limits_are_just_kept(limits: dict[str, float]) -> None:
    """All of them by the width that was chosen, by the next one not: counted on the built networks."""
    plain = chosen(limits, [Macs(), Params(), ModelSize()])
    assert isinstance(plain, Plain)
    width = plain.arch["width"]
    assert isinstance(width, int)
    this, other = counted(CHAIN, width), counted(CHAIN, width + 2)
    assert all(getattr(this, name) <= limit for name, limit in limits.items())
    assert any(getattr(other, name) > limit for name, limit in limits.items())


def test_a_value_equal_to_the_limit_keeps_it() -> None:
    """As it does for searched networks."""
    plain = chosen({"macs": counted(CHAIN, 6).macs}, [Macs()])
    assert isinstance(plain, Plain)
    assert plain.arch == {"width": 6}


def test_without_a_limit_the_winner_gives_it() -> None:
    """The width whose multiply-accumulates are nearest to the winner's, but not above."""
    plain = chosen({}, [], winner_macs=counted(CHAIN, 8).macs - 1)
    assert isinstance(plain, Plain)
    assert plain.arch == {"width": 6}


def test_loose_limits_cost_no_long_training() -> None:
    """At most ten times the winner's multiply-accumulates, whatever is limited; else the widest there is."""
    for limits in ({"macs": 1e12}, {"params": 1e12}):
        plain = chosen(limits, [Macs(), Params()], winner_macs=counted(CHAIN, 10).macs / 10)
        assert isinstance(plain, Plain)
        assert (plain.arch, plain.max_macs) == ({"width": 10}, counted(CHAIN, 10).macs)
    plain = chosen({"macs": 1e12}, [Macs()])
    assert isinstance(plain, Plain)
    assert plain.arch == {"width": 64}


class Clock:
    """Gives a network's multiply-accumulates as its milliseconds, and counts how often it is asked."""

    def __init__(self) -> None:
        self.n = 0

    def __call__(self, network: nn.Module, input_shape: Any, **how: Any) -> Latency:
        self.n += 1
        milliseconds = float(count(network, input_shape).macs)
        return Latency(milliseconds, milliseconds, 1, 1, how["backend"])


def torch_latency(**more: Any) -> TorchLatency:
    """With a table of the space that is searched, which says nothing of plain networks."""
    described = {"space_args": SPACE.args(), "decisions": SPACE.decisions.fingerprint, **more}
    return TorchLatency(SpaceTable("t", {}, 1.0, backend="torch", **described))


def test_a_latency_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five measurements at most among 32 widths, fewer where another limit leaves fewer; both limits are kept."""
    limit = counted(CHAIN, 20).macs + 1.0
    for more, width, n in (({}, 20, 6), ({"params": 6e3}, 4, 2)):
        clock = Clock()
        monkeypatch.setattr("archwright.finish.measuring.measure_latency", clock)
        plain = chosen({"latency_ms.torch": limit, **more}, [torch_latency(), Params()])
        assert isinstance(plain, Plain)
        assert plain.arch == {"width": width}
        assert plain.latency_ms["torch"]["median"] == counted(CHAIN, width).macs <= limit
        assert clock.n <= n


def test_what_was_measured_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A run that goes on takes the same width and measures nothing again, whatever the clock says now."""
    search = found({"latency_ms.torch": counted(CHAIN, 20).macs}, [torch_latency()])
    widths = []
    for clock in (Clock(), lambda *_args, **_how: pytest.fail("measured again")):
        monkeypatch.setattr("archwright.finish.measuring.measure_latency", clock)
        with open_run(tmp_path / "run", {}, seed=0, threads=1, resume=bool(widths)) as run:
            plain = choose_plain(run, CHAIN, search, 1e15)
        assert isinstance(plain, Plain)
        widths.append(plain.arch["width"])
    assert widths == [20, 20]


# ── where there is none ───────────────────────────────────────────────────────────────────────────


class Sided(ImageTask):
    """Has a plain network of its own, of a space with two decisions."""

    def plain_space(self) -> str | None:
        return TINY


@pytest.mark.parametrize(
    ("task", "space"),
    [
        (toy_task(CHAIN), PlainChain),
        (toy_task(PlainChain(input_shape=(3, 63, 64)), n=20), PlainChain),
        (toy_task(PlainResidual(input_shape=(3, 64, 64), n_classes=2), n=20), PlainResidual),
        (toy_text(RnnTiny()), PlainLstm),
    ],
)
def test_the_form_of_the_data_decides(task: Task, space: type[Space]) -> None:
    """Small images, large ones, texts; made for their sizes and classes."""
    plain = open_plain(task)
    assert isinstance(plain, space)
    assert (plain.input_shape, plain.n_classes) == (task.input_shape, task.n_classes)


def test_data_without_a_plain_network() -> None:
    """Pictures to pictures, three inputs, images too small, a space of a task's own that is none."""
    pictures = "there is no plain network for data of the form of 'pictures'"
    small = toy_task(type("Small", (NumberSpace,), {"input_shape": (1, 3, 3)})())
    sided = toy_task(NumberSpace())
    sided.__class__ = Sided
    reasons = {
        pictures: PictureTask(),
        "there is no plain network for data of the form of 'reversal'": ReversalTask(),
        "space 'plain-chain' takes images of at least 4 pixels a side, not 3; give larger ones": small,
        f"space {TINY!r} has 4 decisions; one of plain networks has one, the width": sided,
    }
    assert [open_plain(task) for task in reasons.values()] == list(reasons)
    assert chosen({}, [], space=pictures) == pictures


def test_limits_that_the_smallest_network_breaks() -> None:
    """With its figures; without a limit, it is the winner that is too small."""
    smallest = counted(CHAIN, 2)
    assert chosen({"macs": 100.0, "params": 1e6}, [Macs(), Params()]) == (
        f"the smallest network of space 'plain-chain' has macs {smallest.macs:,} > 100"
    )
    assert chosen({"macs": 100.0, "params": 10.0}, [Macs(), Params()]) == (
        f"the smallest network of space 'plain-chain' has macs {smallest.macs:,} > 100 and "
        f"params {smallest.params:,} > 10"
    )
    assert chosen({}, [], winner_macs=50.0) == (
        f"the smallest network of space 'plain-chain' has macs {smallest.macs:,} > 50"
    )


def test_a_latency_that_the_smallest_network_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    """As measured."""
    monkeypatch.setattr("archwright.finish.measuring.measure_latency", Clock())
    assert chosen({"latency_ms.torch": 7.0}, [torch_latency()]) == (
        f"the smallest network of space 'plain-chain' has latency_ms.torch {counted(CHAIN, 2).macs:,} > 7"
    )


def test_a_latency_of_another_machine() -> None:
    """Nothing that is timed here says whether a plain network keeps it."""
    cost = torch_latency(machine={"bundle_sha256": "0"})
    assert chosen({"latency_ms.torch": 7.0, "params": 1e6}, [cost, Params()]) == (
        "the limit on latency_ms.torch holds on another machine, whose table says nothing of plain networks"
    )


class Own(Macs):
    """A user's cost that knows one space only."""

    name = "own"

    def cost_rows(self, space: Space, rows: Any) -> Any:
        raise KeyError(space.name)


def test_a_cost_that_says_nothing_of_plain_networks() -> None:
    """Bits, and a cost of the user's own."""
    reason = chosen({"bit_ops": 1e6}, [BitOps()])
    assert str(reason).startswith("its limits cannot be counted: bit_ops counts layers with bit widths")
    assert chosen({"own": 1.0}, [Own()]) == "its limits cannot be counted: KeyError: 'plain-chain'"


# ── trained and tested like the winner ────────────────────────────────────────────────────────────


def finished(
    *,
    limits: Sequence[float] = (25e3,),
    provenance: Provenance = "scratch",
    plain: bool = True,
    out: Path | None = None,
) -> tuple[Result, ImageTask]:
    """A run that ends with the arch in the middle of the space, once for each limit on multiply-accumulates."""
    task = toy_task(SPACE, n=40)
    searches = tuple(found({"macs": limit}, [Macs()]) for limit in limits)
    final, plains = FinalTraining(RETRAIN, provenance), open_plain(task) if plain else SWITCHED_OFF
    with open_run(out, {"recipe": "toy"}, seed=4, threads=1) as run:
        result = finish(run, SPACE, Found(searches), task, final, recipe="toy", n_draws=0, plain=plains, device=CPU)
    return result, task


@pytest.mark.parametrize("provenance", ["scratch", "fine-tuned", "inherited"])
def test_it_is_trained_from_scratch_by_the_final_training(provenance: Provenance) -> None:
    """With the winner's seed, on all but the test part, whatever the others inherit; then tested."""
    result, task = finished(provenance=provenance)
    record = result.record["plain_baseline"]
    space = PlainChain(input_shape=SPACE.input_shape, n_classes=3)
    network, _ = train_network(
        space,
        Arch.from_json(record["arch"]),
        task,
        RETRAIN,
        part="train+validation",
        seed=derive_seed(4, "retrain"),
        device=CPU,
    )
    assert record["test"] == evaluate(network, task, "test")["top1_accuracy"]
    counts = count(network, space.signature)
    assert (record["space"], record["provenance"]) == ("plain-chain", "scratch")
    assert (record["macs"], record["params"]) == (counts.macs, counts.params)
    assert record["width"] == record["arch"]["width"]
    assert record["constraints"] == [{"cost": "macs", "limit": 25e3, "value": counts.macs, "satisfied": True}]
    assert "latency_ms" not in record
    assert result.record["selected"][0]["plain_baseline"] == record
    assert json.loads(json.dumps(record, allow_nan=False)) == record


def test_it_is_tested_once_with_the_others() -> None:
    """One more read of the test part than without it."""
    (with_it, task), (without, other) = finished(), finished(plain=False)
    assert task.n_test_reads == other.n_test_reads + 1
    assert without.record["plain_baseline"] == {"reason": "it was switched off (plain=false)"}
    assert without.record["test"] == with_it.record["test"]
    assert "retrain-plain" not in without.record["ledger"]
    phases = list(with_it.record["ledger"])
    assert phases.index("retrain-plain") < phases.index("test")


def test_each_winner_has_its_own() -> None:
    """Each for its own limit; two limits that give one width train it once."""
    result, _ = finished(limits=(10e3, 25e3, 26e3))
    records = [one["plain_baseline"] for one in result.record["selected"]]
    assert [one["constraints"][0]["limit"] for one in records] == [10e3, 25e3, 26e3]
    assert records[0]["width"] < records[1]["width"] == records[2]["width"]
    assert records[1]["test"] == records[2]["test"]
    trained = [name for name in result.record["ledger"] if name.startswith("retrain-plain")]
    assert trained == ["retrain-plain", "retrain-plain-macs-25000"]


def test_a_latency_limit_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The figure it was chosen by stands in the record."""
    monkeypatch.setattr("archwright.finish.measuring.measure_latency", Clock())
    search, task = found({"latency_ms.torch": 25e3}, [torch_latency()]), toy_task(SPACE, n=40)
    with open_run(None, {"recipe": "toy"}, seed=4, threads=1) as run:
        result = finish(
            run,
            SPACE,
            Found((search,), is_random=True),
            task,
            FinalTraining(RETRAIN),
            recipe="toy",
            n_draws=0,
            plain=open_plain(task),
            device=CPU,
        )
    record = result.record["plain_baseline"]
    (limit,) = record["constraints"]
    assert limit["value"] == record["latency_ms"]["torch"]["median"] == record["macs"]
    assert limit["satisfied"]


def test_a_training_that_fails_costs_no_winner(monkeypatch: pytest.MonkeyPatch) -> None:
    """The winner is there and tested; the record says what happened."""
    from archwright.finish import plain as module

    def broken(*_args: Any, **_how: Any) -> Any:
        raise DivergedError("the training loss is nan at step 3 of 8")

    monkeypatch.setattr(module, "retrain", broken)
    result, task = finished()
    reason = result.record["plain_baseline"]["reason"]
    assert reason.startswith("the training of plain-chain:")
    assert reason.endswith("failed: the training loss is nan at step 3 of 8")
    assert result.record["test"] == evaluate(result.network, task, "test")["top1_accuracy"]
    assert result.summary()[-1] == f"plain      none beside it: {reason}"


def test_a_score_that_is_no_number_costs_no_winner(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the plain network: a reason."""
    scored = evaluate

    def score(network: nn.Module, *args: Any, **how: Any) -> dict[str, float]:
        is_plain = any(name.startswith("stage0") for name, _ in network.named_children())
        return {"top1_accuracy": math.inf} if is_plain else scored(network, *args, **how)

    monkeypatch.setattr("archwright.finish.finalists.evaluate", score)
    result, _ = finished()
    reason = result.record["plain_baseline"]["reason"]
    assert reason.startswith("top1_accuracy of plain-chain:")
    assert reason.endswith(" on the test part is inf")


# ── what is said of it ────────────────────────────────────────────────────────────────────────────


def record_of(test: float, rival: float, direction: str = "max") -> dict[str, Any]:
    plain = {"space": "plain-chain", "test": rival, "macs": 5_214_000}
    plain["beaten"] = test > rival if direction == "max" else test < rival
    record = {"metric": "top1_accuracy", "direction": direction, "test": test, "macs": 1, "params": 1, "code": "0"}
    random = {"test": 0.9, "n_evaluated": 1, "draws": []}
    return {**record, "constraints": [], "random_baseline": random, "plain_baseline": plain}


@pytest.mark.parametrize(
    ("test", "rival", "direction", "said"),
    [
        (0.988, 0.984, "max", "0.9840 by a plain network of 5.21 M multiply-accumulates; the search is 0.0040 better"),
        (0.97, 0.984, "max", "0.9840 by a plain network of 5.21 M multiply-accumulates; the search is 0.0140 worse"),
        (0.984, 0.984, "max", "0.9840 by a plain network of 5.21 M multiply-accumulates; the search is no better"),
        (90.0, 92.5, "min", "92.5000 by a plain network of 5.21 M multiply-accumulates; the search is 2.5000 better"),
        (95.0, 92.5, "min", "92.5000 by a plain network of 5.21 M multiply-accumulates; the search is 2.5000 worse"),
    ],
)
def test_the_summary_says_who_is_better(test: float, rival: float, direction: str, said: str) -> None:
    """In one line, in either direction of the metric."""
    assert summary_lines(record_of(test, rival, direction), None)[-1] == f"plain      {said}"


@pytest.mark.parametrize(("test", "beaten"), [(0.5, True), (0.25, False), (0.0, False)])
def test_beaten_is_better_not_equal(monkeypatch: pytest.MonkeyPatch, test: float, beaten: bool) -> None:
    """A tie is no victory of the search."""

    def score(network: nn.Module, *_args: Any, **_how: Any) -> dict[str, float]:
        return {"top1_accuracy": 0.25 if isinstance(network[0][0], nn.Conv2d) and len(network) == 4 else test}  # type: ignore[index,arg-type]

    monkeypatch.setattr("archwright.finish.finalists.evaluate", score)
    result, _ = finished()
    assert (result.record["test"], result.record["plain_baseline"]["test"]) == (test, 0.25)
    assert result.record["plain_baseline"]["beaten"] is beaten


# ── whole runs ────────────────────────────────────────────────────────────────────────────────────


def run(out: Path | None, *, resume: bool = False, plain: bool = True) -> Result:
    preset = RandomSearchConfig.preset("smoke", (1, 8, 8))
    config = replace(preset, space=TINY, n_trials=2, n_draws=0, threads=1, device="cpu", plain=plain)
    return random_search(config, digits(), out=out, resume=resume)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was left alone."""
    folder = tmp_path_factory.mktemp("plain") / "run"
    run(folder)
    return folder


class Stopped(BaseException):
    """The power is gone."""


def test_a_run_stopped_in_its_training_ends_the_same(
    undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a checkpoint at every step on, to the bit."""
    advance = Phase.advance

    def stop(self: Phase, done: int, **figures: float | str) -> None:
        advance(self, done, **figures)
        if self.name == "retrain-plain" and done >= 4:
            raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(Phase, "is_due", True)
        patch.setattr(Phase, "advance", stop)
        with pytest.raises(Stopped):
            run(tmp_path / "run")
    run(tmp_path / "run", resume=True)
    assert differences(tmp_path / "run", undisturbed) == []


def test_terminal_and_page_say_it(undisturbed: Path) -> None:
    """The same figures as in result.json."""
    record = json.loads((undisturbed / "result.json").read_text("utf-8"))["plain_baseline"]
    page = (undisturbed / "report.html").read_text("utf-8")
    assert "plain network" in page
    assert f"{100 * record['test']:.2f} %" in page
    assert any(
        line.startswith(f"plain      {record['test']:.4f} by") for line in run(undisturbed, resume=True).summary()
    )


@pytest.fixture(scope="module")
def finished_before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run as a version without plain networks left it, but for its page."""
    folder, finish_run = tmp_path_factory.mktemp("before") / "run", Run.finish

    def without(self: Run, record: dict[str, Any], **products: Any) -> None:
        for one in (record, *record["selected"]):
            one.pop("plain_baseline", None)
        finish_run(self, record, **products)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "finish", without)
        run(folder, plain=False)
    record = json.loads((folder / "run.json").read_text())
    del record["config"]["plain"], record[SEAL]
    (folder / "run.json").write_text(json.dumps(record))
    (folder / "report.html").unlink()
    return folder


@pytest.fixture
def old(finished_before: Path, tmp_path: Path) -> Path:
    """A copy of that folder."""
    return Path(shutil.copytree(finished_before, tmp_path / "old"))


def test_a_run_of_before_opens(old: Path, undisturbed: Path, tmp_path: Path) -> None:
    """Without the key it is opened, reported and compared, and nothing is said of a plain network."""
    assert not any(line.startswith("plain") for line in run(old, resume=True, plain=False).summary())
    assert "lain network" not in (old / "report.html").read_text("utf-8")
    compared = build_report([old, undisturbed], tmp_path / "both.html").read_text("utf-8")
    assert "plain network" in compared


def test_a_run_of_before_goes_on_without_it(old: Path) -> None:
    """As it would have ended then: switched off."""
    (old / "result.json").unlink()
    record = run(old, resume=True, plain=False).record
    assert record["plain_baseline"] == {"reason": "it was switched off (plain=false)"}
    assert "retrain-plain" not in record["ledger"]


def test_the_same_command_goes_on_with_a_run_of_before(old: Path, cli: Callable[..., Any]) -> None:
    """With its preset, which now switches plain networks on, or without: what a run lacks is as it was."""
    for preset in ((), ("--preset", "smoke")):
        done = cli("search", "random", *preset, "--set", "n_trials=2", "--set", "n_draws=0", "--out", old, "--resume")
        assert done.code == 0, done.err
        assert "\nplain" not in done.out
