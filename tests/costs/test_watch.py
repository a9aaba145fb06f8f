"""Whether limits can be met, and what they are measured by."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from archwright.core.decisions import Condition, Decision, DecisionSpace, Rows
from archwright.core.errors import InfeasibleError, UnknownNameError
from archwright.core.objective import Constraint, Goal, Objective
from archwright.costs import Macs, Params, Watch, open_costs
from archwright.costs.tables.counted import tables_of
from archwright.costs.watch import lowest_row
from archwright.spaces import Space, SposSpace
from archwright.testing import ElasticSpace, NumberSpace, StrideSpace, conditional_decisions

Values = Callable[[Rows], NDArray[np.float64]]


def _limited(**limits: float) -> Objective:
    return Objective((Goal("top1_accuracy"),), tuple(Constraint(name, limit) for name, limit in limits.items()))


def _chain(n: int) -> DecisionSpace:
    """n operations, each `skip` or one of two with a kernel of its own: (1 + 3 + 3)^n archs."""
    decisions = []
    for i in range(n):
        decisions.append(Decision(f"op{i}", ("conv", "skip", "sep")))
        when = ((Condition(f"op{i}", ("conv", "sep")),),)
        decisions.append(Decision(f"kernel{i}", (3, 5, 7), "number", when=when))
    return DecisionSpace(decisions)


@pytest.mark.parametrize("seed", range(20))
def test_lowest_of_any_function_on_a_small_conditional_space(seed: int) -> None:
    """49 archs with 49 unrelated values: the smallest of all."""
    decisions = conditional_decisions()
    every = decisions.enumerate_rows()
    table = dict(zip([row.tobytes() for row in every], np.random.default_rng(seed).random(len(every)), strict=True))

    def values(rows: Rows) -> NDArray[np.float64]:
        return np.array([table[row.tobytes()] for row in rows])

    row = lowest_row(decisions, values, np.random.default_rng(0))
    assert table[row.tobytes()] == min(table.values())


@pytest.mark.parametrize("seed", range(10))
def test_lowest_of_a_sum_over_decisions(seed: int) -> None:
    """2,401 conditional archs, one term a decision, none for inactive ones: the smallest of all."""
    decisions = _chain(4)
    assert decisions.size() == 2401
    rng = np.random.default_rng(seed)
    terms = [np.append(rng.normal(size=n), 0.0) for n in decisions.n_values]

    def values(rows: Rows) -> NDArray[np.float64]:
        return np.sum([term[rows[:, i]] for i, term in enumerate(terms)], axis=0)

    row = lowest_row(decisions, values, np.random.default_rng(0))
    assert decisions.contains(row[None]).all()
    assert values(row[None])[0] == pytest.approx(values(decisions.enumerate_rows()).min(), abs=1e-12)


@pytest.mark.parametrize("column", [0, 1])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("make", [NumberSpace, StrideSpace, ElasticSpace])
def test_extremes_of_real_costs(make: Callable[[], Space], column: int, sign: int) -> None:
    """Smallest and largest parameters and multiply–accumulates of all archs, 2,808 in the largest space."""
    space = make()

    def values(rows: Rows) -> NDArray[np.float64]:
        return sign * tables_of(space).cost_rows(rows)[:, column]

    found = values(lowest_row(space.decisions, values, np.random.default_rng(0))[None])[0]
    assert found == values(space.decisions.enumerate_rows()).min()


def _spos_macs(candidate: int) -> list[int]:
    """Multiply–accumulates of each of the 20 blocks with that candidate, from the layers of spos.md, section 2."""
    kernel, found, n_in, side = (3, 5, 7, 3)[candidate], [], 16, 112
    for out, n_blocks in ((64, 4), (160, 4), (320, 8), (640, 4)):
        for b in range(n_blocks):
            after, middle, n_main = (side // 2 if b == 0 else side), out // 2, (n_in if b == 0 else n_in // 2)
            area = after * after
            if candidate < 3:
                macs = side * side * n_main * middle + area * middle * (kernel**2 + out - n_main)
            else:
                macs = area * (9 * n_main + n_main * middle + (18 + middle) * middle + middle * (out - n_main))
            found.append(macs + (area * n_in * (kernel**2 + n_in) if b == 0 else 0))
            n_in, side = out, after
    return found


def test_smallest_of_the_space_of_the_paper() -> None:
    """The sum of each block's cheapest candidate, which is the "xception" one where a block strides."""
    rest = 27 * 16 * 112**2 + 640 * 1024 * 7**2 + 1024 * 1000
    each = [_spos_macs(candidate) for candidate in range(4)]
    assert [rest + sum(blocks) for blocks in each] == [295_842_496, 313_654_976, 340_373_696, 358_825_920]
    watch = Watch(SposSpace(), [Macs(), Params()])
    assert watch.smallest("macs") == rest + sum(map(min, *each)) == 270_359_360
    assert watch.smallest("params") == 3_154_880


def test_unreachable_limit_says_the_smallest_value() -> None:
    """Width 2, kernel 1: (3 + 1) · 2 · 36 in two convolutions and 2 · 3 in the classifier, 294 in all."""
    watch = Watch(NumberSpace(), [Macs()])
    watch.check_reachable(_limited(macs=294))
    with pytest.raises(InfeasibleError) as caught:
        watch.check_reachable(_limited(macs=293))
    assert str(caught.value) == (
        f"no architecture of space {NumberSpace().name!r} at input 3x6x6 has macs <= 293; "
        "the smallest reachable is 294, so give at least that"
    )


def test_each_limit_is_checked() -> None:
    """Parameters of that network: 3 · 2 + 2 · 2 + 2 + 2 · 3 + 3 = 21."""
    watch = Watch(NumberSpace(), [Macs(), Params()])
    watch.check_reachable(_limited(macs=294, params=21))
    with pytest.raises(InfeasibleError, match="params <= 20; the smallest reachable is 21,"):
        watch.check_reachable(_limited(macs=294, params=20))


def test_feasible_rows_keep_every_limit() -> None:
    """Among all archs, those whose counted costs are at most the limits; equal is kept."""
    space = NumberSpace()
    rows = space.decisions.enumerate_rows()
    costs = tables_of(space).cost_rows(rows)
    limits = {"params": float(np.median(costs[:, 0])), "macs": float(costs[3, 1])}
    keeps = Watch(space, [Macs(), Params()]).feasible(_limited(**limits))(rows)
    assert keeps.tolist() == [bool(p <= limits["params"] and m <= limits["macs"]) for p, m in costs]
    assert 0 < keeps.sum() < len(rows)
    assert keeps[3] == (costs[3, 0] <= limits["params"])


def test_values_are_one_array_a_cost() -> None:
    """By the costs' names, in the order of the rows."""
    space = NumberSpace()
    rows = space.decisions.enumerate_rows()
    values = Watch(space, open_costs(["params", "flops", "macs"])).values(rows)
    expected = tables_of(space).cost_rows(rows)
    assert list(values) == ["params", "flops", "macs"]
    assert values["params"].tolist() == expected[:, 0].tolist()
    assert values["macs"].tolist() == expected[:, 1].tolist()
    assert values["flops"].tolist() == (2 * expected[:, 1]).tolist()


def test_costs_by_name() -> None:
    """Each once, in order; an unknown one offers the nearest."""
    assert [cost.name for cost in open_costs(["macs", "params", "macs"])] == ["macs", "params"]
    with pytest.raises(UnknownNameError, match="unknown cost 'mcas'; did you mean macs"):
        open_costs(["mcas"])
