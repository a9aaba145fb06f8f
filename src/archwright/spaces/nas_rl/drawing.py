"""Pictures of networks with skip connections."""

from __future__ import annotations

from collections.abc import Sequence

from archwright.core.drawing import Edge, Graph, Node
from archwright.spaces.nas_rl.layers import Layer


def layers_graph(layers: Sequence[Layer], pooled: Sequence[int], title: str) -> Graph:
    """A node a layer, an arrow for each that it reads, and arrows into the classifier from what none reads.

    Args:
        layers: In order; the first is number 1.
        pooled: Numbers of the layers with a pooling behind.
        title: Shown above.
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
