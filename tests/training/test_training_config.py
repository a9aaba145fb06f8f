"""Training configurations: length and refusals."""

from __future__ import annotations

from typing import Any

import pytest

from archwright.core.errors import InvalidValueError
from archwright.training.config import TrainingConfig


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
