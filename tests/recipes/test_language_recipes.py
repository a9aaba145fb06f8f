"""Recipes on texts: from a search to exported files, with perplexity, of which less is better."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from archwright.recipes import RandomSearchConfig, SposConfig, TrainConfig, spos
from archwright.recipes.presets import (
    darts_language_search,
    darts_language_training,
    enas_language_training,
    small_language_training,
    suited,
)
from archwright.reports.measures import measure_of
from archwright.tasks import LanguageTask
from archwright.training.schedules import learning_rate

SPACE = "archwright.testing.language:RnnTiny"
TEXT = "\n".join("the cat sat on the mat , and the dog , too , was on it" for _ in range(60))
OPTIONS = ("--preset", "smoke", "--threads", "1", "--device", "cpu")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "text.txt"
    found.write_text(TEXT, encoding="utf-8")
    return found


def test_search_to_files(cli: Callable[..., Any], path: Path, tmp_path: Path) -> None:
    """`archwright search random` on a file: the smallest perplexity wins, everything is exported."""
    out = tmp_path / "run"
    data = ("--data", f"text:{path}", "--set", "data.tokens=6", "--set", "data.vocabulary=12")
    done = cli("search", "random", "--space", SPACE, *data, *OPTIONS, "--out", out)
    assert done.code == 0, done.err
    result = json.loads((out / "result.json").read_text("utf-8"))
    assert (result["metric"], result["direction"], result["dataset"]) == ("perplexity", "min", f"text:{path}")
    assert result["not_exported"] == {}
    assert sorted(p.name for p in (out / "best").iterdir()) == [
        "README.md",
        "arch.json",
        "model.onnx",
        "model.py",
        "model.safetensors",
    ]
    document = json.loads((out / "best" / "arch.json").read_text("utf-8"))
    assert document["space_args"] == {"input_shape": [6], "n_classes": 12}
    record = json.loads((out / "run.json").read_text("utf-8"))
    assert record["config"]["data_options"] == {"tokens": 6, "vocabulary": 12}
    measure = measure_of({}, record)
    assert (measure.metric, measure.direction) == ("perplexity", "min"), "known before there is a result"
    assert "perplexity" in (out / "report.html").read_text("utf-8")
    again = cli("search", "random", "--out", out, "--resume")
    assert again.code == 0
    assert f"perplexity {result['test']:.4f}" in again.out
    assert "one text" in again.out


def test_the_smallest_perplexity_wins(path: Path) -> None:
    """In a supernet's search and its baseline."""
    task = LanguageTask("toy", TEXT, tokens=6)
    config = SposConfig.preset("smoke", task.input_shape)
    result = spos(_with(config, space=SPACE, threads=1, device="cpu"), task)
    perplexities = [trial.metrics["perplexity"] for trial in result.trials]
    assert result.record["validation"] == min(perplexities)
    assert result.record["direction"] == "min"
    assert task.n_test_reads == len({str(draw["arch"]) for draw in _tested(result.record)}) + 1
    plain = result.record["plain_baseline"]
    assert plain["space"] == "plain-lstm"
    assert plain["macs"] <= result.record["macs"]
    assert plain["beaten"] is (result.record["test"] < plain["test"])


def _with(config: Any, **changes: Any) -> Any:
    from dataclasses import replace

    return replace(config, **changes)


def _tested(record: dict[str, Any]) -> list[dict[str, Any]]:
    baseline = record["random_baseline"]
    return [record, baseline, *baseline["draws"]]


@pytest.mark.slow
def test_train_on_pydoc(cli: Callable[..., Any], tmp_path: Path) -> None:
    """`archwright train` on the text that comes with Python."""
    done = cli("train", f"{SPACE}:00", "--data", "pydoc", *OPTIONS, "--out", tmp_path / "run")
    assert done.code == 0, done.err
    assert "perplexity" in done.out
    record = json.loads((tmp_path / "run" / "run.json").read_text("utf-8"))
    assert record["config"]["data_options"] == {"tokens": 8}, "smoke takes short inputs"


