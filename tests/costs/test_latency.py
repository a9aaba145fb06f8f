"""Measured latency: what is timed, and that nothing is left behind. No test looks at how long anything takes."""

from __future__ import annotations

import copy
import gc
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from archwright.core.errors import InvalidValueError, RunFolderError
from archwright.costs import Cost, OnnxLatency, SpaceTable, TorchLatency, measure_latency
from archwright.costs.latency import BACKENDS, Backend, time_onnx
from archwright.spaces import Space
from archwright.testing import CostContract, NumberSpace

NETWORK = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 2))


def table(backend: Backend = "onnxruntime") -> SpaceTable:
    """Of the smallest toy space, by hand: factor 2 and intercept 1 on a base of 3 and one entry a width."""
    space = NumberSpace()
    return SpaceTable(
        "t.json",
        {f"width={width}": width / 10 for width in (2, 4, 6, 8)},
        3.0,
        backend=backend,
        space_args=space.args(),
        decisions=space.decisions.fingerprint,
        scopes=(("width",),),
        factor=2.0,
        intercept=1.0,
    )


class TestOnnxLatency(CostContract):
    is_measured = True

    def make(self) -> Cost:
        return OnnxLatency(table())

    def make_space(self) -> Space:
        return NumberSpace()


class TestTorchLatency(CostContract):
    is_measured = True

    def make(self) -> Cost:
        return TorchLatency(table("torch"))

    def make_space(self) -> Space:
        return NumberSpace()


class Sleeper(nn.Module):
    """Takes its time, the more the later; notes what it is given."""

    def __init__(self, *seconds: float) -> None:
        super().__init__()
        self.seconds, self.calls = iter(seconds), []

    def __deepcopy__(self, memo: object) -> Sleeper:
        return self

    def forward(self, x: Tensor) -> Tensor:
        self.calls.append((tuple(x.shape), torch.get_num_threads(), gc.isenabled(), self.training))
        time.sleep(next(self.seconds, 0.0))
        return x


@pytest.mark.parametrize("backend", BACKENDS)
def test_both_backends_time_a_network(backend: Backend) -> None:
    """Median and 90th percentile in milliseconds, with how they were taken."""
    found = measure_latency(NETWORK, (3, 6, 6), backend=backend, warmup=1, repeats=5)
    assert 0 < found.median <= found.p90 < 1e4
    assert (found.threads, found.repeats, found.backend) == (1, 5, backend)
    assert found.to_json() == {"median": found.median, "p90": found.p90, "threads": 1, "repeats": 5}


def test_median_and_p90_leave_the_warm_up_out() -> None:
    """The first, slow pass does not count; one slow pass of five moves the 90th percentile, not the median."""
    found = measure_latency(Sleeper(0.3, 0, 0, 0, 0, 0.1), (2,), backend="torch", warmup=1, repeats=5)
    assert found.median < 50
    # between the fourth and the fifth of five, four tenths from the latter: 0.6 x 100 ms and more
    assert 60 <= found.p90 < 250


def test_batch_and_threads_are_those_asked_for() -> None:
    """Evaluation mode, no garbage collection in between; all is as before afterwards."""
    network, before = Sleeper(), torch.get_num_threads()
    measure_latency(network, (2, 3), backend="torch", batch=4, threads=2, warmup=0, repeats=3)
    assert network.calls == [((4, 2, 3), 2, False, False)] * 3
    assert (torch.get_num_threads(), gc.isenabled()) == (before, True)


def test_threads_are_put_back_after_a_failure() -> None:
    """The network's own error comes through."""
    before = torch.get_num_threads()
    with pytest.raises(RuntimeError):
        measure_latency(nn.Linear(3, 4), (5,), backend="torch", threads=2)
    assert torch.get_num_threads() == before


def test_the_network_stays_as_it_is() -> None:
    """Mode, weights and norms."""
    network = copy.deepcopy(NETWORK).train()
    state = copy.deepcopy(network.state_dict())
    measure_latency(network, (3, 6, 6), backend="torch", warmup=0, repeats=1)
    assert all(part.training for part in network.modules())
    assert isinstance(network[1], nn.BatchNorm2d)
    assert all(torch.equal(state[name], tensor) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"repeats": 0}, "repeats is 0; give at least 1"),
        ({"warmup": -1}, "warmup is -1; give at least 0"),
        ({"threads": 0}, "threads is 0; give at least 1"),
        ({"batch": 0}, "batch is 0; give at least 1"),
        ({"backend": "tvm"}, "backend is 'tvm'; choose one of onnxruntime, torch"),
    ],
)
def test_numbers_out_of_range(change: dict[str, int], message: str) -> None:
    """Refused before anything is exported."""
    with pytest.raises(InvalidValueError, match=message):
        measure_latency(NETWORK, (3, 6, 6), **change)  # type: ignore[arg-type]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """By ONNX Runtime's session."""
    with pytest.raises(RunFolderError, match=r"none\.onnx"):
        time_onnx(tmp_path / "none.onnx", (3, 6, 6))


def test_a_search_needs_a_table() -> None:
    """The line says how to get one."""
    space = NumberSpace()
    with pytest.raises(InvalidValueError, match=r"archwright profile .*NumberSpace --backend torch -o FILE"):
        TorchLatency().cost_rows(space, space.decisions.enumerate_rows())


def test_a_table_of_the_other_backend_is_refused() -> None:
    """Its milliseconds are others."""
    table = SpaceTable("t.json", {}, backend="torch", space="spos")
    with pytest.raises(InvalidValueError, match=r"t\.json was measured with torch, but latency_ms is a"):
        OnnxLatency(table)


def test_a_table_prices_rows() -> None:
    """By its factor and intercept."""
    space = NumberSpace()
    rows = space.decisions.rows([{"width": 4, "kernel": 3}, {"width": 8, "kernel": 1}])
    np.testing.assert_allclose(OnnxLatency(table()).cost_rows(space, rows), [2 * 3.4 + 1, 2 * 3.8 + 1])
    given = {"width": [0.5, 0.5, 0.0, 0.0]}
    assert OnnxLatency(table()).expected(space, given).item() == pytest.approx(2 * 3.3 + 1)


def test_a_module_is_measured() -> None:
    """As a cost, by its backend."""
    assert 0 < TorchLatency().cost_module(NETWORK, (3, 6, 6)) < 1e4
