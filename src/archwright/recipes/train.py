"""One fixed architecture, trained and handed over like a search's winner; nothing is chosen."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from torch import nn

from archwright.core.config import MAX_THREADS, absent_settings, added_field, check_range, to_json
from archwright.core.errors import InvalidValueError
from archwright.export.warm_start import WarmStart, open_warm_start
from archwright.finish.finalists import PART, of_planned_length, retrain
from archwright.finish.finishing import effective_config, finish_fixed
from archwright.finish.quantised import MIN_AGREEMENT, Int8Terms, n_passed
from archwright.finish.result import Result, reopen
from archwright.recipes.augmenting import as_published, settled
from archwright.recipes.limited_costs import check_counted
from archwright.recipes.planning import lengths_of
from archwright.recipes.presets import (
    QUICK_STEPS,
    check_start,
    check_time,
    darts_language_training,
    default_threads,
    long,
    spos_training,
    suited,
    usual_training,
)
from archwright.recipes.trying import try_out
from archwright.recipes.workload import Item, Load, Memory, Workload
from archwright.runs.files import digest
from archwright.runs.lengths import FINAL
from archwright.runs.progress import Progress
from archwright.runs.run import open_run
from archwright.spaces.opening import Architecture, arch_document, code_identity, open_architecture, with_settings
from archwright.tasks.base import LARGE_SIDE, Task
from archwright.training.config import TrainingConfig
from archwright.training.device import pick_device, set_threads, use_layout
from archwright.training.networks import build_seeded
from archwright.training.timing import scoring_pass, training_step


@dataclass(frozen=True)
class TrainConfig:
    """What is trained, and how.

    Attributes:
        arch: A published name, the path of an arch.json or of its folder, or SPACE:CODE.
        training: Length, optimizer, schedule.
        seed: Of everything random.
        threads: Threads of the training.
        device: "auto", "cpu", "cuda" or "cuda:N".
        space_args: Settings of its space, as `--space-set`; they replace stored ones.
        time_s: Seconds of the whole run, as `--time`, in place of the training's length.
        plan: Lengths of another run's plan by part, as `--plan`.
        int8: Whether the network also becomes an 8-bit file, `best/model.int8.onnx`.
        int8_agreement: Least share of validation images that it and the float file must put into the same class.
        weights: File of the weights that the training begins with (see `open_warm_start`); None begins with fresh ones.
        ignore: Names of tensors, or of modules with all below them, that begin with fresh weights all the same.
        averaged: Whether a torch file's moving average is taken, and not the weights beside it.
    """

    arch: str = ""
    training: TrainingConfig = field(default_factory=lambda: _paper_training(LARGE_SIDE))
    seed: int = 0
    threads: int = field(default_factory=default_threads)
    device: str = "auto"
    space_args: Mapping[str, Any] = field(default_factory=dict)
    time_s: float | None = added_field(None, absent=None)
    plan: Mapping[str, int] | None = added_field(None, absent=None)
    int8: bool = added_field(True, absent=False)
    int8_agreement: float = added_field(MIN_AGREEMENT, absent=MIN_AGREEMENT)
    weights: str | None = added_field(None, absent=None)
    ignore: tuple[str, ...] = added_field((), absent=())
    averaged: bool = added_field(False, absent=False)

    def __post_init__(self) -> None:
        check_time(self.time_s, self.plan)
        check_range("int8_agreement", self.int8_agreement, 0, 1)
        check_start(self.weights, self.ignore, averaged=self.averaged)
        check_range("threads", self.threads, 1, MAX_THREADS)

    @classmethod
    def preset(cls, name: str, input_shape: Sequence[int]) -> Self:
        """`smoke` (seconds), `quick` (minutes) and `long` (an hour) train as a search of that preset does; `paper`.

        `paper` is the training of SPOS from 64 pixels on (Guo et al., 2020, released code) and that of NAS-Bench-201
        below (Dong and Yang, 2020: 200 epochs); for texts, that of DARTS's recurrent networks.

        Args:
            name: Which.
            input_shape: (C, H, W) of images, (T,) of texts.

        Raises:
            InvalidValueError: If there is no such preset.
        """
        if name == "paper":
            is_text = len(input_shape) == 1
            training = darts_language_training() if is_text else _paper_training(min(input_shape[1:]))
            return as_published(cls(training=training), input_shape, jitter=True)
        if name == "quick":
            return suited(cls(training=usual_training(steps=QUICK_STEPS, batch_size=64)), input_shape)
        if name == "long":
            return long(cls.preset("quick", input_shape))
        if name == "smoke":
            return suited(cls(training=usual_training(steps=8, batch_size=32), int8=False), input_shape)
        raise InvalidValueError(f"unknown preset {name!r}; choose smoke, quick, long or paper")


def _paper_training(side: int) -> TrainingConfig:
    if side >= LARGE_SIDE:
        return spos_training(300_000)
    return TrainingConfig(
        epochs=200,
        batch_size=256,
        learning_rate=0.1,
        momentum=0.9,
        nesterov=True,
        weight_decay=5e-4,
        decay_norm_and_bias=True,
        schedule="cosine",
    )


def train(
    config: TrainConfig,
    task: Task,
    *,
    out: Path | str | None = None,
    resume: bool = False,
    accept_code_change: bool = False,
    progress: Progress | None = None,
    spent_s: float = 0.0,
) -> Result:
    """Train one architecture on training and validation part together, test it once, export it.

    Its space is made for the data's input size and classes. Seed and configuration of a search's retraining give the
    search's winner again. With weights to begin with, a training may go on with a network, or fit it to other data.

    Args:
        config: What and how.
        task: What to train for.
        out: The run's folder; None keeps everything in memory and exports nothing.
        resume: Go on with the run in `out`; a finished one is only opened.
        accept_code_change: Go on though the code of a user's space was edited since the start; the result says so.
        progress: Where to show how far it is.
        spent_s: Seconds that went by for this run before this call; they count in the ledger as its start.

    Raises:
        UsageError: Before anything starts: an unknown architecture, one that the data do not fit, weights of another
            network, an unusable folder.
        RunError: After the start.
    """
    begun = time.monotonic() - spent_s
    set_threads(config.threads)
    device, config = pick_device(config.device), settled(config, task)
    found, remarks = _open(config, task)
    start = _open_start(config, found, task)
    # what the names stood for, so that a file or a space that has changed since is noticed
    stood_for: dict[str, Any] = {"architecture": arch_document(found.space, found.arch), **code_identity(found.space)}
    if config.weights is not None:
        stood_for["weights_sha256"] = digest(config.weights)
    effective = effective_config({"recipe": "train", **to_json(config), **stood_for}, task)
    with open_run(
        out,
        effective,
        seed=config.seed,
        resume=resume,
        progress=progress,
        threads=config.threads,
        recipe="train",
        absent=absent_settings(config),
        accept_code_change=accept_code_change,
    ) as run:
        if run.result is not None:
            return reopen(run, found.space, phase="train")
        run.note_start(time.monotonic() - begun)
        for remark in (*task.remarks, *remarks):
            run.log(remark)
        lengths = lengths_of(run, config, lambda: workload(config, task))
        members = [(found.space, found.arch)]
        training = of_planned_length(run, lengths, config.training, members, task, device)
        if start is not None:
            run.log(_started(config, start))
        network, curve, attempts = retrain(
            run,
            found.space,
            found.arch,
            task,
            training,
            phase="train",
            device=device,
            prepare=None if start is None else start.give,
        )
        return finish_fixed(
            run,
            found.space,
            found.arch,
            network,
            task,
            training,
            recipe="train",
            int8=Int8Terms(config.int8_agreement) if config.int8 else None,
            device=device,
            attempts=attempts,
            curves={"train": curve},
            origin={} if start is None else _origin(config, start, stood_for["weights_sha256"]),
        )


def workload(config: TrainConfig, task: Task) -> Workload:
    """What a training computes."""
    set_threads(config.threads)
    device = pick_device(config.device)
    (found, remarks), config = _open(config, task), settled(config, task)
    _open_start(config, found, task)  # weights that do not fit are refused by a dry run too
    n_steps = config.training.n_steps(task.split(PART).n)
    network = build_seeded(found.space, found.arch, 0).to(device)
    use_layout(network, True)
    training = training_step(lambda i: network, task, device, config.training.batch_size)
    scoring = scoring_pass(lambda i: network, task, device)
    how = f"{n_steps:,} steps of {config.training.batch_size}"
    parts = [Item(how, Load(n_steps * config.training.batch_size), FINAL, n_steps, ("train",))]
    memory = Memory.of(config.training.batch_size, network)
    n_tested = task.n_examples("test") + (n_passed(task) if config.int8 else 0)
    return Workload(training, scoring, parts, config.threads, device, memory, n_tested=n_tested, remarks=remarks)


def _open_start(config: TrainConfig, found: Architecture, task: Task) -> WarmStart | None:
    """The weights to begin with, if any, checked against the architecture."""
    if config.weights is None:
        return None
    decided = task.space_args()

    def build(n_classes: int | None) -> nn.Module:
        changed = {**decided, "n_classes": n_classes} if "n_classes" in decided else decided
        space = open_architecture(config.arch, **with_settings(changed, config.space_args)).space
        return space.build_for_training(found.arch)

    n_classes = decided.get("n_classes")
    return open_warm_start(
        config.weights, build, n_classes, task.class_names, ignore=config.ignore, averaged=config.averaged
    )


def _started(config: TrainConfig, start: WarmStart) -> str:
    fresh = f"; fresh: {', '.join(start.fresh)}" if start.fresh else ""
    return f"the training begins with the weights of {config.weights}{fresh}"


def _origin(config: TrainConfig, start: WarmStart, sha256: str) -> dict[str, Any]:
    """What the record says of a training that began with given weights."""
    weights = {"file": config.weights, "sha256": sha256, "fresh": list(start.fresh)}
    return {"provenance": "fine-tuned", "weights": weights}


def _open(config: TrainConfig, task: Task) -> tuple[Architecture, tuple[str, ...]]:
    """The architecture, and what was found of a user's own space."""
    found = open_architecture(config.arch, **with_settings(task.space_args(), config.space_args))
    task.check_taken_by(found.space)
    remarks = try_out(found.space)
    uncounted = check_counted(found.space, (), (), is_allowed=True)
    return found, (*remarks, uncounted) if uncounted else remarks


# what the command line reads of a recipe
train.config, train.workload = TrainConfig, workload  # type: ignore[attr-defined]
train.estimate = lambda config, task: workload(config, task).estimate()  # type: ignore[attr-defined]
