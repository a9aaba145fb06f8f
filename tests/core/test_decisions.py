"""Decision spaces against brute force over all assignments."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from archwright.core.arch import Arch, Value
from archwright.core.decisions import Condition, Decision, DecisionSpace
from archwright.core.errors import InvalidArchError, InvalidValueError, SpaceError, UnknownNameError
from archwright.testing import conditional_decisions

SPACE = conditional_decisions()


def brute_force(space: DecisionSpace) -> set[Arch]:
    """All archs: every full assignment with what does not apply taken out, by reading the conditions literally."""
    found = set()
    for values in itertools.product(*(decision.values for decision in space)):
        chosen: dict[str, Value] = {}
        for decision, value in zip(space, values, strict=True):
            applies = not decision.when or any(
                all(chosen.get(condition.decision) in condition.allowed for condition in context)
                for context in decision.when
            )
            if applies:
                chosen[decision.name] = value
        found.add(Arch(chosen))
    return found


@st.composite
def spaces(draw: st.DrawFn) -> DecisionSpace:
    """Up to five decisions of up to three values, with any conditions on earlier ones."""
    decisions: list[Decision] = []
    for i in range(draw(st.integers(0, 5))):
        contexts = []
        for _ in range(draw(st.integers(0, 2)) if decisions else 0):
            parents = draw(st.lists(st.sampled_from(decisions), min_size=1, max_size=2, unique_by=lambda d: d.name))
            subsets = [draw(st.lists(st.sampled_from(p.values), min_size=1, unique=True)) for p in parents]
            contexts.append(tuple(Condition(p.name, tuple(s)) for p, s in zip(parents, subsets, strict=True)))
        decisions.append(Decision(f"d{i}", tuple(range(draw(st.integers(1, 3)))), "number", when=tuple(contexts)))
    return DecisionSpace(decisions)


@given(spaces())
@settings(max_examples=60)
def test_size_and_enumeration_agree_with_brute_force(space: DecisionSpace) -> None:
    """The archs listed are exactly those found by trying every assignment, each once."""
    rows = space.enumerate_rows()
    assert space.size() == len(rows)
    assert len(set(space.archs(rows))) == len(rows)
    assert set(space.archs(rows)) == brute_force(space)


@given(spaces(), st.integers(1, 5), st.data())
@settings(max_examples=60)
def test_a_walk_gives_the_rows_of_the_enumeration(space: DecisionSpace, block: int, data: st.DataObject) -> None:
    """In the same order, however many are extended at once; with fewer values of a decision, those that have them."""
    rows = space.enumerate_rows()
    assert np.concatenate(list(space.walk(block=block))).tolist() == rows.tolist()
    allowed = [
        sorted(data.draw(st.sets(st.sampled_from(range(len(decision.values))), min_size=1))) for decision in space
    ]
    kept = [row for row in rows.tolist() if all(v < 0 or v in a for v, a in zip(row, allowed, strict=True))]
    assert np.concatenate(list(space.walk(allowed, block=block))).tolist() == kept


def test_a_walk_begins_at_once_in_a_space_that_cannot_be_listed() -> None:
    """4^40 archs: the first rows of the list, by their last decisions."""
    space = DecisionSpace([Decision(f"d{i}", (0, 1, 2, 3)) for i in range(40)])
    rows = next(space.walk())
    assert rows[:5, -2:].tolist() == [[0, 0], [0, 1], [0, 2], [0, 3], [1, 0]]
    assert not rows[:5, :-2].any()
    assert len(rows) <= 4 * 1024


@given(spaces(), st.integers(0, 2**32 - 1))
@settings(max_examples=60)
def test_draws_are_members_and_round_trip(space: DecisionSpace, seed: int) -> None:
    """Both ways of drawing give archs of the space, whose rows come back from the readable form."""
    rng = np.random.default_rng(seed)
    members = brute_force(space)
    for rows in (space.sample(20, rng), space.sample_by_decision(20, rng)):
        assert set(space.archs(rows)) <= members
        assert space.contains(rows).all()
        assert (space.rows(space.archs(rows)) == rows).all()
        assert (space.canonical(rows) == rows).all()


@given(spaces())
@settings(max_examples=30)
def test_contains_accepts_exactly_the_listed_rows(space: DecisionSpace) -> None:
    """Of all rows with entries from -1 to the number of values (one too many), exactly the archs' rows."""
    every = list(itertools.product(*(range(-1, int(n) + 1) for n in space.n_values)))
    rows = np.array(every, dtype=np.int16).reshape(len(every), len(space))
    inside = {tuple(row) for row in rows[space.contains(rows)].tolist()}
    assert inside == {tuple(row) for row in space.enumerate_rows().tolist()}


