"""Second attempts of trainings that diverge."""

from __future__ import annotations

from pathlib import Path

import pytest

from archwright.core.errors import DivergedError
from archwright.finish.attempts import Attempt, attempted, last_attempt
from archwright.runs.run import Run, open_run
from archwright.training.config import TrainingConfig

CONFIG = TrainingConfig(steps=10, learning_rate=0.5, final_learning_rate=0.01, warmup_from=0.1, warmup_steps=2)


class Training:
    """Diverges above a rate; keeps what it was called with."""

    def __init__(self, stable: float) -> None:
        self.stable = stable
        self.calls: list[tuple[str, float]] = []

    def __call__(self, attempt: Attempt) -> str:
        self.calls.append((attempt.phase.name, attempt.config.learning_rate))
        if attempt.config.learning_rate > self.stable:
            raise DivergedError("the training loss is nan at step 3 of 10")
        if not attempt.phase.is_done:
            attempt.phase.finish()
        return attempt.phase.name


def opened(folder: Path) -> Run:
    return open_run(folder, {}, seed=0, threads=1, resume=True)


def test_good_training_is_tried_once(tmp_path: Path) -> None:
    """With the rate it was given; its phase has its name."""
    with opened(tmp_path / "run") as run:
        assert attempted(run, "retrain", CONFIG, Training(1.0), total=10) == ("retrain", 1)
        assert last_attempt(run, "retrain") == "retrain"


def test_diverged_training_is_tried_at_a_tenth(tmp_path: Path) -> None:
    """Of all its rates; in a phase of its own, and the log says why."""
    training, folder = Training(0.1), tmp_path / "run"
    with opened(folder) as run:
        assert attempted(run, "retrain", CONFIG, training, total=10) == ("retrain-again", 2)
        assert last_attempt(run, "retrain") == "retrain-again"
    assert training.calls == [("retrain", 0.5), ("retrain-again", 0.05)]
    assert "retrain: the training loss is nan at step 3 of 10; tried again at 0.1 of the rate" in (
        folder / "log.txt"
    ).read_text(encoding="utf-8")


def test_all_rates_fall(tmp_path: Path) -> None:
    """That of the end and of the warm-up's start too, or the schedule would be refused."""
    seen: list[TrainingConfig] = []

    def train(attempt: Attempt) -> None:
        seen.append(attempt.config)
        if len(seen) == 1:
            raise DivergedError("nan")

    with opened(tmp_path / "run") as run:
        attempted(run, "retrain", CONFIG, train, total=10)
    assert (seen[1].final_learning_rate, seen[1].warmup_from) == pytest.approx((0.001, 0.01))


def test_second_attempt_goes_on_after_a_kill(tmp_path: Path) -> None:
    """That the first one diverged is stored before the second begins: it is not repeated."""
    folder = tmp_path / "run"

    def killed(attempt: Attempt) -> None:
        raise DivergedError("nan") if attempt.phase.name == "retrain" else KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), opened(folder) as run:
        attempted(run, "retrain", CONFIG, killed, total=10)
    training = Training(0.1)
    with opened(folder) as run:
        assert attempted(run, "retrain", CONFIG, training, total=10) == ("retrain-again", 2)
    assert training.calls == [("retrain-again", 0.05)]


def test_two_divergences_end_the_run(tmp_path: Path) -> None:
    """The error of the second is the run's."""
    with opened(tmp_path / "run") as run, pytest.raises(DivergedError, match="nan at step 3"):
        attempted(run, "retrain", CONFIG, Training(0.0), total=10)


def test_failing_otherwise_is_not_tried_again(tmp_path: Path) -> None:
    """Only a broken loss is a matter of the rate."""

    def train(attempt: Attempt) -> None:
        raise OSError("the disk is full")

    with opened(tmp_path / "run") as run, pytest.raises(OSError, match="full"):
        attempted(run, "retrain", CONFIG, train, total=10)
