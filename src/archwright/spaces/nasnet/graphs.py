"""Cells of blocks with two inputs as graphs, as NASNet, AmoebaNet and ENAS have them."""

from __future__ import annotations

import numpy as np

from archwright.core.decisions import DecisionSpace, Rows
from archwright.core.graphs import Graphs
from archwright.spaces.nasnet.cells import EDGES
from archwright.spaces.nasnet.genotype import KINDS


def block_graphs(decisions: DecisionSpace, rows: Rows, blocks: int, ops: tuple[str, ...]) -> dict[str, Graphs]:
    """Both cells by kind; a block is a node with two edges, and all blocks lead to the output.

    Args:
        decisions: Those of a block are called `KIND.blockB.inputI` and `KIND.blockB.opI`.
        rows: Members (n, n_decisions).
        blocks: Of each cell.
        ops: Operations in the order of the decisions' values.
    """
    edges = [(b, i) for b in range(blocks) for i in EDGES]
    target, found = np.array([b + 2 for b, _ in edges]), {}
    for kind in KINDS:
        columns = [[decisions.position(f"{kind}.block{b}.{what}{i}") for b, i in edges] for what in ("op", "input")]
        op, source = (rows[:, each].astype(np.int64) for each in columns)
        found[kind] = Graphs.concatenated(ops, op, source, target)
    return found
