"""The recipe that chooses: its table by hand, its reasons, and a run that is its method's run."""

from __future__ import annotations

import itertools
import json
import shlex
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from archwright.core import catalog
from archwright.core.errors import InfeasibleError, InvalidValueError, RunFolderError, UnknownNameError
from archwright.recipes import AutoConfig, TrainConfig, auto, train
from archwright.recipes.base import open_search
from archwright.recipes.choice import Choice
from archwright.recipes.planning import reserve_s
from archwright.recipes.recipe import known_recipe
from archwright.recipes.variants import ANY, Stopwatch, Variant, declared_spaces, outlook, outlook_in, variants
from archwright.recipes.workload import Speed
from archwright.reports.folder import run_document
from archwright.tasks import digits, open_task
from archwright.training.config import TrainingConfig
from archwright.training.threads import Pace
from archwright.training.timing import Timed

STEPPED = f"{Path(__file__).with_name('stepped_space.py')}:Stepped"
SHORT = TrainingConfig(steps=2, batch_size=16, learning_rate=0.05)
SMOKE = ("--preset", "smoke", "--threads", "1", "--device", "cpu", "--set", "n_draws=0", "--set", "retrain.steps=2")

NO_SPACES = {
    *("amoebanet", "darts", "darts-rnn", "enas-macro", "enas-micro", "fbnet", "lenet", "nas-rl", "nas-rl-rnn"),
    *("nasbench-macro", "nasbench201", "nasbench201-size", "nasnet", "ofa-resnet50", "one-shot", "plain-chain"),
    *("plain-lstm", "plain-residual", "proxylessnas", "proxylessnas-cifar", "smash", "snas", "spos", "spos-bits"),
    "spos-block-channel",
}
NO_METHODS = {
    *("darts", "darts-first-order", "darts-rnn", "fbnet", "path-dropout", "proxylessnas", "proxylessnas-rl", "snas"),
    *("asha", "auto", "enas-macro", "enas-micro", "enas-rnn", "grid", "lamarckian", "mnasnet", "nas-rl", "nas-rl-rnn"),
    *("nasnet", "nsga2", "predictor", "regularized-evolution"),
}


def _config(preset: str = "quick", **settings: Any) -> AutoConfig:
    config = replace(AutoConfig.preset(preset, (1, 8, 8)), time_s=None)
    return replace(config, **{"space": STEPPED, "threads": 1, "device": "cpu", "n_draws": 0, **settings})


