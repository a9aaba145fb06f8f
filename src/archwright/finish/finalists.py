"""The finalists of a run: their roles, their final weights, and their test scores."""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import nn

from archwright.core.arch import Arch
from archwright.core.errors import RunError
from archwright.core.trial import derive_seed
from archwright.evaluators.base import Evaluator
from archwright.finish.attempts import Attempt, attempted
from archwright.finish.predictions import Recording
from archwright.runs.lengths import FINAL, Lengths
from archwright.runs.run import Run
from archwright.spaces.base import Space
from archwright.tasks.base import Part, Task
from archwright.training.checkpoint import load_network, network_tensors
from archwright.training.config import TrainingConfig
from archwright.training.evaluate import evaluate
from archwright.training.log import Curve
from archwright.training.loop import fit
from archwright.training.networks import build_seeded, inherit
from archwright.training.timing import fit_step_s

Provenance = Literal["scratch", "fine-tuned", "inherited"]
"""How a network came by its weights: trained from fresh ones, trained on from those it was scored by, or as scored."""

PROVENANCES: tuple[Provenance, ...] = get_args(Provenance)

PART: Part = "train+validation"
"""What finalists are trained on: nothing is chosen any more."""


@dataclass(frozen=True)
class Finalist:
    """A network to be trained to its end and tested.

    Attributes:
        role: What it stands for: "winner", "baseline", "draw0", …; names its phase.
        arch: The architecture.
        evaluator: Scored it, and gives the weights that it inherits.
        seed: Of the trial that scored it.
    """

    role: str
    arch: Arch
    evaluator: Evaluator
    seed: int = 0


@dataclass(frozen=True)
class FinalTraining:
    """How finalists come by their weights, the same way for all of them.

    Attributes:
        config: Of the training.
        provenance: See `Provenance`; "inherited" trains nothing.
    """

    config: TrainingConfig
    provenance: Provenance = "scratch"


@dataclass(frozen=True)
class Trained:
    """The networks of all finalists, by role.

    Attributes:
        networks: With their last weights.
        curves: Loss curve of each training; of a network in two roles it stands with the first.
        attempts: How often each was begun: 2 where the first training diverged, 0 where there was none.
    """

    networks: dict[str, nn.Module]
    curves: dict[str, Any]
    attempts: dict[str, int]


def train_finalists(
    run: Run,
    space: Space,
    finalists: Sequence[Finalist],
    task: Task,
    final: FinalTraining,
    device: torch.device,
) -> Trained:
    """The networks of all finalists; one that would be trained twice is trained once.

    From scratch these are all of one arch; of inherited weights only those that one trial scored.

    All share one seed.

    Args:
        run: Where it happens; done phases are not repeated.
        space: The space of stand-alone networks.
        finalists: Which networks.
        task: Data and loss.
        final: How they are trained.
        device: Where.
    """
    trained = Trained({}, {}, {})
    made: dict[Any, tuple[nn.Module, int]] = {}
    for finalist in finalists:
        inherited = () if final.provenance == "scratch" else (id(finalist.evaluator), finalist.seed)
        key, role = (finalist.arch, *inherited), finalist.role
        if key not in made:
            network, trained.curves[role], attempts = _finished(run, space, finalist, task, final, device)
            made[key] = network, attempts
        trained.networks[role], trained.attempts[role] = made[key]
    return trained


def _finished(
    run: Run, space: Space, finalist: Finalist, task: Task, final: FinalTraining, device: torch.device
) -> tuple[nn.Module, Any, int]:
    """The network of a finalist with its last weights, its loss curve, and the attempts it took."""
    if final.provenance == "inherited":
        return _inherited(run, space, finalist, f"retrain-{finalist.role}", device), (), 0

    def inherited(network: nn.Module) -> None:
        inherit(network, finalist.evaluator.model(finalist.arch, finalist.seed))

    return retrain(
        run,
        space,
        finalist.arch,
        task,
        final.config,
        phase=f"retrain-{finalist.role}",
        device=device,
        prepare=inherited if final.provenance == "fine-tuned" else None,
    )


