"""Blocks as memory banks that operations read from and write to (SMASH; Brock et al., ICLR 2018, Sec. 3.1).

A block's memory is one tensor, the concatenation of its banks. An operation reads some banks and adds its result to
some banks; a bank holds zeros until something is written to it. ResNet, DenseNet and FractalNet can be written as such
lists of reads and writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archwright.nn.choice.modules import JoinedInputs
from archwright.nn.sizes import current
from archwright.nn.source import source_template


@source_template()
class FillBanks(nn.Module):
    """Makes a block's memory: (N, C, H, W) → (N, channels, H, W), the input in the first banks, zeros in the others.

    Args:
        channels: Channels of all banks together.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x, (0, 0, 0, 0, 0, self.channels - x.shape[1]))

    def extra_repr(self) -> str:
        return str(self.channels)


@source_template(
    '''
    class BankOp(nn.Module):
        """Reads some banks of the memory, and adds what its body gives to some banks, in turn."""

        def __init__(self, read: nn.Module, body: nn.Module, write: Sequence[int], bank: int) -> None:
            super().__init__()
            self.read, self.body, self.write, self.bank = read, body, list(write), bank

        def forward(self, memory: Tensor) -> Tensor:
            banks = list(torch.split(memory, self.bank, dim=1))
            slices = torch.split(self.body(self.read(banks)), self.bank, dim=1)
            for i in range(max(len(slices), len(self.write))):
                target = self.write[i % len(self.write)]
                banks[target] = banks[target] + slices[i % len(slices)]
            return torch.cat(banks, dim=1)
    ''',
    arguments=lambda op: {"read": op.read, "body": op.body, "write": list(current(op.write)), "bank": op.bank},
)
class BankOp(nn.Module):
    """One operation on a block's memory: (N, banks x bank, H, W) → the same.

    The result's channels, cut into slices as wide as a bank, are added to the banks of `write` in turn. With more banks
    than slices, the slices are used again; with more slices than banks, which SMASH never draws, the banks.

    Args:
        read: Makes the body's input from the list of banks.
        body: The operation; it keeps the image size, and its output channels are a multiple of `bank`.
        write: Numbers of the banks to add to, or a choice of them.
        bank: Channels of a bank.
    """

    def __init__(self, read: nn.Module, body: nn.Module, write: Any, *, bank: int) -> None:
        super().__init__()
        self.read, self.body, self.write, self.bank = read, body, write, bank

    def forward(self, memory: Tensor) -> Tensor:
        banks, write = list(torch.split(memory, self.bank, dim=1)), current(self.write)
        slices = torch.split(self.body(self.read(banks)), self.bank, dim=1)
        for i in range(max(len(slices), len(write))):
            target = write[i % len(write)]
            banks[target] = banks[target] + slices[i % len(slices)]
        return torch.cat(banks, dim=1)


def bank_op(read: Sequence[int], write: Sequence[int], body: nn.Module, *, bank: int) -> BankOp:
    """An operation on given banks.

    Args:
        read: Numbers of the banks it reads, joined in ascending order.
        write: Numbers of the banks it adds its result to, in this order.
        body: The operation; it keeps the image size, and its output channels are a multiple of `bank`.
        bank: Channels of a bank.
    """
    return BankOp(JoinedInputs(sorted(read), {str(j): nn.Identity() for j in sorted(read)}), body, write, bank=bank)


@source_template(arguments=lambda paths: {"paths": list(paths.children())})
class Paths(nn.Module):
    """The sum of parallel paths; their children are called 0, 1, …

    Args:
        paths: At least one module; all read the same input.
    """

    def __init__(self, paths: Sequence[nn.Module]) -> None:
        super().__init__()
        for i, path in enumerate(paths):
            self.add_module(str(i), path)

    def forward(self, x: Tensor) -> Tensor:
        first, *others = [path(x) for path in self.children()]
        total: Tensor = sum(others, first)
        return total
