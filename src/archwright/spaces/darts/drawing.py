"""Pictures of DARTS's cells and of the network built of them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from archwright.core.drawing import Block, Edge, Graph, Kind, Node, Strip, readable
from archwright.spaces.darts.genotypes import FIRST_NODE, Cell

INPUTS = ("c_{k-2}", "c_{k-1}")
OUTPUT = "c_{k}"


def cell_graph(title: str, cell: Cell) -> Graph:
    """A cell as the paper draws it: two inputs, nodes by their numbers in the genotype, plain arrows to the output."""
    states = [*INPUTS, *map(str, range(FIRST_NODE, FIRST_NODE + len(cell)))]
    nodes = [Node(state, state, "input" if state in INPUTS else "state") for state in states]
    edges = [
        Edge(states[source], str(node), readable(op))
        for node, found in enumerate(cell, FIRST_NODE)
        for op, source in sorted(found, key=lambda edge: edge[1])
    ]
    edges += [Edge(state, OUTPUT) for state in states[FIRST_NODE:]]
    return Graph((*nodes, Node(OUTPUT, OUTPUT, "output")), tuple(edges), title)


def skeleton(input_shape: Sequence[int], maps: Sequence[tuple[str, int, tuple[int, int]]], n_classes: int) -> Strip:
    """The network as a strip of its parts, with equal neighbours in one box.

    Args:
        input_shape: (C, H, W).
        maps: For each part in order: its name, output channels and output (height, width).
        n_classes: Number of classes.
    """
    blocks, before = [], (int(input_shape[1]), int(input_shape[2]))
    for (name, channels, sides), run in groupby(maps):
        stride = round(before[0] / sides[0])
        kind: Kind = "conv" if name == "stem" else "join"
        blocks.append(Block(name, kind, (), channels, sides, stride=stride, repeats=len(list(run))))
        before = sides
    blocks.append(Block("classifier", "linear", (f"{n_classes} outputs",)))
    return Strip(tuple(blocks), "network", " × ".join(map(str, input_shape)))
