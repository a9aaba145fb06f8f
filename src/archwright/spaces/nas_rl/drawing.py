"""Pictures of networks with skip connections, and of recurrent cells that are trees."""

from __future__ import annotations

from collections.abc import Sequence

from archwright.core.drawing import Edge, Graph, Node
from archwright.spaces.nas_rl.layers import Layer
from archwright.spaces.nas_rl.trees import Step, Tree, sources

SIGNS = {"add": "+", "elem_mult": "×", "max": "max"}
"""The sign of each combination in pictures."""


def layers_graph(layers: Sequence[Layer], pooled: Sequence[int], title: str) -> Graph:
    """A graph with a node for each layer and an arrow from each layer that it reads.

    Arrows lead to the classifier from the layers that no other layer reads.

    Args:
        layers: The layers in order; the first is number 1.
        pooled: Numbers of the layers that a pooling follows.
        title: Text above the graph.
    """
    nodes = [Node("image", "image", "input")]
    edges = []
    for number, layer in enumerate(layers, 1):
        nodes.append(Node(str(number), _label(layer, number in pooled), "conv", note=f"layer {number}"))
        edges += [Edge(str(source) if source else "image", str(number)) for source in layer.reads or (0,)]
    read = {source for layer in layers for source in layer.reads}
    ends = [number for number in range(1, len(layers) + 1) if number not in read]
    nodes.append(Node("classifier", "classifier", "output"))
    edges += [Edge(str(number), "classifier") for number in ends]
    return Graph(tuple(nodes), tuple(edges), title, "down")


def _label(layer: Layer, is_pooled: bool) -> str:
    parts = [f"{layer.height}×{layer.width}, {layer.filters}"]
    if layer.stride != (1, 1):
        parts.append(f"stride {layer.stride[0]}×{layer.stride[1]}")
    if is_pooled:
        parts.append("max pool 2×2")
    return ", ".join(parts)


def tree_graph(tree: Tree, base: int) -> Graph:
    """A graph with a node for each step, labelled with combination and activation; the injection is a node too.

    Args:
        tree: The cell.
        base: Number of its leaves.
    """
    nodes = [Node(name, label, "input") for name, label in (("x", "x(t)"), ("h", "h(t−1)"), ("c", "c(t−1)"))]
    edges = []
    last = len(tree.nodes) - 1
    # what others read of a node: itself, or the node behind it that the cell state joins
    reads = [f"injected {i}" if i == tree.injected else str(i) for i in range(len(tree.nodes))]
    for i, step in enumerate(tree.nodes):
        nodes.append(Node(str(i), _step_label(step), "other", note=f"node {i}"))
        read = ["x", "h"] if i < base else [reads[j] for j in sources(i, base)]
        edges += [Edge(source, str(i)) for source in read]
        if i == tree.injected:
            nodes.append(Node(reads[i], _step_label(tree.inject), "join", note=f"the cell state joins node {i}"))
            edges += [Edge(str(i), reads[i]), Edge("c", reads[i])]
    nodes += [Node("new h", "h(t)", "output"), Node("new c", "c(t)", "output")]
    edges += [Edge(reads[last], "new h"), Edge(str(tree.new_cell), "new c", note="before the activation")]
    return Graph(tuple(nodes), tuple(edges), "recurrent cell", "down")


def _step_label(step: Step) -> str:
    return f"{SIGNS[step.combine]} {step.activation}"
