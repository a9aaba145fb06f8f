"""A search that chooses its space, its method and their lengths by the data, the limits and the time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, Self, cast, get_args

from archwright.core import catalog
from archwright.core.catalog import Entry
from archwright.core.config import added_field, from_json
from archwright.core.errors import InfeasibleError, InvalidValueError, RunFolderError, UsageError
from archwright.finish import Result
from archwright.recipes.augmenting import settled, with_augment
from archwright.recipes.base import SearchConfig
from archwright.recipes.choice import Choice
from archwright.recipes.limited_costs import n_unmeasured
from archwright.recipes.presets import duration
from archwright.recipes.recipe import Recipe, known_recipe
from archwright.recipes.spos import SposConfig
from archwright.recipes.variants import (
    ANY,
    Outlook,
    Stopwatch,
    Variant,
    declared_methods,
    outlook,
    outlook_in,
    rounded,
    typical_s,
    variants,
)
from archwright.recipes.workload import Workload
from archwright.reports.text import quantity
from archwright.runners.base import Runner
from archwright.runs.files import Json, is_there
from archwright.runs.progress import Progress
from archwright.runs.record import FILE_NAME as RUN_FILE
from archwright.runs.record import read_record
from archwright.runs.run import check_folder
from archwright.tasks.base import Task
from archwright.training.config import TrainingConfig
from archwright.training.device import pick_device

WINNER_EPOCHS = 10
"""Passes over the training part that a winner is to make: the largest space is taken of which it makes so many."""

MOST_EFFICIENT = 3.0
"""How many times as fast a multiply-accumulate of a large network may be as one of a small network."""

LengthsName = Literal["smoke", "quick", "long"]

QUICK_S = 240.0
"""Seconds of the preset `quick`."""


@dataclass(frozen=True)
class AutoConfig(SearchConfig):
    """What is known before a space and a method are chosen.

    Attributes:
        space: "auto", or the space whose settings are to be chosen.
        retrain: Training of the winner and of what it is compared with; the method's other trainings change their
            images as it does.
        lengths: The preset that the method's own settings are taken from; None for those of the run to go on with.
    """

    space: str = ANY
    retrain: TrainingConfig = field(default_factory=lambda: SposConfig.preset("quick", (3, 32, 32)).retrain)
    lengths: LengthsName | None = added_field("quick", absent=None)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.space == ANY and self.space_args:
            raise InvalidValueError(
                f"space_args are {dict(self.space_args)}, and no space is named; give space too, or leave both to auto"
            )

    @classmethod
    def preset(cls, name: str, input_shape: Sequence[int]) -> Self:
        """`smoke` (seconds), `quick` (four minutes of this machine) or `long` (an hour).

        Args:
            name: Which.
            input_shape: (C, H, W) of images, (T,) of texts.

        Raises:
            InvalidValueError: If there is no such preset.
        """
        if name not in get_args(LengthsName):
            raise InvalidValueError(f"unknown preset {name!r}; choose smoke, quick or long")
        like = SposConfig.preset(name, input_shape)
        if name == "quick":  # what a machine manages in steps differs more than what people call quick
            like = replace(like, time_s=QUICK_S, n_draws=0)
        shared = {each.name: getattr(like, each.name) for each in fields(SearchConfig) if each.name != "space"}
        return cls(**shared, lengths=cast(LengthsName, name))

    def of(self, method: Recipe[Any], task: Task, base: SearchConfig | None = None) -> SearchConfig:
        """The whole configuration of a method: these settings, and the method's own ones of the preset.

        Args:
            method: The method.
            task: The data.
            base: Has the method's own settings, in the place of the preset.
        """
        own = base or method.config.preset(self.lengths or "quick", task.input_shape)
        shared = {each.name: getattr(self, each.name) for each in fields(SearchConfig)}
        config: SearchConfig = with_augment(replace(own, **shared), self.retrain.augment)
        return config


class Auto:
    """The recipe that chooses a space, a method and lengths, and is then that method's run in all that it leaves.

    Photos may be brought to smaller inputs than the usual ones (`Task.other_inputs`), which counts as another variant.

    Of the spaces that say when they may be taken (`Space.auto`) it takes, for images of such a size or for texts, the
    one whose members within the limits have the most multiply-accumulates on average. Where a time is given, only those
    are taken of which a typical member passes ten epochs of the training part in the winner's share of it. Of the
    methods that say so (`AutoMethod`), the first whose shared weights are trained for long enough.

    Attributes:
        name: As on the command line.
        config: The class of its settings.
    """

    name = "auto"
    config = AutoConfig
    __listing__ = Entry(
        "auto",
        "recipe",
        "chooses a space that fits the data and the limits, a method and its lengths, says why, and runs it",
        "",
        f"{__name__}:auto",
    )

    def __call__(
        self,
        config: AutoConfig,
        task: Task,
        *,
        out: Path | str | None = None,
        runner: Runner | None = None,
        resume: bool = False,
        accept_code_change: bool = False,
        progress: Progress | None = None,
        spent_s: float = 0.0,
    ) -> Result:
        """Choose, and run what was chosen: its folder is that of the method's run, with the choice in choice.json.

        Args:
            config: Limits, time, seed and what else is known before.
            task: What to train for.
            out: The run's folder; None keeps everything in memory and exports nothing.
            runner: Where candidates are evaluated; in this process by default.
            resume: Go on with the run in `out`, by the choice that was made for it.
            accept_code_change: Go on though the code of a user's space was edited since the start; the result says so.
            progress: Where to show how far it is.
            spent_s: Seconds that went by for this run before this call; they count in the ledger as its start.

        Raises:
            UsageError: Before anything starts: no space fits, a time that is too short, an unusable folder.
            RunError: After the start.
        """
        begun = time.monotonic() - spent_s
        if out is not None:
            check_folder(Path(out), resume=resume)
        begins = Path(out) if out is not None and resume else None
        chosen = self.choose(config, task, folder=begins, spent=lambda: time.monotonic() - begun)
        return chosen(
            chosen.config,
            chosen.task,
            out=out,
            runner=runner,
            resume=resume,
            accept_code_change=accept_code_change,
            progress=progress,
            spent_s=time.monotonic() - begun,
        )

    def workload(self, config: AutoConfig, task: Task) -> Workload:
        """What a run of what it chooses computes."""
        chosen = self.choose(config, task)
        return chosen.workload(chosen.config, chosen.task)

    def estimate(self, config: AutoConfig, task: Task) -> list[str]:
        """Lines that say what it chooses and why, and how long that will take."""
        chosen = self.choose(config, task)
        lines = chosen.workload(chosen.config, chosen.task).estimate()
        return [*chosen.lines(), *lines, *chosen.same(chosen.config, chosen.task)]

    def choose(
        self,
        config: AutoConfig,
        task: Task,
        *,
        folder: Path | None = None,
        spent: Callable[[], float] = lambda: 0.0,
        other_threads: Sequence[int] = (),
    ) -> Choice:
        """The method with its configuration.

        Args:
            config: Limits, time, seed and what else is known before.
            task: What to train for.
            folder: Of a run to go on with; where one has begun, its choice stands.
            spent: Seconds that this run took so far.
            other_threads: Numbers of threads that the run may still take in the place of its configuration's.

        Raises:
            UsageError: If no space fits, nothing says how large it may be, or the time is too short.
        """
        if folder is not None and is_there(folder / RUN_FILE):
            return _begun(config, task, folder)
        found = variants(config, task)
        fitting = sorted((one for one in found if one.reason is None), key=lambda one: -one.mean_macs)
        if not fitting:
            raise InfeasibleError(_none_fits(found, task))
        _check_bounded(config, fitting)
        watch = Stopwatch(config.threads, other_threads, pick_device(config.device))
        seen: list[_Plan] = []
        refused: list[UsageError] = []
        for variant in fitting if config.time_s is None else _hopeful(fitting, config, task, watch):
            try:
                seen.append(_plan(variant, config, task, spent, watch))
            except UsageError as error:
                refused.append(error)
                continue
            if config.time_s is None or seen[-1].outlook.winner_epochs >= WINNER_EPOCHS:
                break
        else:
            seen.sort(key=lambda plan: plan.outlook.winner_epochs)
        if not seen:
            raise refused[-1]
        plan = seen[-1]
        epochs = {one.variant.label: one.outlook.winner_epochs for one in seen if config.time_s is not None}
        return Choice(
            plan.method,
            plan.config,
            _with_inputs(task, plan.variant.input_shape),
            _reasons(plan, config),
            tuple(_row(one, epochs.get(one.label)) for one in found),
            _notes(fitting),
            config.lengths or "quick",
        )


auto = Auto()
"""The recipe `auto`."""


# ── how a run is chosen ───────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class _Plan:
    """A method on a variant; `passed_over` says why it is no other one that was asked before."""

    variant: Variant
    method: Recipe[Any]
    config: SearchConfig
    outlook: Outlook
    passed_over: tuple[str, ...]


def _hopeful(fitting: Sequence[Variant], config: AutoConfig, task: Task, watch: Stopwatch) -> list[Variant]:
    """Those that are worth a try; the others' winners could not even pass their epochs if they had all the time."""
    least, batch_size = fitting[-1], config.retrain.batch_size
    least_s = typical_s(least, batch_size, watch) / max(1.0, least.mean_macs) / MOST_EFFICIENT
    n_examples = WINNER_EPOCHS * task.split("train").steps_per_epoch(batch_size) * batch_size
    return [
        one for one in fitting if one is least or n_examples * one.mean_macs * least_s <= (config.time_s or math.inf)
    ]


