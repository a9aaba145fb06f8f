"""Encodings of architectures: by hand, and against what tells cells apart."""

from __future__ import annotations

import numpy as np
import pytest

from archwright.core.errors import UnknownNameError
from archwright.predictors.encodings import ENCODINGS, encode
from archwright.spaces import NasBench201, open_space
from archwright.testing import BranchSpace


@pytest.fixture(scope="module")
def space() -> NasBench201:
    return NasBench201()


@pytest.mark.parametrize("name", ENCODINGS)
def test_every_encoding_of_cells_and_of_any_space(name: str, space: NasBench201) -> None:
    """Finite, one line an arch, the same for the same arch."""
    for each in (space, BranchSpace(), open_space("nasbench-macro")):
        rows = each.decisions.sample(20, np.random.default_rng(0))
        found = encode(each, rows, name)
        assert found.shape[0] == 20
        assert found.shape[1] > 0
        assert np.isfinite(found).all()
        assert (encode(each, rows[:3], name) == found[:3]).all()


def test_paths_of_a_cell(space: NasBench201) -> None:
    """conv 3x3 over skip, conv 1x1 alone: two of the 4 + 16 + 64 sequences without `none`."""
    code = "|nor_conv_3x3~0|+|none~0|none~1|+|nor_conv_1x1~0|skip_connect~1|none~2|"
    found = encode(space, space.parse_rows([code]), "path")
    assert found.shape == (1, 4 + 16 + 64)
    skip, one, three = 0, 1, 2
    assert np.flatnonzero(found[0]).tolist() == [one, 4 + three * 4 + skip]


def test_paths_are_those_of_live_edges(space: NasBench201) -> None:
    """Cells with the same ways have one encoding, whatever stands on dead edges."""
    codes = [f"|{op}~0|+|none~0|none~1|+|nor_conv_3x3~0|none~1|none~2|" for op in ("nor_conv_1x1", "avg_pool_3x3")]
    found = encode(space, space.parse_rows(codes), "path")
    assert (found[0] == found[1]).all()


def test_adjacency_tells_all_cells_apart(space: NasBench201) -> None:
    rows = space.decisions.enumerate_rows()[::7]
    assert len(np.unique(encode(space, rows, "adjacency"), axis=0)) == len(rows)


def test_graph_features_know_the_length_of_a_chain(space: NasBench201) -> None:
    """Three convolutions behind each other against three beside each other: as many operations, other ways."""
    chain = "|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|none~0|none~1|nor_conv_3x3~2|"
    beside = "|nor_conv_3x3~0|+|nor_conv_3x3~0|none~1|+|nor_conv_3x3~0|none~1|none~2|"
    one, other = encode(space, space.parse_rows([chain, beside]), "graph")
    assert one[:4].tolist() == other[:4].tolist() == [0, 0, 3, 0]  # all edges
    assert one[4:8].tolist() == [0, 0, 3, 0]  # live ones
    assert other[4:8].tolist() == [0, 0, 1, 0]


def test_unknown_encodings_are_refused(space: NasBench201) -> None:
    with pytest.raises(UnknownNameError, match="unknown encoding 'grap'"):
        encode(space, space.decisions.enumerate_rows()[:1], "grap")


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("darts", ("normal", "reduce")),
        ("snas", ("normal", "reduce")),
        ("nasnet", ("normal", "reduction")),
        ("enas-micro", ()),
    ],
)
def test_cells_of_published_spaces_are_graphs(name: str, cells: tuple[str, ...]) -> None:
    """Each with two inputs; every member can be encoded, and members that differ are told apart."""
    space = open_space(name)
    rows = np.unique(space.decisions.sample(40, np.random.default_rng(0)), axis=0)
    found = space.graphs(rows)
    assert set(found) >= set(cells)
    assert len(found) == 2
    assert all((graphs.inputs, len(graphs)) == ((0, 1), len(rows)) for graphs in found.values())
    assert len(np.unique(encode(space, rows, "adjacency"), axis=0)) == len(rows)
    assert np.isfinite(encode(space, rows, "graph")).all()
    assert encode(space, rows, "path").sum(axis=1).min() > 0