@pytest.mark.slow
def test_workers_change_nothing(cli: Callable[..., Any], path: Path, tmp_path: Path) -> None:
    """The task is made anew from its blueprint in two processes."""
    found = []
    for n in (1, 2):
        out = tmp_path / f"run{n}"
        data = ("--data", f"text:{path}", "--set", "data.tokens=6")
        done = cli("search", "random", "--space", SPACE, *data, *OPTIONS, "--workers", n, "--out", out)
        assert done.code == 0, done.err
        found.append(json.loads((out / "result.json").read_text("utf-8")))
    assert [each["validation"] for each in found] == [found[0]["validation"]] * 2
    assert [each["test"] for each in found] == [found[0]["test"]] * 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--data", "text:nowhere.txt"), "nowhere.txt cannot be read"),
        (("--data", "pydoc", "--set", "data.speed=1"), "have no option 'speed'"),
        (("--data", "pydoc", "--set", "data.seed=1"), "use --seed"),
        (("--data", "pydoc", "--set", "data.tokens=-3"), "give a whole number"),
        (("--data", "pydoc", "--set", "data.tokens=999999999"), "tokens is 999999999; give"),
        (("--data", "pydoc", "--val-images", "9"), "are no images"),
        (("--data", "digits"), "takes sequences of tokens, but the input is 1x8x8"),
    ],
)
def test_what_the_user_can_mend(cli: Callable[..., Any], tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    """One line, exit code 2, no folder."""
    done = cli("train", f"{SPACE}:00", *arguments, *OPTIONS, "--out", tmp_path / "run")
    assert done.code == 2
    assert said in done.err
    assert len(done.err.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_an_image_space_refuses_texts(cli: Callable[..., Any], tmp_path: Path) -> None:
    """The recipe's own space by default."""
    done = cli("search", "spos", "--data", "pydoc", *OPTIONS, "--out", tmp_path / "run")
    assert done.code == 2
    assert "takes images" in done.err


# ── presets ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("cls", [TrainConfig, RandomSearchConfig, SposConfig])
@pytest.mark.parametrize("name", ["smoke", "quick"])
def test_short_presets_train_texts_as_texts(cls: Any, name: str) -> None:
    """Adam, clipped, no smoothed labels; as many steps as for images."""
    images, texts = cls.preset(name, (3, 32, 32)), cls.preset(name, (35,))
    for field in ("training", "retrain", "supernet"):
        if hasattr(texts, field):
            found, other = getattr(texts, field), getattr(images, field)
            assert found == small_language_training(steps=other.steps, batch_size=other.batch_size)
            assert found.label_smoothing == 0
    assert suited(images, (3, 32, 32)) is images


def test_paper_preset_of_train_is_darts_s() -> None:
    """Rate 20, clipped at 0.25, decay 8e-7, averaged."""
    assert TrainConfig.preset("paper", (35,)).training == darts_language_training()


def test_darts_numbers() -> None:
    """Those of quark0/darts rnn/train.py and rnn/train_search.py."""
    final, search = darts_language_training(), darts_language_search()
    assert (final.epochs, final.batch_size, final.learning_rate) == (8000, 64, 20.0)
    assert (final.clip_norm, final.weight_decay, final.momentum) == (0.25, 8e-7, 0.0)
    assert (search.epochs, search.batch_size, search.learning_rate) == (50, 256, 20.0)
    assert (search.clip_norm, search.weight_decay, search.average_from) == (0.25, 5e-7, None)


def test_enas_rate_falls_from_epoch_fifteen() -> None:
    """20 for 15 epochs, then times 0.96 an epoch, over 150 epochs of 400 steps."""
    config, n_steps = enas_language_training(), 150 * 400
    assert (config.batch_size, config.clip_norm, config.weight_decay) == (64, 0.25, 1e-7)
    rates = {epoch: learning_rate(config, epoch * 400, n_steps) for epoch in (0, 14, 15, 16, 149)}
    expected = {0: 20.0, 14: 20.0, 15: 20 * 0.96, 16: 20 * 0.96**2, 149: 20 * 0.96**135}
    assert rates == pytest.approx(expected)
