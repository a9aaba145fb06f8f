"""Cells of NASNet and AmoebaNet as plain data: blocks of two edges, their text, and the controller's tokens.

State 0 is the output of the cell before, state 1 that of the cell before that one; block b makes state b + 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from archwright.core.errors import InvalidArchError
from archwright.core.text import beginning

KINDS = ("normal", "reduction")
COMBINES = ("add", "concat")
SIGNS = {"add": "+", "concat": "."}
"""The sign that a text has between the two edges of a block, by combination."""


@dataclass(frozen=True)
class Edge:
    """An operation and the number of the state it reads."""

    op: str
    source: int


@dataclass(frozen=True)
class Block:
    """Two edges and how their results become one state.

    Attributes:
        first: The first edge.
        second: The second edge.
        combine: "add" or "concat".
    """

    first: Edge
    second: Edge
    combine: str = "add"


Cell = tuple[Block, ...]
Outputs = tuple[int, ...]
"""Numbers of the states that form the output of a cell."""


@dataclass(frozen=True)
class Genotype:
    """A normal and a reduction cell, and which of their states form their outputs.

    The outputs of the published cells cannot be derived from their edges: that of NASNet-A's normal cell includes state
    1, although four edges read it.

    Attributes:
        normal: Blocks of the normal cell.
        reduction: Blocks of the reduction cell.
        outputs: States that form the output of either cell; None for those that no block reads.
    """

    normal: Cell
    reduction: Cell
    outputs: tuple[Outputs, Outputs] | None = None

    def cells(self) -> tuple[tuple[str, Cell], ...]:
        """The two cells with their kinds."""
        return tuple(zip(KINDS, (self.normal, self.reduction), strict=True))


def unread(sources: Sequence[int], n_blocks: int, *, first: int = 2) -> Outputs:
    """The states that no edge reads.

    Args:
        sources: Numbers of the states that the edges read.
        n_blocks: Blocks of the cell.
        first: Number of the first state to consider; 2 leaves the cell's inputs out.

    >>> unread([0, 1, 2, 0], 2), unread([0, 0, 0, 1], 2), unread([0, 0, 0, 0], 2, first=0)
    ((3,), (2, 3), (1, 2, 3))
    """
    return tuple(state for state in range(first, n_blocks + 2) if state not in sources)


# ── text ──────────────────────────────────────────────────────────────────────────────────────────


def genotype_text(genotype: Genotype) -> str:
    """Both cells as text.

    `/` separates cells, `,` separates blocks, `+` (sum) or `.` (concatenation) separates the edges `operation~state` of
    a block. The states that form the cell's output follow after `@`, if they are part of the genotype.

    >>> block = Block(Edge("identity", 0), Edge("max_pool_3x3", 1))
    >>> genotype_text(Genotype((block,), (block,), ((1, 2), (2,))))
    'identity~0+max_pool_3x3~1@1.2/identity~0+max_pool_3x3~1@2'
    """
    texts = []
    for i, (_, cell) in enumerate(genotype.cells()):
        blocks = ",".join(_block_text(block) for block in cell)
        outputs = "" if genotype.outputs is None else "@" + ".".join(map(str, genotype.outputs[i]))
        texts.append(blocks + outputs)
    return "/".join(texts)


def _block_text(block: Block) -> str:
    edges = (f"{edge.op}~{edge.source}" for edge in (block.first, block.second))
    return SIGNS[block.combine].join(edges)


def parse_genotype(text: str, ops: Sequence[str], n_blocks: int, combines: Sequence[str] = COMBINES) -> Genotype:
    """The genotype of a text in the notation of `genotype_text`.

    Args:
        text: Both cells.
        ops: Accepted operations.
        n_blocks: Blocks of a cell.
        combines: Accepted combinations.

    Raises:
        InvalidArchError: If it is in another notation, too short or long, has an unknown operation, or reads a state
            that does not exist yet; the message has the place.
    """
    parts = text.strip().split("/")
    if len(parts) != len(KINDS):
        raise InvalidArchError(
            f"genotype {beginning(text)!r} has {len(parts)} cells parted by '/'; give a normal and a reduction cell"
        )
    cells, outputs = [], []
    for kind, part in zip(KINDS, parts, strict=True):
        blocks, at, states = part.partition("@")
        cells.append(_parse_cell(kind, blocks, ops, n_blocks, combines))
        outputs.append(_parse_outputs(kind, states, n_blocks) if at else None)
    found = [states for states in outputs if states is not None]
    if len(found) == 1:
        raise InvalidArchError("only one of the two cells says behind '@' which states leave it; give both or none")
    return Genotype(cells[0], cells[1], (found[0], found[1]) if found else None)


def _parse_cell(kind: str, text: str, ops: Sequence[str], n_blocks: int, combines: Sequence[str]) -> Cell:
    blocks = text.split(",")
    if len(blocks) != n_blocks:
        raise InvalidArchError(f"the {kind} cell has {len(blocks)} blocks parted by ','; give {n_blocks}")
    return tuple(_parse_block(f"block {b} of the {kind} cell", b, part, ops, combines) for b, part in enumerate(blocks))


def _parse_block(where: str, b: int, text: str, ops: Sequence[str], combines: Sequence[str]) -> Block:
    signs = [combine for combine in combines if SIGNS[combine] in text]
    edges = text.split(SIGNS[signs[0]]) if signs else [text]
    if len(signs) != 1 or len(edges) != 2:
        joined = " or ".join(f"'operation~state{SIGNS[combine]}operation~state'" for combine in combines)
        raise InvalidArchError(f"{where} is {text!r}; give two edges, like {joined}")
    first, second = (_parse_edge(where, b, edge, ops) for edge in edges)
    return Block(first, second, signs[0])


def _parse_edge(where: str, b: int, text: str, ops: Sequence[str]) -> Edge:
    op, _, source = text.strip().partition("~")
    if op not in ops:
        raise InvalidArchError(f"{where} has the operation {op!r}; choose one of {', '.join(ops)}")
    return Edge(op, _state(where, source, b + 1))


def _parse_outputs(kind: str, text: str, n_blocks: int) -> Outputs:
    states = [_state(f"the output of the {kind} cell", part, n_blocks + 1) for part in text.split(".")]
    return check_outputs(kind, states, n_blocks)


def _state(where: str, text: str, last: int) -> int:
    text = text.strip()
    if not (text.isascii() and text.isdigit() and len(text) < 4 and int(text) <= last):
        raise InvalidArchError(f"{where} reads state {text!r}; the states there are numbered 0 to {last}")
    return int(text)


def check_outputs(kind: str, states: Sequence[int], n_blocks: int) -> Outputs:
    """The states that form a cell's output, ascending, after checking them.

    Args:
        kind: Kind of the cell, for the message.
        states: Numbers of the states.
        n_blocks: Blocks of the cell.

    Raises:
        InvalidArchError: If there are none, or one is given twice or does not exist.
    """
    last = n_blocks + 1
    is_known = all(type(state) is int and 0 <= state <= last for state in states)
    if not states or not is_known or len(set(states)) < len(states):
        raise InvalidArchError(
            f"the {kind} cell's outputs are {list(states)}; give at least one of the states 0 to {last}, each once"
        )
    return tuple(sorted(states))


# ── tokens ────────────────────────────────────────────────────────────────────────────────────────


def token_dims(n_ops: int, n_blocks: int = 5, n_combines: int = 2) -> list[int]:
    """How many values each token of the paper's controller has: a block's two states, two operations, combination.

    Args:
        n_ops: Number of operations.
        n_blocks: Blocks of a cell.
        n_combines: Number of combinations.

    >>> token_dims(13)[:10]
    [2, 2, 13, 13, 2, 3, 3, 13, 13, 2]
    """
    return [n for _ in KINDS for b in range(n_blocks) for n in (b + 2, b + 2, n_ops, n_ops, n_combines)]


def genotype_tokens(genotype: Genotype, ops: Sequence[str], combines: Sequence[str] = COMBINES) -> list[int]:
    """The tokens of both cells in the controller's order: states, and positions in `ops` and `combines`.

    Args:
        genotype: Both cells.
        ops: Names of the operations.
        combines: Names of the combinations.
    """
    tokens: list[int] = []
    for block in (*genotype.normal, *genotype.reduction):
        edges = block.first, block.second
        tokens += [edge.source for edge in edges] + [ops.index(edge.op) for edge in edges]
        tokens.append(combines.index(block.combine))
    return tokens


def genotype_of_tokens(
    tokens: Sequence[int], ops: Sequence[str], combines: Sequence[str] = COMBINES, n_blocks: int = 5
) -> Genotype:
    """The genotype whose `genotype_tokens` these are; its outputs are the states that no block reads.

    Args:
        tokens: The tokens of both cells.
        ops: Names of the operations.
        combines: Names of the combinations.
        n_blocks: Blocks of a cell.

    Raises:
        InvalidArchError: If there are too few or too many, or one is out of its range.
    """
    dims = token_dims(len(ops), n_blocks, len(combines))
    if len(tokens) != len(dims):
        raise InvalidArchError(f"there are {len(tokens)} tokens; two cells of {n_blocks} blocks have {len(dims)}")
    for place, (token, n) in enumerate(zip(tokens, dims, strict=True)):
        if not 0 <= token < n:
            raise InvalidArchError(f"token {place} is {token}; give 0 to {n - 1}")
    blocks = []
    for start in range(0, len(tokens), 5):
        first, second, op, other, combine = tokens[start : start + 5]
        blocks.append(Block(Edge(ops[op], first), Edge(ops[other], second), combines[combine]))
    return Genotype(tuple(blocks[:n_blocks]), tuple(blocks[n_blocks:]))
