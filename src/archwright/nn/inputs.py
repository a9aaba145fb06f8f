"""What a network takes and gives: numbers such as images, tokens, truth values; one tensor or several.

A `Signature` says it. Where only a shape is known, the network itself says whether it takes tokens: by an attribute
`n_tokens`; one that begins with an `nn.Embedding` need not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from archwright.core.errors import InvalidValueError
from archwright.nn.choice.modules import ChoiceModule

Inputs = Tensor | tuple[Tensor, ...]
"""What a network is called with: one tensor, or several in the order of its `forward`."""

DType = Literal["float32", "int64", "bool"]

IMAGES, TOKENS, OUTPUT = "images", "tokens", "logits"
"""Names of the one input and of the output of a network, in exported files."""


@dataclass(frozen=True)
class TensorSpec:
    """One tensor that a network takes or gives.

    Attributes:
        shape: Without the batch.
        dtype: "float32", "int64" or "bool".
        n_tokens: Size of the vocabulary where it holds tokens: int64 from 0 to below it.
        name: What exported files call it.

    Raises:
        InvalidValueError: If there is no such type, or the tokens are none.
    """

    shape: tuple[int, ...]
    dtype: DType = "float32"
    n_tokens: int | None = None
    name: str = "input"

    def __post_init__(self) -> None:
        if self.dtype not in get_args(DType):
            raise InvalidValueError(
                f"the type of {self.name} is {self.dtype!r}; choose one of {', '.join(get_args(DType))}"
            )
        if self.n_tokens is not None and (self.dtype != "int64" or self.n_tokens < 1):
            raise InvalidValueError(
                f"{self.name} has {self.n_tokens} tokens of type {self.dtype}; give at least 1, of type int64"
            )

    @property
    def torch_dtype(self) -> torch.dtype:
        """The type as torch calls it."""
        found: torch.dtype = getattr(torch, self.dtype)
        return found

    def example(self, n: int, *, rng: np.random.Generator | None = None, device: str | torch.device = "cpu") -> Tensor:
        """A batch (n, *shape): normal numbers, any tokens, truth values; without `rng` zeros, or True.

        Of truth values along the last axis the first is always True: a mask that left nothing would leave nothing to
        compute.

        Args:
            n: Inputs in the batch.
            rng: Draws the values.
            device: Where; on "meta" there are none.
        """
        shape = (n, *self.shape)
        if torch.device(device).type == "meta":
            return torch.empty(shape, dtype=self.torch_dtype, device=device)
        if rng is None:
            return torch.full(shape, self.dtype == "bool", dtype=self.torch_dtype, device=device)
        if self.dtype == "float32":
            return torch.from_numpy(rng.standard_normal(shape, dtype=np.float32)).to(device)
        drawn = torch.from_numpy(rng.integers(2 if self.dtype == "bool" else self.n_tokens or 1, size=shape))
        if self.dtype == "bool":
            drawn = drawn.bool()
            drawn[..., :1] = True
        return drawn.to(device)

    def __str__(self) -> str:
        kind = f"tokens below {self.n_tokens}" if self.n_tokens is not None else self.dtype
        return f"{self.name} {'x'.join(map(str, self.shape))} ({kind})"


@dataclass(frozen=True)
class Signature:
    """What a network takes and gives.

    Attributes:
        inputs: Its inputs, in the order of `forward`.
        outputs: Its outputs; empty where nothing is said about them.

    Raises:
        InvalidValueError: If there is no input, or two have one name.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...] = ()

    def __post_init__(self) -> None:
        names = [spec.name for spec in (*self.inputs, *self.outputs)]
        if not self.inputs or len(set(names)) < len(names):
            raise InvalidValueError(
                f"a signature has the names {', '.join(names) or '(none)'}; give at least one input, each its own name"
            )

    def example(self, n: int, *, rng: np.random.Generator | None = None, device: str | torch.device = "cpu") -> Inputs:
        """A batch of each input, as `TensorSpec.example` draws it: one tensor, or a tuple where there are several.

        Args:
            n: Inputs in the batch.
            rng: Draws the values; without it they are zeros, or True.
            device: Device of the tensors; on "meta" they have no values.
        """
        drawn = tuple(spec.example(n, rng=rng, device=device) for spec in self.inputs)
        return drawn if len(drawn) > 1 else drawn[0]

    def __str__(self) -> str:
        return ", ".join(map(str, self.inputs))


Form = Sequence[int] | Signature
"""What a network is to be run on: the shape of its one input without the batch, or a signature."""


def signature_for(network: nn.Module, form: Form) -> Signature:
    """The signature that a form stands for: of a shape, as the network says itself what it takes."""
    if isinstance(form, Signature):
        return form
    return one_input(form, n_tokens_of(network))


