"""Training configurations: length and refusals."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from archwright.core.config import absent_settings, from_json, to_json
from archwright.core.errors import InvalidValueError
from archwright.tasks.base import Split
from archwright.training.config import OptimizerConfig, TrainingConfig


def test_steps_are_taken_as_they_are() -> None:
    """Whatever the number of examples."""
    assert TrainingConfig(steps=70).n_steps(10) == 70


def test_epochs_count_complete_batches() -> None:
    """1,000 examples are 7 batches of 128; 2.5 epochs are round(17.5) = 18 steps."""
    assert TrainingConfig(epochs=2.5).n_steps(1000) == 18


def test_short_epochs_have_at_least_one_step() -> None:
    """A hundredth of an epoch of one batch."""
    assert TrainingConfig(epochs=0.01).n_steps(50) == 1


def test_warm_up_longer_than_epochs_is_refused() -> None:
    """Known only when the number of examples is."""
    with pytest.raises(InvalidValueError, match="warmup_steps is 10; accepted: fewer than the 7 steps"):
        TrainingConfig(epochs=1, warmup_steps=10).n_steps(1000)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("steps", 0),
        ("batch_size", 0),
        ("optimizer", "lamb"),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("learning_rate", float("inf")),
        ("momentum", 1.0),
        ("betas", (0.9, 1.0)),
        ("betas", (0.9,)),
        ("weight_decay", -1e-4),
        ("schedule", "triangle"),
        ("warmup_steps", -1),
        ("warmup_steps", 5),
        ("final_learning_rate", 0.2),
        ("step_milestones", (0.7, 0.3)),
        ("step_milestones", (30.0,)),
        ("step_gamma", 0.0),
        ("power", 0.0),
        ("label_smoothing", 1.0),
        ("ema_decay", 1.0),
        ("clip_norm", 0.0),
        ("dampening", 1.0),
        ("eps", 0.0),
        ("squares_decay", 1.0),
        ("warmup_from", 0.2),
        ("restart_period", 0.0),
        ("restart_factor", 0.5),
        ("accumulate", 0),
        ("precision", "int8"),
    ],
)
def test_refusal_names_field_and_value(field: str, value: Any) -> None:
    """One line: the field, what it was, what is accepted."""
    with pytest.raises(InvalidValueError) as caught:
        TrainingConfig(**({"steps": 5} | {field: value}))
    assert str(caught.value).startswith(f"{field} is {value!r}; accepted: ")


@pytest.mark.parametrize("both", [{}, {"steps": 5, "epochs": 1.0}])
def test_exactly_one_length(both: dict[str, Any]) -> None:
    """Neither or both of steps and epochs."""
    with pytest.raises(InvalidValueError, match="give exactly one of them"):
        TrainingConfig(**both)


def test_nesterov_needs_momentum() -> None:
    """Torch refuses it too, but later."""
    with pytest.raises(InvalidValueError, match="nesterov is True"):
        TrainingConfig(steps=1, nesterov=True, momentum=0.0)


def test_nesterov_takes_no_dampening() -> None:
    """As torch."""
    with pytest.raises(InvalidValueError, match="nesterov is True"):
        OptimizerConfig(nesterov=True, dampening=0.1)


def test_accumulated_batches_make_fewer_steps() -> None:
    """Three passes of 7 batches, 2 a step."""
    assert TrainingConfig(epochs=3, accumulate=2).n_steps(1000) == round(21 / 2)


def test_a_split_says_how_many_batches_it_has() -> None:
    """Such as one whose batches are of tokens."""

    class Pairs(Split):
        n = 1000

        def steps_per_epoch(self, batch_size: int) -> int:
            return 3

        def batches(self, batch_size: int, *, seed: int, first_step: int = 0, n_steps: int) -> Any: ...
        def ordered(self, batch_size: int) -> Any: ...

    assert TrainingConfig(epochs=2).n_steps(Pairs()) == 6


def test_configs_of_older_builds_mean_what_they_did() -> None:
    """Of a document that lacks settings; every setting that was added says what that was."""
    old = ("optimizer", "learning_rate", "momentum", "nesterov", "betas", "weight_decay", "decay_norm_and_bias")
    old += ("schedule", "warmup_steps", "final_learning_rate", "step_milestones", "step_gamma", "power")
    old += ("ema_decay", "average_from", "clip_norm", "steps", "epochs", "batch_size", "label_smoothing")
    old += ("channels_last", "precision")
    config = TrainingConfig(steps=3)
    document = {name: value for name, value in to_json(config).items() if name in old}
    assert from_json(TrainingConfig, document) == config
    assert set(absent_settings(config)) == {f.name for f in fields(config)} - set(old)
