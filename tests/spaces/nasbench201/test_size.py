"""The size space of NATS-Bench: five widths of one cell network."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from archwright.core.errors import InvalidArchError, InvalidValueError
from archwright.costs import NasBench201Flops, count
from archwright.costs.tables.counted import tables_of
from archwright.nn import Supernet, selection_of
from archwright.nn.choice.modules import active_modules
from archwright.spaces import NasBench201Size, Space, open_architecture
from archwright.testing import SpaceContract

DATASETS = (((3, 32, 32), 10), ((3, 32, 32), 100), ((3, 16, 16), 120))
FIGURES = {
    0: ((0.011714, 4.481114), (0.012524, 4.481924), (0.012704, 1.121336)),
    11: ((0.049202, 6.84065), (0.052172, 6.84362), (0.052832, 1.71404)),
    284: ((0.144834, 21.827994), (0.148524, 21.831684), (0.149344, 5.461816)),
}
"""Parameters and FLOPs in millions, as stored in NATS-sss-v1_0 (three archs of D-X-Y/NATS-Bench:fake_torch_dir)."""
TEXTS = {0: "8:8:8:8:8", 11: "8:8:8:16:32", 284: "8:8:40:32:40", 32767: "64:64:64:64:64"}


class TestContract(SpaceContract):
    n_archs = 2
    n_costed = 4

    def make(self) -> Space:
        return NasBench201Size(input_shape=(3, 8, 8), n_classes=5)


def test_size() -> None:
    """8^5."""
    assert NasBench201Size().size() == 32_768


def test_declared_decisions_are_those_recorded() -> None:
    """The written-down list and the network's requests agree."""
    space, chooser = NasBench201Size(), Supernet()
    with torch.device("meta"):
        space.network(chooser)
    assert space.decisions == chooser.decisions()


@pytest.mark.parametrize("index", TEXTS)
def test_published_indices(index: int) -> None:
    """Either name opens the same arch."""
    space = NasBench201Size()
    arch = open_architecture(f"nasbench201-size:{index}").arch
    assert space.code(arch) == TEXTS[index]
    assert open_architecture(f"nasbench201-size:{TEXTS[index]}").arch == arch
    assert space.index(arch) == index


def test_index_and_widths_are_a_bijection() -> None:
    """All 32,768, in lexicographic order of the widths."""
    space = NasBench201Size()
    archs = space.decisions.archs(space.decisions.enumerate_rows())
    assert [space.index(arch) for arch in archs] == list(range(32_768))
    for index in range(0, 32_768, 97):
        assert space.parse(str(index)) == archs[index]
        assert space.parse(space.code(archs[index])) == archs[index]


@pytest.mark.parametrize("dataset", range(3))
def test_published_figures(dataset: int) -> None:
    """To the last digit, of built networks."""
    shape, n_classes = DATASETS[dataset]
    space = NasBench201Size(input_shape=shape, n_classes=n_classes)
    for index, figures in FIGURES.items():
        arch = space.parse(str(index))
        params, flops = (round(1e6 * value) for value in figures[dataset])
        with torch.device("meta"):
            network = space.build(arch)
        assert count(network, shape).params == params
        assert NasBench201Flops().cost_module(network, shape) == flops


def test_tables_agree_with_counting() -> None:
    """Also where widths meet that are equal, so that the skip of a cell has no parameters."""
    space = NasBench201Size(input_shape=(3, 8, 8))
    tables = tables_of(space)
    codes = ("8:8:8:8:8", "16:8:8:8:16", "16:24:8:40:40", "8:16:16:16:8", "64:32:16:8:64")
    for arch in map(space.parse, codes):
        row = space.row(arch)
        with torch.device("meta"):
            counted = count(space.build(arch), space.input_shape)
        assert tables.cost_rows(row[None])[0].tolist() == [counted.params, counted.macs]
    assert tables.is_additive


def test_the_skip_projects_where_the_width_changes() -> None:
    """In the second cell here, not in the third; in the supernet as in the fixed network."""
    space = NasBench201Size(input_shape=(3, 8, 8))
    arch = space.parse("8:16:24:8:8")
    network = space.supernet()
    selection_of(network).activate(arch)
    projections = [path for path, part in active_modules(network) if path.endswith("edge03.conv")]
    assert projections == ["cell2.edge03.conv"]
    fixed = space.build(arch)
    assert isinstance(fixed.get_submodule("cell4.edge03"), nn.Identity)
    assert [name for name, _ in fixed.get_submodule("cell2.edge03").named_children()] == ["conv", "norm"]


@pytest.mark.parametrize("code", ["", "8:8:8:8", "8:8:8:8:8:8", "8:8:8:8:x", "32768", "8:-8:8:8:8"])
def test_what_is_no_member_is_refused(code: str) -> None:
    """With an example and the range of the index."""
    with pytest.raises(InvalidArchError, match=r"five widths like 8:16:24:32:64, or an index, 0 to 32767"):
        NasBench201Size().parse(code)


def test_a_width_that_is_not_offered_is_named() -> None:
    """And the eight that are."""
    with pytest.raises(InvalidArchError, match=r"'width1' has no value 12; choose one of 8, 16"):
        NasBench201Size().parse("8:12:8:8:8")


def test_too_small_images_are_refused() -> None:
    """As by the cell space."""
    with pytest.raises(InvalidValueError, match="at least 8 pixels a side, not 4"):
        NasBench201Size(input_shape=(3, 4, 4))


def test_sampled_archs_come_back() -> None:
    """From their codes."""
    space = NasBench201Size()
    archs = space.sample(50, np.random.default_rng(0))
    assert [space.parse(space.code(arch)) for arch in archs] == archs
