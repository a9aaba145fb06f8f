"""NASNet cells as the papers draw them."""

from __future__ import annotations

from archwright.core.drawing import Edge, Graph, Node, kind_of, readable
from archwright.spaces.nasnet.genotype import Cell, Outputs

INPUTS = ("previous cell", "the one before")
"""Names of states 0 and 1 in pictures."""


def cell_graph(kind: str, cell: Cell, outputs: Outputs, inputs: tuple[str, str] = INPUTS) -> Graph:
    """A cell as a graph: inputs, operations, the states they make, and the output that joins some of the states.

    Args:
        kind: Kind of the cell, for the title.
        cell: Its blocks.
        outputs: Numbers of the states that form the output.
        inputs: Names of states 0 and 1.
    """
    nodes = [Node(str(i), label, "input") for i, label in enumerate(inputs)]
    edges = []
    for b, block in enumerate(cell):
        state = str(b + 2)
        label = "+" if block.combine == "add" else "concat"
        nodes.append(Node(state, label, "state", f"state {state}: {block.combine} of two operations"))
        for i, edge in enumerate((block.first, block.second)):
            # a node of its own, as the papers do: two edges of a block may begin in the same state
            op = f"{state}.{i}"
            nodes.append(Node(op, readable(edge.op), kind_of(edge.op)))
            edges += [Edge(str(edge.source), op), Edge(op, state)]
    nodes.append(Node("out", "concat", "output"))
    edges += [Edge(str(state), "out") for state in outputs]
    return Graph(tuple(nodes), tuple(edges), f"{kind} cell", direction="down")
