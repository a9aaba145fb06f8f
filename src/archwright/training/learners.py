"""Learners: the parameters of some modules with an optimizer of their own."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from archwright.core.errors import InvalidValueError, UsageError
from archwright.training.checkpoint import below, under
from archwright.training.config import OptimizerConfig
from archwright.training.device import use_layout
from archwright.training.ema import average_of
from archwright.training.log import broken_loss
from archwright.training.optimizers import Updater
from archwright.training.schedules import learning_rate


class Clock:
    """Where a training stands.

    Attributes:
        number: The present step, from 0.
        n_steps: Of the whole training.
    """

    def __init__(self, n_steps: int) -> None:
        self.number, self.n_steps = 0, n_steps


class Learner:
    """The parameters of some modules, and the optimizer, schedule, average, clipping and loss scale that move them.

    It moves inside `run_steps`, and only where the step says so; a step in which it does not costs it nothing. Its
    schedule runs over the steps of the training, so that it means the same whether the learner moves in every step or
    in every fifth; with `n_updates` it runs over the learner's own updates instead, as where the training alternates
    between long phases of one learner and of another. `warmup_steps`, milestones and `average_from` follow it.

    Args:
        parts: What is trained: a module, or several by name. A module may be in two learners.
        config: Optimizer and schedule.
        shares: Names of parameters, or of modules with all below them, that another learner moves too.
        n_updates: How many updates it makes in the training, if its schedule is to run over them.

    Raises:
        InvalidValueError: If there are no parameters, all are frozen, or `shares` names none of them.
    """

    def __init__(
        self,
        parts: nn.Module | Mapping[str, nn.Module],
        config: OptimizerConfig,
        *,
        shares: Collection[str] = (),
        n_updates: int | None = None,
    ) -> None:
        self.module = parts if isinstance(parts, nn.Module) else joined(parts)
        self.config, self.n_updates = config, n_updates
        self._parameters = dict(self.module.named_parameters())
        if not self._parameters:
            what = "the network" if isinstance(parts, nn.Module) else f"what is named {', '.join(parts) or 'nothing'}"
            raise InvalidValueError(f"{what} has no parameters; there is nothing to train, leave the learner out")
        if not self._trainable():
            raise InvalidValueError(
                f"all {len(self._parameters)} parameters of {type(self.module).__name__} are frozen (requires_grad is "
                "False); there is nothing to train, leave the learner out or set it"
            )
        if n_updates is not None and n_updates < 1:
            raise InvalidValueError(f"n_updates is {n_updates}; give at least 1, or None to count the steps")
        if isinstance(shares, str):
            raise InvalidValueError(f"shares is the text {shares!r}; give a collection of names, such as ({shares!r},)")
        self.shared = {name for name in self._parameters if _is_named(name, shares)}
        for name in shares:
            if not any(_is_named(parameter, (name,)) for parameter in self._parameters):
                known = ", ".join(itertools.islice(self._parameters, 3))
                raise InvalidValueError(f"shares names {name!r}, which is no parameter here; those are {known}, …")
        self._clock: Clock | None = None
        self._name = ""
        self._updates = self._pending = 0  # so far; losses since the last update

    def begin(
        self,
        clock: Clock,
        *,
        name: str,
        device: torch.device,
        dtype: torch.dtype,
        channels_last: bool,
        is_alone: bool,
    ) -> None:
        """Move the modules to the device and make the optimizer; `run_steps` calls it.

        Args:
            clock: Tells the present step.
            name: The learner's, for errors; empty for the only one.
            device: Where the modules go.
            dtype: Of the forward passes.
            channels_last: Layout of convolution weights.
            is_alone: Whether no other learner's parameters can get gradients from this one's losses.
        """
        if self._clock is not None:
            raise UsageError("this learner was in a training before; make a new one for each")
        total = clock.n_steps if self.n_updates is None else self.n_updates
        self.config.check_steps(total)
        self.module.to(device)
        use_layout(self.module, channels_last)
        self._updater = Updater(self._parameters, self.config, dtype)
        self._average = average_of(self.module, self.config, total)
        self._is_alone, self._looks = is_alone, device.type == "cpu"
        self._clock, self._name = clock, name

    # ── moving ────────────────────────────────────────────────────────────────────────────────────

    def backward(self, loss: Tensor, *also: Learner) -> None:
        """Add the gradients of a loss, of this learner's parameters alone; they add up until `update`.

        With `accumulate`, each loss counts by its inverse. Where looking is free (on a CPU), a loss that is infinite or
        not a number stops the training before it reaches the parameters.

        Args:
            loss: A scalar.
            also: Further learners whose parameters get gradients in the same pass.

        Raises:
            DivergedError: If the loss is broken; names the step.
        """
        loss = self.checked(loss)
        if self.config.accumulate > 1:
            loss = loss / self.config.accumulate
        every = (self, *also)
        for learner in every:
            learner._pending += 1
        if self._is_alone:
            torch.autograd.backward(self._updater.scaled(loss))
        elif not self._updater.is_scaled:
            torch.autograd.backward(loss, inputs=[p for learner in every for p in learner._trainable()])
        else:  # each has a scale of its own, so each needs a pass
            for learner in every:
                scaled = learner._updater.scaled(loss)
                torch.autograd.backward(scaled, inputs=learner._trainable(), retain_graph=learner is not every[-1])

    def checked(self, loss: Tensor) -> Tensor:
        """The loss, where looking is free (on a CPU) only if it is finite.

        Args:
            loss: A scalar.

        Raises:
            DivergedError: If it is infinite or not a number; names the step.
        """
        clock = self._running()
        if self._looks and not math.isfinite(value := loss.item()):
            raise broken_loss(value, clock.number, clock.n_steps, of=self._name)
        return loss

    def follow(self, gradients: Mapping[str, Tensor]) -> None:
        """`update` along gradients that were computed elsewhere.

        Args:
            gradients: By the names of parameters, unscaled; the others stay as they are.
        """
        for name, gradient in gradients.items():
            parameter = self._parameters[name]
            parameter.grad = torch.empty_like(parameter).copy_(gradient)
        self.update()

    def descent(self, gradients: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What one step of SGD at rate 1 would take off the parameters: gradient, decay and what momentum is left.

        Args:
            gradients: By the names of parameters; the others stay.

        Raises:
            InvalidValueError: If the optimizer is another, or its momentum is Nesterov's.
        """
        config = self.config
        if config.optimizer != "sgd" or config.nesterov or config.dampening:
            said = "nesterov" if config.nesterov else "dampening" if config.dampening else config.optimizer
            raise InvalidValueError(f"a step of SGD with plain momentum is looked ahead, and the optimizer has {said}")
        found = {}
        for name, gradient in gradients.items():
            parameter = self._parameters[name]
            moved = gradient
            if config.weight_decay and (config.decay_norm_and_bias or parameter.dim() > 1):
                moved = moved + config.weight_decay * parameter.detach()
            if config.momentum and (kept := self.momentum(name)) is not None:
                moved = moved + config.momentum * kept
            found[name] = moved
        return found

    def update(self) -> None:
        """One step of the optimizer along the gradients, at the present rate; leaves no gradients."""
        step, total = self._place()
        self._updater.update(learning_rate(self.config, step, total))
        self._updates, self._pending = self._updates + 1, 0
        if self._average is not None:
            self._average.update(step)

    def descend(self, loss: Tensor) -> None:
        """`backward` and `update`; with `accumulate` = n, an update with each n-th loss."""
        self.backward(loss)
        if self._pending >= self.config.accumulate:
            self.update()

    @property
    def rate(self) -> float:
        """The learning rate of the present step."""
        return learning_rate(self.config, *self._place())

    def parameters(self) -> dict[str, nn.Parameter]:
        """All parameters by name."""
        return self._parameters

    def momentum(self, name: str) -> Tensor | None:
        """What the optimizer keeps of a parameter's gradients, its first moment; None as long as it keeps nothing."""
        self._running()
        return self._updater.momentum(name)

    @contextmanager
    def shifted(self, by: Mapping[str, Tensor], scale: float = 1.0) -> Iterator[None]:
        """Inside, parameters are moved; afterwards they and all buffers (batch-norm statistics) have their old bits.

        Gradients have to be taken inside, e.g. by `torch.autograd.grad`.

        Args:
            by: Directions by the names of parameters; the others stay.
            scale: Factor of the directions.
        """
        live = [*self._parameters.values(), *self.module.buffers()]
        kept = [tensor.detach().clone() for tensor in live]
        with torch.no_grad():
            for name, direction in by.items():
                self._parameters[name].add_(direction, alpha=scale)
        try:
            yield
        finally:
            with torch.no_grad():
                for tensor, old in zip(live, kept, strict=True):
                    tensor.copy_(old)

    def _trainable(self) -> list[nn.Parameter]:
        return [parameter for parameter in self._parameters.values() if parameter.requires_grad]

    def _place(self) -> tuple[int, int]:
        """Position in the learner's schedule, and length of the schedule."""
        clock = self._running()
        if self.n_updates is None:
            return clock.number, clock.n_steps
        return min(self._updates, self.n_updates - 1), self.n_updates

    def _running(self) -> Clock:
        if self._clock is None:
            raise UsageError("a learner moves only in a training; give it to run_steps")
        return self._clock

    # ── its end, and its checkpoints ──────────────────────────────────────────────────────────────

    def averaged(self) -> AbstractContextManager[None]:
        """Inside, the modules have the averaged values they would end with, if there are any."""
        return nullcontext() if self._average is None else self._average.in_network()

    def end(self) -> None:
        """Leave the average, if there is one, in the modules."""
        if self._average is not None:
            self._average.copy_to_network()

    def tensors(self) -> dict[str, Tensor]:
        """What a checkpoint needs beside the modules: the optimizer, the average, gradients of steps under way."""
        found = below("optimizer", self._updater.tensors())
        if self._pending:
            gradients = {name: p.grad for name, p in self._parameters.items() if p.grad is not None}
            found |= below("gradient", gradients)
        return found if self._average is None else found | below("ema", self._average.tensors())

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what `tensors` gave."""
        self._updater.load(under("optimizer", tensors))
        for name, gradient in under("gradient", tensors).items():
            parameter = self._parameters[name]
            parameter.grad = torch.empty_like(parameter).copy_(gradient)
        if self._average is not None:
            self._average.load(under("ema", tensors))

    def state(self) -> dict[str, Any]:
        """The rest of the state, as JSON."""
        counts = {"updates": self._updates, "pending": self._pending}
        averaged = {} if self._average is None else {"averaged": self._average.n}
        return {"scaler": self._updater.state(), **counts, **averaged}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` gave."""
        self._updater.load_state(state["scaler"])
        self._updates, self._pending = int(state["updates"]), int(state["pending"])
        if self._average is not None:
            # older checkpoints lack the number: they knew learners only that move in every step
            entered = max(0, self._updates - self._average.first_step)
            self._average.n = int(state.get("averaged", entered))


