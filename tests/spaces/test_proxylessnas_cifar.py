"""The CIFAR-10 space of ProxylessNAS against the released network."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from archwright.core.errors import InvalidValueError
from archwright.costs.counting.count import count
from archwright.spaces import ProxylessNasCifar, Space, open_architecture
from archwright.spaces.proxylessnas_cifar import edge_names
from archwright.testing import SpaceContract


class OneBlock(ProxylessNasCifar):
    """A single cell: every decision is one of its twelve edges."""

    n_groups = 1


class TestContract(SpaceContract):
    n_archs = 2
    n_costed = 4

    def make(self) -> Space:
        return OneBlock(input_shape=(1, 8, 8), n_classes=4, blocks=1, start=2, widening=6)


def test_size() -> None:
    """54 blocks of 12 edges, seven candidates each."""
    space = ProxylessNasCifar()
    assert len(space.decisions) == 54 * 12
    assert space.size() == 7**648


def test_released_network() -> None:
    """Parameters and multiply-accumulates to the unit."""
    found = open_architecture("proxyless-cifar")
    with torch.device("meta"):
        counted = count(found.space.build(found.arch), (3, 32, 32), memory=False)
    assert (counted.params, counted.macs, counted.uncounted) == (5_731_530, 1_213_155_872, [])


def test_released_network_is_the_official_description(shared_data: Callable[[str], Path]) -> None:
    """Edge for edge, and the widths of the pyramid."""
    config = json.loads(gzip.decompress(shared_data("arch_configs/proxyless_cifar.json.gz").read_bytes()))
    blocks = [block for block in config["blocks"] if "cell" in block]
    found = open_architecture("proxyless-cifar")
    assert isinstance(found.space, ProxylessNasCifar)
    assert found.space.widths() == [block["in_bottle"]["out_channels"] for block in blocks]
    expected = {}
    for i, block in enumerate(blocks, start=1):
        (split,) = block["cell"]["child_nodes"]
        edges = [edge for node in split["child_nodes"] for edge in edges_of(node)]
        expected |= {f"block{i}.{name}": edge for name, edge in zip(edge_names(), edges, strict=True)}
    assert dict(found.arch) == expected


def edges_of(node: dict[str, Any]) -> list[str]:
    """Our names of a node's edges, each followed by those of the node it leads to."""
    found = []
    for edge, child in zip(node["edges"], node["child_nodes"], strict=True):
        found += [candidate(edge), *(edges_of(child) if child is not None else [])]
    return found


def candidate(layer: dict[str, Any]) -> str:
    """Our name of an official layer."""
    if layer["name"] == "IdentityLayer":
        return "identity"
    if layer["name"] == "PoolingLayer":
        return f"{layer['pool_type']}_pool"
    return f"conv{layer['kernel_size']}" + ("_dilated" if layer["dilation"] == 2 else "")


@pytest.mark.parametrize(("side", "last"), [(4, 4), (6, 6), (7, 4), (8, 4), (12, 6), (13, 4), (15, 4), (32, 8)])
def test_sizes_of_images(side: int, last: int) -> None:
    """The map before the pooling; odd sides are rounded up in both paths."""
    space = ProxylessNasCifar(input_shape=(1, side, side), blocks=1, start=2, widening=6)
    with torch.device("meta"):
        network = space.build(dict.fromkeys(space.decisions.names, "identity"))
        maps = network[:-1](torch.empty(2, 1, side, side))  # type: ignore[index]
    assert maps.shape == (2, 4 * space.widths()[-1], last, last)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"blocks": 0}, r"blocks\[0\] is 0"), ({"start": -1}, r"start\[0\] is -1"), ({"input_shape": (3, 2, 2)}, "not 2")],
)
def test_impossible_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    """Each names its place."""
    with pytest.raises(InvalidValueError, match=message):
        ProxylessNasCifar(**arguments)
