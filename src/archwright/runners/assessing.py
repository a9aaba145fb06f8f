"""Evaluate candidates safely: whatever an evaluator does, each candidate gets figures or the reason of its failure."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

from archwright.core.errors import InvalidArchError, InvalidValueError, SpaceError, UsageError, error_text
from archwright.core.text import beginning
from archwright.core.trial import Candidate
from archwright.evaluators.base import Evaluator
from archwright.runners.base import Outcome

OF_THE_ARCH = (InvalidArchError, InvalidValueError, SpaceError)
"""Errors of the user that may concern one architecture only; after any other, every candidate would fail."""


def assess(evaluator: Evaluator, candidates: Sequence[Candidate]) -> list[Outcome]:
    """One outcome for each candidate, in the same order.

    If evaluating several together fails, they are evaluated one by one, to find out which one fails. A result with
    figures that are not finite is a failure: such a trial must neither win nor end the search.

    Raises:
        UsageError: If the error is not about an architecture, such as data that cannot be read.
    """
    started = time.perf_counter()
    try:
        found = _listed(evaluator.evaluate(candidates), len(candidates))
    except Exception as error:
        if isinstance(error, UsageError) and not isinstance(error, OF_THE_ARCH):
            raise
        if len(candidates) > 1:
            return [outcome for candidate in candidates for outcome in assess(evaluator, [candidate])]
        return [Outcome(candidates[0].number, failure=error_text(error), duration_s=time.perf_counter() - started)]
    each_s = (time.perf_counter() - started) / max(1, len(candidates))
    return [_judged(candidate, metrics, each_s) for candidate, metrics in zip(candidates, found, strict=True)]


def _listed(found: Any, n: int) -> Sequence[Any]:
    if not isinstance(found, Sequence) or isinstance(found, str):
        raise TypeError(f"the evaluator returned {type(found).__name__}; it must return a list of metrics")
    if len(found) != n:
        raise ValueError(f"the evaluator returned {len(found)} sets of metrics for {n} candidates")
    return found


def _judged(candidate: Candidate, metrics: Any, duration_s: float) -> Outcome:
    try:
        return Outcome(candidate.number, _figures(metrics), duration_s=duration_s)
    except (TypeError, ValueError) as error:
        return Outcome(candidate.number, failure=str(error), duration_s=duration_s)


def _figures(metrics: Any) -> dict[str, float]:
    if not isinstance(metrics, Mapping) or not metrics:
        raise TypeError(f"the evaluator returned {_short(metrics)} as metrics; it must return figures by name")
    figures: dict[str, float] = {}
    for name, value in metrics.items():
        if not isinstance(name, str) or isinstance(value, str | bytes) or not hasattr(value, "__float__"):
            raise TypeError(
                f"the evaluator returned {_short(name)} = {_short(value)}; a metric is a number with a name"
            )
        figures[name] = float(value)
        if not math.isfinite(figures[name]):
            raise ValueError(f"{name} is {figures[name]}")
    return figures


def _short(value: Any) -> str:
    return beginning(" ".join(repr(value).split()))
