"""Cells as text: DARTS's genotypes, and a shorter notation of them for the command line.

A node is written as its edges, `op-source`, joined by commas; nodes are joined by `+`; the normal cell comes before
the reduction cell, with `/` between them. DARTS's second-order cells (darts-v2) are:

    sep3-0,sep3-1+sep3-0,sep3-1+skip-0,sep3-1+skip-0,dil3-2/max-0,max-1+max-1,skip-2+max-0,skip-2+max-1,skip-2

The texts of the released code are read too: `Genotype(normal=[('sep_conv_3x3', 0), …], normal_concat=…, …)`.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from typing import Any

from archwright.core.errors import InvalidArchError

FIRST_NODE = 2
"""Number of the first node; states 0 and 1 are the outputs of the two cells before."""

CELLS = ("normal", "reduce")
_CALLED = {"normal": "normal", "reduce": "reduction"}

SHORT = {
    "none": "none",
    "max_pool_3x3": "max",
    "avg_pool_3x3": "avg",
    "skip_connect": "skip",
    "sep_conv_3x3": "sep3",
    "sep_conv_5x5": "sep5",
    "dil_conv_3x3": "dil3",
    "dil_conv_5x5": "dil5",
}
"""The operations in the order of the paper's architecture parameters, each with its short name."""

PRIMITIVES = tuple(SHORT)
OPS = PRIMITIVES[1:]
"""The operations that a derived cell can have."""

_LONG = {short: op for op, short in SHORT.items()} | {op: op for op in SHORT}

RELEASED = ("normal", "normal_concat", "reduce", "reduce_concat")
"""Names of the arguments of the released code's Genotype."""

Edges = tuple[tuple[str, int], ...]
"""(operation, source) of the edges into a node."""

Cell = tuple[Edges, ...]
"""The edges of each node, in order of the nodes."""

Genotype = Mapping[str, Cell]
"""The cell of each kind, `normal` and `reduce`."""


def genotype_text(genotype: Genotype) -> str:
    """The genotype in the short notation; a node's edges are sorted by source, a node without edges is `none`."""
    return "/".join("+".join(map(_node_text, genotype[kind])) for kind in CELLS)


def _node_text(edges: Edges) -> str:
    pairs = sorted((source, op) for op, source in edges)
    return ",".join(f"{SHORT[op]}-{source}" for source, op in pairs) or "none"


def parse_genotype(text: str, n_nodes: int) -> dict[str, Cell]:
    """The cells in a text; whether a space allows these edges is not checked here.

    Args:
        text: A genotype in the short or the released notation.
        n_nodes: Nodes of a cell.

    Raises:
        InvalidArchError: If it is in neither notation; the message has the cell, node and edge.
    """
    stripped = text.strip()
    if stripped.startswith("Genotype"):
        return _released(stripped, n_nodes)
    parts = stripped.split("/")
    if len(parts) != len(CELLS):
        raise InvalidArchError(
            f"genotype {text!r} has {len(parts)} cells; write a normal and a reduction cell with '/' between them, "
            "each of nodes joined by '+', like sep3-0,skip-1+…"
        )
    return {kind: _cell(kind, part.split("+"), n_nodes) for kind, part in zip(CELLS, parts, strict=True)}


def _cell(kind: str, nodes: Sequence[str], n_nodes: int) -> Cell:
    if len(nodes) != n_nodes:
        raise InvalidArchError(f"the {_CALLED[kind]} cell has {len(nodes)} nodes; give {n_nodes}, joined by '+'")
    return tuple(_node(kind, node, text) for node, text in enumerate(nodes, FIRST_NODE))


def _node(kind: str, node: int, text: str) -> Edges:
    if text == "none":
        return ()
    edges = []
    for part in text.split(","):
        op, dash, source = part.rpartition("-")
        if not dash or not source.isascii() or not source.isdigit():
            raise InvalidArchError(f"{place(kind, node)}: {part!r} is no edge; write operation-source, like sep3-0")
        edges.append(checked_edge(kind, node, op, int(source[:9])))
    return tuple(edges)