def retrain(
    run: Run,
    space: Space,
    arch: Arch,
    task: Task,
    config: TrainingConfig,
    *,
    phase: str,
    device: torch.device,
    prepare: Callable[[nn.Module], None] | None = None,
) -> tuple[nn.Module, Curve, int]:
    """A network trained to its end, its loss curve, and the attempts it took.

    Args:
        run: Where it happens; its seed is that of all final trainings.
        space: The space of stand-alone networks.
        arch: A member of it.
        task: Data and loss.
        config: How it is trained.
        phase: Name of the phase.
        device: Where.
        prepare: Gives a network the weights it begins with, in place; fresh ones by default.

    Raises:
        DivergedError: If the loss becomes infinite or not a number, in both attempts.
    """
    seed = derive_seed(run.seed, "retrain")

    def train(attempt: Attempt) -> tuple[nn.Module, Curve]:
        network = build_seeded(space, arch, seed, for_training=True)
        if prepare is not None and not attempt.phase.is_done:
            prepare(network)
        log = fit(network, task, attempt.config, part=PART, seed=seed, device=device, phase=attempt.phase)
        return network, log.curve

    total = config.n_steps(task.split(PART).n)
    (network, curve), attempts = attempted(run, phase, config, train, total=total)
    return network, curve, attempts


def of_planned_length(
    run: Run,
    lengths: Lengths,
    config: TrainingConfig,
    members: Sequence[tuple[Space, Arch]],
    task: Task,
    device: torch.device,
) -> TrainingConfig:
    """The final training with its length, which is the same for all networks that are trained.

    Args:
        run: Its seed gives the weights of networks that are only timed.
        lengths: Say how long it lasts.
        config: Of the training.
        members: The networks.
        task: Data and loss.
        device: Where.
    """
    usual = config.n_steps(task.split(PART).n)

    def unit_s() -> float:
        networks = (build_seeded(*member, run.seed, for_training=True) for member in dict.fromkeys(members))
        return sum(fit_step_s(network, task, config, device) for network in networks)

    n_steps = lengths.length(FINAL, usual, unit_s)
    return config if n_steps == usual else config.lasting(n_steps, usual)


def _inherited(run: Run, space: Space, finalist: Finalist, name: str, device: torch.device) -> nn.Module:
    network = space.build(finalist.arch)
    with run.phase(name) as phase:
        if not phase.is_done:
            inherit(network, finalist.evaluator.model(finalist.arch, finalist.seed))
            phase.finish(network_tensors(network), {"provenance": "inherited"})
        tensors, _ = phase.restore() or ({}, None)
        load_network(network, tensors)
    return network.to(device).eval()


def test_once(
    run: Run,
    networks: Mapping[str, nn.Module],
    task: Task,
    device: torch.device,
    *,
    channels_last: bool,
    spared: Container[str],
) -> dict[str, float]:
    """Test metric of each network, by role; the test part is read here and nowhere else.

    Of the first network, the winner, what the task's recorder keeps is stored with the scores: whatever is shown later
    of single predictions comes from there.

    Args:
        run: Where it happens.
        networks: By role; one that stands in two roles is tested once.
        task: Data and metric.
        device: Where the networks are.
        channels_last: Layout of images, as in the training.
        spared: Roles of which any number is taken.

    Raises:
        RunError: If it is no finite number.
    """
    with run.phase("test", total=len({id(network) for network in networks.values()})) as phase:
        if not phase.is_done:
            scores: dict[int, float] = {}
            first = Recording(task)
            for role, network in networks.items():
                if id(network) not in scores:
                    meter = None if scores else first
                    found = evaluate(network, task, "test", device=device, channels_last=channels_last, meter=meter)
                    score = found[task.metric]
                    if not math.isfinite(score) and role not in spared:
                        raise RunError(
                            f"{task.metric} of the {role} on the test part is {score}: its training left it without "
                            "use; lower learning_rate, add steps or set clip_norm"
                        )
                    scores[id(network)] = score
                    phase.advance(len(scores))
            if first.failure:
                run.log(f"predictions are not kept: {first.failure}")
            phase.finish(first.kept(), {role: scores[id(network)] for role, network in networks.items()})
        tested: Any = phase.result
    return {role: float(score) for role, score in tested.items()}
