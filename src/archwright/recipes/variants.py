"""Spaces and methods to choose from: how large their members are within limits, and how long they train in a time."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from archwright.core import catalog
from archwright.core.arch import Arch
from archwright.core.errors import InfeasibleError, UsageError
from archwright.core.trial import derive_seed
from archwright.costs.counted import Macs
from archwright.costs.latency import MeasuredLatency
from archwright.costs.watch import Watch, open_costs
from archwright.finish.plain import MOST, SWITCHED_OFF, bounded, n_within, open_plain
from archwright.recipes.augmenting import settled
from archwright.recipes.base import Opened, SearchConfig, open_search
from archwright.recipes.limited_costs import n_unmeasured
from archwright.recipes.planning import plan_lines, reserve_s
from archwright.recipes.recipe import Recipe
from archwright.recipes.rehearsal import Rehearsal, workload
from archwright.recipes.workload import Item, Speed, Workload
from archwright.runs.lengths import FINAL, grown, growth_of
from archwright.spaces.auto_use import AutoUse
from archwright.spaces.base import Space
from archwright.spaces.opening import open_space_for
from archwright.tasks.base import Task
from archwright.training.device import pick_device, set_threads
from archwright.training.networks import build_seeded
from archwright.training.threads import fastest, probe_threads
from archwright.training.timing import GLANCE_S, Timed, training_step

N_DRAWS = 1000
"""Members of a space that its figures are taken from."""

LEAST_SHARE = 0.01
"""Of the draws that keep the limits; a space with fewer does not fit."""

ANY = "auto"
"""In the place of a space's name: any that declares when it may be taken."""


@dataclass(frozen=True)
class Variant:
    """A space with settings and inputs, and what is known of its members.

    Attributes:
        space: Its name, or as it was given.
        settings: Of the space.
        input_shape: What the data's inputs are brought to; None leaves them.
        reason: Why it does not fit; None where it does.
        opened: A run of it, ready to begin; None where it could not be opened.
        share: Of the draws that keep the limits, the smallest of all winners that are asked for.
        mean_macs: Mean multiply-accumulates of those that do.
        typical: One whose multiply-accumulates are about that.
    """

    space: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    input_shape: tuple[int, ...] | None = None
    reason: str | None = None
    opened: Opened | None = None
    share: float = 0.0
    mean_macs: float = 0.0
    typical: Arch | None = None

    @property
    def label(self) -> str:
        """Its name, settings and inputs in a line."""
        words = [self.space, *(f"{name}={setting_text(value)}" for name, value in self.settings.items())]
        return " ".join(
            words if self.input_shape is None else [*words, f"input={'x'.join(map(str, self.input_shape))}"]
        )

    @property
    def n_members(self) -> float:
        """Architectures within the limits, about."""
        return 0.0 if self.opened is None else self.share * self.opened.space.size()


def setting_text(value: Any) -> str:
    """A setting as it is written behind `--set NAME=` or `--space-set NAME=`, to the last bit of a number.

    >>> setting_text(0.5), setting_text(False), setting_text((16, 24)), setting_text(None), setting_text((("a", 1.0),))
    ('0.5', 'false', '16,24', 'none', 'a:1')
    >>> float(setting_text(0.1 * 0.5**0.5)) == 0.1 * 0.5**0.5
    True
    """
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        short = f"{value:.15g}"
        return short if float(short) == value else repr(value)
    if isinstance(value, list | tuple):
        return ",".join(setting_text(item).replace(",", ":") for item in value)
    return str(value)


def variants(config: SearchConfig, task: Task) -> list[Variant]:
    """The spaces that may be chosen with their settings and inputs, those that do not fit too.

    Args:
        config: With the limits; its space is `ANY`, or the one whose settings are to be chosen, unless it has some.
        task: The data.

    Raises:
        UsageError: If what has nothing to do with the space cannot be used: a cost that does not exist, a device.
    """
    pick_device(config.device)
    settled(config, task)
    open_costs([*(cost for cost, _ in config.limits), *config.goals])
    found = list[Variant]()
    for seen in [*(_sketch(task, shape) for shape in task.other_inputs()), task]:
        shape = None if seen is task else seen.input_shape
        if config.space != ANY:
            given = [config.space_args] if config.space_args else _settings_of(config.space, seen)
            found += _of_space(config.space, given, shape, config, seen)
            continue
        for name, use in declared_spaces():
            unsuited = use.unsuited(seen.signature)
            if unsuited is None:
                found += _of_space(name, use.settings, shape, config, seen)
            elif seen is task:
                found.append(Variant(name, reason=unsuited))
    return found


def _of_space(
    spec: str, given: Sequence[Mapping[str, Any]], shape: tuple[int, ...] | None, config: SearchConfig, task: Task
) -> Iterator[Variant]:
    """A space with each of its settings; of other inputs than the usual ones, up to the first that does not fit.

    Settings go from small to large networks, and each takes a second or two to look at.
    """
    for settings in given:
        found = _variant(spec, settings, shape, config, task)
        yield found
        if shape is not None and found.reason is not None:
            return