def checked_edge(kind: str, node: int, op: object, source: object) -> tuple[str, int]:
    """The edge (operation, source), after checking it; a short name of the operation becomes the long one.

    Args:
        kind: Kind of the cell, for the message.
        node: Number of the node that the edge leads to.
        op: Name of the operation, short or long.
        source: Number of the state that the edge reads.

    Raises:
        InvalidArchError: If there is no such operation, or the source does not come before the node.
    """
    if not isinstance(op, str) or op not in _LONG:
        raise InvalidArchError(f"{place(kind, node)}: unknown operation {op!r}; choose one of {', '.join(PRIMITIVES)}")
    if isinstance(source, bool) or not isinstance(source, int) or not 0 <= source < node:
        raise InvalidArchError(f"{place(kind, node)}: it cannot read state {source!r}; its inputs are 0 to {node - 1}")
    return _LONG[op], source


def place(kind: str, node: int) -> str:
    """The name of a node in error messages."""
    return f"{_CALLED[kind]} cell, node {node}"


# ── texts of the released code ────────────────────────────────────────────────────────────────────


def keywords_of(text: str, names: Sequence[str]) -> dict[str, Any]:
    """The arguments in a text `Genotype(…)`, by name; the text is parsed, never executed.

    Values may be lists, tuples, texts, numbers and ranges of numbers.

    Raises:
        InvalidArchError: If it is anything else, or the arguments are not exactly those in `names`.
    """
    wanted = f"Genotype({', '.join(f'{name}=…' for name in names)})"
    try:
        call = ast.parse(text, mode="eval").body
        assert isinstance(call, ast.Call)
        assert isinstance(call.func, ast.Name)
        assert not call.args
        found = {str(keyword.arg): _literal(keyword.value) for keyword in call.keywords}
    except (SyntaxError, ValueError, AssertionError, RecursionError, MemoryError, TypeError):
        raise InvalidArchError(f"a text that begins with 'Genotype' is not {wanted}") from None
    if sorted(found) != sorted(names):
        raise InvalidArchError(f"the genotype has {', '.join(found) or 'no arguments'}; write {wanted}")
    return found


def _literal(node: ast.expr) -> Any:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "range":
        first, last = map(ast.literal_eval, node.args)
        return list(range(min(first, 99), min(last, 99)))
    return ast.literal_eval(node)


def _released(text: str, n_nodes: int) -> dict[str, Cell]:
    """Two edges a node, in any order; all nodes joined."""
    given, nodes = keywords_of(text, RELEASED), list(range(FIRST_NODE, FIRST_NODE + n_nodes))
    for kind in CELLS:
        if given[f"{kind}_concat"] not in (nodes, tuple(nodes)):
            raise InvalidArchError(f"{kind}_concat is {given[f'{kind}_concat']}; the cell joins its nodes, {nodes}")
    return {kind: _released_cell(kind, given[kind], n_nodes) for kind in CELLS}


def _released_cell(kind: str, pairs: Any, n_nodes: int) -> Cell:
    if not isinstance(pairs, list | tuple) or len(pairs) != 2 * n_nodes:
        found = f"{len(pairs)} edges" if isinstance(pairs, list | tuple) else repr(pairs)
        raise InvalidArchError(f"the {_CALLED[kind]} cell of the genotype has {found}; give {2 * n_nodes}, two a node")
    edges = []
    for i, pair in enumerate(pairs):
        node = FIRST_NODE + i // 2
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise InvalidArchError(f"{place(kind, node)}: {pair!r} is no edge; write ('sep_conv_3x3', 0)")
        edges.append(checked_edge(kind, node, *pair))
    return tuple(tuple(edges[2 * i : 2 * i + 2]) for i in range(n_nodes))
