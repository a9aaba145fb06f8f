"""A recipe's body gone through without its work: what it would do, and how long that will take on this machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from torch import nn

from archwright.core.decisions import Decision
from archwright.core.objective import Objective
from archwright.core.trial import Candidate
from archwright.costs.counting.count import count
from archwright.costs.latency import MeasuredLatency
from archwright.evaluators.base import Evaluator, Work
from archwright.finish import Found
from archwright.finish.plain import MOST, SWITCHED_OFF, bounded, elsewhere, open_plain, plain_macs
from archwright.finish.quantised import n_passed
from archwright.nn.choice import Supernet, selection_of
from archwright.policies.base import Policy
from archwright.recipes.base import Opened
from archwright.recipes.limited_costs import n_unmeasured
from archwright.recipes.opened import START, OpenSearch, is_uniform, n_trials
from archwright.recipes.workload import Item, Load, Memory, Workload
from archwright.runs.lengths import FINAL
from archwright.runs.run import open_run
from archwright.search import SearchResult
from archwright.spaces.base import Space
from archwright.strategies.base import Feasible, Outlook, Strategy
from archwright.training.device import use_layout
from archwright.training.networks import build_seeded
from archwright.training.timing import scoring_pass, training_step
from archwright.weight_sharing.base import WeightSharing
from archwright.weight_sharing.shared import SharedWeights

N_MEASURED = 4


class Rehearsal(OpenSearch):
    """Records the work that a body asks for without doing it; each search returns one architecture without a score.

    Args:
        opened: What would be searched.

    Attributes:
        items: What was asked for, in order.
        batch_sizes: Of what was to be trained.
        shared: The shared weights that the body works with, if it made some.
    """

    def __init__(self, opened: Opened) -> None:
        config = opened.config
        super().__init__(open_run(None, {}, seed=config.seed, threads=config.threads), opened)
        self.items: list[Item] = []
        self.batch_sizes: list[int] = []
        self.shared: SharedWeights | None = None

    def supernet(self) -> SharedWeights:
        self.shared = super().supernet()
        return self.shared

    def train(self, phase: str, sharing: WeightSharing, shared: SharedWeights, policy: Callable[[], Policy]) -> None:
        n_steps, n_passes = sharing.n_steps(self.task), sharing.n_passes(self.task)
        self.n_steps += n_passes
        self.batch_sizes.append(sharing.batch_size)
        what = f"{phase}, {n_steps:,} steps of {sharing.batch_size}"
        load = n_passes * sharing.batch_size * (self._mixing(shared) if sharing.is_mixed else 1.0)
        self.items.append(Item(what, Load(load), phase, n_steps, (phase,)))

    def note(self, remark: Callable[[], str]) -> None:
        """Do nothing."""

    def derived_for(
        self, objective: Objective, derive: Callable[[Objective], Candidate], evaluator: Evaluator
    ) -> SearchResult:
        return replace(self.unscored(objective, evaluator), is_scored=False)

    def _mixing(self, shared: SharedWeights) -> float:
        """How many times the work of an arch a step on a mixture is, by multiply-accumulates.

        Raises:
            SpaceError: If the space has no mixtures.
        """
        space, rows = shared.space, self.opened.members(N_MEASURED)
        with space.shapes_only():
            network = space.network(Supernet()).eval()
        selection = selection_of(network)
        selection.relax(
            {d.name: [(i, 0.5) for i in range(len(d.values))] for d in space.decisions if _is_mixed(space, d)}
        )
        mixed = count(network, space.signature, memory=False).macs
        single = []
        for row in rows:
            selection.activate_row(row)
            single.append(count(network, space.signature, memory=False).macs)
        return max(1.0, mixed / (float(np.mean(single)) or 1.0))

    def _search(
        self, name: str, objective: Objective, strategy: Strategy, evaluator: Evaluator, domain: Feasible | None
    ) -> SearchResult:
        n, work = n_trials(self.opened, objective, strategy), evaluator.work()
        found = self.unscored(objective, evaluator)
        loads = _loads(strategy.outlook(n), evaluator, found.trials[0].candidate)
        is_alone = is_uniform(strategy) or name.startswith(START)
        what = f"{name}, {n:,} evaluations" if is_alone else f"{name} and baseline, {n:,} evaluations each"
        if len(loads) > 1:
            n_steps = sum(k * one.n_steps for k, one in loads)
            what = (
                what.removesuffix(" each")
                + f", {n_steps:,} steps of {work.batch_size} {'in all' if is_alone else 'each'}"
            )
        elif work.n_steps:
            what += f", {work.n_steps:,} steps of {work.batch_size}"
        self.batch_sizes.append(work.batch_size)
        phases = tuple(dict.fromkeys((name, name.replace("search", "baseline", 1))))
        load = Load(sum(k * one.n_trained for k, one in loads), sum(k * one.n_scored for k, one in loads))
        self.items.append(
            Item(
                what,
                load if is_alone else load.times(2),
                name,
                n,
                phases,
                is_search=True,
                only_scores=not work.n_steps,
            )
        )
        return found


def _is_mixed(space: Space, decision: Decision) -> bool:
    """Whether all values of a decision run in a mixture; the inputs of known edges do by themselves."""
    return decision.kind != "number" and decision.name not in space.relaxation().edges


def workload(rehearsal: Rehearsal, found: Found) -> Workload:
    """All work of a run: that of its body, and that of the baseline and the final trainings.

    Args:
        rehearsal: Went through the body.
        found: What the body came to in it.
    """
    opened, task = rehearsal.opened, rehearsal.task
    config, retrain = opened.config, opened.config.retrain
    items, batch_sizes = list(rehearsal.items), [*rehearsal.batch_sizes, retrain.batch_size]
    if unscored := sum(not search.is_scored for search in found.searches):
        n_steps = retrain.n_steps(task.split("train"))
        n = max(1, found.n_steps // n_steps)
        work = Work(n_steps, retrain.batch_size, task.split("validation").n)
        items.append(Item(f"baseline, {n:,} networks of {n_steps:,} steps", _load(work, unscored * n)))
    n_networks = len(found.searches) * (config.n_draws + (1 if found.is_random else 2))
    trial = found.searches[0].evaluator.work()
    if config.final != "scratch" and trial.n_steps:  # weights that were not kept are trained once more
        what = f"training once more, {n_networks} networks of {trial.n_steps:,} steps"
        items.append(Item(what, Load(n_networks * trial.n_trained)))
    n_retrained = 0 if config.final == "inherited" else n_networks
    n_plain, as_many = _plain_networks(opened, found)
    if n_retrained or n_plain:
        n = retrain.n_steps(task.split("train+validation"))
        load = Load((n_retrained + as_many) * n * retrain.batch_size)
        said = [f"{n_retrained} networks"] * bool(n_retrained) + [f"{n_plain} plain"] * bool(n_plain)
        what = f"retraining, {' and '.join(said)} of {n:,} steps"
        items.append(Item(what, load, FINAL, n, ("retrain",), n_networks=n_retrained))
    networks = _networks(rehearsal)
    training = training_step(networks, task, opened.device, max(batch_sizes))
    scoring = scoring_pass(networks, task, opened.device)
    unknown = ["measuring a latency table first, unless --set latency_table=FILE gives one"]
    notes = unknown if n_unmeasured(opened.costs) else []
    n_winners, n_tested = len(found.searches), round((n_networks + as_many) * task.n_examples("test"))
    n_tested += n_winners * n_passed(task) if config.int8 else 0
    memory = Memory.of(max(batch_sizes), networks(0))
    return Workload(
        training, scoring, items, config.threads, opened.device, memory, n_winners, n_tested, notes, opened.remarks
    )


def _plain_networks(opened: Opened, found: Found) -> tuple[int, float]:
    """How many plain networks are trained, and of how many of the archs that are timed their work is.

    Work is in proportion to multiply-accumulates. Where no limit that can be counted says how large a plain network
    will be, it is taken to be as large as those.
    """
    space = open_plain(opened.task) if opened.config.plain else SWITCHED_OFF
    if isinstance(space, str):
        return 0, 0.0
    costs, ratios = {cost.name: cost for cost in opened.costs}, []
    typical = _typical_macs(opened) if costs else 1.0
    for objective in (search.objective for search in found.searches):
        limits = {one.cost: one.limit for one in objective.constraints}
        if elsewhere(objective, costs):
            continue
        if all(isinstance(costs[name], MeasuredLatency) for name in limits):
            ratios.append(1.0)
            continue
        try:
            ratios.append(plain_macs(space, bounded(limits, MOST * typical), costs) / typical)
        except Exception:  # of a user's own cost: the run will say so
            continue
    return sum(ratio > 0 for ratio in ratios), sum(ratios)


def _typical_macs(opened: Opened) -> float:
    """Mean multiply-accumulates of the archs that are timed."""
    space = opened.space
    with space.shapes_only():
        networks = [space.build(arch) for arch in space.decisions.archs(opened.members(N_MEASURED))]
    return float(np.mean([count(network, space.signature, memory=False).macs for network in networks])) or 1.0


def _loads(outlook: Sequence[Outlook], evaluator: Evaluator, like: Candidate) -> list[tuple[int, Work]]:
    """How many trials take which work; those that take the same are counted together."""
    counts: Counter[Work] = Counter()
    for each in outlook:
        candidate = replace(like, budget=each.budget, parent=0 if each.is_child else None)
        counts[evaluator.work(candidate)] += each.n
    return [(n, work) for work, n in counts.items() if n]


def _load(work: Work, times: int) -> Load:
    return Load(times * work.n_trained, times * work.n_scored)


def _networks(rehearsal: Rehearsal) -> Callable[[int], nn.Module]:
    """The i-th of some archs within the limits: paths of the shared weights that the body made, or on their own."""
    space, device, rows = rehearsal.space, rehearsal.device, rehearsal.opened.members(N_MEASURED)
    shared = rehearsal.shared
    if shared is None:
        built = [build_seeded(space, arch, 0).to(device) for arch in space.decisions.archs(rows)]
        for network in built:
            use_layout(network, True)
        return lambda i: built[i % N_MEASURED]
    use_layout(shared.network.to(device), True)

    def path(i: int) -> nn.Module:
        shared.activate(rows[i % N_MEASURED])
        return shared.network

    return path
