"""What a drawing may hold, and what names of operations say."""

from __future__ import annotations

import pytest

from archwright.core.drawing import Drawing, Edge, Graph, Node, Strip, kernel_in, kind_of, topological_order
from archwright.core.errors import InvalidValueError

AB = (Node("a"), Node("b"))


@pytest.mark.parametrize(
    ("operation", "kind"),
    [
        ("none", "none"),
        ("skip_connect", "skip"),
        ("identity", "skip"),
        ("nor_conv_1x1", "conv"),
        ("conv 1×7 7×1", "conv"),
        ("sep conv 3×3", "depthwise"),
        ("dil_conv_5x5", "depthwise"),
        ("mbconv3_k5", "depthwise"),
        ("MB6 3x3", "depthwise"),
        ("avg_pool_3x3", "pool"),
        ("MAX_POOL", "pool"),
        ("self_attention", "attention"),
        ("concat", "join"),
        ("add", "join"),
        ("tanh", "other"),
        ("grid", "other"),
        ("", "other"),
    ],
)
def test_kinds_by_hand(operation: str, kind: str) -> None:
    """Names as NAS-Bench-201, DARTS, NASNet and the mobile spaces have them; no word hides inside another."""
    assert kind_of(operation) == kind


@pytest.mark.parametrize(("operation", "side"), [("conv_3x3", 3), ("max pool 3×3", 3), ("1x7 7x1", 7), ("id2", None)])
def test_kernels_by_hand(operation: str, side: int | None) -> None:
    """Only what is written as a product."""
    assert kernel_in(operation) == side


def test_a_cycle_is_refused() -> None:
    """The nodes of the cycle are named."""
    with pytest.raises(InvalidValueError, match="cycle through a, b"):
        Graph(AB, (Edge("a", "b"), Edge("b", "a")))


def test_an_edge_of_an_unknown_node_is_refused() -> None:
    """The message names it and lists the known ones."""
    with pytest.raises(InvalidValueError, match="names the node 'c'; the graph has a, b"):
        Graph(AB, (Edge("a", "c"),))


def test_two_nodes_of_one_name_are_refused() -> None:
    """Edges could not tell them apart."""
    with pytest.raises(InvalidValueError, match="are called 'a'"):
        Graph((*AB, Node("a")), ())


def test_nothing_is_no_drawing() -> None:
    """Neither a strip without blocks nor a drawing without panels."""
    with pytest.raises(InvalidValueError, match="no block"):
        Strip(())
    with pytest.raises(InvalidValueError, match="no panel"):
        Drawing(())


def test_topological_order_keeps_the_given_one_where_it_can() -> None:
    """Each behind its sources."""
    assert topological_order("abcd", [("c", "a"), ("a", "b")]) == ["c", "d", "a", "b"]
