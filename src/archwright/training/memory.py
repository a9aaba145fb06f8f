"""How much memory a training step takes, and how much there is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from archwright.core.errors import InvalidValueError

COPIES = 4
"""Of each parameter: itself, its gradient, and at most two moments of the optimizer or one and an average."""

SAFETY = 1.2
"""What temporary tensors and the allocator take beside what is counted."""

_CGROUPS = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/memory"))
_LIMITS = (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes"))


def saved_bytes(step: Callable[[], object]) -> int:
    """Bytes that a training step keeps for its backward pass, each memory once; the step is executed.

    Args:
        step: Forward and backward.
    """
    seen: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        seen[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        step()
    return sum(seen.values())


def needed_bytes(saved: int, n_measured: int, batch_size: int, parameter_bytes: int) -> int:
    """Bytes of a training whose step keeps so much.

    Args:
        saved: Bytes that a step of a smaller batch keeps, those of parameters among them.
        n_measured: Examples of that batch.
        batch_size: Examples of the training's.
        parameter_bytes: Of all parameters.
    """
    return round(SAFETY * (saved * batch_size / n_measured + COPIES * parameter_bytes))


def free_bytes(device: torch.device) -> int | None:
    """Bytes that this process may still take on a device; None where that cannot be known."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type != "cpu":
        return None
    known = [each for each in (_available(), *(_left(folder) for folder in _CGROUPS)) if each is not None]
    return min(known, default=None)


def check_memory(needed: int, free: int | None, what: str) -> None:
    """Refuse what cannot fit.

    Args:
        needed: Bytes.
        free: Bytes; None where that is not known.
        what: What needs them, with what to change, for the message.

    Raises:
        InvalidValueError: Says both in gigabytes.
    """
    if free is not None and needed > free:
        raise InvalidValueError(
            f"{what} needs about {needed / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are free; lower batch_size"
        )


def _available() -> int | None:
    """What the system could give without swapping, on Linux."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError, IndexError):
        return None


def _left(folder: Path) -> int | None:
    """What a control group leaves of its limit."""
    for limit, used in _LIMITS:
        try:
            return max(0, int((folder / limit).read_text()) - int((folder / used).read_text()))
        except (OSError, ValueError):  # no such group, or "max"
            continue
    return None
