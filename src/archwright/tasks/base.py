"""Contracts of a task: its data and their parts, its loss, its metrics and their direction."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

from archwright.core.blueprint import Blueprint
from archwright.core.errors import InvalidValueError, UsageError, error_text
from archwright.core.objective import Direction
from archwright.nn.inputs import Inputs, Signature, TensorSpec, call, check_inputs, dtype_name, tensors_of
from archwright.spaces.base import Space
from archwright.tasks.augmenting import Augment, AugmentName
from archwright.tasks.batching import steps_per_epoch

Part = Literal["train", "validation", "train+validation", "test"]
"""A part of the data: for training in a search, for scoring in a search, both together, and for the final test."""

PARTS: tuple[Part, ...] = get_args(Part)
LARGE_SIDE = 64
"""From this many pixels a side on, images are treated as ImageNet papers treat photos; below, as CIFAR papers do."""


class Batch(NamedTuple):
    """A batch: inputs and targets of some examples.

    Attributes:
        inputs: What the network is called with: one tensor, or a tuple of several in the order of its `forward`; each
            with the examples along its first axis.
        targets: What loss and metrics compare with, in the task's own form: a tensor, or tuples and dicts of tensors.
    """

    inputs: Inputs
    targets: Any


def given_options(**options: Any) -> dict[str, Any]:
    """The options that are not None, as JSON values: the form of `Task.options`."""
    return {
        name: list(value) if isinstance(value, tuple) else value for name, value in options.items() if value is not None
    }


class Split(ABC):
    """The examples of one part, in batches.

    Attributes:
        is_stream: Whether a batch goes on where the one before ended, example by example, until a pass
            (`steps_per_epoch`) is over; networks that carry state then carry it from batch to batch.
    """

    is_stream: ClassVar[bool] = False

    @property
    @abstractmethod
    def n(self) -> int:
        """Number of examples."""

    def __len__(self) -> int:
        return self.n

    def steps_per_epoch(self, batch_size: int) -> int:
        """Batches that `batches` yields before it shuffles anew."""
        return steps_per_epoch(self.n, batch_size)

    def augmented(self, names: Sequence[AugmentName] | None) -> Split:
        """The same examples, changed in these ways where `batches` yields them.

        Args:
            names: See `AugmentName`; none for unchanged ones, None for the usual changes of data of this form.

        Raises:
            InvalidValueError: If data of this form take no such change.
        """
        if names:
            raise InvalidValueError(f"augment is {','.join(names)}, which changes images; leave it out for these data")
        return self

    @abstractmethod
    def batches(self, batch_size: int, *, seed: int, first_step: int = 0, n_steps: int) -> Iterator[Batch]:
        """Batches to train on: shuffled without replacement in each epoch, and changed as `augmented` says.

        The last, incomplete batch of an epoch is dropped, except that a split smaller than a batch is
        one batch. Stateless: what step k yields depends on (seed, k, batch_size) alone, so a loop that
        stopped after k steps continues bit for bit with `first_step=k`.

        Args:
            batch_size: Examples a batch.
            seed: Seed of order and augmentation.
            first_step: Step to begin at, counted from 0 over all epochs.
            n_steps: How many batches to yield, beginning with that step.
        """

    @abstractmethod
    def ordered(self, batch_size: int) -> Iterator[Batch]:
        """Every example once, in stored order and without augmentation; the last batch may be smaller."""


class Meter(ABC):
    """Computes metrics over the batches of a split.

    Attributes:
        decodes: Whether `measure` runs the network in a way of its own, such as token by token, each from those before.
            What a pass over the batch's inputs gives is then of no use to it, and `update` takes what was decoded.
    """

    decodes: ClassVar[bool] = False

    @abstractmethod
    def update(self, outputs: Any, batch: Batch) -> None:
        """Add the outputs of a network for a batch."""

    def measure(self, network: nn.Module, batch: Batch) -> None:
        """Run the network on a batch and add its outputs.

        Args:
            network: In evaluation mode, called without gradients.
            batch: On the network's device.
        """
        self.update(call(network, batch.inputs), batch)

    @abstractmethod
    def result(self) -> dict[str, float]:
        """Metrics over all examples so far.

        Raises:
            InvalidValueError: If there was none.
        """


class Recorder(ABC):
    """Keeps what is shown of the one test beside its metrics: single predictions, and examples of mistakes."""

    @abstractmethod
    def add(self, outputs: Any, batch: Batch) -> None:
        """Note the outputs of a network for a batch; batches come in stored order."""

    @abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """What was kept, by name, on the CPU; empty if that is nothing."""


class Task(ABC):
    """What a network is trained for.

    Attributes:
        name: How the data were named, e.g. "digits" or "npz:images.npz".
        input_shape: Shape of one input, without the batch axis; of the first where there are several.
        n_classes: Width of the network's output; None where there are no classes.
        class_names: One name for each output; empty where there are no classes.
        metric: The metric that ranks networks in the end; `meter().result()` holds it.
        direction: Whether more ("max") or less ("min") of it is better.
        preprocessing: What was done to stored examples to make inputs, as a JSON object; it travels with
            exported networks.
        default_augment: Names of the changes that training examples usually get.
        options: What it was opened with beyond its name, as a JSON object, e.g. {"val_images": 500}; a run keeps
            it, so that `open_task` gives the same task again.
        remarks: What was found when the data were opened, a line each, for the terminal and the log.
        n_test_reads: How often the test part was asked for.
    """

    name: str
    input_shape: tuple[int, ...]
    n_classes: int | None
    class_names: tuple[str, ...] = ()
    metric: str = "top1_accuracy"
    direction: Direction = "max"
    preprocessing: Mapping[str, Any] = MappingProxyType({})
    default_augment: Augment = ()
    options: Mapping[str, Any] = MappingProxyType({})
    remarks: tuple[str, ...] = ()
    n_test_reads: int = 0

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """SHA-256 (hex) over the data and their split: a resumed run refuses others."""

    def blueprint(self, folder: Path) -> Blueprint:
        """A description from which a worker process makes an equal task.

        Args:
            folder: Where arrays may be put; it lives as long as the workers.

        Raises:
            UsageError: If that cannot be told.
        """
        raise UsageError(f"task {self.name!r} does not say how other processes make it; use one worker")

    def split(self, part: Part) -> Split:
        """The examples of a part; asking for the test part is counted.

        Raises:
            InvalidValueError: If there is no such part.
        """
        self._ask_for(part)
        return self._split(part)

    def n_examples(self, part: Part) -> int:
        """How many examples a part has; of the test part too, whose examples stay unread."""
        return self._split(part).n

    def shares(self, part: Part, fractions: Sequence[float], *, seed: int) -> list[Split]:
        """Disjoint shares of a part, e.g. halves of the training part for weights and for arch parameters.

        Where examples have classes, each share holds them in proportion; a text's shares are stretches of it, in order.

        Args:
            part: What is divided; asking for the test part is counted.
            fractions: How much of it each share gets; what is missing to 1 is left out.
            seed: Draws which examples; a text's shares do not depend on it.

        Raises:
            InvalidValueError: If the fractions are not positive, sum to more than 1, or leave a share without examples.
            UsageError: If the task's data cannot be divided.
        """
        self._ask_for(part)
        return self._shares(part, fractions, seed)

    def _ask_for(self, part: Part) -> None:
        if part not in PARTS:
            raise InvalidValueError(f"unknown part {part!r} of the data; choose one of {', '.join(PARTS)}")
        if part == "test":
            self.n_test_reads += 1

    def _shares(self, part: Part, fractions: Sequence[float], seed: int) -> list[Split]:
        """Shares of a known part."""
        raise UsageError(f"task {self.name!r} does not say how its data divide into shares; train on whole parts")

    @abstractmethod
    def _split(self, part: Part) -> Split:
        """The examples of a known part."""

    @property
    def search_metric(self) -> str:
        """The metric that ranks networks during a search; `search_meter().result()` holds it. By default `metric`."""
        return self.metric

    @property
    def search_direction(self) -> Direction:
        """Whether more or less of `search_metric` is better."""
        return self.direction

    @property
    def signature(self) -> Signature:
        """The inputs of a batch, by default as those of `example` are."""
        inputs = tensors_of(self.example(1).inputs)
        specs = [TensorSpec(tuple(x.shape[1:]), dtype_name(x.dtype), name=f"input{i}") for i, x in enumerate(inputs)]
        return Signature(tuple(specs))

    def space_args(self) -> dict[str, Any]:
        """Arguments of a space that follow from the data: recipes open theirs with them."""
        sizes = {"input_shape": self.input_shape, "n_classes": self.n_classes}
        return {name: value for name, value in sizes.items() if value is not None}

    def other_inputs(self) -> tuple[tuple[int, ...], ...]:
        """Shapes that `brought_to` could give inputs, where their present one was nobody's wish; by default none.

        The recipe `auto` chooses among them by the limits and the time.
        """
        return ()

    def brought_to(self, input_shape: tuple[int, ...]) -> Task:
        """The same data with inputs of another shape: the task that `open_task` gives for it.

        Args:
            input_shape: One of `other_inputs`.

        Raises:
            UsageError: If the data stay as they are.
        """
        shape = "x".join(map(str, input_shape))
        raise UsageError(f"inputs of the data {self.name!r} stay as they are; they cannot be brought to {shape}")

    def plain_space(self) -> str | None:
        """What the space of the networks that a run sets beside its winner is opened by; None where there is none.

        By default images with classes have `plain-chain`, from 64 pixels a side on `plain-residual`, and texts that are
        read token by token `plain-lstm`. A task of another kind may name a space of its own: a network that somebody
        would write down without a search, with one decision, whose values go from the smallest network to the largest.
        It is opened with `space_args`.
        """
        signature = self.signature
        if len(signature.inputs) > 1 or self.n_classes is None:
            return None
        spec = signature.inputs[0]
        if spec.dtype == "float32" and len(spec.shape) == 3:
            return "plain-residual" if min(spec.shape[1:]) >= LARGE_SIDE else "plain-chain"
        return "plain-lstm" if spec.dtype == "int64" and len(spec.shape) == 1 else None

    def check_taken_by(self, space: Space) -> None:
        """Refuse a space whose networks do not take the inputs of this task's batches, or give what has no loss.

        Raises:
            InvalidValueError: Says what the batches hold, and what the space takes or gives.
        """
        batch, given = self.example(2), space.signature.outputs
        check_inputs(space.signature, batch.inputs, what=f"the data {self.name!r}", by=f"space {space.name!r}")
        outputs = tuple(torch.zeros(2, *spec.shape) for spec in given)
        try:
            self.loss(outputs[0] if len(outputs) == 1 else outputs, batch)
        except Exception as error:  # whatever a task's own loss makes of another form
            shapes = " and ".join("x".join(map(str, spec.shape)) for spec in given)
            raise InvalidValueError(
                f"networks of space {space.name!r} give {shapes}, from which the data {self.name!r} make no loss "
                f"({error_text(error)}); choose a space whose networks give what the targets ask for"
            ) from None

    def example(self, n: int) -> Batch:
        """A batch of n inputs and targets of the right shape and type, all zeros: enough to time a network.

        A task of other inputs than numbers of `input_shape`, or of other targets than classes, overrides it.
        """
        return Batch(torch.zeros(n, *self.input_shape), torch.zeros(n, dtype=torch.long))

    @abstractmethod
    def loss(self, outputs: Any, batch: Batch, *, label_smoothing: float = 0.0) -> Tensor:
        """Mean loss of a batch, a scalar with gradients.

        Args:
            outputs: What the network gave for `batch.inputs`.
            batch: The batch, on the network's device.
            label_smoothing: Share of each target that is spread over all classes; a task without classes ignores it.
        """

    @abstractmethod
    def meter(self) -> Meter:
        """A fresh meter of this task's metrics."""

    def search_meter(self) -> Meter:
        """A fresh meter of the metrics that score candidates in a search; by default `meter`."""
        return self.meter()

    def recorder(self) -> Recorder | None:
        """A fresh recorder for the one test of a winner; by default None, which keeps nothing but the metrics."""
        return None

    def class_counts(self, part: Part) -> list[int]:
        """Examples of each class in a part, from labels alone; empty, by default, where there are none or unknown ones.

        For "test", see what a `Recorder` kept: that part is not asked for its labels.
        """
        return []