def test_listing_is_in_lexicographic_order() -> None:
    """As itertools would put them."""
    rows = [tuple(row) for row in SPACE.enumerate_rows().tolist()]
    assert rows == sorted(rows)


def test_size_of_three_elastic_stages() -> None:
    """2 to 4 blocks of 9 kinds in three stages: (9^2 + 9^3 + 9^4)^3."""
    decisions = []
    for s in range(3):
        decisions.append(Decision(f"depth{s}", (2, 3, 4), "repeat"))
        for block in range(4):
            counts = tuple(n for n in (2, 3, 4) if n > block)
            when = () if len(counts) == 3 else ((Condition(f"depth{s}", counts),),)
            decisions.append(Decision(f"kernel{s}.{block}", (3, 5, 7), "number", when=when))
            decisions.append(Decision(f"expand{s}.{block}", (3, 4, 6), "number", when=when))
    assert DecisionSpace(decisions).size() == (9**2 + 9**3 + 9**4) ** 3


def test_conditions_long_past_do_not_add_up() -> None:
    """100 stages count at once: what no later decision needs is forgotten, or the states would be 3^100."""
    decisions = []
    for s in range(100):
        decisions.append(Decision(f"depth{s}", (0, 1, 2), "repeat"))
        for block in range(2):
            counts = tuple(n for n in (1, 2) if n > block)
            decisions.append(
                Decision(f"kernel{s}.{block}", (3, 5), "number", when=((Condition(f"depth{s}", counts),),))
            )
    assert DecisionSpace(decisions).size() == (1 + 2 + 4) ** 100


def test_size_is_exact_beyond_floating_point() -> None:
    """200 decisions of 7 values: 7^200, a number of 170 digits."""
    assert DecisionSpace([Decision(f"d{i}", tuple(range(7))) for i in range(200)]).size() == 7**200


def test_uniform_draws_are_uniform_over_archs() -> None:
    """Chi-square over 49 archs and 49,000 draws does not reject."""
    counts = Counter(map(tuple, SPACE.sample(49_000, np.random.default_rng(1)).tolist()))
    assert len(counts) == 49
    assert chisquare(list(counts.values())).pvalue > 0.01


def test_deciding_one_by_one_is_not_uniform() -> None:
    """Two skips come in one draw of nine instead of one of 49, and chi-square rejects beyond doubt."""
    counts = Counter(map(tuple, SPACE.sample_by_decision(49_000, np.random.default_rng(1)).tolist()))
    assert counts[0, -1, 0, -1] / 49_000 == pytest.approx(1 / 9, abs=0.01)
    assert chisquare(list(counts.values())).pvalue < 1e-100


def test_uniform_draws_of_an_astronomic_space_have_the_right_margins() -> None:
    """(9^2 + 9^3 + 9^4)-fold stages: depth 4 in 6561 of 7371 archs, in a space of 7371^8 archs."""
    decisions = []
    for s in range(8):
        decisions.append(Decision(f"depth{s}", (2, 3, 4), "repeat"))
        for block in range(4):
            when = ((Condition(f"depth{s}", tuple(n for n in (2, 3, 4) if n > block)),),)
            decisions.append(Decision(f"kind{s}.{block}", tuple(range(9)), "number", when=when))
    space = DecisionSpace(decisions)
    assert space.size() == 7371**8
    depths = space.sample(20_000, np.random.default_rng(0))[:, ::5]
    observed = [(depths == index).sum() for index in range(3)]
    expected = [depths.size * share / 7371 for share in (81, 729, 6561)]
    assert chisquare(observed, expected).pvalue > 0.01


