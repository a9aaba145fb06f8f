"""A block's memory banks as a graph: which banks each operation reads and writes."""

from __future__ import annotations

from collections.abc import Sequence

from archwright.core.drawing import Edge, Graph, Node
from archwright.spaces.smash.grammar import Op


def block_graph(title: str, ops: Sequence[Op], n_filled: int, n_banks: int) -> Graph:
    """The graph of a block: the banks that hold its input, its operations, and a new node for each written bank.

    Args:
        title: Text above the graph.
        ops: The block's operations in order.
        n_filled: Number of banks that hold the block's input.
        n_banks: Number of all banks.
    """
    nodes, edges = [], []
    holds: dict[int, str] = {}
    for bank in range(n_filled):
        holds[bank] = f"bank{bank}"
        nodes.append(Node(holds[bank], str(bank), "input", f"bank {bank}: the block's input"))
    for i, op in enumerate(ops):
        name = f"op{i}"
        nodes.append(Node(name, _label(op), "conv", _note(i, op)))
        edges += [Edge(holds[bank], name) for bank in op.read if bank in holds]
        for bank in op.write:
            state = f"bank{bank}.{i}"
            nodes.append(Node(state, str(bank), "state", f"bank {bank} after operation {i}"))
            edges.append(Edge(name, state))
            if bank in holds:
                edges.append(Edge(holds[bank], state))
            holds[bank] = state
    nodes.append(Node("out", "concat", "output", f"all {n_banks} banks"))
    edges += [Edge(holds[bank], "out") for bank in sorted(holds)]
    return Graph(tuple(nodes), tuple(edges), title, direction="down")


def _label(op: Op) -> str:
    kernels = [f"{conv.kernel[0]}×{conv.kernel[1]}" for conv in op.convs]
    return " ".join(kernels)


def _note(i: int, op: Op) -> str:
    reads, writes = (", ".join(map(str, banks)) for banks in (op.read, op.write))
    return f"operation {i}: reads {reads}, writes {writes}, structure {op.structure}"
