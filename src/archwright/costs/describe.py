"""Descriptions of a space and of an architecture: the documents that `describe` and `cost` print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn
from torch.nn.modules.conv import _ConvTransposeNd

from archwright.core.arch import Value
from archwright.core.decisions import Rows
from archwright.costs.counting.count import count
from archwright.costs.tables.counted import COLUMNS, tables_of
from archwright.costs.uncounted import uncounted_work
from archwright.costs.watch import lowest_row
from archwright.nn.inputs import Form, shape_text
from archwright.spaces.base import Space


def cost(
    space: Space, arch: Mapping[str, Value], *, input_shape: Sequence[int] | None = None, n_classes: int | None = None
) -> dict[str, Any]:
    """Costs of one architecture's stand-alone network, for one input.

    `macs` holds a transposed convolution once an output pixel, as other counters do. Where there are some,
    `macs_by_input` holds them once an input pixel: the multiplications that are needed, and that engines compute.

    Args:
        space: Its space.
        arch: A member of it.
        input_shape: Another input shape than the space's.
        n_classes: Another number of classes than the space's.

    Raises:
        UsageError: If the arch is no member, or the space refuses the shape.
    """
    sized = space.sized(input_shape, n_classes)
    with sized.shapes_only():
        network = sized.build(arch)
    counted = count(network, sized.signature)
    is_transposed = any(isinstance(part, _ConvTransposeNd) for part in network.modules())
    by_input = count(network, sized.signature, transposed_by_input=True, memory=False).macs if is_transposed else 0
    first, *others = sized.signature.inputs
    n_steps = first.shape[0] if first.n_tokens is not None and not others else None
    return {
        "arch": space.code(arch),
        "space": space.name,
        "input": {spec.name: list(spec.shape) for spec in (first, *others)} if others else list(first.shape),
        "params": counted.params,
        "macs": counted.macs,
        **({"macs_by_input": by_input} if is_transposed else {}),
        "flops": 2 * counted.macs,
        "memory_access_bytes": counted.memory_access_bytes,
        "activation_peak_bytes": counted.activation_peak_bytes,
        "model_size_bytes": counted.model_size_bytes,
        "uncounted": counted.uncounted,
        **({"bit_ops": counted.bit_ops} if counted.bit_ops else {}),
        **({} if n_steps is None else {"macs_per_token": counted.macs // n_steps}),
    }


N_STARTS = 4
"""Starts of the searches for a space's smallest and largest network; few, so that `describe` answers in seconds."""


def describe(space: Space) -> dict[str, Any]:
    """A space's exact size, its decisions, and its smallest and largest network.

    Networks are compared by multiply–accumulates, or by bit operations if layers have bit widths.
    """
    decisions, columns = space.decisions, _columns(space)
    tables, judged = tables_of(space, columns), len(columns) - 1
    classes = f", {space.n_classes} classes" if "n_classes" in space.args() else ""

    def extreme(sign: int) -> dict[str, Any]:
        def signed(rows: Rows) -> NDArray[np.float64]:
            return sign * tables.cost_rows(rows)[:, judged]

        row = lowest_row(decisions, signed, np.random.default_rng(0), n_starts=N_STARTS)
        costs = tables.cost_rows(row[None])[0]
        return {
            "arch": space.code(decisions.arch(row)),
            **{name: int(value) for name, value in zip(columns, costs, strict=True)},
        }

    return {
        "space": space.name,
        "size": space.size(),
        "n_decisions": len(decisions),
        "decisions": [_decision(document) for document in decisions.to_json()],
        "smallest": extreme(1),
        "largest": extreme(-1),
        "uncounted": list(uncounted_work(space)),
        "inputs": [f"{shape_text(space.signature)}{classes} (shown here)", *space.input_forms()],
    }


def layer_rows(network: nn.Module, input_shape: Form) -> list[dict[str, Any]]:
    """One row for each module with a cost of its own, in the order in which modules are registered.

    Args:
        network: A plain network.
        input_shape: Shape of one input without the batch, or a signature.

    Returns:
        Rows of "layer" (its path), "kind" (its class), "params", "macs", "memory_access_bytes".
    """
    leaves = count(network, input_shape).leaves
    kinds = {path: type(part).__name__ for path, part in network.named_modules()}
    return [
        {
            "layer": path or "(network)",
            "kind": kind,
            "params": leaves[path].params,
            "macs": leaves[path].macs,
            "memory_access_bytes": leaves[path].memory_access_bytes,
        }
        for path, kind in kinds.items()
        if path in leaves
    ]


def _decision(document: dict[str, Any]) -> dict[str, Any]:
    return {key: document[key] for key in ("name", "values", "when")}


def _columns(space: Space) -> tuple[str, ...]:
    """Figures of the smallest and the largest network; the last one says which they are."""
    with space.shapes_only():
        network = space.build(space.decisions.archs(space.decisions.sample(1, np.random.default_rng(0)))[0])
    has_bits = any(hasattr(part, "operand_bits") for part in network.modules())
    return (*COLUMNS, "bit_ops") if has_bits else COLUMNS
