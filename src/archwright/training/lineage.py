"""What a network inherits from a trained one of another architecture of the same space.

Both are cut out of one supernet, so two weights are the same where they come from one place in it. Which places those
are is found by cutting networks out of a supernet that holds numbers in the place of weights. Weights without an
ancestor are set so that the function stays the same where that is possible: new inputs of a unit that was there before
count nothing, a new residual block adds nothing (as in the function-preserving steps of Net2Net, arXiv:1511.05641, and
of Elsken et al., ICLR 2019, arXiv:1804.09081, without repeated units).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from archwright.core.arch import Arch
from archwright.core.errors import SpaceError
from archwright.nn.ops.residual import Residual, ResidualBlock
from archwright.spaces.base import Space

MOST_PLACES = 2**53
"""Numbers that double precision tells apart."""


class Lineage:
    """The places of weights in a space's supernet.

    Args:
        space: The space of stand-alone networks.

    Raises:
        SpaceError: If its supernet is too large.
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        self._numbered = space.supernet().double()
        n = 0
        with torch.no_grad():
            for tensor in _floats(self._numbered.state_dict(keep_vars=True)).values():
                tensor.copy_(torch.arange(n, n + tensor.numel(), dtype=torch.float64).reshape(tensor.shape))
                n += tensor.numel()
        if n > MOST_PLACES:
            raise SpaceError(f"the supernet of space {space.name!r} has {n} weights, too many to number")
        self._n = n

    def places(self, arch: Arch) -> dict[str, Tensor]:
        """Where each weight of an arch's network lies, int64 tensors by the weights' names.

        Args:
            arch: A member of the space.

        Raises:
            SpaceError: If its weights are computed from those of the supernet, not cut out of them.
        """
        found = {}
        for name, tensor in _floats(self.space.extract(self._numbered, arch).state_dict()).items():
            places = tensor.round().long()
            if (places != tensor).any() or (
                tensor.numel() and not 0 <= int(places.min()) <= int(places.max()) < self._n
            ):
                raise SpaceError(f"{name} of space {self.space.name!r} is no part of its supernet's weights")
            found[name] = places
        return found

    @torch.no_grad()
    def inherit(self, child: nn.Module, arch: Arch, parent: Mapping[str, Tensor], parent_arch: Arch) -> float:
        """Give a fresh network what it has in common with a trained one, in place.

        Args:
            child: A fresh stand-alone network.
            arch: Its architecture.
            parent: The state dict of the trained one.
            parent_arch: Its architecture.

        Returns:
            The share of the network's weights that have an ancestor.

        Raises:
            SpaceError: If the weights are not those of these architectures.
        """
        own, places, theirs = _floats(child.state_dict()), self.places(arch), self.places(parent_arch)
        if own.keys() != places.keys() or any(name not in parent for name in theirs):
            raise SpaceError("the networks are not those of these architectures, or not of this space")
        numbers = torch.cat([theirs[name].flatten() for name in theirs])
        values = torch.cat([parent[name].detach().flatten().to("cpu", torch.float64) for name in theirs])
        numbers, order = numbers.sort()
        values = values[order]
        kept, n_found = {}, 0
        for name, tensor in own.items():
            at = torch.searchsorted(numbers, places[name]).clamp(max=len(numbers) - 1)
            known = numbers[at] == places[name]
            fresh = tensor.to("cpu", torch.float64)
            if tensor.dim() > 1:  # new inputs of a unit that was there before
                was_there = known.flatten(1).any(dim=1).reshape(-1, *[1] * (tensor.dim() - 1))
                fresh = torch.where(was_there, 0.0, fresh)
            tensor.copy_(torch.where(known, values[at], fresh))
            kept[name] = bool(known.any())
            n_found += int(known.sum())
        _silence_new_blocks(child, kept)
        return n_found / max(1, sum(tensor.numel() for tensor in own.values()))


def _silence_new_blocks(network: nn.Module, kept: Mapping[str, bool]) -> None:
    """Let residual blocks without an ancestor add nothing: the last batch norm of their main path scales by 0."""
    for path, block in network.named_modules():
        if not isinstance(block, ResidualBlock | Residual):
            continue
        below = [name for name in kept if name.startswith(f"{path}.main.")]
        norms = [module for module in block.main.modules() if isinstance(module, _BatchNorm) and module.affine]
        if below and norms and not any(kept[name] for name in below):
            nn.init.zeros_(norms[-1].weight)


def _floats(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights and running statistics; each tensor once, though it may have several names."""
    seen: set[int] = set()
    found = {}
    for name, tensor in itertools.chain(state.items()):
        if tensor.is_floating_point() and tensor.data_ptr() not in seen:
            found[name] = tensor
            seen.add(tensor.data_ptr() if tensor.numel() else id(tensor))
    return found
