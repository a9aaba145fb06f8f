"""What a picture of an architecture shows, as plain data: graphs of states and operations, strips of blocks.

A space says what there is to see; where it stands and how it looks is decided by `reports.drawing`.
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
        id: Its name for edges.
        label: Shown text.
        kind: "state", "input" or "output"; any other kind is drawn as an operation.
        note: Shown where the pointer rests.
    """

    id: str
    label: str = ""
    kind: Kind = "state"
    note: str = ""


@dataclass(frozen=True)
class Edge:
    """An arrow from one node to another; with a label it is an operation, drawn as a box half-way.

    Attributes:
        source: Where it begins.
        target: Where it ends.
        label: The operation, or nothing for a plain arrow.
        kind: By default what the label says (see `kind_of`).
        note: Shown where the pointer rests.
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
        nodes: In the order in which equals stand beside each other.
        edges: Several may join the same two nodes.
        title: Shown above.
        direction: Where its layers go: to the right, or from top to bottom, which takes more width.

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
        channels: Of its result; decides the height of the box.
        resolution: (height, width) of its result; empty where it is no image.
        stride: By how much it divides height and width.
        kernel: Side of its kernel, for the shade; None where the label says it, or it has none.
        repeats: How many equal ones the box stands for.
        note: Shown where the pointer rests.
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
        blocks: At least one.
        title: Shown above.
        input: Shown in front, e.g. "3 × 224 × 224".
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
        panels: E.g. a normal cell, a reduction cell, and the skeleton they stand in.
        summary: One sentence for those who cannot see it.
    """

    panels: tuple[Graph | Strip, ...]
    summary: str = ""

    def __post_init__(self) -> None:
        if not self.panels:
            raise InvalidValueError("a drawing has no panel; give at least one graph or strip")


def kind_of(operation: str) -> Kind:
    """The kind of an operation (convolution, pooling, …), recognised by its name.

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
    """The kernel size in a name such as conv_3x3 (the larger side); None if the name holds none.

    >>> kernel_in("sep_conv_5x5"), kernel_in("conv 1×7 7×1"), kernel_in("skip")
    (5, 7, None)
    """
    sides = re.search(r"([0-9]{1,2})[x×]([0-9]{1,2})(?![0-9])", operation)
    return max(map(int, sides.groups())) if sides else None


def readable(operation: str) -> str:
    """An operation's name as it is shown.

    >>> readable("sep_conv_3x3")
    'sep conv 3×3'
    """
    return re.sub(r"(?<=[0-9])x(?=[0-9])", "×", operation.replace("_", " "))


def topological_order(ids: Iterable[_Name], edges: Iterable[tuple[_Name, _Name]]) -> list[_Name]:
    """The nodes, each after all nodes with an edge to it; otherwise in the order given.

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
