"""Search guided by a predictor: learn from the trials so far, try what promises most."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from archwright.core.catalog import listed
from archwright.core.config import check_range
from archwright.core.decisions import Rows
from archwright.core.errors import InfeasibleError, InvalidValueError, UnknownNameError
from archwright.core.objective import Objective
from archwright.core.trial import Candidate, Trial
from archwright.predictors.encodings import ENCODINGS, encode
from archwright.predictors.gaussian_process import GaussianProcess, rank_gaussian
from archwright.predictors.regressors import PREDICTORS, cross_validated, open_predictor
from archwright.spaces.base import Space
from archwright.strategies.base import Strategy, draw_feasible

Floats = NDArray[np.float64]
Acquisition = Literal["ucb", "ei", "thompson", "mean"]

MOST_ENUMERATED = 50_000
"""Members of a space that are all looked at before each proposal; of a larger one a pool is drawn."""

LEAST_TRIALS = 10
"""Trials from which a predictor's worth is told."""

REFITS = (1.3, 5)
"""A kernel is fitted anew at so many times, and at least so many more, observations than at the last fit."""


@dataclass(frozen=True)
class PredictorConfig:
    """Numbers of the search; defaults were chosen on ImageNet16-120 of NAS-Bench-201.

    Attributes:
        predictor: "gp", "ridge", "forest", "extra-trees", "boosting" or "mlp".
        encoding: "graph", "one-hot", "adjacency" or "path".
        acquisition: What promises most: "ucb" (mean plus `beta` standard deviations), "ei" (expected improvement),
            "thompson" (a draw for each architecture on its own) or "mean".
        beta: See `acquisition`.
        start: Random architectures to begin with.
        pool: Of a large space, how many are looked at before each proposal: half of them random, half of them mutants
            of the best.
        parents: How many of the best are varied for that.
    """

    predictor: str = "gp"
    encoding: str = "graph"
    acquisition: Acquisition = "ucb"
    beta: float = 3.0
    start: int = 10
    pool: int = 2000
    parents: int = 10

    def __post_init__(self) -> None:
        for name, least in (("start", 1), ("pool", 2), ("parents", 1)):
            check_range(f"predictor.{name}", getattr(self, name), least, 1_000_000)
        if self.predictor not in PREDICTORS:
            raise UnknownNameError("predictor", self.predictor, PREDICTORS)
        if self.encoding not in ENCODINGS:
            raise UnknownNameError("encoding", self.encoding, ENCODINGS)
        if self.acquisition not in get_args(Acquisition):
            raise UnknownNameError("acquisition", self.acquisition, get_args(Acquisition))
        if not (math.isfinite(self.beta) and self.beta >= 0):
            raise InvalidValueError(f"predictor.beta is {self.beta}; give 0 or more")