def _plan(variant: Variant, config: AutoConfig, task: Task, spent: Callable[[], float], watch: Stopwatch) -> _Plan:
    """The first method that the variant, and the time, are enough for."""
    assert variant.opened is not None  # it fits
    known, passed_over = replace(config, space=variant.space, space_args=dict(variant.settings)), list[str]()
    last: UsageError | None = None
    for method in declared_methods():
        asked = method.auto
        assert asked is not None  # those that declare it are given
        if variant.n_members < asked.least_members:
            few = f"{variant.n_members:,.0f} architectures within the limits, {asked.least_members} are the least"
            passed_over.append(f"{method.name} is not worth its while for about {few}")
            continue
        own = known.of(method, task)
        try:
            opened = replace(variant.opened, config=settled(own, task))
            if config.time_s is None:
                seen = outlook(method, opened)
            else:
                seen = outlook_in(config.time_s, spent(), method, variant, opened, watch)
        except UsageError as error:
            last = error
            passed_over.append(f"{method.name} cannot be used: {error}")
            continue
        if seen.shared_epochs < asked.least_epochs:
            few = f"{rounded(seen.shared_epochs)} epochs of the training part, {asked.least_epochs:g} are the least"
            passed_over.append(f"the shared weights of {method.name} would pass {few}")
            continue
        return _Plan(variant, method, own, seen, tuple(passed_over))
    raise last or InvalidValueError(f"no method takes {variant.label}: {'; '.join(passed_over)}; name one instead")