def test_same_seed_same_rows() -> None:
    """And another seed gives others."""
    first, again, other = (SPACE.sample(100, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert (first == again).all()
    assert (first != other).any()


def test_decisions_without_conditions_are_drawn_as_with_them() -> None:
    """The short way for a decision that changes nothing for others gives the values of the search in its odds."""
    rng = np.random.default_rng(5)
    drawn = DecisionSpace([Decision(f"d{n}", tuple(range(n))) for n in range(1, 40)]).sample(3_000, rng)
    rng = np.random.default_rng(5)
    odds = [np.arange(1, n + 1) / n for n in range(1, 40)]
    assert ([np.searchsorted(each, rng.random(3_000), side="right") for each in odds] == drawn.T).all()


def test_draws_of_nothing_and_without_decisions() -> None:
    """No rows, and the one empty arch."""
    rng = np.random.default_rng(0)
    assert SPACE.sample(0, rng).shape == (0, 4)
    empty = DecisionSpace([])
    assert empty.size() == 1
    assert empty.sample(3, rng).shape == (3, 0)
    assert empty.archs(empty.enumerate_rows()) == [Arch({})]


def test_canonical_clears_what_does_not_apply() -> None:
    """The kernel of a skip goes, that of a convolution stays."""
    full = np.array([[0, 2, 1, 1]])
    assert SPACE.canonical(full).tolist() == [[0, -1, 1, 1]]


def test_canonical_needs_a_value_where_one_applies() -> None:
    """A convolution without kernel is refused by name."""
    with pytest.raises(InvalidArchError, match=r"'second\.kernel' is active"):
        SPACE.canonical(np.array([[0, -1, 1, -1]]))


def test_a_condition_on_a_condition() -> None:
    """A decision below an inactive one is inactive, even where its own condition would allow the stale value."""
    space = DecisionSpace(
        [
            Decision("a", (0, 1)),
            Decision("b", (0, 1), when=((Condition("a", (1,)),),)),
            Decision("c", (0, 1), when=((Condition("b", (0, 1)),),)),
        ]
    )
    assert space.size() == 1 + 2 * 2
    assert space.canonical(np.array([[0, 1, 1]])).tolist() == [[0, -1, -1]]


def test_a_missing_decision_is_named() -> None:
    """With what may be chosen."""
    with pytest.raises(InvalidArchError, match=r"'second\.op' is missing.*skip.*conv.*sep"):
        SPACE.row({"first.op": "skip"})


def test_an_inactive_decision_is_refused() -> None:
    """With the condition under which it would apply."""
    with pytest.raises(InvalidArchError, match=r"'first\.kernel' does not apply.*first\.op in \{conv, sep\}"):
        SPACE.row({"first.op": "skip", "first.kernel": 3, "second.op": "skip"})


def test_an_unknown_decision_is_refused() -> None:
    """The nearest name is offered."""
    with pytest.raises(UnknownNameError, match=r"did you mean first\.op"):
        SPACE.row({"first.opp": "skip"})


def test_an_unknown_value_is_refused() -> None:
    """With the known ones."""
    with pytest.raises(InvalidArchError, match=r"no value 4; choose one of 3, 5, 7"):
        SPACE.row({"first.op": "conv", "first.kernel": 4, "second.op": "skip"})


def test_too_large_a_space_is_not_listed() -> None:
    """The limit and the size stand in the message."""
    with pytest.raises(InvalidValueError, match="49 archs, more than the limit of 48"):
        SPACE.enumerate_rows(limit=48)


def test_a_condition_must_name_an_earlier_decision() -> None:
    """Neither a later nor an unknown one will do."""
    for parent in ("later", "nobody"):
        child = Decision("child", (0, 1), when=((Condition(parent, (0,)),),))
        with pytest.raises(SpaceError, match=f"'child' depends on '{parent}'"):
            DecisionSpace([child, Decision("later", (0, 1))])


@pytest.mark.parametrize(("values", "message"), [((), "no values"), ((1, 1), "twice"), ((1, 1.0), "twice")])
def test_values_are_there_and_different(values: tuple[int, ...], message: str) -> None:
    """None, equal ones, and ones equal across types are refused."""
    with pytest.raises(SpaceError, match=message):
        Decision("d", values)


def test_names_are_unique() -> None:
    """The name that occurs twice is given."""
    with pytest.raises(SpaceError, match="'a' is declared twice"):
        DecisionSpace([Decision("a", (1,)), Decision("a", (1,))])


@pytest.mark.parametrize(
    "other",
    [
        Decision("b", ("x", "y"), when=((Condition("a", ("x",)),),)),
        Decision("c", ("x", "z"), when=((Condition("a", ("x",)),),)),
        Decision("c", ("y", "x"), when=((Condition("a", ("x",)),),)),
        Decision("c", ("x", "y"), when=((Condition("a", ("y",)),),)),
        Decision("c", ("x", "y"), "repeat", when=((Condition("a", ("x",)),),)),
        Decision("c", ("x", "y")),
    ],
)
def test_the_fingerprint_tells_spaces_apart(other: Decision) -> None:
    """Another name, value, order, condition or kind changes it; an equal space has the same."""
    parent, child = Decision("a", ("x", "y")), Decision("c", ("x", "y"), when=((Condition("a", ("x",)),),))
    space = DecisionSpace([parent, child])
    assert space.fingerprint == DecisionSpace([parent, child]).fingerprint
    assert space.fingerprint != DecisionSpace([parent, other]).fingerprint
    assert space != DecisionSpace([parent, other])