def one_input(shape: Sequence[int], n_tokens: int | None = None) -> Signature:
    """The signature of one input, of numbers or of tokens; exported files call it "images" or "tokens"."""
    if n_tokens is None:
        return Signature((TensorSpec(tuple(shape), name=IMAGES),))
    return Signature((TensorSpec(tuple(shape), "int64", n_tokens, TOKENS),))


def shape_text(form: Form) -> str:
    """The shape of one input, or of several with their names, as people write it.

    >>> shape_text((3, 32, 32))
    '3x32x32'
    """
    if not isinstance(form, Signature):
        return "x".join(map(str, form))
    if len(form.inputs) == 1:
        return shape_text(form.inputs[0].shape)
    return ", ".join(f"{spec.name} {shape_text(spec.shape)}" for spec in form.inputs)


def dtype_name(dtype: torch.dtype) -> DType:
    """The type of an input as signatures name it.

    Raises:
        InvalidValueError: If inputs cannot be of that type.
    """
    names: tuple[DType, ...] = get_args(DType)
    name = str(dtype).removeprefix("torch.")
    if name not in names:
        raise InvalidValueError(f"an input is of type {name}; give one of {', '.join(names)}")
    return names[names.index(name)]


def call(network: nn.Module, inputs: Inputs) -> Any:
    """The outputs of a network for its inputs, one tensor or several."""
    return network(*inputs) if isinstance(inputs, tuple) else network(inputs)


def tensors_of(thing: Any) -> tuple[Tensor, ...]:
    """The tensors of inputs or outputs, in order."""
    return tuple(_tensors(thing))


def _tensors(thing: Any) -> Iterator[Tensor]:
    if isinstance(thing, Tensor):
        yield thing
    elif isinstance(thing, list | tuple):
        for each in thing:
            yield from _tensors(each)


def n_tokens_of(network: nn.Module) -> int | None:
    """The size of the vocabulary a network's inputs are drawn from; None where it takes numbers.

    >>> n_tokens_of(nn.Sequential(nn.Embedding(50, 8), nn.Linear(8, 50))), n_tokens_of(nn.Linear(8, 50))
    (50, None)
    """
    said = getattr(network, "n_tokens", None)
    if isinstance(said, int):
        return said
    if isinstance(network, nn.Embedding):
        return network.num_embeddings
    if isinstance(network, nn.Sequential | ChoiceModule):
        first = next(iter(network.children()), None)
        return None if first is None else n_tokens_of(first)
    return None


def example_inputs(
    network: nn.Module,
    form: Form,
    n: int,
    *,
    rng: np.random.Generator | None = None,
    device: str | torch.device = "cpu",
) -> Inputs:
    """A batch of n inputs of the kind the network takes: a tensor, or a tuple where there are several.

    Args:
        network: What is to run on it.
        form: Its signature, or the shape of its one input without the batch.
        n: Inputs in the batch.
        rng: Draws the values (see `TensorSpec.example`); zeros, or True, without it.
        device: Where; on "meta" there are no values.
    """
    return signature_for(network, form).example(n, rng=rng, device=device)


def in_type_of(network: nn.Module, inputs: Inputs) -> Inputs:
    """Inputs whose numbers have the type of the network's, such as bfloat16; tokens and truth values stay.

    Args:
        network: Its first parameter that holds numbers says the type.
        inputs: One tensor or several.
    """
    dtype = next((p.dtype for p in network.parameters() if p.is_floating_point()), torch.float32)
    if isinstance(inputs, tuple):
        return tuple(each.to(dtype) if each.is_floating_point() else each for each in inputs)
    return inputs.to(dtype) if inputs.is_floating_point() else inputs


def check_inputs(taken: Signature, given: Inputs, *, what: str, by: str) -> None:
    """Refuse inputs that a network does not take.

    Args:
        taken: What it takes.
        given: What it would get, with the batch.
        what: Where that comes from, for the message.
        by: What takes it, for the message.

    Raises:
        InvalidValueError: If they are more or fewer tensors, or of other types or shapes.
    """
    tensors = tensors_of(given)
    found = [(tuple(tensor.shape[1:]), tensor.dtype) for tensor in tensors]
    if found == [(spec.shape, spec.torch_dtype) for spec in taken.inputs]:
        return
    described = [f"{'x'.join(map(str, shape))} ({str(dtype).removeprefix('torch.')})" for shape, dtype in found]
    raise InvalidValueError(
        f"{what} {'give' if len(found) == 1 else f'give {len(found)} tensors,'} {', '.join(described)} an example, but "
        f"{by} takes {taken}; choose data of that form, or another space"
    )
