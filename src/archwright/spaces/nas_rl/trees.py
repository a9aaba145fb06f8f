"""Recurrent cells of NAS with RL as plain data, and their text.

A node is written `combination-activation`; nodes are joined by `,`, leaves first, then level by level. Two parts
follow, each after a `/`: how the cell state is injected, and the two cell indices, which are the node that gives the
new cell state and the node that the old cell state joins. The paper's example of a tree with two leaves:

    add-tanh,elem_mult-relu,elem_mult-sigmoid/add-relu/1,0
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from archwright.core.errors import InvalidArchError
from archwright.core.text import beginning


@dataclass(frozen=True)
class Step:
    """How a node makes one tensor of two: a combination, then an activation, both by name."""

    combine: str
    activation: str


@dataclass(frozen=True)
class Tree:
    """A recurrent cell in the form of a tree.

    Attributes:
        nodes: Leaves first, then level by level.
        inject: How the old cell state joins a node's output.
        new_cell: Number of the node whose combination, before the activation, is the new cell state.
        injected: Number of the node that the old cell state joins.
    """

    nodes: tuple[Step, ...]
    inject: Step
    new_cell: int
    injected: int


def sources(node: int, base: int) -> tuple[int, int]:
    """The two nodes that an inner node reads, in a tree with `base` leaves.

    >>> [sources(node, 8) for node in (8, 11, 12, 14)]
    [(0, 1), (6, 7), (8, 9), (12, 13)]
    """
    return 2 * (node - base), 2 * (node - base) + 1


def tree_text(tree: Tree) -> str:
    """The text of a cell, in the notation of this module."""
    nodes = ",".join(map(_step_text, tree.nodes))
    return f"{nodes}/{_step_text(tree.inject)}/{tree.new_cell},{tree.injected}"


def _step_text(step: Step) -> str:
    return f"{step.combine}-{step.activation}"


def parse_tree(text: str, base: int, combines: Sequence[str], activations: Sequence[str]) -> Tree:
    """The cell of a text.

    Args:
        text: A cell in the notation of this module.
        base: Number of leaves of the tree.
        combines: Accepted combinations.
        activations: Accepted activations.

    Raises:
        InvalidArchError: If it is no such cell; the message has the node.
    """
    parts = text.strip().split("/")
    if len(parts) != 3:
        raise InvalidArchError(
            f"the cell has {len(parts)} parts parted by '/'; give nodes, injection and two cell indices, "
            "like add-tanh,elem_mult-relu,elem_mult-sigmoid/add-relu/1,0"
        )
    nodes, n_nodes = parts[0].split(","), 2 * base - 1
    if len(nodes) != n_nodes:
        raise InvalidArchError(f"the cell has {len(nodes)} nodes; give {n_nodes}, leaves first")
    steps = tuple(_step(f"node {i}", node, combines, activations) for i, node in enumerate(nodes))
    inject = _step("the injection", parts[1], combines, activations)
    return Tree(steps, inject, *_indices(parts[2], n_nodes))


def _step(where: str, text: str, combines: Sequence[str], activations: Sequence[str]) -> Step:
    combine, dash, activation = text.strip().partition("-")
    if not dash:
        raise InvalidArchError(f"{where} is {beginning(text)!r}; write combination-activation, like add-tanh")
    for what, name, accepted in (("combination", combine, combines), ("activation", activation, activations)):
        if name not in accepted:
            raise InvalidArchError(f"{where} has the {what} {beginning(name)!r}; choose one of {', '.join(accepted)}")
    return Step(combine, activation)


def _indices(text: str, n_nodes: int) -> tuple[int, int]:
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 2:
        raise InvalidArchError(f"the cell indices are {beginning(text)!r}; give two nodes, like 1,0")
    for what, part in zip(("new cell state", "injection"), parts, strict=True):
        if not (part.isascii() and part.isdigit() and len(part) < 4 and int(part) < n_nodes):
            raise InvalidArchError(
                f"the cell index of the {what} is {beginning(part)!r}; the nodes are numbered 0 to {n_nodes - 1}"
            )
    return int(parts[0]), int(parts[1])
