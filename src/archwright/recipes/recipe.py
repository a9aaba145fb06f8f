"""A recipe: one object from which the run, the command line, the estimate and opening a finished run follow."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from archwright.core.catalog import Entry
from archwright.core.errors import InvalidValueError
from archwright.finish import Found, Result, finish, reopen
from archwright.finish.plain import SWITCHED_OFF, open_plain
from archwright.recipes.base import SearchConfig, open_search
from archwright.recipes.limited_costs import with_tables
from archwright.recipes.opened import OpenSearch
from archwright.recipes.planning import lengths_of
from archwright.recipes.rehearsal import Rehearsal, workload
from archwright.recipes.workload import Workload
from archwright.runners.base import Runner
from archwright.runs.files import Json
from archwright.runs.progress import Progress
from archwright.tasks.base import Task

C = TypeVar("C", bound=SearchConfig)
Body = Callable[[OpenSearch, C], Found]


@dataclass(frozen=True)
class AutoMethod:
    """When the recipe `auto` may take a method; of those it may take, the first by what they ask for.

    Attributes:
        least_epochs: Passes over the training part that its shared weights are to make in their share of a run.
        least_members: Architectures within the limits, below which it is not worth its while.
    """

    least_epochs: float = 0.0
    least_members: int = 0


class Recipe(Generic[C]):
    """A method by name; call it to run it. Made by `recipe`.

    Args:
        entry: Its line in the catalogue.
        config: The class of its settings.
        body: The method itself.
        auto: When the recipe `auto` may take it; None where it does not.

    Attributes:
        name: As on the command line.
        config: The class of its settings.
        body: The method itself: from an open search and its settings to what was found.
        auto: See above.
    """

    def __init__(self, entry: Entry, config: type[C], body: Body[C], auto: AutoMethod | None = None) -> None:
        self.__listing__ = entry
        self.__doc__, self.__module__ = body.__doc__, body.__module__
        self.__name__ = self.__qualname__ = body.__name__
        self.name, self.config, self.body, self.auto = entry.name, config, body, auto

    def __call__(
        self,
        config: C,
        task: Task,
        *,
        out: Path | str | None = None,
        runner: Runner | None = None,
        resume: bool = False,
        accept_code_change: bool = False,
        progress: Progress | None = None,
        spent_s: float = 0.0,
        documents: Mapping[str, Json] | None = None,
    ) -> Result:
        """Search, train the winner to its end, compare it, test it once, export it.

        Args:
            config: Numbers of the run.
            task: What to train for.
            out: The run's folder; None keeps everything in memory and exports nothing.
            runner: Where candidates are evaluated; in this process by default.
            resume: Go on with the run in `out`; a finished one is only opened.
            accept_code_change: Go on though the code of a user's space was edited since the start; the result says so.
            progress: Where to show how far it is.
            spent_s: Seconds that went by for this run before this call; they count in the ledger as its start.
            documents: JSON by file name that the folder of a new run keeps, see `open_run`.

        Raises:
            UsageError: Before anything starts: an unknown name, an unreachable limit, an unusable folder.
            RunError: After the start.
        """
        begun = time.monotonic() - spent_s
        opened = open_search(config, task)
        config = cast(C, opened.config)
        plain = open_plain(task) if config.plain else SWITCHED_OFF
        rehearsal = Rehearsal(opened)
        rehearsed = self.body(rehearsal, config)  # numbers that do not fit are refused before the folder is made
        if config.weights is not None and rehearsal.shared is None:
            raise InvalidValueError(
                f"weights are {config.weights}, and {self.name} trains no supernet that could begin with them; leave "
                "--weights out, or search by spos"
            )
        with opened.begin(
            self.name,
            out=out,
            resume=resume,
            accept_code_change=accept_code_change,
            progress=progress,
            documents=documents,
        ) as run:
            if run.result is not None:
                return reopen(run, opened.space)
            run.note_start(time.monotonic() - begun)
            for remark in (*task.remarks, *opened.remarks):
                run.log(remark)
            costs = with_tables(run, opened.space, opened.objectives, opened.costs, config.profile)
            lengths = lengths_of(run, config, lambda: workload(rehearsal, rehearsed))
            search = OpenSearch(run, opened.with_costs(costs), runner, lengths)
            return finish(
                run,
                opened.space,
                self.body(search, config),
                task,
                config.final_training,
                recipe=self.name,
                n_draws=config.n_draws,
                plain=plain,
                int8=config.int8_terms,
                device=opened.device,
                lengths=lengths,
            )

    def workload(self, config: C, task: Task) -> Workload:
        """What a run computes, and the step by which its time is estimated."""
        rehearsal = Rehearsal(open_search(config, task))
        return workload(rehearsal, self.body(rehearsal, cast(C, rehearsal.opened.config)))

    def estimate(self, config: C, task: Task) -> list[str]:
        """Lines that say how long a run will take on this machine, from a few steps measured now."""
        return self.workload(config, task).estimate()


def recipe(
    name: str, config: type[C], *, summary: str, source: str = "", auto: AutoMethod | None = None
) -> Callable[[Body[C]], Recipe[C]]:
    """Make a recipe of a function that is the method itself, and list it in the catalogue.

        @recipe("random", RandomSearchConfig, summary="…", source="…")
        def random_search(search: OpenSearch, config: RandomSearchConfig) -> Found:
            strategy = partial(Random, search.space, n_trials=config.n_trials)
            return search.find(lambda seed: strategy(seed=seed), search.from_scratch(config.training))

    What follows a search is the same for all: `finish`.

    Args:
        name: On the command line.
        config: The class of its settings, with a method `preset`.
        summary: One line for `archwright list`.
        source: Paper or library.
        auto: When the recipe `auto` may take it; by default it does not.
    """

    def made(body: Body[C]) -> Recipe[C]:
        target = f"{body.__module__}:{body.__qualname__}"
        return Recipe(Entry(name, "recipe", summary, source, target), config, body, auto)

    return made


def known_recipe(name: str) -> Recipe[Any]:
    """The recipe of a catalogue name.

    Raises:
        UnknownNameError: If there is none.
    """
    from archwright.core import catalog

    found: Recipe[Any] = catalog.load("recipe", name)
    return found
