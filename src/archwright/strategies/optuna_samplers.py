"""Optuna's samplers as a strategy (an extra)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archwright.core.catalog import listed
from archwright.core.config import check_range
from archwright.core.errors import MissingExtraError, UnknownNameError
from archwright.core.trial import Candidate, Trial
from archwright.spaces.base import Space
from archwright.strategies.base import Strategy

MAX_ASKS = 100
"""Suggestions over a limit after which an architecture is drawn at random."""

SAMPLERS = ("tpe", "gp", "nsgaii", "random")


@dataclass(frozen=True)
class OptunaConfig:
    """Numbers of a search by one of Optuna's samplers.

    Attributes:
        sampler: "tpe" (tree-structured Parzen estimator), "gp" (Gaussian process), "nsgaii" or "random".
        lookahead: Candidates asked before the oldest of them is told; the result depends on it.
    """

    sampler: str = "tpe"
    lookahead: int = 1

    def __post_init__(self) -> None:
        check_range("optuna.lookahead", self.lookahead, 1, 1_000_000)
        if self.sampler not in SAMPLERS:
            raise UnknownNameError("sampler", self.sampler, SAMPLERS)


@listed(
    "strategy",
    "optuna",
    summary="one of Optuna's samplers: TPE, a Gaussian process, NSGA-II, random; an extra",
    source="Akiba et al., KDD 2019, arXiv:1907.10902",
)
class OptunaSampler(Strategy):
    """Candidates from a sampler of Optuna; a decision is a categorical parameter, inactive ones are not suggested.

    A suggestion over a limit is told as failed and asked anew, at most `MAX_ASKS` times; then a random architecture
    within the limits takes its place. The study lives in memory: a search that goes on tells it all stored trials.

    Args:
        space: The space to search.
        config: Numbers of the search; None takes the defaults.
        seed: See `Strategy`.

    Raises:
        MissingExtraError: If Optuna is not installed.
    """

    Config = OptunaConfig
    may_repeat = True

    def __init__(self, space: Space, config: OptunaConfig | None = None, *, seed: int = 0) -> None:
        self.config = config or OptunaConfig()
        super().__init__(space, n_trials=100, seed=seed)
        self.lookahead = self.config.lookahead
        self._study: Any = None
        self._asked: dict[int, Any] = {}  # Optuna's trials by our numbers
        _optuna()

    def ask(self, n: int) -> list[Candidate]:
        asked: list[Candidate] = []
        while len(asked) < n and len(self._asked) < self.config.lookahead:
            row, trial = self._suggested()
            candidate = self.candidate(row, origin=self.config.sampler)
            self._asked[candidate.number] = trial
            asked.append(candidate)
        return asked

    def tell(self, trials: Sequence[Trial]) -> None:
        assert self.objective is not None
        for trial in trials:
            theirs = self._asked.pop(trial.number)
            values = self.objective.value(trial)
            if trial.is_complete and np.isfinite(values).all():
                self._study.tell(theirs, list(values))
            else:
                self._study.tell(theirs, state=_optuna().trial.TrialState.FAIL)

    def _suggested(self) -> tuple[NDArray[np.int16], Any]:
        """A row within the limits, and Optuna's trial of it."""
        if self._study is None:
            self._study = self._open()
        if self._first:
            return self._given(self.drawn(1, self.rng("random"))[0])
        for _ in range(MAX_ASKS):
            trial = self._study.ask()
            row = self._row(partial(_suggest, trial))
            if self.feasible(row[None])[0]:
                return row, trial
            self._study.tell(trial, state=_optuna().trial.TrialState.FAIL)
        return self._given(self.drawn(1, self.rng("random"))[0])

    def _given(self, row: NDArray[np.int16]) -> tuple[NDArray[np.int16], Any]:
        """This row, as if Optuna had suggested it."""
        fixed = zip(self.decisions.names, row.tolist(), strict=True)
        self._study.enqueue_trial({name: value for name, value in fixed if value >= 0})
        trial = self._study.ask()
        return self._row(partial(_suggest, trial)), trial

    def _row(self, choose: Callable[[str, int], int]) -> NDArray[np.int16]:
        """A row of chosen values, one decision after the other; inactive ones are not asked for."""
        row, state = np.full(len(self.decisions), -1, dtype=np.int16), 0
        for i, (decision, layer) in enumerate(zip(self.decisions, self.decisions.layers, strict=True)):
            if layer.active[state]:
                row[i] = choose(decision.name, len(decision.values))
            state = int(layer.follow[state, row[i]])
        return row

    def _open(self) -> Any:
        assert self.objective is not None
        optuna = _optuna()
        seed = self.seed % 2**32
        samplers = {
            "tpe": lambda: optuna.samplers.TPESampler(seed=seed),
            "gp": lambda: optuna.samplers.GPSampler(seed=seed),
            "nsgaii": lambda: optuna.samplers.NSGAIISampler(seed=seed),
            "random": lambda: optuna.samplers.RandomSampler(seed=seed),
        }
        n_goals = len(self.objective.goals)
        return optuna.create_study(directions=["minimize"] * n_goals, sampler=samplers[self.config.sampler]())


def _suggest(trial: Any, name: str, n: int) -> int:
    return int(trial.suggest_categorical(name, list(range(n))))


def _optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise MissingExtraError("the strategy optuna", "optuna") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
