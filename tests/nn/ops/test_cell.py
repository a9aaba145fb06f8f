"""A cell of edges: sums by hand, no work for zeros, mixtures."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from archwright.nn import Supernet, selection_of
from archwright.nn.ops.cell import EdgeCell
from archwright.nn.ops.edges import Zero, skip


class Times(nn.Module):
    """A factor; counts its calls."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor, self.calls = factor, 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x * self.factor


def test_a_node_is_the_sum_of_one_edge_from_every_earlier_one() -> None:
    """Node 1 = 2x, node 2 = 3x + 5·2x = 13x, node 3 = 7x + 11·2x + 13·13x = 198x."""
    factors = {(0, 1): 2, (0, 2): 3, (1, 2): 5, (0, 3): 7, (1, 3): 11, (2, 3): 13}
    cell = EdgeCell(4, lambda source, target: Times(factors[source, target]))
    assert cell(torch.ones(1, 1, 1, 1)).item() == 198
    assert [name for name, _ in cell.named_children()] == ["edge01", "edge02", "edge12", "edge03", "edge13", "edge23"]


def test_zeros_are_left_out() -> None:
    """Neither run nor added: the one other edge's own tensor comes out."""
    cell = EdgeCell(2, lambda source, target: nn.Identity())
    x = torch.randn(2, 3, 4, 4)
    assert cell(x) is x
    both = EdgeCell(3, lambda source, target: Zero() if (source, target) != (0, 2) else nn.Identity())
    assert both(x) is x


def test_nothing_but_zeros_gives_zeros() -> None:
    """Of the input's shape and layout."""
    cell = EdgeCell(4, lambda source, target: Zero())
    x = torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last)
    out = cell(x)
    assert out.shape == x.shape
    assert not out.any()
    assert out.is_contiguous(memory_format=torch.channels_last)


def test_zero_is_zeros_of_anything() -> None:
    """Not-a-number included."""
    assert torch.equal(Zero()(torch.tensor([torch.nan, torch.inf, 1.0])), torch.zeros(3))


def test_a_searched_zero_is_left_out_too() -> None:
    """While it is the active one; and weighted it takes its part in the mixture."""
    choose = Supernet()
    other = Times(3.0)
    cell = EdgeCell(2, lambda source, target: choose.op("op", {"none": Zero, "three": lambda: other}))
    selection, x = selection_of(cell), torch.ones(1, 1, 1, 1)
    selection.activate({"op": "none"})
    assert cell(x).item() == 0
    assert other.calls == 0
    weights = torch.tensor([0.25, 0.75], requires_grad=True)
    selection.relax({"op": [(0, weights[0]), (1, weights[1])]})
    out = cell(x)
    assert out.item() == 2.25
    out.sum().backward()
    assert weights.grad is not None
    assert weights.grad.tolist() == [0.0, 3.0]


@pytest.mark.parametrize(("n_in", "n_out", "kind"), [(4, 4, nn.Identity), (4, 6, nn.Sequential)])
def test_skip_projects_a_change_of_width(n_in: int, n_out: int, kind: type) -> None:
    """Plain sizes give plain modules."""
    edge = skip(n_in, n_out)
    assert type(edge) is kind
    assert edge(torch.randn(2, n_in, 3, 3)).shape == (2, n_out, 3, 3)


def test_an_elastic_skip_is_the_input_where_the_widths_are_equal() -> None:
    """And of the active width where they are not."""
    choose = Supernet()
    edge = skip(choose.number("a", [2, 4]), choose.number("b", [2, 4]))
    selection, x = selection_of(edge), torch.randn(2, 2, 3, 3)
    selection.activate({"a": 2, "b": 2})
    assert edge(x) is x
    selection.activate({"a": 2, "b": 4})
    assert edge(x).shape == (2, 4, 3, 3)


def test_a_skip_of_one_searched_width_is_the_input() -> None:
    """The same value on both sides is never different."""
    width = Supernet().number("width", [2, 4])
    assert isinstance(skip(width, width), nn.Identity)
