"""How numbers are computed: device, threads, precision, layout, determinism."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, overload

import torch
from torch import Tensor, nn

from archwright.core.config import MAX_THREADS, check_range
from archwright.core.errors import InvalidValueError
from archwright.nn.inputs import Inputs
from archwright.runs import nondeterminism
from archwright.tasks.base import Batch
from archwright.training.config import Precision

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


_LEAST_STRIDED = 8
"""Inputs of a strided 1x1 convolution that is run in channels-last layout."""


def set_threads(n: int) -> None:
    """Let torch compute with n threads inside an operation; sums, and so results, depend on their number.

    Raises:
        InvalidValueError: If n is not positive, or more than any machine has.
    """
    check_range("threads", n, 1, MAX_THREADS)
    torch.set_num_threads(n)


def pick_device(name: str = "auto") -> torch.device:
    """The device of that name; "auto" is the first CUDA device, or the CPU where there is none.

    Raises:
        InvalidValueError: If there is no such device here.
    """
    if name == "auto":
        return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InvalidValueError(f"unknown device {name!r}; accepted are auto, cpu, cuda, cuda:N and mps") from None
    if device.type == "cuda":
        _require_cuda(name, device)
        return torch.device("cuda", device.index or 0)
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise InvalidValueError(f"device {name!r} is not available on this machine; use auto or cpu")
    if device.type not in ("cpu", "mps"):
        raise InvalidValueError(f"device {name!r} is not supported; accepted are auto, cpu, cuda, cuda:N and mps")
    return device


def _require_cuda(name: str, device: torch.device) -> None:
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if (device.index or 0) >= count:
        raise InvalidValueError(f"device {name!r} is not available: {count} CUDA devices here; use auto or cpu")


def compute_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """The type convolutions and products run in.

    "auto" is bfloat16 on CUDA devices that have it, float16 on other CUDA devices, float32 elsewhere.
    """
    if precision != "auto":
        return _DTYPES[precision]
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


def mixed_precision(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[object]:
    """A forward pass in that type where it is safe, weights staying float32; nothing for float32."""
    return nullcontext() if dtype == torch.float32 else torch.autocast(device.type, dtype)


def takes_channels_last(network: nn.Module) -> bool:
    """Whether a network runs on images in channels-last layout: if no module says `takes_channels_last = False`.

    Modules that read memory in order do not, such as one that calls `view` on the result of a convolution. Networks of
    a user's own space are tried when it is opened (`recipes.trying`). Networks with very narrow convolutions that halve
    their image do not either: torch 2.14.1 on CPUs is not safe with them in this layout.
    """
    modules = list(network.modules())
    return all(getattr(module, "takes_channels_last", True) and not _is_too_narrow(module) for module in modules)


def _is_too_narrow(module: nn.Module) -> bool:
    """Whether it is a strided 1x1 convolution of so few inputs that the fast kernels for it are not to be trusted."""
    if not isinstance(module, nn.Conv2d):
        return False
    return max(module.kernel_size) == 1 and max(module.stride) > 1 and module.in_channels < _LEAST_STRIDED


def use_layout(network: nn.Module, channels_last: bool) -> None:
    """Bring weights of 2-D convolutions to channels-last layout, or to the contiguous one; values stay.

    They become contiguous too where the network does not take channels-last images. Other parameters, whatever their
    number of axes, keep their layout: what their module does with them is its own affair. Parameters stay the same
    objects, so optimizers and selections that hold them are not disturbed.
    """
    layout = torch.channels_last if channels_last and takes_channels_last(network) else torch.contiguous_format
    for module in network.modules():
        weight = module._parameters.get("weight") if isinstance(module, nn.Conv2d | nn.ConvTranspose2d) else None
        if weight is not None:
            weight.data = weight.data.contiguous(memory_format=layout)


def place_batch(batch: Batch, device: torch.device, channels_last: bool) -> Batch:
    """A batch on the device.

    Args:
        batch: Inputs and targets; targets may be tensors in lists, tuples and mappings.
        device: Where to.
        channels_last: Layout of images (4 axes): channels-last, or else contiguous.
    """
    return Batch(place_inputs(batch.inputs, device, channels_last), _moved(batch.targets, device))


@overload
def place_inputs(inputs: Tensor, device: torch.device, channels_last: bool) -> Tensor: ...
@overload
def place_inputs(inputs: Inputs, device: torch.device, channels_last: bool) -> Inputs: ...
def place_inputs(inputs: Inputs, device: torch.device, channels_last: bool) -> Inputs:
    """Inputs on the device; images (4 axes) in channels-last or contiguous layout.

    Args:
        inputs: One tensor or several.
        device: Where.
        channels_last: Layout of images.
    """
    if isinstance(inputs, tuple):
        return tuple(place_inputs(each, device, channels_last) for each in inputs)
    inputs = inputs.to(device, non_blocking=True)
    if inputs.dim() != 4:
        return inputs
    layout = torch.channels_last if channels_last else torch.contiguous_format
    ordered = inputs.contiguous(memory_format=layout)
    # With one channel both layouts count as contiguous: `contiguous` keeps the strides of the other, and a whole
    # network follows them. In channels-last layout it took two thirds of the time.
    return ordered.as_strided(ordered.shape, torch.empty(ordered.shape, device="meta", memory_format=layout).stride())


def _moved(targets: Any, device: torch.device) -> Any:
    """Targets of any form with each of their tensors on the device."""
    if isinstance(targets, Tensor):
        return targets.to(device, non_blocking=True)
    if isinstance(targets, Mapping):
        return {name: _moved(value, device) for name, value in targets.items()}
    return type(targets)(_moved(value, device) for value in targets) if isinstance(targets, list | tuple) else targets


def seeder(device: torch.device) -> Callable[[int], None]:
    """A function that seeds torch's generators of the CPU and the device; about 2 µs a call.

    `torch.manual_seed` does the same for every device there is, and takes a hundred times as long.
    """
    generators = [torch.default_generator]
    if device.type == "cuda":
        generators.append(torch.cuda.default_generators[device.index or 0])
    elif device.type == "mps":
        generators.append(torch.mps._get_default_mps_generator())

    def seed_all(seed: int) -> None:
        for generator in generators:
            generator.manual_seed(seed)

    return seed_all


def make_deterministic(device: torch.device) -> None:
    """Switch on deterministic algorithms for CUDA in this process: for commands and workers, not for a user's process.

    Libraries no longer choose algorithms by timing them. An operation without a deterministic form runs all the same;
    the run notes it and takes its promise back (`runs.nondeterminism`).

    On a CPU nothing is switched. What archwright trains with is deterministic there; the few operations that are not,
    with several threads, are named in docs/reliability.md. The switch would change the bits of every convolution.
    """
    if device.type != "cuda":
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS starts
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    nondeterminism.listen()
    # `use_deterministic_algorithms(True, warn_only=True)`, without the seconds that takes to import torch's compiler
    torch.set_deterministic_debug_mode("warn")
    # A debugging aid that comes along and slows every allocation.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
