"""What tests of profiling share: an invented clock, by which sums are exact."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from torch import nn

from archwright.costs.counting.count import count
from archwright.costs.latency import Latency

EMPTY_MS = 0.25


@pytest.fixture
def by_macs(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A clock by which a call takes 0.25 ms and a microsecond a thousand multiply-accumulates; notes calls."""
    asked: list[str] = []

    def measure(network: nn.Module, input_shape: Sequence[int], **how: Any) -> Latency:
        asked.append(type(network).__name__)
        milliseconds = EMPTY_MS + count(network, input_shape).macs / 1e6
        return Latency(milliseconds, milliseconds, how["threads"], how["repeats"], how["backend"])

    monkeypatch.setattr("archwright.costs.profiling.profile.measure_latency", measure)
    return asked  # type: ignore[return-value]