def joined(parts: Mapping[str, nn.Module]) -> nn.Module:
    """A module whose children these are; they are not changed.

    Raises:
        InvalidValueError: If a name cannot be that of a module.
    """
    together = nn.Module()
    for name, part in parts.items():
        try:
            together.add_module(name, part)
        except (KeyError, TypeError) as error:
            raise InvalidValueError(f"part {name!r} cannot be {part!r} by that name: {error}") from None
    return together


def check_apart(learners: Mapping[str, Learner]) -> None:
    """Refuse that two learners move one parameter without saying so.

    Raises:
        InvalidValueError: Names the parameter and both learners.
    """
    owners: dict[int, tuple[str, str]] = {}
    for learner_name, learner in learners.items():
        for name, parameter in learner.parameters().items():
            other, other_name = owners.setdefault(id(parameter), (learner_name, name))
            if other == learner_name:
                continue
            if name not in learner.shared or other_name not in learners[other].shared:
                raise InvalidValueError(
                    f"learners {other!r} and {learner_name!r} both move a parameter, {other_name!r} in the one and "
                    f"{name!r} in the other; take it out of one, or name it in `shares` of both"
                )


def _is_named(parameter: str, names: Collection[str]) -> bool:
    return any(parameter == name or parameter.startswith(f"{name}.") for name in names)
