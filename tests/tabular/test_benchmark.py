"""Tabular benchmarks: what a search is told, what it is not, and what cannot be measured."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from pathlib import Path
from types import FunctionType, ModuleType

import numpy as np
import pytest

from archwright.core.errors import DataError, InvalidArchError, InvalidValueError, UnknownNameError
from archwright.core.objective import Constraint, Goal, Objective
from archwright.search import search
from archwright.spaces import Space
from archwright.strategies import Random
from archwright.tabular.benchmark import Benchmark
from archwright.tabular.published import nasbench201, nasbench_macro, own_benchmark
from archwright.tabular.tables import Table, read_table
from archwright.testing import BranchSpace

DATA = Path(os.environ.get("ARCHWRIGHT_DATA", "none"))
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="ARCHWRIGHT_DATA names no folder of published tables")


def trials_of(benchmark: Benchmark, **objective: object) -> list[tuple[str, float | str]]:
    goals = Objective((Goal("top1_accuracy"),), **objective)  # type: ignore[arg-type]
    costs = benchmark.costs([one.cost for one in goals.constraints])
    strategy = Random(benchmark.space, n_trials=12, seed=0)
    found = search(benchmark.space, strategy, benchmark.evaluator(), goals, costs=costs)
    return [(trial.arch.key, trial.metrics.get("top1_accuracy", trial.failure)) for trial in found.trials]


def test_a_search_sees_the_signal_of_its_budget(made: Callable[..., Benchmark]) -> None:
    benchmark = made()
    assert benchmark.budgets == (1, 9)
    assert sorted(value for _, value in trials_of(benchmark)) == list(range(12))
    (asked,) = Random(benchmark.space, seed=0).ask(1)
    short, long = (benchmark.evaluator(budget).evaluate([asked])[0]["top1_accuracy"] for budget in (1, 9))
    assert long == short / 2


def test_true_scores_do_not_reach_a_search(made: Callable[..., Benchmark]) -> None:
    """With other true scores every trial is the same; no object that a search is given holds them."""
    one, other = made(), made(true={i: str(7 * i % 12) for i in range(12)})
    assert trials_of(one) == trials_of(other)
    evaluator, costs = one.evaluator(), one.costs(["ms"])
    held = reachable([evaluator, *costs, one.space])
    assert id(one) not in held
    assert id(one.truth) not in held
    assert not any(isinstance(thing, np.ndarray | list) and np.array_equal(thing, one.truth) for thing in held.values())


def reachable(things: list[object]) -> dict[int, object]:
    """All objects that these hold, by their identities; not through classes, functions and modules."""
    held: dict[int, object] = {}
    waiting = list(things)
    while waiting:
        thing = waiting.pop()
        if id(thing) not in held and not isinstance(thing, type | FunctionType | ModuleType):
            held[id(thing)] = thing
            waiting += gc.get_referents(thing)
    return held


def test_what_was_not_measured_is_no_number(made: Callable[..., Benchmark]) -> None:
    """Two of the twelve: a blank cell, and the number that stands for one. Their trials fail, with the reason."""
    found = trials_of(made(short={3: "", 5: "-1"}))
    failures = [value for _, value in found if isinstance(value, str)]
    assert failures == ["InvalidValueError: not measured at 1 epochs"] * 2
    assert -1.0 not in [value for _, value in found]


def test_members_that_the_table_lacks_fail(made: Callable[..., Benchmark]) -> None:
    assert [value for _, value in trials_of(made(missing=True)) if isinstance(value, str)] == [
        "InvalidValueError: not in the table"
    ]


def test_columns_are_costs(made: Callable[..., Benchmark]) -> None:
    """A limit on one keeps four of twelve; a member without a figure keeps no limit."""
    found = trials_of(made(ms={0: ""}), constraints=(Constraint("ms", 1.5),))
    assert sorted(value for _, value in found) == [3, 6, 9]  # 0, 3, 6, 9 have 1 ms, and 0 no figure


def test_a_budget_that_the_table_lacks_is_refused(made: Callable[..., Benchmark]) -> None:
    with pytest.raises(InvalidValueError, match=r"no evaluation of 5 epochs on its data; choose one of 1, 9"):
        made().evaluator(5)


def test_a_column_that_is_missing_is_named(made: Callable[..., Benchmark]) -> None:
    with pytest.raises(UnknownNameError, match="unknown column 'mj'"):
        made().costs(["mj"])


def test_a_member_twice_is_refused(made: Callable[..., Benchmark]) -> None:
    benchmark = made()
    code = benchmark.space.code(benchmark.space.decisions.archs(benchmark.places.rows[:1])[0])
    with pytest.raises(DataError, match=r"lines 2 and 6 are of the same architecture"):
        made(arch={4: code})


def test_a_code_that_is_none_is_refused(made: Callable[..., Benchmark]) -> None:
    with pytest.raises(DataError, match="has a arch that is none of space"):
        made(arch={4: "?"})


def test_own_tables(tmp_path: Path) -> None:
    """Signal and true score by the names of their columns; they are never the same column."""
    space = BranchSpace()
    codes = [space.code(arch) for arch in space.decisions.archs(space.decisions.enumerate_rows())]
    path = tmp_path / "mine.csv"
    path.write_text("arch,loss,final\n" + "".join(f'"{code}",{i},{2 * i}\n' for i, code in enumerate(codes)))
    found = own_benchmark(space, [path], signal="loss", truth="final", direction="min")
    assert (found.name, found.columns.direction) == ("mine.csv", "min")
    assert found.truth.tolist() == (2 * found.signal()).tolist()
    with pytest.raises(DataError, match="a search may not see the true score"):
        own_benchmark(space, [path], signal="loss", truth="loss")


# ── published tables ──────────────────────────────────────────────────────────────────────────────


@needs_data
@pytest.mark.parametrize(
    ("dataset", "best", "index"), [("c10", 94.3733, 6111), ("c100", 73.5133, 9930), ("in16", 47.3111, 857)]
)
def test_nasbench201(dataset: str, best: float, index: int) -> None:
    """The published optima, at their indices; every cell is there."""
    found = nasbench201(read_table(DATA / "nasbench201" / "nb201.csv.gz"), dataset)
    assert len(found.places.rows) == found.space.size() == 15_625
    assert found.truth.max() == best
    assert found.places.of(found.space.parse_rows([str(index)])).tolist() == [int(found.truth.argmax())]


@needs_data
def test_nasbench201_joined_to_measurements() -> None:
    """Energy as a limit, and a signal of 200 epochs, by index."""
    table = read_table(DATA / "nasbench201" / "nb201.csv.gz")
    joined = table.joined(read_table(DATA / "hw_nas_bench" / "nb201_cifar10.csv.gz"), "index")
    found = nasbench201(joined)
    assert found.budgets == (12, 200)
    row = found.space.parse_rows(["0"])
    assert found.costs(["eyeriss_energy_mJ"])[0].cost_rows(found.space, row).tolist() == [0.687283]
    assert found.signal(200)[found.places.of(row)].tolist() == [81.9]


@needs_data
def test_nasbench_macro() -> None:
    """All 6,561; the true score leaves the signal's training out."""
    found = nasbench_macro(read_table(DATA / "nasbench_macro" / "nasbench_macro_cifar10.csv.gz"))
    assert len(found.places.rows) == found.space.size() == 6561
    place = found.places.of(found.space.parse_rows(["00000000"]))
    assert (found.signal()[place].tolist(), found.truth[place].tolist()) == ([45.32], [45.385])


def test_unknown_datasets_are_refused() -> None:
    table = Table(Path("t.csv"), {"arch": ["0"]})
    for opened in (nasbench201, nasbench_macro):
        with pytest.raises(UnknownNameError, match="unknown dataset 'svhn'"):
            opened(table, "svhn")


def test_texts_of_cells_are_read_at_once(nb201: Space) -> None:
    """As one by one, indices too; what is no cell is named."""
    rows = nb201.decisions.sample(50, np.random.default_rng(0))
    codes = [nb201.code(arch) for arch in nb201.decisions.archs(rows)]
    assert (nb201.parse_rows(codes) == rows).all()
    assert (nb201.parse_rows(["11", "284"]) == nb201.decisions.rows([nb201.parse("11"), nb201.parse("284")])).all()
    with pytest.raises(InvalidArchError, match="conv_9x9"):
        nb201.parse_rows([codes[0], codes[1].replace("_3x3", "_9x9").replace("skip_connect", "nor_conv_9x9")])


@pytest.fixture
def nb201() -> Space:
    from archwright.spaces import NasBench201

    return NasBench201()
