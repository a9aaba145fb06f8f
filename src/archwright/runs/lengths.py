"""How long the parts of a run last: as its settings say, or as a plan of time chooses."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from archwright.core.errors import InvalidValueError, RunFolderError
from archwright.runs import files
from archwright.runs.run import Run

FILE_NAME = "plan.json"
FORMAT = 1
MAX_LENGTH = 10**12
LEAST_SHARE = 0.25
"""Of the length that keeps the proportions of the settings; a part is not made shorter where those before it took much
longer than they were expected to."""

MEASURING = "plan"
"""The ledger's entry of the time that measuring takes."""

FINAL = "final training"
"""The part in which all finalists are trained, each for as many steps."""


class Lengths:
    """The lengths of a run's parts: steps of a training, or evaluations of a search; here those of its settings."""

    def length(self, part: str, usual: int, unit_s: Callable[[], float] | None = None) -> int:
        """How many steps or evaluations a part takes; asked when it begins.

        Args:
            part: Its name.
            usual: As the settings say.
            unit_s: Measures the seconds of one of them, where that can be known better than at the run's start.
        """
        return usual


@dataclass
class Part:
    """A part that is planned.

    Attributes:
        name: Of the part.
        usual: Its length in the settings; how long parts are beside each other.
        unit_s: Seconds of one step or evaluation, as estimated at the run's start.
        least: The shortest it may be.
        phases: Beginnings of the names of the phases it consists of.
        by_root: Whether it grows as the square root of what the others grow by: a search that only scores, where many
            more evaluations find little more.
    """

    name: str
    usual: int
    unit_s: float
    least: int
    phases: tuple[str, ...]
    by_root: bool = False


def growth_of(parts: Sequence[tuple[float, bool]], left_s: float) -> float:
    """By how much parts grow, or shrink, to fill a time.

    Args:
        parts: Of each its seconds at its usual length, and whether it grows by the root.
        left_s: The time.
    """
    roots = sum(seconds for seconds, by_root in parts if by_root)
    others = sum(seconds for seconds, by_root in parts if not by_root)
    if left_s <= roots + others:
        return left_s / (roots + others)
    # others * g + roots * sqrt(g) = left, a quadratic equation for sqrt(g)
    return (
        ((math.sqrt(roots**2 + 4 * others * left_s) - roots) / (2 * others)) ** 2 if others else (left_s / roots) ** 2
    )


def grown(usual: float, growth: float, *, by_root: bool) -> float:
    """A length that grows; where time is short all shrink alike.

    Args:
        usual: The length in the settings.
        growth: See `growth_of`.
        by_root: Whether it grows as the root.

    >>> grown(100, 4.0, by_root=False), grown(100, 4.0, by_root=True), grown(100, 0.25, by_root=True)
    (400.0, 200.0, 25.0)
    """
    return usual * (math.sqrt(growth) if by_root and growth > 1 else growth)


