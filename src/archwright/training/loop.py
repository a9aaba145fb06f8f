"""The one training loop: every network of every method goes through `fit`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn

from archwright.core.trial import derive_seed
from archwright.nn.added_losses import AddedLosses
from archwright.nn.carrying import Stream
from archwright.nn.drop_path import DropPathSchedule
from archwright.nn.inputs import call
from archwright.nn.training_only import drop_training_only
from archwright.tasks.base import Batch, Part, Split, Task
from archwright.training.base import Phase
from archwright.training.checkpoint import below, check_same_training, load_network, network_tensors, under
from archwright.training.config import TrainingConfig
from archwright.training.device import compute_dtype, mixed_precision, place_batch, seeder, use_layout
from archwright.training.ema import average_of
from archwright.training.log import LossRecorder, TrainingLog
from archwright.training.optimizers import Updater
from archwright.training.schedules import learning_rate

_GPU_READ_EVERY = 10  # steps between looks at the loss, each of which waits for the device


def fit(
    network: nn.Module,
    task: Task,
    config: TrainingConfig,
    *,
    part: Part = "train",
    seed: int,
    device: str | torch.device = "cpu",
    before_step: Callable[[int], None] | None = None,
    phase: Phase | None = None,
) -> TrainingLog:
    """Train a network in place.

    Batches, dropout and whatever `before_step` draws from torch are functions of (seed, step), so a training that was
    interrupted and goes on from its checkpoint ends with the same bits as one that was not. Torch's global random
    state is the same afterwards as before.

    Args:
        network: Moved to `device` and into the config's layout; in evaluation mode afterwards.
        task: Examples and loss.
        config: Length, optimizer, schedule, precision.
        part: The examples to train on.
        seed: Determines batches and everything random in the network.
        device: Where to train.
        before_step: Called with the number of each step before it, e.g. to activate a path; must not depend on
            earlier calls. Parameters that get no gradient in a step are left alone in it.
        phase: Where checkpoints go; an unfinished one is continued, a finished one only loaded.

    Returns:
        The record of the training, of all processes that took part in it.

    Raises:
        RunError: If the loss becomes infinite or not a number; names the step.
        RunFolderError: If the checkpoint belongs to other data, another network or another configuration.
        InvalidValueError: If warm-up leaves no step, or the network has no parameters.
    """
    training = _Training(network, task, config, part, seed, torch.device(device))
    stored = phase.restore() if phase is not None else None
    if stored is not None:
        training.resume(*stored)
    if phase is None or not phase.is_done:
        training.run(before_step, phase)
        if phase is not None:
            phase.finish(*training.outcome())
    network.eval()
    return training.log


class _Training:
    """One training between two steps: all that has to go into a checkpoint."""

    log: TrainingLog

    def __init__(
        self, network: nn.Module, task: Task, config: TrainingConfig, part: Part, seed: int, device: torch.device
    ) -> None:
        self._network, self._task, self._config, self._seed, self._device = network, task, config, seed, device
        self._split: Split = task.split(part)
        self._n_steps = config.n_steps(self._split.n)
        self._identity = _identity(config, task, part, seed, self._n_steps)
        self._dtype = compute_dtype(config.precision, device)
        network.to(device)
        use_layout(network, config.channels_last)
        self._updater = Updater(network, config, self._dtype)
        self._ema = average_of(network, config, self._n_steps)
        self._stream, self._added = Stream(network), AddedLosses(network)
        self._drop_paths = DropPathSchedule(network)
        self._losses = LossRecorder(self._n_steps, 1 if device.type == "cpu" else _GPU_READ_EVERY)
        self._step, self._seconds = 0, 0.0

    def run(self, before_step: Callable[[int], None] | None, phase: Phase | None) -> None:
        """All steps that are left, then the end of the training."""
        devices = [self._device.index or 0] if self._device.type == "cuda" else []
        started = time.perf_counter() - self._seconds
        with torch.random.fork_rng(devices):
            seed_all = seeder(self._device)
            self._network.train()
            for batch in self._batches():
                seed_all(derive_seed(self._seed, "step", self._step))
                if before_step is not None:
                    before_step(self._step)
                with self._stream.batch(goes_on=self._goes_on()):
                    self._train_step(place_batch(batch, self._device, self._config.channels_last))
                self._seconds = time.perf_counter() - started
                if phase is not None:
                    self._report(phase)
        if self._ema is not None:
            self._ema.copy_to_network()
        drop_training_only(self._network)
        self.log = self._losses.log(self._seconds)

    def _batches(self) -> Iterator[Batch]:
        seed, n_left = derive_seed(self._seed, "batches"), self._n_steps - self._step
        return self._split.batches(self._config.batch_size, seed=seed, first_step=self._step, n_steps=n_left)

    def _goes_on(self) -> bool:
        """Whether the next batch goes on where the last one ended."""
        return self._split.is_stream and self._step % self._split.steps_per_epoch(self._config.batch_size) != 0

    def _train_step(self, batch: Batch) -> None:
        self._drop_paths.set_progress(self._step / self._n_steps)

        def loss_of(outputs: Tensor) -> Tensor:
            return self._task.loss(outputs, batch, label_smoothing=self._config.label_smoothing)

        with mixed_precision(self._device, self._dtype):
            loss = loss_of(call(self._network, batch.inputs))
            if (added := self._added.take(loss_of)) is not None:
                loss = loss + added
        self._losses.add(loss)  # before the weights change: a broken loss must not reach them
        self._updater.step(loss, learning_rate(self._config, self._step, self._n_steps))
        if self._ema is not None:
            self._ema.update(self._step)
        self._step += 1

    def _report(self, phase: Phase) -> None:
        phase.advance(self._step, loss=self._losses.last)
        if phase.is_due and self._step < self._n_steps:
            phase.checkpoint(*self._checkpoint())

    def _checkpoint(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors = network_tensors(self._network) | below("optimizer", self._updater.tensors())
        tensors |= below("carried", self._stream.tensors())
        if self._ema is not None:
            tensors |= below("ema", self._ema.tensors())
        return tensors, {
            "training": self._identity,
            "step": self._step,
            "seconds": self._seconds,
            "losses": self._losses.state(),
            "scaler": self._updater.state(),
        }

    def outcome(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """What a finished training leaves: the network's tensors, copied, and the log."""
        tensors = {path: tensor.clone() for path, tensor in network_tensors(self._network).items()}
        return tensors, {"training": self._identity, "log": self.log.to_json()}

    def resume(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Take up a checkpoint, or the outcome of a finished training."""
        check_same_training(state["training"], self._identity)
        if "log" in state:
            drop_training_only(self._network)
        load_network(self._network, tensors)
        if "log" in state:
            self.log = TrainingLog.from_json(state["log"])
            return
        self._updater.load(under("optimizer", tensors))
        self._updater.load_state(state["scaler"])
        self._stream.load({path: tensor.to(self._device) for path, tensor in under("carried", tensors).items()})
        if self._ema is not None:
            self._ema.load(under("ema", tensors))
        self._losses.load_state(state["losses"])
        self._step, self._seconds = int(state["step"]), float(state["seconds"])


def _identity(config: TrainingConfig, task: Task, part: Part, seed: int, n_steps: int) -> dict[str, Any]:
    """What has to be the same for two processes to share a training, as JSON."""
    flat = {f"config.{name}": value for name, value in asdict(config).items()}
    identity = {"data": task.fingerprint, "part": part, "seed": seed, "steps": n_steps, **flat}
    document: dict[str, Any] = json.loads(json.dumps(identity))  # tuples as they come back from a file
    return document
