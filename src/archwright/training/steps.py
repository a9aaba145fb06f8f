"""The one training loop: every training of every method is a step that `run_steps` repeats."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from archwright.core.config import absent_settings
from archwright.core.errors import InvalidValueError, RunError
from archwright.core.trial import derive_seed
from archwright.nn.depthwise import fast_gradients
from archwright.nn.modes import eval_mode
from archwright.nn.training_only import drop_training_only
from archwright.runs.phase import Phase
from archwright.training.checkpoint import below, check_same_training, load_networks, networks_tensors, under
from archwright.training.config import Precision
from archwright.training.device import mixed_precision, seeder
from archwright.training.forms import form_of
from archwright.training.learners import Learner, check_apart, joined
from archwright.training.log import LossRecorder, Scores, TrainingLog, scores_from_json
from archwright.training.sources import ONLY, Now, Reader, Source

_GPU_READ_EVERY = 10  # steps between looks at the loss, each of which waits for the device
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_RESERVED = ("carried", "stateful")  # beside the learners' names in a checkpoint


@dataclass(frozen=True)
class Scoring:
    """Figures that are measured during a training.

    Attributes:
        every: Steps between them; the last step is always scored.
        score: Gives them by name. It finds the learners' modules in evaluation mode and with the averaged values they
            would end with, and has to leave parameters and buffers as they are.
    """

    every: int
    score: Callable[[], Mapping[str, float]]

    def __post_init__(self) -> None:
        if self.every < 1:
            raise InvalidValueError(f"a scoring every {self.every} steps cannot be; give at least 1")


class Stateful(Protocol):
    """An object with state that checkpoints must keep, e.g. a baseline of rewards."""

    def tensors(self) -> Mapping[str, Tensor]:
        """Its tensors by name, for a checkpoint."""

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what `tensors` gave."""

    def state(self) -> Any:
        """The rest of the state, as JSON."""

    def load_state(self, state: Any) -> None:
        """Restore what `state` gave."""


Step = Callable[[Now], Tensor | Mapping[str, Tensor] | None]
"""One step: updates learners and returns the loss to record, several losses by name, or None."""


def run_steps(
    step: Step,
    learners: Mapping[str, Learner],
    *,
    sources: Mapping[str, Source],
    n_steps: int,
    seed: int,
    identity: Mapping[str, Any],
    device: str | torch.device = "cpu",
    precision: Precision = "auto",
    channels_last: bool = True,
    stateful: Mapping[str, Stateful] | None = None,
    scoring: Scoring | None = None,
    phase: Phase | None = None,
) -> TrainingLog:
    """Train by repeating a step.

    Batches, dropout and what else a step draws from torch or from `Now.rng` are functions of (seed, step). Whatever has
    a state enters the checkpoints by name: modules, optimizers, averages and gradients of learners, how far each source
    was read and what is carried along it, losses, scores, `stateful` objects. So a training that was killed and goes on
    from its checkpoint ends with the same bits as one that was not, if the step itself keeps nothing else. Torch's
    global random state is the same afterwards as before.

    Args:
        step: See `Step`; modules are in training mode.
        learners: What it moves, by name; checkpoints hold the tensors of a learner below its name. Afterwards their
            modules have their averages, are rid of what only training needs, and in evaluation mode.
        sources: Where its batches come from, by name.
        n_steps: How many steps.
        seed: Determines everything random in the step.
        identity: What else has to be the same for two processes to share this training, as JSON: the data.
        device: Where to train; learners' modules go there, others (a teacher) have to be there.
        precision: Of what runs in `Now.forward`.
        channels_last: Layout of images and convolution weights.
        stateful: What else has a state, by name.
        scoring: Figures to measure on the way.
        phase: Where checkpoints go; an unfinished one is continued, a finished one only loaded.

    Returns:
        The record of the training, of all processes that took part in it.

    Raises:
        DivergedError: If a loss becomes infinite or not a number; names the step.
        RunFolderError: If the checkpoint belongs to another training.
        InvalidValueError: If two learners share a parameter without saying so, or a warm-up leaves no step.
    """
    surroundings = _Surroundings(torch.device(device), precision, channels_last)
    training = _Training(learners, sources, n_steps, seed, identity, surroundings, stateful or {})
    stored = phase.restore() if phase is not None else None
    if stored is not None:
        training.resume(*stored)
    if phase is None or not phase.is_done:
        training.run(step, scoring, phase)
        if phase is not None:
            phase.finish(*training.outcome())
    for learner in learners.values():
        learner.module.eval()
    return training.log


@dataclass(frozen=True)
class _Surroundings:
    """Device, precision and layout of a training.

    Attributes:
        device: Device of networks and batches.
        precision: Number type of forward passes.
        channels_last: Layout of images (4 axes): channels-last, or else contiguous.
    """

    device: torch.device
    precision: Precision
    channels_last: bool