def _sketch(task: Task, input_shape: tuple[int, ...]) -> Task:
    """The task with other inputs, enough to count and to time networks: no example of the data is read for it."""
    made = copy.copy(task)
    made.input_shape = input_shape
    return made


def declared_spaces() -> Iterator[tuple[str, AutoUse]]:
    """The catalogue's spaces that declare when they may be taken."""
    for entry in catalog.entries("space"):
        use = catalog.load("space", entry.name).auto
        if use is not None:
            yield entry.name, use


def declared_methods() -> list[Recipe[Any]]:
    """The catalogue's recipes that declare when they may be taken, those that ask for most first."""
    loaded = [catalog.load("recipe", entry.name) for entry in catalog.entries("recipe")]
    found = [(each.auto, each) for each in loaded if isinstance(each, Recipe) and each.auto is not None]
    found.sort(key=lambda one: (-one[0].least_epochs, -one[0].least_members, one[1].name))
    return [each for _, each in found]


def _settings_of(spec: str, task: Task) -> list[Mapping[str, Any]]:
    """The variants of a space that was named; whether it is meant for such data is not asked then."""
    use = open_space_for(task.name, task.space_args(), spec, {}).auto
    return [{}] if use is None else list(use.settings)


def _variant(
    spec: str, settings: Mapping[str, Any], shape: tuple[int, ...] | None, config: SearchConfig, task: Task
) -> Variant:
    try:
        opened = open_search(replace(config, space=spec, space_args=dict(settings)), task)
    except InfeasibleError as error:
        return Variant(spec, settings, shape, error.short)
    except UsageError as error:
        return Variant(spec, settings, shape, str(error))
    space, counted = opened.space, [cost for cost in opened.costs if not n_unmeasured([cost])]
    rows = space.decisions.sample(N_DRAWS, np.random.default_rng(derive_seed(config.seed, "auto")))
    values = Watch(space, [*counted, Macs()]).values(rows)
    shares, means, kept = [], [], np.zeros(len(rows), dtype=bool)
    for objective in opened.objectives:
        known = tuple(one for one in objective.constraints if one.cost in values)
        feasible = replace(objective, constraints=known).feasible(values, len(rows))
        kept |= feasible
        shares.append(float(feasible.mean()))
        means.append(float(values["macs"][feasible].mean()) if feasible.any() else 0.0)
    share, mean = min(shares), float(np.mean(means))
    if share < LEAST_SHARE:
        few = f"{share:.1%} of its members keep the limits, and {LEAST_SHARE:.0%} are the least"
        return Variant(spec, settings, shape, few, opened, share, mean)
    nearest = int(np.where(kept, np.abs(values["macs"] - mean), np.inf).argmin())
    (typical,) = space.decisions.archs(rows[nearest : nearest + 1])
    return Variant(spec, settings, shape, None, opened, share, mean, typical)


# ── what a method does in a time ──────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Outlook:
    """What a method would do with a variant.

    Attributes:
        work: All of it, at the lengths of its settings.
        steps: How long each part lasts: steps, or evaluations.
        shared_epochs: Passes of shared weights over the training part; 0 where there are none.
        winner_epochs: Those of the winner in its final training; those that its weights had, where it inherits them.
    """

    work: Workload
    steps: Mapping[str, float]
    shared_epochs: float
    winner_epochs: float

    def lengths(self) -> list[str]:
        """The parts in words."""
        return [self._length(item) for item in self.work.parts if item.name]

    def _length(self, item: Item) -> str:
        n = max(1, round(self.steps[item.name]))
        said = f"{item.name} {n:,} {'evaluations' if item.is_search else 'steps'}"
        if item.is_search:
            return said
        return f"{said} ({rounded(self.winner_epochs if item.name == FINAL else self.shared_epochs)} epochs)"


def rounded(number: float) -> str:
    """An estimated number: one decimal below ten.

    >>> rounded(0.25), rounded(12.6)
    ('0.2', '13')
    """
    return f"{number:.1f}" if number < 10 else f"{number:,.0f}"


class Stopwatch:
    """Times training steps with the number of threads that is fastest for the first one.

    Args:
        threads: Of the configuration.
        others: Numbers of threads that the run may take in its place.
        device: Where steps are computed; others than of a CPU are not asked how many threads they want.
    """

    def __init__(self, threads: int, others: Sequence[int], device: torch.device) -> None:
        self._given, self._open = threads, sorted({threads, *others}) if device.type == "cpu" else [threads]
        self._known: dict[tuple[str, ...], float] = {}

    def network_s(self, space: Space, arch: Arch, task: Task, device: torch.device, batch_size: int) -> float:
        """Seconds an example in a training step of a stand-alone network, timed once.

        Args:
            space: Its space.
            arch: A member.
            task: Whose inputs and loss.
            device: Where.
            batch_size: Examples a step.
        """
        which = (space.name, json.dumps(space.args()), space.code(arch))  # its arguments hold the input's shape
        if which not in self._known:
            network = build_seeded(space, arch, 0).to(device)
            self._known[which] = self.seconds(training_step(lambda _: network, task, device, batch_size))
        return self._known[which]

    def seconds(self, timed: Timed) -> float:
        """Seconds an example; afterwards the number of threads is the configuration's again."""
        try:
            if len(self._open) > 1:
                paces = probe_threads(timed.step, self._open, seconds=GLANCE_S)
                self._open = [fastest(paces)]
                return paces[self._open[0]].step_s / timed.n_examples
            set_threads(self._open[0])
            return timed.glance()
        finally:
            set_threads(self._given)


