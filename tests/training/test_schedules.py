"""Learning rates against torch's schedulers and closed forms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.optim import lr_scheduler as torch_schedules

from archwright.training.config import TrainingConfig
from archwright.training.schedules import learning_rate

N = 40


def _rates(**settings: Any) -> list[float]:
    config = TrainingConfig(steps=N, learning_rate=0.5, **settings)
    return [learning_rate(config, step, N) for step in range(N)]


def _torch_rates(make: Callable[[torch.optim.Optimizer], Any], n: int = N) -> list[float]:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.5)
    scheduler, rates = make(optimizer), []
    for _ in range(n):
        rates.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        scheduler.step()
    return rates


@pytest.mark.parametrize(
    ("settings", "make"),
    [
        ({"schedule": "constant"}, lambda o: torch_schedules.ConstantLR(o, factor=1.0)),
        ({"schedule": "cosine"}, lambda o: torch_schedules.CosineAnnealingLR(o, N)),
        (
            {"schedule": "cosine", "final_learning_rate": 0.1},
            lambda o: torch_schedules.CosineAnnealingLR(o, N, eta_min=0.1),
        ),
        ({"schedule": "linear"}, lambda o: torch_schedules.LinearLR(o, 1.0, 0.0, N)),
        ({"schedule": "linear", "final_learning_rate": 0.1}, lambda o: torch_schedules.LinearLR(o, 1.0, 0.2, N)),
        ({"schedule": "polynomial", "power": 2.0}, lambda o: torch_schedules.PolynomialLR(o, N, 2.0)),
        (
            {"schedule": "step", "step_milestones": (0.25, 0.7), "step_gamma": 0.3},
            lambda o: torch_schedules.MultiStepLR(o, [10, 28], 0.3),
        ),
        (
            {"schedule": "cosine-restarts", "restart_period": 5, "restart_factor": 2.0, "final_learning_rate": 0.05},
            lambda o: torch_schedules.CosineAnnealingWarmRestarts(o, 5, 2, eta_min=0.05),
        ),
        (
            {"schedule": "cosine-restarts", "restart_period": 0.25},
            lambda o: torch_schedules.CosineAnnealingWarmRestarts(o, 10),
        ),
    ],
)
def test_rates_equal_torch(settings: dict[str, Any], make: Callable[[torch.optim.Optimizer], Any]) -> None:
    """Every step of a training of 40, to rounding."""
    assert _rates(**settings) == pytest.approx(_torch_rates(make), abs=1e-9)


def test_spos_rate_closed_form() -> None:
    """The paper's schedule: base * (1 - step / total)."""
    assert _rates(schedule="linear") == pytest.approx([0.5 * (1 - step / N) for step in range(N)], abs=1e-15)


def test_warm_up_is_a_line_from_zero() -> None:
    """Four steps of warm-up: 1/5, 2/5, 3/5, 4/5 of the rate, which step 4 reaches."""
    assert _rates(schedule="cosine", warmup_steps=4)[:5] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])


def test_schedule_after_warm_up_spans_the_rest() -> None:
    """From step 8 on it is the cosine of a training of 32 steps."""
    expected = _torch_rates(lambda o: torch_schedules.CosineAnnealingLR(o, N - 8), N - 8)
    assert _rates(schedule="cosine", warmup_steps=8)[8:] == pytest.approx(expected, abs=1e-9)


def test_restarts_begin_after_warm_up() -> None:
    """Eight steps of warm-up, then two periods of half the rest each."""
    rates = _rates(schedule="cosine-restarts", warmup_steps=8)
    assert rates[8] == rates[24] == 0.5
    assert rates[8:24] == pytest.approx(rates[24:])


def test_inverse_square_root_closed_form() -> None:
    """As in fairseq: 8 steps in a line from 0.1 to 0.5, then 0.5 sqrt(8 / step)."""
    expected = [0.1 + 0.4 * step / 8 if step < 8 else 0.5 * (8 / step) ** 0.5 for step in range(N)]
    assert _rates(schedule="inverse-sqrt", warmup_steps=8, warmup_from=0.1) == pytest.approx(expected)


def test_inverse_square_root_without_warm_up() -> None:
    """As after a warm-up of one step."""
    assert _rates(schedule="inverse-sqrt")[:5] == pytest.approx([0.5, 0.5, 0.5 / 2**0.5, 0.5 / 3**0.5, 0.25])