def _begun(config: AutoConfig, task: Task, folder: Path) -> Choice:
    """The choice of a run that has begun; what is asked for now stands beside it, so that differences are refused."""
    record = read_record(folder)
    name, stored = record["recipe"], record["config"]
    if name == Auto.name or not catalog.is_known("recipe", name):
        raise RunFolderError(f"{folder} is a run of {name or 'no recipe'}, no search; choose another --out")
    method = known_recipe(name)
    own = {each.name: stored[each.name] for each in fields(method.config) if each.name in stored}
    base = from_json(method.config, own)
    if config.space == ANY:
        config = replace(config, space=base.space, space_args=base.space_args)
    elif not config.space_args and config.space == base.space:
        config = replace(config, space_args=base.space_args)
    chosen = stored.get("data_options", {}).get("input_shape")
    if chosen is not None and tuple(chosen) in task.other_inputs():
        task = _with_inputs(task, tuple(chosen))
    return Choice(method, config.of(method, task, base if config.lengths is None else None), task)


def _with_inputs(task: Task, input_shape: tuple[int, ...] | None) -> Task:
    return task if input_shape is None else task.brought_to(input_shape)


def _none_fits(found: Sequence[Variant], task: Task) -> str:
    """Why there is nothing to choose from; of each space its first variant tells, the smallest."""
    first = {one.space: one for one in reversed(found)}
    said = "; ".join(f"{one.label}: {one.reason}" for one in reversed(first.values()))
    shape = "x".join(map(str, task.input_shape))
    return f"no space fits the data {task.name!r} ({shape}) and the limits ({said}); raise a limit or name a --space"