def typical_s(variant: Variant, batch_size: int, watch: Stopwatch) -> float:
    """Seconds an example in a training step of a typical member on this machine now.

    Args:
        variant: One that fits.
        batch_size: Examples a step.
        watch: Times the step.
    """
    opened, arch = variant.opened, variant.typical
    assert opened is not None  # a variant that fits was opened, and has members
    assert arch is not None
    return watch.network_s(opened.space, arch, opened.task, opened.device, batch_size)


def plain_s(variant: Variant, opened: Opened, batch_size: int, watch: Stopwatch) -> float:
    """Seconds of a step of all plain networks that are trained beside the winners, an example.

    Args:
        variant: One that fits; without limits a plain network is as large as its typical members.
        opened: A run of a method on it.
        batch_size: Examples a step.
        watch: Times the steps.
    """
    space = open_plain(opened.task) if opened.config.plain else SWITCHED_OFF
    if isinstance(space, str):
        return 0.0
    costs = {cost.name: cost for cost in opened.costs if not isinstance(cost, MeasuredLatency)}
    found = 0.0
    for objective in opened.objectives:
        limits = {one.cost: one.limit for one in objective.constraints if one.cost in costs}
        try:
            n = n_within(space, bounded(limits, variant.mean_macs * (MOST if limits else 1)), costs)
        except Exception:  # of a user's own cost: the run will say so
            continue
        if n:
            (arch,) = space.decisions.archs(space.decisions.enumerate_rows()[n - 1 : n])
            found += watch.network_s(space, arch, opened.task, opened.device, batch_size)
    return found


def outlook(method: Recipe[Any], opened: Opened) -> Outlook:
    """What a method would do at the lengths of its settings.

    Args:
        method: The method.
        opened: A run of it, with its whole configuration.

    Raises:
        UsageError: If the method does not take the space, or its settings do not fit.
    """
    rehearsal = Rehearsal(opened)
    found = method.body(rehearsal, opened.config)
    work, trial = workload(rehearsal, found), found.searches[0].evaluator.work()
    own = trial.n_steps / opened.task.split("train").steps_per_epoch(trial.batch_size) if trial.n_steps else 0.0
    return _outlook(opened, work, {item.name: float(item.length) for item in work.parts if item.name}, own)


def outlook_in(
    time_s: float, spent_s: float, method: Recipe[Any], variant: Variant, opened: Opened, watch: Stopwatch
) -> Outlook:
    """What a method would do in a time, in the proportions that the run's plan keeps to (`recipes.planning`).

    Parts share the time by the networks that the method trains, such as paths from all over a supernet. In its own
    share the final training is as fast as typical members within the limits, and plain networks that fill them.

    Args:
        time_s: Seconds of the whole run.
        spent_s: Seconds of it that went by.
        method: The method.
        variant: One that fits.
        opened: A run of the method on it, with its whole configuration.
        watch: Times the steps.

    Raises:
        UsageError: If the method does not take the space, its settings do not fit, or the time is too short.
    """
    usual, config = outlook(method, opened), opened.config
    work, trained_s = usual.work, watch.seconds(usual.work.training)
    speed = Speed(trained_s, trained_s / 3)  # the forward pass of three like ones
    plan_lines(work, speed, time_s, spent_s, config.plan or {})
    planned = [item for item in work.parts if item.name]
    left_s = time_s - spent_s - reserve_s(work, speed)
    growth = growth_of([(item.load.seconds(speed), item.only_scores) for item in planned], left_s)
    lengths = {item.name: grown(item.length, growth, by_root=item.only_scores) for item in planned}
    for item in planned:
        if item.name == FINAL:
            batch_size = config.retrain.batch_size
            own_s = item.n_networks * typical_s(variant, batch_size, watch)
            step_s = batch_size * (own_s + plain_s(variant, opened, batch_size, watch))
            lengths[FINAL] = growth * item.load.seconds(speed) / step_s
    return _outlook(opened, work, lengths, usual.winner_epochs)


def _outlook(opened: Opened, work: Workload, lengths: Mapping[str, float], own_epochs: float) -> Outlook:
    """The outlook of these lengths; without final and shared trainings a winner has the weights of its trial."""
    split = opened.task.split("train")
    trained = [item for item in work.parts if item.name and not item.is_search]

    def epochs(item: Item) -> float:
        # the final training counts examples of all its networks
        batch_size = opened.config.retrain.batch_size if item.name == FINAL else item.load.trained / item.length
        return lengths[item.name] / split.steps_per_epoch(round(batch_size))

    shared = sum(epochs(item) for item in trained if item.name != FINAL)
    final = sum(epochs(item) for item in trained if item.name == FINAL)
    return Outlook(work, lengths, shared, final or shared or own_epochs)
