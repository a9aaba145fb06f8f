"""Which modules of a network have fast forms for scoring, and running them in the modules' place.

A fast form computes what its module computes, up to rounding, without gradients: with batch statistics (`calibrate`)
or with those found before (`apply`, once `fold` has taken them up). It shares the module's weights and statistics.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor, nn

from archwright.evaluators.cells import CellForm
from archwright.evaluators.chains import Chain, chain_of, has_hooks
from archwright.nn.ops.cell import EdgeCell


class FastForm(Protocol):
    """What runs in the place of a module."""

    def calibrate(self, x: Tensor) -> Tensor:
        """Forward with batch statistics, which enter the running ones by a cumulative mean."""
        raise NotImplementedError

    def fold(self) -> None:
        """Take the running statistics into what `apply` uses."""

    def apply(self, x: Tensor) -> Tensor:
        """Forward with the statistics last folded."""
        raise NotImplementedError


def find_forms(network: nn.Module) -> dict[nn.Module, FastForm]:
    """The fast forms of a network's modules: of cells, and of the outermost plain sequences that have one."""
    forms: dict[nn.Module, FastForm] = {}

    def visit(module: nn.Module) -> None:
        if (chain := chain_of(module)) is not None:
            forms[module] = chain
            return
        for child in module.children():
            visit(child)
        if type(module) is EdgeCell and not any(map(has_hooks, module.modules())):
            chains = {part: form for part in module.modules() if isinstance(form := forms.get(part), Chain)}
            forms[module] = CellForm(module, chains)

    visit(network)
    return forms


@contextmanager
def running(forms: Mapping[nn.Module, FastForm], *, calibrate: bool) -> Iterator[None]:
    """Let these modules run their fast forms; folds before, unless calibrating."""
    for module, form in forms.items():
        if not calibrate:
            form.fold()
        # an attribute of the object goes before the method of its class
        module.forward = form.calibrate if calibrate else form.apply
    try:
        yield
    finally:
        for module in forms:
            del module.forward


def keep_freed_memory() -> None:
    """Let glibc keep freed memory of up to 64 MB instead of handing it back to the system after every tensor.

    It keeps twice the largest block that was ever freed, if that was below 32 MB. Where every layer's output is given
    back and asked for anew, clearing its pages took a quarter of the time of a network of eight channels. The block
    is never written to, so it costs nothing; other allocators do not care.
    """
    torch.empty(31 * 2**20, dtype=torch.uint8)
