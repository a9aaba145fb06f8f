"""The convolution whose kernel sides, dilations and groups may be decisions."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from archwright.nn import Fixed, Supernet
from archwright.nn.elastic.grouped import ElasticGroupedConv2d, GroupedConv2d


def test_plain_sizes_give_torch_s_own_layer() -> None:
    """3 x 5 at dilations 2 and 1, in two groups; the image keeps its size."""
    layer = GroupedConv2d(4, 6, (3, 5), dilation=(2, 1), groups=2)
    assert type(layer) is nn.Conv2d
    assert (layer.weight.shape, layer.padding, layer.dilation) == ((6, 2, 3, 5), (2, 2), (2, 1))
    assert layer(torch.zeros(1, 4, 7, 8)).shape == (1, 6, 7, 8)


@pytest.mark.parametrize(("groups", "rows", "down"), [(1, 3, 1), (2, 3, 2), (4, 7, 1)])
def test_elastic_runs_on_the_centre_of_the_first_weights(groups: int, rows: int, down: int) -> None:
    """Against torch's convolution with weights cut by hand."""
    chooser = Supernet()
    sides = chooser.number("rows", [3, 7]), 5
    dilation = chooser.number("down", [1, 2]), 1
    layer = GroupedConv2d(8, 8, sides, dilation=dilation, groups=chooser.number("groups", [1, 2, 4]))
    chooser.selection.activate({"rows": rows, "down": down, "groups": groups})
    cut = (7 - rows) // 2
    weight = layer.weight[:, : 8 // groups, cut : cut + rows]
    x = torch.randn(2, 8, 9, 9)
    expected = F.conv2d(x, weight, None, 1, (rows // 2 * down, 2), (down, 1), groups)
    assert torch.equal(layer(x), expected)
    fixed = GroupedConv2d(8, 8, (rows, 5), dilation=(down, 1), groups=groups)
    fixed.load_state_dict(layer.active_state())  # type: ignore[operator]
    assert torch.equal(fixed(x), expected)


def test_shared_weights_are_one_parameter() -> None:
    """By key, in elastic layers only."""
    chooser, shared = Supernet(), {}  # type: ignore[var-annotated]
    rows = chooser.number("rows", [3, 5])
    one, two, other = (GroupedConv2d(4, 4, (rows, 3), shared=shared, key=key) for key in ("first", "first", "second"))
    assert isinstance(two, ElasticGroupedConv2d)
    assert one.weight is two.weight is not other.weight
    assert not two.weight.is_meta
    assert len(list(nn.ModuleList([one, two, other]).parameters())) == 2
    fixed = [GroupedConv2d(4, 4, (Fixed({"rows": 3}).number("rows", [3]), 3), shared=shared, key="x") for _ in "ab"]
    assert fixed[0].weight is not fixed[1].weight
