"""What a picture of an architecture shows, as plain data: graphs of states and operations, strips of blocks.

A space says what the picture contains; `reports.drawing` decides positions and looks.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Literal, TypeVar

from archwright.core.errors import InvalidValueError

Kind = Literal[
    "conv", "depthwise", "pool", "skip", "none", "linear", "attention", "join", "other", "state", "input", "output"
]
"""What an element is, which decides its colour; `depthwise` includes separable and dilated convolutions."""

_Name = TypeVar("_Name", bound=Hashable)

_WORDS: tuple[tuple[Kind, tuple[str, ...]], ...] = (
    ("none", ("none", "zero")),
    ("pool", ("pool", "avg", "max")),
    ("depthwise", ("sep", "dil", "depth", "dw", "mbconv", "mb", "shuffle", "xception", "inverted")),
    ("conv", ("conv",)),
    ("attention", ("attention", "attn")),
    ("skip", ("skip", "identity", "id")),
    ("linear", ("linear", "dense", "fc")),
    ("join", ("add", "concat", "sum", "mul")),
)


@dataclass(frozen=True)
class Node:
    """A state of a cell, or an operation that several edges enter.

    Attributes:
        id: The name by which edges refer to it.
        label: The text it shows.
        kind: "state", "input" or "output"; any other kind is drawn as an operation.
        note: Text that appears when the pointer rests on it.
    """

    id: str
    label: str = ""
    kind: Kind = "state"
    note: str = ""


@dataclass(frozen=True)
class Edge:
    """An arrow from one node to another; with a label it is an operation, drawn as a box half-way.

    Attributes:
        source: Id of the node where it begins.
        target: Id of the node where it ends.
        label: Name of the operation; empty for a plain arrow.
        kind: Kind of the operation, which decides the colour; None takes it from the label (see `kind_of`).
        note: Text that appears when the pointer rests on it.
    """

    source: str
    target: str
    label: str = ""
    kind: Kind | None = None
    note: str = ""


@dataclass(frozen=True)
class Graph:
    """A directed graph without cycles: a cell as papers draw it.

    Attributes:
        nodes: Nodes of the same layer are drawn in this order.
        edges: Several edges may join the same two nodes.
        title: Text above the graph.
        direction: "right" draws from left to right; "down" draws from top to bottom, which takes more width.

    Raises:
        InvalidValueError: If two nodes share an id, an edge names an unknown node, or edges form a cycle.
    """

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    title: str = ""
    direction: Literal["right", "down"] = "right"

    def __post_init__(self) -> None:
        ids = [node.id for node in self.nodes]
        if len(set(ids)) < len(ids):
            raise InvalidValueError(
                f"two nodes of a graph are called {max(ids, key=ids.count)!r}; give each its own id"
            )
        for edge in self.edges:
            for end in (edge.source, edge.target):
                if end not in ids:
                    raise InvalidValueError(f"an edge names the node {end!r}; the graph has {', '.join(ids) or 'none'}")
        topological_order(ids, [(edge.source, edge.target) for edge in self.edges])


@dataclass(frozen=True)
class Block:
    """One box of a strip.

    Attributes:
        label: The operation.
        kind: Decides the colour.
        details: Further short lines, e.g. ("5×5", "expand 6").
        channels: Number of output channels; decides the height of the box.
        resolution: (height, width) of the output in pixels; empty if the output is no image.
        stride: Factor by which it divides height and width.
        kernel: Side of its kernel, which decides the shade; None if the label says it or there is no kernel.
        repeats: How many equal blocks the box stands for.
        note: Text that appears when the pointer rests on it.
    """

    label: str
    kind: Kind = "other"
    details: tuple[str, ...] = ()
    channels: int | None = None
    resolution: tuple[int, ...] = ()
    stride: int = 1
    kernel: int | None = None
    repeats: int = 1
    note: str = ""


@dataclass(frozen=True)
class Strip:
    """Blocks that run one after the other.

    Attributes:
        blocks: At least one, in order of execution.
        title: Text above the strip.
        input: Text in front of the first block, e.g. "3 × 224 × 224".
    """

    blocks: tuple[Block, ...]
    title: str = ""
    input: str = ""

    def __post_init__(self) -> None:
        if not self.blocks:
            raise InvalidValueError("a strip has no block; give at least one")


@dataclass(frozen=True)
class Drawing:
    """The contents of one picture: its panels and title.

    Attributes:
        panels: The parts of the picture, e.g. a normal cell, a reduction cell, and the network built of them.
        summary: One sentence for readers who cannot see the picture.
    """

    panels: tuple[Graph | Strip, ...]
    summary: str = ""

    def __post_init__(self) -> None:
        if not self.panels:
            raise InvalidValueError("a drawing has no panel; give at least one graph or strip")


def kind_of(operation: str) -> Kind:
    """The kind of an operation, read from its name.

    >>> kind_of("nor_conv_3x3"), kind_of("dil_conv_5x5"), kind_of("max_pool_3x3"), kind_of("gelu")
    ('conv', 'depthwise', 'pool', 'other')
    """
    words = re.findall(r"[a-z]+", operation.lower())
    for kind, known in _WORDS:
        # short names must be words of their own ("id" is no part of "grid"), longer ones may be a part of one
        if any(word == name or (len(name) > 3 and name in word) for word in words for name in known):
            return kind
    return "other"


def kernel_in(operation: str) -> int | None:
    """The larger side of the kernel in an operation's name, such as 3x3; None if the name has no such part.

    >>> kernel_in("sep_conv_5x5"), kernel_in("conv 1×7 7×1"), kernel_in("skip")
    (5, 7, None)
    """
    sides = re.search(r"([0-9]{1,2})[x×]([0-9]{1,2})(?![0-9])", operation)
    return max(map(int, sides.groups())) if sides else None


def readable(operation: str) -> str:
    """An operation's name as pictures show it.

    >>> readable("sep_conv_3x3")
    'sep conv 3×3'
    """
    return re.sub(r"(?<=[0-9])x(?=[0-9])", "×", operation.replace("_", " "))


def topological_order(ids: Iterable[_Name], edges: Iterable[tuple[_Name, _Name]]) -> list[_Name]:
    """The nodes in an order in which every edge leads forward; nodes without such a relation keep the order given.

    Raises:
        InvalidValueError: If edges form a cycle.
    """
    behind: dict[_Name, list[_Name]] = {name: [] for name in ids}
    waits = dict.fromkeys(behind, 0)
    for source, target in edges:
        behind[source].append(target)
        waits[target] += 1
    ready = [name for name, n in waits.items() if not n]
    for name in ready:
        for target in behind[name]:
            waits[target] -= 1
            if not waits[target]:
                ready.append(target)
    if len(ready) < len(behind):
        stuck = ", ".join(str(name) for name in behind if waits[name])
        raise InvalidValueError(f"the edges of a graph form a cycle through {stuck}; a cell's edges lead forward")
    return ready