@listed(
    "strategy",
    "predictor",
    summary="a model of the trials so far chooses the next: a Gaussian process on graph features, or another",
    source="White et al., AAAI 2021, arXiv:1910.11858 (BANANAS); Kadlecová et al., NeurIPS 2024, arXiv:2408.16591",
)
class PredictorGuided(Strategy):
    """Random architectures to begin with, then always the one that promises most.

    Scores are learned as ranks (`rank_gaussian`). With several goals each proposal weighs them anew, at random, and
    learns the largest weighted one (ParEGO: Knowles, IEEE Trans. Evol. Comput. 2006). Failed trials are left out.
    Spaces of at most `MOST_ENUMERATED` members are looked at as a whole, others by a pool of random ones and mutants.
    Nothing is tried twice.

    Args:
        space: The space to search.
        config: Numbers of the search; None takes the defaults.
        seed: See `Strategy`.
    """

    Config = PredictorConfig

    def __init__(self, space: Space, config: PredictorConfig | None = None, *, seed: int = 0) -> None:
        self.config = config or PredictorConfig()
        super().__init__(space, n_trials=200, seed=seed)
        self._space = space
        self._visited: set[bytes] = set()
        self._trials: list[Trial] = []
        self._rows: list[Rows] = []
        self._n_told = 0
        self._whole: _Whole | None = None

    def ask(self, n: int) -> list[Candidate]:
        asked: list[Candidate] = []
        while len(asked) < n:
            if self.n_asked < self.config.start:
                proposal, origin = self._random(), "random"
            elif self._n_told < self.n_asked:
                break  # all that is asked has to be told first
            elif len(self._trials) < 2:
                proposal, origin = self._random(), "random"
            else:
                proposal, origin = self._promising(), "predicted"
            if proposal is None:
                break
            asked.append(self.candidate(proposal, origin=origin))
        return asked

    def tell(self, trials: Sequence[Trial]) -> None:
        self._n_told += len(trials)
        for trial in trials:
            if trial.is_complete:
                self._trials.append(trial)
                self._rows.append(self.decisions.row(trial.arch))

    def _random(self) -> NDArray[np.int16] | None:
        try:
            rows = self.drawn(1, self.rng("random"), exclude=self._visited)
        except InfeasibleError:
            if not self.n_asked:
                raise
            return None
        return rows[0] if len(rows) else None

    def _promising(self) -> NDArray[np.int16] | None:
        rng = self.rng("proposal")
        if self.decisions.size() <= MOST_ENUMERATED:
            if self._whole is None:
                self._whole = _Whole(self._space, self.feasible, self.config.encoding)
            rows, features = self._whole.rows, self._whole.features
        else:
            rows = self._pool(rng)
            features = encode(self._space, rows, self.config.encoding).astype(np.float64)
        targets = self._targets(rng)
        if self.config.predictor == "gp" and self._whole is not None:
            mean, spread = self._whole.posterior(self._rows, targets)
        else:
            predictor = open_predictor(self.config.predictor, seed=int(rng.integers(2**31)))
            known = encode(self._space, np.stack(self._rows), self.config.encoding)
            predictor.fit(known.astype(np.float64), targets)
            mean, spread = predictor.predict(features)
        promise = self._promise(mean, spread, float(targets.max()), rng)
        for i in np.argsort(-promise, kind="stable"):
            if (key := rows[i].tobytes()) not in self._visited:
                self._visited.add(key)
                row: NDArray[np.int16] = rows[i]
                return row
        return None

    def _targets(self, rng: np.random.Generator) -> Floats:
        """(n,) of the complete trials, larger is better."""
        assert self.objective is not None
        values = self.objective.values(self._trials)
        ranked = np.stack([rank_gaussian(-column) for column in values.T], axis=1)
        if ranked.shape[1] == 1:
            return ranked[:, 0]
        weights = rng.dirichlet(np.ones(ranked.shape[1]))
        spread = ranked - ranked.max(axis=0)  # of the ideal point
        return rank_gaussian((weights * spread).min(axis=1) + 0.05 * (weights * spread).sum(axis=1))

    def _promise(self, mean: Floats, spread: Floats, best: float, rng: np.random.Generator) -> Floats:
        if self.config.acquisition == "ucb":
            return mean + self.config.beta * spread
        if self.config.acquisition == "thompson":
            return mean + spread * rng.standard_normal(len(mean))
        if self.config.acquisition == "mean":
            return mean
        ahead = (mean - best) / spread
        density = np.exp(-0.5 * ahead**2) / math.sqrt(2 * math.pi)
        improvement: Floats = spread * (ahead * ndtr(ahead) + density)
        return improvement

    def _pool(self, rng: np.random.Generator) -> Rows:
        """Random members and mutants of the best, all within the limits."""
        assert self.objective is not None
        order = sorted(range(len(self._trials)), key=lambda i: self.objective.value(self._trials[i]))  # type: ignore[union-attr]
        best = np.stack([self._rows[i] for i in order[: self.config.parents]])
        n_mutants = self.config.pool // 2
        mutants = self._space.mutate(best[rng.integers(len(best), size=n_mutants)], rng)
        known = set(self._visited)  # drawing notes what it drew
        try:
            fresh = draw_feasible(self.decisions, self.feasible, self.config.pool - n_mutants, rng, exclude=known)
        except InfeasibleError:  # limits that only mutants keep
            fresh = mutants[:0]
        rows = np.unique(np.concatenate([mutants[self.feasible(mutants)], fresh]), axis=0)
        return rows


class _Whole:
    """All members of a small space that keep the limits, and a process over them that learns step by step."""

    def __init__(self, space: Space, feasible: object, encoding: str) -> None:
        every = space.decisions.enumerate_rows(limit=MOST_ENUMERATED)
        self.rows: Rows = every[feasible(every)]  # type: ignore[operator]
        self.features = encode(space, self.rows, encoding).astype(np.float64)
        self._place = {row.tobytes(): i for i, row in enumerate(self.rows)}
        self._process = GaussianProcess(self.features)
        self._n_fitted = 0

    def posterior(self, rows: Sequence[Rows], targets: Floats) -> tuple[Floats, Floats]:
        """Mean and spread of all members from the rows that were tried, the first of which it knows already."""
        for row in rows[len(self._process.observed) :]:
            self._process.observe(self._place[row.tobytes()])
        more, least = REFITS
        if len(rows) >= max(more * self._n_fitted, self._n_fitted + least):
            self._process.refit(targets)
            self._n_fitted = len(rows)
        return self._process.posterior(targets)


def worth(space: Space, config: PredictorConfig, objective: Objective, trials: Sequence[Trial]) -> float | None:
    """How well the predictor ranks trials that it was not told: Kendall's tau by cross-validation.

    Args:
        space: Of the trials.
        config: Names predictor and encoding.
        objective: Its first goal is predicted.
        trials: Of a search.

    Returns:
        None for fewer than `LEAST_TRIALS` complete trials.
    """
    complete = [trial for trial in trials if trial.is_complete]
    if len(complete) < LEAST_TRIALS:
        return None
    features = encode(space, space.decisions.rows([trial.arch for trial in complete]), config.encoding)
    targets = rank_gaussian(-objective.values(complete)[:, 0])
    return cross_validated(config.predictor, features.astype(np.float64), targets)
