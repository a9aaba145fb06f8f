"""The likeliest architecture of a policy within limits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from archwright.core.decisions import DecisionSpace, Rows
from archwright.policies.learned import LearnedPolicy

Keeps = Callable[[Rows], NDArray[np.bool_]]

MAX_LISTED = 50_000
"""Spaces of at most so many archs are gone through."""

N_DRAWN, N_KEPT, N_PAIRS, MAX_ROUNDS = 4_096, 32, 64, 60


def likeliest(policy: LearnedPolicy, feasible: Keeps, *, starts: Rows | None = None, seed: int = 0) -> Rows | None:
    """The row (n_decisions,) of the highest probability among those that are feasible; None where none was found.

    Exact in spaces of up to 50,000 archs; in larger ones the best of a local search, which changes one decision and two
    at once, from many draws.

    Args:
        policy: Gives the probabilities.
        feasible: Says which rows may be taken.
        starts: Further rows to search from, such as the cheapest.
        seed: Of the draws.
    """
    best = policy.best_row()[None]
    if feasible(best)[0]:
        found: Rows = best[0]
        return found
    decisions = policy.decisions
    if decisions.size() <= MAX_LISTED:
        rows = decisions.enumerate_rows()
        rows = rows[feasible(rows)]
        return rows[int(_scores(policy, rows).argmax())] if len(rows) else None
    return _searched(policy, feasible, starts, np.random.default_rng(seed))


def _searched(policy: LearnedPolicy, feasible: Keeps, starts: Rows | None, rng: np.random.Generator) -> Rows | None:
    decisions = policy.decisions
    drawn = [policy.draw(N_DRAWN, rng), decisions.sample(N_DRAWN, rng)]
    rows = np.concatenate(drawn if starts is None else [*drawn, starts])
    rows = _best(policy, rows[feasible(rows)])
    if not len(rows):
        rows = _best(policy, _towards(policy.best_row(), decisions, feasible, rng))
    if not len(rows):
        return None
    n_still = 0
    for _ in range(MAX_ROUNDS):
        tried = np.concatenate([_changed(decisions, rows, rng), *_changed_twice(policy, rows, rng)])
        before = rows[0]
        rows = _best(policy, np.concatenate([rows, tried[feasible(tried)]]))
        n_still = n_still + 1 if (rows[0] == before).all() else 0
        if n_still == 3:
            break
    found: Rows = rows[0]
    return found


def _best(policy: LearnedPolicy, rows: Rows) -> Rows:
    """The likeliest different rows, the best first."""
    rows = np.unique(rows, axis=0)
    if not len(rows):
        return rows
    return rows[np.argsort(-_scores(policy, rows), kind="stable")[:N_KEPT]]


def _scores(policy: LearnedPolicy, rows: Rows) -> NDArray[np.float64]:
    with torch.no_grad():
        found: NDArray[np.float64] = policy.log_prob(rows).double().cpu().numpy()
    return found


def _changed(decisions: DecisionSpace, rows: Rows, rng: np.random.Generator) -> Rows:
    """Every row with every other value of every decision; what a value activates is filled at random."""
    n_values = decisions.n_values
    column = np.repeat(np.arange(len(n_values)), n_values)
    value = np.concatenate([np.arange(n) for n in n_values])
    full = np.repeat(_filled(decisions, rows, rng), len(column), axis=0).reshape(len(rows), len(column), -1)
    full[:, np.arange(len(column)), column] = value
    return decisions.canonical(full.reshape(-1, full.shape[2]))


def _changed_twice(policy: LearnedPolicy, rows: Rows, rng: np.random.Generator) -> list[Rows]:
    """Rows with two decisions at random values, and crossed with draws of the policy."""
    decisions = policy.decisions
    full = np.repeat(_filled(decisions, rows, rng), N_PAIRS, axis=0)
    for _ in range(2):
        column = rng.integers(full.shape[1], size=len(full))
        full[np.arange(len(full)), column] = (rng.random(len(full)) * decisions.n_values[column]).astype(np.int64)
    drawn = _filled(decisions, policy.draw(len(full), rng), rng)
    is_own = rng.random(full.shape) < 0.8
    crossed = np.where(is_own, np.repeat(_filled(decisions, rows, rng), N_PAIRS, axis=0), drawn)
    return [decisions.canonical(full), decisions.canonical(crossed)]


def _filled(decisions: DecisionSpace, rows: Rows, rng: np.random.Generator) -> NDArray[np.int64]:
    """Rows with a random value at each inactive decision."""
    random = (rng.random(rows.shape) * decisions.n_values).astype(np.int64)
    return np.where(rows < 0, random, rows)


def _towards(best: Rows, decisions: DecisionSpace, feasible: Keeps, rng: np.random.Generator) -> Rows:
    """Feasible rows between random ones and the best: where few rows are feasible, single draws find none."""
    found = []
    for share in np.linspace(0.05, 0.95, 19):
        random = _filled(decisions, decisions.sample(N_DRAWN // 4, rng), rng)
        own = _filled(decisions, np.repeat(best[None], len(random), axis=0), rng)
        rows = decisions.canonical(np.where(rng.random(random.shape) < share, own, random))
        found.append(rows[feasible(rows)])
    return np.concatenate(found)