@pytest.fixture
def pace(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Lets each example of each training step take so many seconds."""

    def takes(seconds: float) -> None:
        monkeypatch.setattr(Stopwatch, "seconds", lambda watch, timed: seconds)

    return takes


# ── what joins by a declaration ───────────────────────────────────────────────────────────────────


def test_every_space_decides() -> None:
    """One that is new says when it may be taken, or is named here."""
    silent = {entry.name for entry in catalog.entries("space") if catalog.load("space", entry.name).auto is None}
    assert silent == NO_SPACES


def test_every_recipe_decides() -> None:
    """So does a recipe."""
    every = {entry.name: catalog.load("recipe", entry.name) for entry in catalog.entries("recipe")}
    assert {name for name, each in every.items() if getattr(each, "auto", None) is None} == NO_METHODS


@pytest.mark.parametrize("name", sorted(name for name, _ in declared_spaces()))
def test_declared_settings_can_be_opened(name: str) -> None:
    """For the smallest data that the space is meant for, each set of settings gives another space."""
    cls = catalog.load("space", name)
    shape = (35,) if cls.auto.sides is None else (3, cls.auto.sides[0], cls.auto.sides[0])
    opened = [cls(input_shape=shape, n_classes=10, **settings) for settings in cls.auto.settings]
    assert all(cls.auto.unsuited(space.signature) is None for space in opened)
    assert len({json.dumps(space.args()) for space in opened}) == len(cls.auto.settings)


# ── the table ─────────────────────────────────────────────────────────────────────────────────────


def test_the_table_by_hand() -> None:
    """Of widths 1 to 4 times m, at 74 each, 592 keep all of m = 1 and 2, and 4 and 8 of m = 4."""
    found = variants(_config(limits=(("macs", 592.0),)), digits())
    assert [one.settings for one in found] == [{"mult": 1}, {"mult": 2}, {"mult": 4}]
    assert [one.share for one in found] == pytest.approx([1, 1, 0.5], abs=0.06)
    assert [one.mean_macs for one in found] == pytest.approx([74 * 2.5, 74 * 5, 74 * 6], rel=0.03)
    assert [one.reason for one in found] == [None] * 3
    # none of m = 2 has the mean; 2 x 2 and 2 x 3 are as near
    assert [one.typical["width"] for one in found if one.typical is not None][1] in (4, 6)


def test_several_limits_are_kept_by_one_space() -> None:
    """The share is that of the tighter one, the mean that of both."""
    (_, _, found) = variants(_config(limits=(("macs", 592.0), ("macs", 300.0))), digits())
    assert found.share == pytest.approx(0.25, abs=0.05)
    assert found.mean_macs == pytest.approx(74 * (6 + 4) / 2, rel=0.03)


def test_one_that_cannot_keep_a_limit_says_why() -> None:
    """With the figures of the run that it would be."""
    found = variants(_config(limits=(("macs", 150.0),)), digits())
    assert [one.reason is None for one in found] == [True, True, False]
    assert found[2].reason == "the smallest member has macs 296"


def test_a_latency_without_a_table_is_left_out() -> None:
    """The figures are those of the other limits, and the run says so."""
    limits = (("macs", 592.0), ("latency_ms", 1.0))
    chosen = auto.choose(_config(limits=limits), digits())
    assert chosen.rows[0]["share"] == 1.0
    assert chosen.notes == ("note       latency_ms is measured later, so these figures leave its limit out",)


# ── the inputs of photos ──────────────────────────────────────────────────────────────────────────


@pytest.fixture
def photos(tmp_path: Path) -> str:
    """A tree of grey images of two sizes, which are brought to 224 pixels unless somebody says otherwise."""
    rng = np.random.default_rng(0)
    for part, label, i in itertools.product(("train", "test"), ("a", "b"), range(12)):
        file = tmp_path / "photos" / part / label / f"{i}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (70 + i % 2, 70), dtype=np.uint8)).save(file)
    return f"folder:{tmp_path / 'photos'}"


def test_inputs_are_chosen_by_hand(photos: str) -> None:
    """A width has side² + 2 multiply-accumulates at two classes: under 20,000, 2 x (96² + 2) is the highest mean.

    At 96 pixels widths 1 and 2 fit, which m = 1 has both of and m = 2 the latter only; m = 4 has none. At 160 pixels
    none fit, so that larger m are not looked at.
    """
    chosen = auto.choose(_config(limits=(("macs", 20_000.0),)), open_task(photos))
    assert (chosen.config.space_args, chosen.task.input_shape) == ({"mult": 2}, (1, 96, 96))
    means = {(row["settings"]["mult"], (row["input_shape"] or [224])[-1]): row["mean_macs"] for row in chosen.rows}
    assert means.keys() == {(1, 96), (2, 96), (4, 96), (1, 160), (1, 224), (2, 224), (4, 224)}
    assert means[2, 96] == 2 * (96 * 96 + 2)
    assert chosen.reasons[0].startswith("space      ")
    assert "mult=2 input=1x96x96: the largest members" in chosen.reasons[0]


def test_inputs_that_were_asked_for_stay(photos: str) -> None:
    """Only the widths are chosen then."""
    chosen = auto.choose(_config(limits=(("macs", 20_000.0),)), open_task(photos, input_shape=(1, 64, 64)))
    assert (chosen.config.space_args, chosen.task.input_shape) == ({"mult": 4}, (1, 64, 64))


def test_a_run_keeps_the_inputs_that_were_chosen(cli: Callable[..., Any], tmp_path: Path, photos: str) -> None:
    """Its folder, the command it prints, and going on with it, from Python too, where the data are opened as ever."""
    given = ("--space", STEPPED, "--max-macs", "20k", *SMOKE, "--data", photos, "--out", tmp_path / "run")
    made = cli("search", "auto", *given)
    assert made.code == 0, made.err
    assert "--input 1x96x96" in next(line for line in made.out.splitlines() if line.startswith("the same   "))
    assert run_document(tmp_path / "run")["run"]["config"]["data_options"] == {"input_shape": [1, 96, 96]}
    assert cli("search", "auto", *given, "--resume").out == made.out[made.out.index("winner  ") :]
    config = replace(_config(limits=(("macs", 20_000.0),), n_draws=0), lengths=None)
    begun = auto.choose(config, open_task(photos), folder=tmp_path / "run")
    assert begun.task.input_shape == (1, 96, 96)
    assert begun.task.fingerprint == open_task(photos, input_shape=(1, 96, 96)).fingerprint


# ── which one ─────────────────────────────────────────────────────────────────────────────────────


def _label(chosen: Choice) -> dict[str, Any]:
    return dict(chosen.config.space_args)


def test_the_largest_mean_is_taken() -> None:
    """444 of 4, beside 370 and 185."""
    chosen = auto.choose(_config(limits=(("macs", 592.0),)), digits())
    assert _label(chosen) == {"mult": 4}
    assert chosen.reasons[0].startswith(f"space      {STEPPED} mult=4: the largest members within the limits, 4")


def test_a_time_takes_the_largest_that_trains_long_enough(pace: Callable[[float], None]) -> None:
    """Where each does, that is the largest; where none does, any is as fast as the others, and a reason says so."""
    pace(1e-5)
    chosen = auto.choose(_config(time_s=300.0), digits())
    assert _label(chosen) == {"mult": 4}
    assert "can pass 10 epochs of the training part" in chosen.reasons[0]
    pace(1e-3)
    slow = auto.choose(_config(time_s=300.0, retrain=SHORT), digits())
    assert ": the fastest; of none can the winner pass 10 epochs" in slow.reasons[0]


def test_the_fastest_is_taken_where_none_trains_long_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network's time here is its width's."""

    def seconds(variant: Variant, batch_size: int, watch: Stopwatch) -> float:
        return 1e-3 * float(variant.settings["mult"])

    for module in ("auto", "variants"):
        monkeypatch.setattr(sys.modules[f"archwright.recipes.{module}"], "typical_s", seconds)
    monkeypatch.setattr(Stopwatch, "seconds", lambda watch, timed: 1e-3)
    assert _label(auto.choose(_config(time_s=300.0, retrain=SHORT), digits())) == {"mult": 1}


def test_epochs_in_a_time_by_hand() -> None:
    """The winner's and its rivals' steps fill the share that the final training has of what is left."""
    task, method = digits(), known_recipe("random")
    narrow = {"width_mult": 0.25}
    config = _config(space="conv-chain", space_args=narrow, limits=(("macs", 2e6),), time_s=200.0)
    (variant,) = variants(config, task)
    opened = open_search(config.of(method, task), task)
    watch = Stopwatch(1, (), opened.device)
    watch.seconds = lambda timed: 0.002  # type: ignore[method-assign]
    seen = outlook_in(200.0, 20.0, method, variant, opened, watch)
    speed, (search, final) = Speed(0.002, 0.002 / 3), [item for item in seen.work.parts if item.name]
    left_s = 180 - reserve_s(seen.work, speed)
    share = final.load.seconds(speed) / (final.load.seconds(speed) + search.load.seconds(speed))
    steps = left_s * share / (2 * 64 * 0.002)  # the winner and a plain network; random search is its own baseline
    per_epoch = task.split("train").n // 64
    assert final.n_networks == 1
    assert seen.winner_epochs == pytest.approx(steps / per_epoch)


def test_a_space_that_declares_nothing_can_be_named() -> None:
    """It is taken as it is; only the method is chosen. It has 81 members."""
    tiny = STEPPED.replace("stepped_space.py:Stepped", "tiny_space.py:Tiny")
    chosen = auto.choose(_config(space=tiny), digits())
    assert (chosen.config.space, chosen.config.space_args, chosen.method.name) == (tiny, {}, "random")


def test_nothing_that_says_how_large_is_refused() -> None:
    """Neither limit nor time; one variant alone is no question."""
    with pytest.raises(InvalidValueError, match="nothing says how large the networks may be; give a limit"):
        auto.choose(_config(), digits())
    with pytest.raises(InvalidValueError, match="nothing says how large"):
        auto.choose(_config(limits=(("latency_ms", 1.0),)), digits())
    assert _label(auto.choose(_config(space_args={"mult": 2}), digits())) == {"mult": 2}


def test_no_space_that_fits_is_refused_with_reasons() -> None:
    """Each space in its smallest variant."""
    with pytest.raises(InfeasibleError) as found:
        auto.choose(_config(space=ANY, limits=(("macs", 10.0),)), digits())
    said = str(found.value)
    assert said.startswith(
        "no space fits the data 'digits' (1x8x8) and the limits (conv-chain width_mult=0.25: the smallest member has"
    )
    assert "ofa-proxyless: meant for images of 64 pixels a side and more" in said
    assert said.count("conv-chain width_mult") == 1


def test_a_time_that_is_too_short_is_refused(pace: Callable[[float], None]) -> None:
    """With the time that is needed."""
    pace(1e-3)
    with pytest.raises(InvalidValueError, match=r"--time is 5 s; .* give at least that"):
        auto.choose(_config(time_s=5.0), digits())


def test_a_cost_that_does_not_exist_is_nobodys_reason() -> None:
    """It is refused before any space is asked."""
    with pytest.raises(UnknownNameError, match="unknown cost 'nothing'"):
        auto.choose(_config(limits=(("nothing", 1.0),)), digits())


# ── which method ──────────────────────────────────────────────────────────────────────────────────


def test_shared_weights_are_taken_where_they_train_long_enough() -> None:
    """500 steps of 64 are 25 passes over the training part's 20 batches, 3 are enough."""
    task = digits()
    chosen = auto.choose(_config(space="conv-chain", limits=(("macs", 2e6),)), task)
    n = 500 / (task.split("train").n // 64)
    assert chosen.method.name == "spos"
    assert (
        f"spos: its shared weights pass about {n:.0f} epochs of the training part, 3 are the least" in chosen.reasons[1]
    )
    assert f"supernet 500 steps ({n:.0f} epochs), search 60 evaluations" in chosen.reasons[2]


def test_short_trainings_are_taken_below_that() -> None:
    """8 steps of 32 are a fifth of an epoch."""
    chosen = auto.choose(_config("smoke", space="conv-chain", limits=(("macs", 2e6),)), digits())
    assert chosen.method.name == "random"
    assert chosen.reasons[1] == (
        "method     random: the shared weights of spos would pass 0.2 epochs of the training part, 3 are the least"
    )


def test_spaces_of_few_members_are_searched_at_random() -> None:
    """Four, of which half keep the limit."""
    chosen = auto.choose(_config(limits=(("macs", 592.0),)), digits())
    assert chosen.method.name == "random"
    assert (
        "spos is not worth its while for about 2 architectures within the limits, 200 are the least"
        in (chosen.reasons[1])
    )


def test_the_method_has_its_own_settings_and_the_shared_ones() -> None:
    """Lengths of the preset; limits, seed and final training of what was asked."""
    config = _config(seed=3, limits=(("macs", 592.0),), retrain=replace(SHORT, augment="crop,mirror"))
    chosen = auto.choose(config, digits()).config
    assert (chosen.seed, chosen.limits, chosen.retrain) == (3, config.limits, config.retrain)
    training = known_recipe("random").config.preset("quick", (1, 8, 8)).training
    assert getattr(chosen, "training", None) == replace(training, augment="crop,mirror")


# ── the run ───────────────────────────────────────────────────────────────────────────────────────


def _run(**settings: Any) -> AutoConfig:
    return _config("smoke", limits=(("macs", 592.0),), retrain=SHORT, **settings)


def test_a_run_is_its_method_s_run(tmp_path: Path) -> None:
    """run.json says what was chosen; choice.json from what, and why."""
    result = auto(_run(), digits(), out=tmp_path / "run")
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (record["recipe"], result.record["recipe"]) == ("random", "random")
    assert (record["config"]["space"], record["config"]["space_args"]) == (STEPPED, {"mult": 4})
    choice = json.loads((tmp_path / "run" / "choice.json").read_text())
    assert choice["format"] == 1
    assert [row["settings"] for row in choice["spaces"]] == [{"mult": 1}, {"mult": 2}, {"mult": 4}]
    assert [line.split()[0] for line in choice["reasons"]] == ["space", "method", "lengths"]
    page = (tmp_path / "run" / "report.html").read_text("utf-8")
    assert "the largest members within the limits" in page
    assert "archwright search random --space" in page
    (tmp_path / "run" / "choice.json").write_text("{")
    assert run_document(tmp_path / "run")["choice"] == {}


def test_a_finished_run_is_opened_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is chosen then; other limits are another run."""
    made = auto(_run(), digits(), out=tmp_path / "run")
    monkeypatch.setattr(sys.modules["archwright.recipes.auto"], "variants", lambda *given: pytest.fail("chosen again"))
    assert auto(_run(), digits(), out=tmp_path / "run", resume=True).record == made.record
    with pytest.raises(RunFolderError, match="seed was 0 and is now 1"):
        auto(_run(seed=1), digits(), out=tmp_path / "run", resume=True)
    with pytest.raises(RunFolderError, match="limits was"):
        auto(replace(_run(), limits=(("macs", 600.0),)), digits(), out=tmp_path / "run", resume=True)
    with pytest.raises(RunFolderError, match="choose another --out or add --resume"):
        auto(_run(), digits(), out=tmp_path / "run")


def test_another_command_s_run_is_no_search(tmp_path: Path) -> None:
    """It is left as it is."""
    network = TrainConfig(arch=f"{STEPPED}:0", training=SHORT, threads=1, device="cpu", int8=False)
    train(network, digits(), out=tmp_path / "run")
    with pytest.raises(RunFolderError, match="is a run of train, no search"):
        auto(_run(), digits(), out=tmp_path / "run", resume=True)


def test_the_estimate_says_what_is_chosen() -> None:
    """Nothing is trained, or written."""
    lines = auto.estimate(_run(), digits())
    assert lines[0] == "spaces"
    assert [line for line in lines if line.startswith("space      ")]
    assert lines[-2].endswith("retraining, 1 networks of 2 steps")
    assert lines[-1].startswith("the same   archwright search random --space ")


def test_the_command_repeats_the_run(cli: Callable[..., Any], tmp_path: Path) -> None:
    """What it prints makes a run of the same configuration, but for no choice."""
    done = cli("search", "auto", "--space", STEPPED, "--max-macs", "592", *SMOKE, "--out", tmp_path / "one")
    assert done.code == 0, done.err
    (line,) = [line for line in done.out.splitlines() if line.startswith("the same   ")]
    words = shlex.split(line.removeprefix("the same   "))
    assert words[:5] == ["archwright", "search", "random", "--space", STEPPED]
    assert json.loads((tmp_path / "one" / "choice.json").read_text())["command"] == shlex.join(words)
    again = cli(*words[1:], "--out", tmp_path / "other")
    assert again.code == 0, again.err
    one, other = (json.loads((tmp_path / name / "run.json").read_text())["config"] for name in ("one", "other"))
    assert one == other
    assert not (tmp_path / "other" / "choice.json").exists()


def test_the_command_line_goes_on_with_a_run(cli: Callable[..., Any], tmp_path: Path) -> None:
    """With the same options, with none, and with others."""
    data = ("--data", "digits")
    given = (
        "search",
        "auto",
        "--space",
        STEPPED,
        *data,
        "--max-macs",
        "592",
        *SMOKE,
        "--out",
        tmp_path / "run",
        "--resume",
    )
    made = cli(*given)
    assert made.code == 0, made.err
    assert "  does not fit" not in made.out
    summary = made.out[made.out.index("winner  ") :]
    assert cli(*given).out == summary
    assert cli("search", "auto", "--out", tmp_path / "run", "--resume").out == summary
    other = cli("search", "auto", "--max-macs", "600", "--out", tmp_path / "run", "--resume")
    assert (other.code, other.out) == (2, "")
    assert "limits was [['macs', 592.0]] and is now [['macs', 600.0]]" in other.err
    longer = cli("search", "auto", "--preset", "quick", "--out", tmp_path / "run", "--resume")
    assert longer.code == 2
    assert "retrain.steps was 2 and is now 1000" in longer.err


def test_settings_of_a_space_that_is_not_named_are_refused(cli: Callable[..., Any]) -> None:
    """There is nothing that they could belong to."""
    done = cli("search", "auto", "--space-set", "width_mult=2", "--max-macs", "2M", "--dry-run")
    assert (done.code, done.out) == (2, "")
    assert "--space-set is for a space that is chosen; give --space NAME too" in done.err
    with pytest.raises(InvalidValueError, match="give space too"):
        AutoConfig(space_args={"width_mult": 2})


def test_papers_have_no_preset_here() -> None:
    """What a paper's lengths are is its method's affair."""
    with pytest.raises(InvalidValueError, match="unknown preset 'paper'; choose smoke, quick or long"):
        AutoConfig.preset("paper", (1, 8, 8))


@pytest.mark.parametrize(("name", "time_s"), [("smoke", None), ("quick", 240.0), ("long", 3600.0)])
def test_presets_say_how_long_a_run_is(name: str, time_s: float | None) -> None:
    """Without random networks beside it, as in every run of a given time."""
    config = AutoConfig.preset(name, (1, 28, 28))
    assert config.time_s == time_s
    assert config.n_draws == (1 if time_s is None else 0)


def test_threads_are_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the first step that is timed; later ones have the faster number, and the configuration's is kept."""
    tried: list[list[int]] = []

    def probe(step: Any, candidates: list[int], *, seconds: float) -> dict[int, Pace]:
        tried.append(candidates)
        return {1: Pace(10, 1.0), 2: Pace(10, 5.0)}

    monkeypatch.setattr(sys.modules["archwright.recipes.variants"], "probe_threads", probe)
    monkeypatch.setattr(Timed, "glance", lambda timed: float(torch.get_num_threads()))
    before = torch.get_num_threads()
    watch = Stopwatch(2, (1,), torch.device("cpu"))
    timed = Timed(lambda i: None, 4)
    assert (watch.seconds(timed), torch.get_num_threads()) == (0.1 / 4, 2)
    assert (watch.seconds(timed), torch.get_num_threads()) == (1.0, 2)
    assert tried == [[1, 2]]
    torch.set_num_threads(before)


def test_lengths_are_those_of_the_body() -> None:
    """Whatever it makes of the preset."""
    task, method = digits(), known_recipe("random")
    opened = open_search(_run(space_args={"mult": 1}).of(method, task), task)
    assert outlook(method, opened).lengths() == ["search 4 evaluations", "final training 2 steps (0.0 epochs)"]


def test_a_winner_that_inherits_has_the_epochs_of_its_trial() -> None:
    """8 steps of 32, as the preset trains each."""
    task, method = digits(), known_recipe("random")
    opened = open_search(_run(space_args={"mult": 1}, final="inherited").of(method, task), task)
    assert outlook(method, opened).winner_epochs == 8 / (task.split("train").n // 32)