class Planned(Lengths):
    """Lengths that make a run last a given time: each is chosen when its part begins, from the time that is left.

    What is left is divided so that all parts ahead keep the proportions of the settings, but for searches that only
    score: where there is more time than the settings take, these grow as the square root of the others. How long a part
    takes is estimated at the start and corrected by how long the parts before really took; where they took so long that
    little is left, a part keeps a quarter of its proportion, and the run takes longer. Lengths are stored before they
    are used, so that a run that goes on after a kill has the same ones; time spent is the ledger's, over all
    processes.

    Args:
        run: Whose parts; its folder keeps the lengths in plan.json.
        time_s: Seconds of the whole run; None leaves parts that are not settled at their usual lengths.
        measure: Gives the parts in their order, and the seconds for what follows the last one: the test, measuring,
            files. Called once, when a length is first to be chosen.
        chosen: Lengths that are settled, by part: those of another run, to repeat it.
    """

    def __init__(
        self,
        run: Run,
        time_s: float | None,
        measure: Callable[[], tuple[Sequence[Part], float]],
        *,
        chosen: Mapping[str, int] | None = None,
    ) -> None:
        self._run, self._time_s = run, time_s
        self._measured = functools.cache(measure)
        stored = _stored(run)
        self.chosen = {**(chosen or {}), **stored}
        if self.chosen != stored:
            self._store()

    def length(self, part: str, usual: int, unit_s: Callable[[], float] | None = None) -> int:
        if part not in self.chosen:
            with self._run.timed(MEASURING):
                self.chosen[part] = self._choose(part, usual, unit_s)
            self._store()
            self._run.log(f"plan: {part}, length {self.chosen[part]:,}, usually {usual:,}")
        return self.chosen[part]

    def _store(self) -> None:
        self._run.write_json(FILE_NAME, {"format": FORMAT, "time_s": self._time_s, "lengths": self.chosen})

    def _choose(self, part: str, usual: int, unit_s: Callable[[], float] | None) -> int:
        if self._time_s is None:
            return usual
        parts, reserve_s = self._measured()
        known = {each.name: each for each in parts}
        if part not in known:
            return usual
        factor = self._correction(parts)
        own_s, by_root = usual * (unit_s() if unit_s is not None else factor * known[part].unit_s), known[part].by_root
        ahead = [each for each in parts if each.name not in self.chosen and each.name != part]
        seconds = [(own_s, by_root), *((each.usual * each.unit_s * factor, each.by_root) for each in ahead)]
        growth = growth_of(seconds, max(0.0, self._time_s - self.spent_s - reserve_s))
        least = known[part].least if by_root else max(known[part].least, self._least(parts, usual))
        length = int(grown(usual, growth, by_root=by_root))
        if length < least:
            self._run.log(f"plan: {part} would have length {length:,} in the time that is left, which is too short")
        return max(least, length)

    def _least(self, parts: Sequence[Part], usual: int) -> int:
        """A share of what goes with the parts before: a disturbed run rather takes longer than finds nothing."""
        grown_by = [self.chosen[one.name] / one.usual for one in parts if one.name in self.chosen and not one.by_root]
        return int(LEAST_SHARE * usual * min(grown_by, default=0.0))

    @property
    def spent_s(self) -> float:
        """Seconds of the run so far, in all of its processes."""
        return sum(entry["wall_s"] for entry in self._run.ledger.values())

    def _correction(self, parts: Sequence[Part]) -> float:
        """How many times as long as estimated the last part took; 1 before any is over."""
        for part in reversed(parts):
            if part.name in self.chosen:
                ledger = self._run.ledger
                took_s = sum(entry["wall_s"] for name, entry in ledger.items() if name.startswith(part.phases))
                estimated_s = self.chosen[part.name] * part.unit_s
                if took_s > 0 and estimated_s > 0:
                    return min(max(took_s / estimated_s, 0.25), 4.0)
        return 1.0


def check_lengths(lengths: Mapping[str, int]) -> None:
    """Refuse lengths that no part can have.

    Raises:
        InvalidValueError: Names the part.
    """
    for name, n in lengths.items():
        if not 1 <= n <= MAX_LENGTH:
            raise InvalidValueError(f"plan has length {n} for {name!r}; give 1 to {MAX_LENGTH:,}")


def _stored(run: Run) -> dict[str, int]:
    """The lengths in a run's folder; none where it has no plan yet."""
    if run.folder is None or not files.is_there(run.folder / FILE_NAME):
        return {}
    return read_plan(run.folder / FILE_NAME)


def read_plan(path: Path) -> dict[str, int]:
    """The lengths in a plan.json, by part.

    Raises:
        RunFolderError: If it is missing or damaged.
    """
    try:
        is_there = files.is_there(path)
    except ValueError:  # a zero byte
        is_there = False
    if not is_there:
        raise RunFolderError(f"{str(path.parent)!r} holds no {FILE_NAME}; give the folder of a run that had --time")
    document = files.read_json(path)
    lengths = document.get("lengths") if isinstance(document, dict) and document.get("format") == FORMAT else None
    if not isinstance(lengths, dict) or not all(
        isinstance(name, str) and type(n) is int and 1 <= n <= MAX_LENGTH for name, n in lengths.items()
    ):
        raise RunFolderError(f"{path} is no plan of a run; restore it from a copy, or give a run that had --time")
    return dict(lengths)
