"""Measure a latency table of a space on this machine: time what its plan names (see `profiling.plan`)."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

from archwright.core.config import MAX_THREADS, check_range
from archwright.core.errors import InvalidValueError
from archwright.costs.latency import BACKENDS, REPEATS, WARMUP, Backend, Latency, check_backend, measure_latency
from archwright.costs.profiling.parts import Runnable
from archwright.costs.profiling.plan import Planned
from archwright.costs.tables.latencies import SpaceTable
from archwright.spaces.base import Space

Advance = Callable[[int, int], None]

UNSTEADY, MOST_READINGS = 0.2, 3
"""Spread from which on a part is timed again, and how often it is timed at most."""


@dataclass(frozen=True)
class ProfileConfig:
    """Settings of the measurement of a space.

    Attributes:
        backend: "onnxruntime" or "torch".
        threads: Threads inside an operation.
        warmup: Passes before the timed ones.
        repeats: Timed passes; the median counts.
        n_fitted: Whole networks to which the line from sums to times is fitted.
        n_checked: Further whole networks, which show how good the line is.
    """

    backend: Backend = "onnxruntime"
    threads: int = 1
    warmup: int = WARMUP
    repeats: int = REPEATS
    n_fitted: int = 6
    n_checked: int = 4

    def __post_init__(self) -> None:
        if self.backend not in BACKENDS:
            raise InvalidValueError(f"backend is {self.backend!r}; choose one of {', '.join(BACKENDS)}")
        least = {"threads": 1, "warmup": 0, "repeats": 1, "n_fitted": 1, "n_checked": 0}
        for name, low in least.items():
            check_range(name, getattr(self, name), low, MAX_THREADS if name == "threads" else 1_000_000)


def profile(
    space: Space,
    config: ProfileConfig | None = None,
    *,
    seed: int = 0,
    timed: MutableMapping[str, float] | None = None,
    spreads: MutableMapping[str, float] | None = None,
    advance: Advance | None = None,
) -> SpaceTable:
    """Measure a latency table of a space on this machine.

    A part whose passes differ much, as while something else runs, is timed again, up to twice; of its readings the
    steadiest counts.

    Args:
        space: The space, at the input size that will be used.
        config: How to measure; None takes the defaults.
        seed: Seed of the weights and of the choice of whole networks.
        timed: Milliseconds of forms measured before; new ones are added to it, so that an interrupted profile can go
            on.
        spreads: Spreads of those readings (`Latency.spread`); new ones are added to it too. Without it the table does
            not say how steady the parts were.
        advance: Called with (done, total) after each measurement.

    Raises:
        InvalidValueError: If a module without children depends on too many decisions, or the backend cannot run the
            networks as they are used.
        RunError: If a part cannot be exported.
    """
    config = config or ProfileConfig()
    check_backend(space, config.backend)
    planned = Planned(space, seed=seed, n_fitted=config.n_fitted, n_checked=config.n_checked)
    timed = {} if timed is None else timed
    is_told, spreads = spreads is not None, {} if spreads is None else spreads
    advance = advance or (lambda done, total: None)
    for done, (name, form) in enumerate(planned):
        if done:
            advance(done, len(planned))
        if name not in timed:
            reading = _steady(form, config)
            timed[name], spreads[name] = reading.median, reading.spread
    advance(len(planned), len(planned))
    return planned.plan.table(
        space,
        timed,
        backend=config.backend,
        threads=config.threads,
        machine=machine() | _steadiness(spreads if is_told else {}),
    )


def _steady(form: Runnable, config: ProfileConfig) -> Latency:
    """The steadiest of up to three readings; the first where it is steady enough."""
    readings: list[Latency] = []
    for _ in range(MOST_READINGS):
        readings.append(
            measure_latency(
                form.module,
                form.form,
                backend=config.backend,
                threads=config.threads,
                warmup=config.warmup,
                repeats=config.repeats,
                use=form.use,
            )
        )
        if readings[-1].spread <= UNSTEADY:
            break
    return min(readings, key=lambda reading: reading.spread)


def _steadiness(spreads: Mapping[str, float]) -> dict[str, Any]:
    """The middle and the largest spread of the parts, and whose that is; empty where none is known."""
    if not spreads:
        return {}
    worst = max(spreads, key=spreads.__getitem__)
    middle = sorted(spreads.values())[len(spreads) // 2]
    return {"spread": {"median": middle, "most": spreads[worst], "part": worst}}


def machine() -> dict[str, Any]:
    """Facts about this machine on which latencies depend, as far as they are known."""
    return {"platform": platform.platform(), "machine": platform.machine(), "cpu_count": os.cpu_count()}
