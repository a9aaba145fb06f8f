"""Pictures of ENAS's whole networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from archwright.core.drawing import Edge, Graph, Node, kind_of, readable


def layers_graph(
    ops: Sequence[str], skips: Sequence[Sequence[int]], reductions: Sequence[int], built_as: Mapping[str, str]
) -> Graph:
    """Layers in a row by their operations, with an arrow for every skip.

    Args:
        ops: Name of each layer's operation.
        skips: For each layer the numbers of the outputs that it joins; 0 is the stem's, i + 1 that of layer i.
        reductions: Numbers of the layers after which every output is halved.
        built_as: Operations that the network replaces by others, each with its replacement.
    """
    nodes = [Node("0", "stem", "input")]
    for i, (op, joined) in enumerate(zip(ops, skips, strict=True)):
        halved = "; behind it every output is halved" if i in reductions else ""
        instead = f"; built as a full convolution, {readable(built_as[op])}" if op in built_as else ""
        note = f"layer {i}: joins outputs {', '.join(map(str, joined)) or 'none'}{instead}{halved}"
        label = f"{readable(op)} ↓" if halved else readable(op)
        nodes.append(Node(str(i + 1), label, kind_of(op), note))
    nodes.append(Node("out", "classifier", "output"))
    edges = [Edge(str(i), str(i + 1)) for i in range(len(ops))]
    edges += [Edge(str(source), str(i + 1)) for i, joined in enumerate(skips) for source in joined]
    return Graph(tuple(nodes), (*edges, Edge(str(len(ops)), "out")), "network", direction="down")
