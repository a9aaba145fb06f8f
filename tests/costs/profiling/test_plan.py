"""The plan of a table: what is timed, chosen before anything is, and how it adds up."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from archwright.costs import ProfileConfig, profile
from archwright.costs.counting.count import count
from archwright.costs.profiling.plan import EMPTY, Planned, fitted, network_name
from archwright.spaces import Space
from archwright.testing import LooseEndsSpace, MBConvSpace, NumberSpace

TORCH = ProfileConfig("torch", warmup=0, repeats=1, n_fitted=3, n_checked=2)


def _planned(space: Space) -> Planned:
    return Planned(space, seed=0, n_fitted=3, n_checked=2)


@pytest.mark.parametrize("space", [NumberSpace(), LooseEndsSpace(), MBConvSpace()], ids=lambda s: type(s).__name__)
def test_all_that_is_timed_is_known_before(space: Space, by_macs: list[str]) -> None:
    """By name: what is gone through, what the sums and the line need, and what a profile times."""
    planned, timed = _planned(space), {}
    profile(space, TORCH, timed=timed)
    names = [name for name, _ in planned]
    assert len(planned) == len(names) == len(set(names))
    assert names == list(timed)
    assert sorted(names) == sorted(planned.plan.names)
    assert names[0] == EMPTY


def test_times_from_elsewhere_give_the_table_of_a_profile(by_macs: list[str]) -> None:
    """Whatever the times are, here drawn at random, and whoever took them."""
    space, rng = MBConvSpace(), np.random.default_rng(0)
    times = {name: float(rng.uniform(0.1, 2)) for name in _planned(space).plan.names}
    table = _planned(space).plan.table(space, times, backend="torch", threads=1, machine={})
    here = profile(space, TORCH, timed=dict(times))
    assert {**table.to_json(), "machine": None} == {**here.to_json(), "machine": None}
    assert not by_macs


def test_whole_networks_spread_from_few_products_to_many() -> None:
    """Of eight archs, ranked by what they count: the ends and one between are fitted to, others checked."""
    space = NumberSpace()
    archs = space.decisions.archs(space.decisions.enumerate_rows())
    macs = {space.code(arch): count(space.build(arch), space.input_shape).macs for arch in archs}
    chosen = _planned(space).plan.networks
    used = [macs[code] for code, is_fitted in chosen.items() if is_fitted]
    assert (used[0], used[-1]) == (min(macs.values()), max(macs.values()))
    assert used == sorted(used)
    assert list(chosen.values()) == [True, True, True, False, False]


def test_a_network_is_built_with_the_same_weights_each_time() -> None:
    """So that it may be built where it is needed, and again."""
    planned = _planned(NumberSpace())
    name = network_name(next(iter(planned.plan.networks)))
    one, other = (dict(planned)[name].module.state_dict() for _ in range(2))
    assert all(torch.equal(tensor, other[key]) for key, tensor in one.items())


def test_lines_are_fitted_with_care() -> None:
    """A line by hand; the ratio of sums where there are few points or only noise."""
    assert fitted([1, 2, 3], [3, 5, 7]) == (pytest.approx(2), pytest.approx(1))
    assert fitted([1, 3], [3, 5]) == (2.0, 0.0)
    assert fitted([1, 1, 1], [3, 3, 3]) == (3.0, 0.0)
    assert fitted([1, 2, 3], [7, 5, 3]) == (2.5, 0.0)
    assert fitted([0, 0], [1, 1]) == (1.0, 0.0)
