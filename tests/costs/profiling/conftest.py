"""What tests of profiling share: an invented clock, by which sums are exact, and a bundle of a tiny space."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from archwright.costs import ProfileConfig, write_bundle
from archwright.costs.counting.count import count
from archwright.costs.latency import Latency
from archwright.nn.choice import Chooser
from archwright.spaces import Space

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


class Chain(Space):
    """162 archs of few forms: two convolutions, each one of nine alike, and a ReLU or nothing."""

    input_shape, n_classes = (2, 6, 6), 3

    def network(self, choose: Chooser) -> nn.Module:
        alike = {f"conv{i}": lambda: nn.Conv2d(16, 16, 3, padding=1) for i in range(9)}
        stem = nn.Sequential(nn.Conv2d(2, 16, 3, bias=False), nn.BatchNorm2d(16))
        last = choose.op("last", {"plain": nn.Identity, "relu": nn.ReLU})
        first, second = choose.op("first", alike), choose.op("second", alike)
        return nn.Sequential(stem, first, second, last, nn.Flatten(), nn.Linear(16 * 4 * 4, self.n_classes))


@pytest.fixture(scope="session")
def chain() -> Space:
    """A space of a stem, two convolutions, a ReLU and a layer."""
    return Chain()


@pytest.fixture(scope="session")
def bundle(chain: Space, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of them, which tests read and copy."""
    folder = tmp_path_factory.mktemp("device") / "bundle"
    write_bundle(chain, folder, ProfileConfig(threads=1, warmup=1, repeats=3, n_fitted=2, n_checked=1))
    return folder


@pytest.fixture
def measured(bundle: Path) -> Callable[[Callable[[str], float]], dict[str, Any]]:
    """Measurements of that bundle by an invented clock, which is given the key of a part."""
    document = json.loads((bundle / "bundle.json").read_text())
    clock = {"governors": ["performance"], "current_mhz": [1500], "max_mhz": [1800], "load": 0.1}

    def make(ms: Callable[[str], float]) -> dict[str, Any]:
        run = {"began": "2026-01-01T00:00:00Z", "clock_before": clock, "clock_after": clock}
        return {
            "format": 1,
            "unit": "ms",
            "bundle_sha256": document["sha256"],
            "settings": {"threads": 2, "warmup": 1, "repeats": 3},
            "machine": {"platform": "Linux", "machine": "aarch64", "processor": "a board", "cpu_count": 4},
            "versions": {"python": "3.8.1", "numpy": "1.17", "onnxruntime": "1.12"},
            "runs": [{**run, "reference": [{"after": 0, "median": 2.0}, {"after": 9, "median": 2.5}]}],
            "parts": {part["key"]: {"median": ms(part["key"])} for part in document["parts"]},
            "bundle": document,
        }

    return make