def _check_bounded(config: AutoConfig, fitting: Sequence[Variant]) -> None:
    """Refuse to take the largest where nothing says how large that may be."""
    opened = fitting[0].opened
    assert opened is not None  # it fits
    counted = {cost.name for cost in opened.costs if not n_unmeasured([cost])}
    if len(fitting) == 1 or config.time_s is not None or any(cost in counted for cost, _ in config.limits):
        return
    raise InvalidValueError(
        "nothing says how large the networks may be; give a limit that can be counted, like --max-macs 8M, "
        "or a time for the whole run, like --time 15m"
    )


# ── how it is told ────────────────────────────────────────────────────────────────────────────────


def _reasons(plan: _Plan, config: AutoConfig) -> tuple[str, str, str]:
    variant, seen, time_s = plan.variant, plan.outlook, config.time_s
    mean, epochs = f"{quantity(variant.mean_macs)} multiply-accumulates on average", rounded(seen.winner_epochs)
    if time_s is None:
        why = f"the largest members within the limits, {mean}"
    elif seen.winner_epochs >= WINNER_EPOCHS:
        why = (
            f"the largest members within the limits, {mean}, of which the winner can pass {WINNER_EPOCHS} epochs of "
            f"the training part: about {epochs}"
        )
    else:
        why = f"the fastest; of none can the winner pass {WINNER_EPOCHS} epochs of the training part, here {epochs}"
    asked = plan.method.auto
    passes = f"its shared weights pass about {rounded(seen.shared_epochs)} epochs of the training part"
    own = [f"{passes}, {asked.least_epochs:g} are the least"] if asked is not None and asked.least_epochs else []
    whose = f"preset {config.lengths or 'quick'}"
    shared = f"the parts of {whose}" + ("" if time_s is None else f", in the proportions that fill {duration(time_s)}")
    return (
        f"space      {variant.label}: {why}",
        f"method     {plan.method.name}: {'; '.join([*own, *plan.passed_over]) or 'nothing else was asked for'}",
        f"lengths    {shared}: {', '.join(seen.lengths())}",
    )


def _notes(fitting: Sequence[Variant]) -> tuple[str, ...]:
    opened = fitting[0].opened
    unknown = [] if opened is None else [cost.name for cost in opened.costs if n_unmeasured([cost])]
    return tuple(f"note       {name} is measured later, so these figures leave its limit out" for name in unknown)


def _row(variant: Variant, winner_epochs: float | None) -> dict[str, Json]:
    return {
        "space": variant.space,
        "settings": dict(variant.settings),
        "input_shape": None if variant.input_shape is None else list(variant.input_shape),
        "share": variant.share,
        "mean_macs": variant.mean_macs,
        "winner_epochs": winner_epochs,
        "reason": variant.reason,
    }
