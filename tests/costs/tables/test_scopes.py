"""Sums of terms: looked up, covered, expected."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from archwright.core.decisions import Decision, DecisionSpace, Rows
from archwright.core.errors import InvalidValueError
from archwright.costs.tables.scopes import MAX_COMBINATIONS, Scope, ScopeTables, entry_key
from archwright.testing import conditional_decisions

DECISIONS = conditional_decisions()
SCOPES: list[Scope] = [(0,), (0, 1), (1, 2), (2, 3), ()]


def filled(decisions: DecisionSpace, scopes: list[Scope]) -> tuple[ScopeTables, Rows, np.ndarray]:
    """Tables of unrelated terms, all archs, and the sum of each by a plain loop."""
    tables, rng = ScopeTables(decisions, scopes, 1), np.random.default_rng(0)
    rows = decisions.enumerate_rows()
    known: dict[tuple[Scope, tuple[int, ...]], float] = {}
    sums = []
    for row in rows:
        terms = {s: known.setdefault((s, tuple(row[list(s)].tolist())), rng.random()) for s in tables.scopes}
        assert tables.put(row, {scope: np.array([term]) for scope, term in terms.items()})
        sums.append(sum(terms.values()))
    return tables, rows, np.array(sums)


def test_look_up_is_the_sum_of_terms() -> None:
    """Of all 49 conditional archs."""
    tables, rows, sums = filled(DECISIONS, SCOPES)
    total, missing = tables.look_up(rows)
    assert missing is None
    np.testing.assert_allclose(total[:, 0], sums)


def test_unknown_terms_are_found() -> None:
    """The first row that needs one."""
    tables = ScopeTables(DECISIONS, [(0,)], 1)
    rows = DECISIONS.enumerate_rows()
    tables.put(rows[0], {(0,): np.ones(1), (): np.ones(1)})
    n_alike = int((rows[:, 0] == rows[0, 0]).sum())
    assert tables.look_up(rows)[1] == n_alike


def test_a_contradiction_is_noticed() -> None:
    """The same term twice with two values."""
    tables = ScopeTables(DECISIONS, [(0,)], 1)
    row = DECISIONS.enumerate_rows()[0]
    assert tables.put(row, {(0,): np.ones(1), (): np.ones(1)})
    assert not tables.put(row, {(0,): np.zeros(1), (): np.ones(1)})


def test_covering_rows_hold_every_term() -> None:
    """All archs can be looked up afterwards; every covering row is one of them."""
    tables, reference = ScopeTables(DECISIONS, SCOPES, 1), filled(DECISIONS, SCOPES)[0]
    rows = tables.covering_rows()
    assert DECISIONS.contains(rows).all()
    for row in rows:
        tables.put(row, {scope: reference.term(scope, row) for scope in tables.scopes})
    assert tables.look_up(DECISIONS.enumerate_rows())[1] is None


def test_spread_rows_hold_all_of_separate_scopes() -> None:
    """Three scopes of two decisions, 12 combinations each: 12 archs hold all; where 11 are wanted, none do."""
    decisions = DecisionSpace([Decision(f"d{i}", tuple(range(3 + i % 2)), "number") for i in range(6)])
    scopes = [(0, 1), (2, 3), (4, 5)]
    for most, n_rows in ((64, 12), (11, 1)):
        tables = ScopeTables(decisions, scopes, 1)
        rows = tables.spread_rows(most)
        assert len(rows) == n_rows
        for row in rows:
            tables.put(row, {scope: np.ones(1) for scope in tables.scopes})
        missing = tables.look_up(decisions.enumerate_rows())[1]
        assert (missing is None) == (most == 64)


def test_spread_rows_of_conditional_decisions_are_archs() -> None:
    """Each a different one."""
    rows = ScopeTables(DECISIONS, SCOPES, 1).spread_rows(64)
    assert DECISIONS.contains(rows).all()
    assert len({row.tobytes() for row in rows}) > 1


def test_expectation_is_the_weighted_mean() -> None:
    """Of the enumeration: an arch's probability is the product over its active decisions."""
    tables, rows, sums = filled(DECISIONS, SCOPES)
    rng = np.random.default_rng(1)
    given = {d.name: rng.dirichlet(np.ones(len(d.values))) for d in DECISIONS}
    chances = np.ones(len(rows))
    for column, decision in enumerate(DECISIONS):
        chances *= np.where(rows[:, column] >= 0, given[decision.name][rows[:, column]], 1.0)
    assert chances.sum() == pytest.approx(1)
    assert tables.expected(given).item() == pytest.approx(chances @ sums)


def test_expectation_has_the_gradient_of_its_terms() -> None:
    """Against finite differences in every probability."""
    tables, _, _ = filled(DECISIONS, SCOPES)
    given = {d.name: torch.full((len(d.values),), 1 / len(d.values), dtype=torch.float64) for d in DECISIONS}
    leaves = [tensor.requires_grad_() for tensor in given.values()]
    names = list(given)
    assert torch.autograd.gradcheck(lambda *values: tables.expected(dict(zip(names, values, strict=True))), leaves)


def test_expectation_says_what_is_missing() -> None:
    """Probabilities of a decision, one a value, or a term."""
    tables, _, _ = filled(DECISIONS, SCOPES)
    uniform = {d.name: [1 / len(d.values)] * len(d.values) for d in DECISIONS}
    with pytest.raises(InvalidValueError, match=r"no probabilities of decision 'first\.kernel'"):
        tables.expected({name: given for name, given in uniform.items() if name != "first.kernel"})
    with pytest.raises(InvalidValueError, match=r"shape \(2,\); give one for each of its 3 values"):
        tables.expected({**uniform, "first.op": [0.5, 0.5]})
    partial = ScopeTables(DECISIONS, [(0,)], 1)
    partial.put(DECISIONS.enumerate_rows()[-1], {(): np.zeros(1)})
    with pytest.raises(InvalidValueError, match=r"cost of first\.op=skip is not known"):
        partial.expected(uniform)


def test_a_scope_that_is_too_large_is_refused() -> None:
    """Ten decisions of four values that one part depends on together."""
    decisions = DecisionSpace([Decision(f"d{i}", (0, 1, 2, 3), "number") for i in range(9)])
    tables = ScopeTables(decisions, [tuple(range(9))], 1)
    with pytest.raises(InvalidValueError, match=f"262,144 combinations, more than the {MAX_COMBINATIONS:,}"):
        tables.covering_rows()


def test_keys_of_terms() -> None:
    """decision=value, "-" where inactive, subsets joined by "+"; nothing for the fixed part."""
    space = DecisionSpace([*DECISIONS, Decision("node", ((0, 1), (1, 2)), "inputs")])
    assert entry_key(space, (0, 1, 4), (0, -1, 1)) == "first.op=skip,first.kernel=-,node=1+2"
    assert entry_key(space, (), ()) == ""