class _Training:
    """One training between two steps: all that has to go into a checkpoint."""

    log: TrainingLog

    def __init__(
        self,
        learners: Mapping[str, Learner],
        sources: Mapping[str, Source],
        n_steps: int,
        seed: int,
        identity: Mapping[str, Any],
        surroundings: _Surroundings,
        stateful: Mapping[str, Stateful],
    ) -> None:
        _check(learners, sources, n_steps)
        self._learners, self._seed, self._around, self._stateful = learners, seed, surroundings, stateful
        self._modules = {name: learner.module for name, learner in learners.items()}
        self._identity, self._absent = _identities(identity, learners, sources, seed, n_steps, surroundings)
        device = surroundings.device
        whole = self._modules[ONLY] if ONLY in learners else joined(self._modules)
        self._whole = whole
        dtype, channels_last = form_of(whole, surroundings.precision, surroundings.channels_last, device)
        self._readers = {
            name: Reader(source, whole, n_steps, device, channels_last) for name, source in sources.items()
        }
        self._now = Now(self._readers, n_steps, seed, lambda: mixed_precision(device, dtype), seeder(device))
        for name, learner in learners.items():
            learner.begin(
                self._now,
                name=name,
                device=device,
                dtype=dtype,
                channels_last=channels_last,
                is_alone=len(learners) == 1,
            )
        self._losses: dict[str, LossRecorder] = {}
        self._scores: Scores = ()
        self._done, self._seconds = 0, 0.0

    def run(self, step: Step, scoring: Scoring | None, phase: Phase | None) -> None:
        """All steps that are left, then the end of the training."""
        device, now, readers = self._around.device, self._now, tuple(self._readers.values())
        started = time.perf_counter() - self._seconds
        with torch.random.fork_rng([device.index or 0] if device.type == "cuda" else []), ExitStack() as stack:
            for reader in readers:
                stack.callback(reader.close)
            stack.enter_context(fast_gradients(self._whole))
            seed_all = seeder(device)
            self._whole.train()
            for number in range(self._done, now.n_steps):
                now.number = number
                for reader in readers:
                    reader.batch = None
                seed_all(derive_seed(self._seed, "step", number))
                self._record(step(now), number)
                self._done = number + 1
                if scoring is not None and (self._done % scoring.every == 0 or self._done == now.n_steps):
                    self._score(scoring)
                self._seconds = time.perf_counter() - started
                if phase is not None:
                    self._report(phase)
        for learner in self._learners.values():
            learner.end()
        self._strip()
        self.log = self._log()

    def _record(self, losses: Tensor | Mapping[str, Tensor] | None, number: int) -> None:
        if losses is None:
            return
        for name, loss in ((ONLY, losses),) if isinstance(losses, Tensor) else losses.items():
            self._recorder(name).add(loss, number)

    def _recorder(self, name: str) -> LossRecorder:
        found = self._losses.get(name)
        if found is None:
            read_every = 1 if self._around.device.type == "cpu" else _GPU_READ_EVERY
            found = self._losses[name] = LossRecorder(self._now.n_steps, read_every, name)
        return found

    def _score(self, scoring: Scoring) -> None:
        with ExitStack() as stack:
            for learner in self._learners.values():
                stack.enter_context(learner.averaged())
            stack.enter_context(eval_mode(self._whole.modules()))
            found = scoring.score()
        try:
            figures = {str(name): float(value) for name, value in found.items()}
        except (AttributeError, TypeError, ValueError):
            raise RunError(f"the scoring of a training gave {found!r}; give numbers by name") from None
        self._scores += ((self._done, figures),)

    def _strip(self) -> None:
        for module in self._modules.values():
            drop_training_only(module)

    def _log(self) -> TrainingLog:
        curves = {name: recorder.finished() for name, recorder in self._losses.items()}
        curve = next(iter(curves.values()), ())
        final_loss = curve[-1][1] if curve else float("nan")
        by_name = {} if curves.keys() <= {ONLY} else curves
        return TrainingLog(self._now.n_steps, curve, final_loss, self._seconds, by_name, self._scores)

    def _report(self, phase: Phase) -> None:
        losses = {f"{name} loss" if name else "loss": recorder.last for name, recorder in self._losses.items()}
        # a recorder that was read from a checkpoint has no last loss before its next
        phase.advance(self._done, **{name: loss for name, loss in losses.items() if loss == loss})
        if phase.is_due and self._done < self._now.n_steps:
            phase.checkpoint(*self._checkpoint())

    # ── checkpoints ───────────────────────────────────────────────────────────────────────────────

    def _checkpoint(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors = networks_tensors(self._modules) | self._stateful_tensors()
        for name, learner in self._learners.items():
            tensors |= below(name, learner.tensors())
        for name, reader in self._readers.items():
            if reader.stream is not None:
                tensors |= below("carried", below(name, reader.stream.tensors()))
        return tensors, {
            "training": self._identity,
            "step": self._done,
            "seconds": self._seconds,
            "losses": {name: recorder.state() for name, recorder in self._losses.items()},
            "learners": {name: learner.state() for name, learner in self._learners.items()},
            "sources": {name: reader.n_read for name, reader in self._readers.items()},
            "scores": [[step, figures] for step, figures in self._scores],
            "stateful": self._stateful_states(),
        }

    def outcome(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The result of a finished training: copied tensors of modules and stateful objects, and the log."""
        tensors = networks_tensors(self._modules) | self._stateful_tensors()
        state = {"training": self._identity, "log": self.log.to_json()}
        states = {"stateful": self._stateful_states()} if self._stateful else {}
        return {path: tensor.clone() for path, tensor in tensors.items()}, state | states

    def _stateful_tensors(self) -> dict[str, Tensor]:
        return {
            path: tensor
            for name, each in self._stateful.items()
            for path, tensor in below(f"stateful/{name}", each.tensors()).items()
        }

    def _stateful_states(self) -> dict[str, Any]:
        return {name: each.state() for name, each in self._stateful.items()}

    def resume(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Restore a checkpoint, or the result of a finished training."""
        check_same_training(state["training"], self._identity, self._absent)
        is_finished = "log" in state
        if is_finished:
            self._strip()
        load_networks(self._modules, tensors)
        for name, each in self._stateful.items():
            each.load(under(f"stateful/{name}", tensors))
            each.load_state(state["stateful"][name])
        if is_finished:
            self.log = TrainingLog.from_json(state["log"])
            return
        state = _of_this_build(state)
        for name, learner in self._learners.items():
            learner.load(under(name, tensors))
            learner.load_state(state["learners"][name])
        for name, reader in self._readers.items():
            reader.n_read = int(state["sources"][name])
            if reader.stream is not None:
                carried = under(name, under("carried", tensors))
                reader.stream.load({path: tensor.to(self._around.device) for path, tensor in carried.items()})
        for name, losses in state["losses"].items():
            self._recorder(name).load_state(losses)
        self._scores = scores_from_json(state["scores"])
        self._done, self._seconds = int(state["step"]), float(state["seconds"])


def _check(learners: Mapping[str, Learner], sources: Mapping[str, Source], n_steps: int) -> None:
    if not learners:
        raise InvalidValueError("a training has no learner; give at least one")
    if n_steps < 1:
        raise InvalidValueError(f"a training of {n_steps} steps cannot be; give at least 1")
    for kind, names in (("learner", learners), ("source", sources)):
        for name in names:
            is_alone = name == ONLY and len(names) == 1
            if not is_alone and (not _NAME.fullmatch(name) or name in _RESERVED):
                accepted = f"use letters, digits, '_' and '-', a letter first, and not {' or '.join(_RESERVED)}"
                raise InvalidValueError(f"{name!r} cannot name a {kind}; {accepted}")
    check_apart(learners)


def _identities(
    identity: Mapping[str, Any],
    learners: Mapping[str, Learner],
    sources: Mapping[str, Source],
    seed: int,
    n_steps: int,
    surroundings: _Surroundings,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What has to be the same for two processes to share a training, and what keys meant where they are not there."""
    flat: dict[str, Any] = {**identity, "seed": seed, "steps": n_steps}
    absent: dict[str, Any] = {}
    for name, learner in learners.items():
        prefix = f"learners.{name}" if name else "config"
        flat |= {f"{prefix}.{field}": value for field, value in asdict(learner.config).items()}
        flat |= {f"{prefix}.n_updates": learner.n_updates} if name else {}
        absent |= {f"{prefix}.{field}": value for field, value in absent_settings(learner.config).items()}
    for name, source in sources.items():
        if name:
            flat |= {f"sources.{name}.{field}": getattr(source, field) for field in ("batch_size", "seed")}
            flat[f"sources.{name}.examples"] = source.split.n
    if set(learners) != {ONLY}:  # of a single one they stand in its configuration
        flat |= {"learners": list(learners), "precision": surroundings.precision}
        flat["channels_last"] = surroundings.channels_last
    document: dict[str, Any] = json.loads(json.dumps(flat))  # tuples as they come back from a file
    return document, absent


def _of_this_build(state: Mapping[str, Any]) -> Mapping[str, Any]:
    """The state of a checkpoint, also of builds that knew one learner, one source and one loss."""
    if "learners" in state:
        return state
    step = int(state["step"])
    learner = {"scaler": state["scaler"], "updates": step, "pending": 0}
    return {
        **state,
        "losses": {ONLY: state["losses"]},
        "learners": {ONLY: learner},
        "sources": {ONLY: step},
        "scores": [],
    }
