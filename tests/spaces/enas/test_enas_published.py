"""ENAS's published networks and search networks against the fact sheet, to the digit."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from archwright.costs.counting.count import count
from archwright.nn.features import features_only
from archwright.spaces import EnasMacro, EnasMicro, EnasRnn, Space, open_architecture

NORMAL = "0 2 0 0 0 4 0 1 0 4 1 1 1 0 0 1 0 2 1 1"
REDUCTION = "1 0 1 0 0 3 0 2 1 1 3 1 1 0 0 4 0 3 1 1"
RNN = "0 0 0 1 1 2 1 2 0 2 0 5 1 1 0 6 1 8 1 8 1 8 1"
MACRO_OPS = "0 3 0 2 2 3 2 2 1 0 2 0 2 1 0 2 2 2 3 3 0 3 0 0"
MACRO_SKIPS = {
    2: [0],
    3: [2],
    5: [0, 1, 3],
    6: [5],
    7: [1, 2, 4, 5, 6],
    8: [1, 2, 3, 5, 7],
    10: [5],
    11: [0, 3, 4, 9, 10],
    12: [1, 7, 9, 10],
    13: [2, 6, 7, 8, 10, 12],
    14: [0, 1, 3, 5, 11],
    15: [2, 10, 12, 14],
    16: [1, 5, 8, 9, 10, 11, 14],
    17: [4, 6, 8, 11, 13, 16],
    18: [1, 2, 4, 10, 12, 14],
    19: [1, 2, 12, 13, 18],
    20: [0, 3, 5, 6, 10, 16, 17],
    21: [1, 3, 4, 7, 9, 10, 12, 13, 15, 18],
    22: [0, 2, 4, 13, 15, 18],
    23: [0, 1, 5, 6, 7, 9, 13, 15, 18, 19],
}
FIGURES = {
    "enas-micro": (3_894_372, 620_907_552),
    "enas-micro-18": (4_587_372, 727_702_560),
    "enas-macro": (42_559_392, 5_646_094_080),
}


def built(space: Space, name: str) -> nn.Module:
    """A published network in one of its spaces, on the meta device."""
    with torch.device("meta"):
        return space.build(open_architecture(name).arch)


@pytest.mark.parametrize("name", FIGURES)
def test_parameters_and_multiply_accumulates(name: str) -> None:
    """Of networks as `archwright cost` builds them, without auxiliary classifier."""
    found = open_architecture(name)
    counted = count(built(found.space, name), found.space.input_shape, memory=False)
    assert (counted.params, counted.macs, counted.uncounted) == (*FIGURES[name], [])


def test_macro_with_real_separable_convolutions() -> None:
    """30,947,424 parameters where the released code has full convolutions."""
    network = built(EnasMacro(layers=24), "enas-macro")
    assert sum(p.numel() for p in network.parameters()) == 30_947_424


@pytest.mark.parametrize(("name", "hidden", "n"), [("enas-rnn", 748, 11), ("enas-rnn-lm", 800, 8)])
def test_recurrent_parameters(name: str, hidden: int, n: int) -> None:
    """4 H^2 + 2 n H^2 + 10^4 H, each used once a token."""
    found = open_architecture(name)
    counted = count(built(found.space, name), (1,), memory=False)
    assert counted.params == counted.macs == (4 + 2 * n) * hidden**2 + 10_000 * hidden
    assert counted.params in (22_027_104, 20_800_000)


def test_shared_weights_of_the_micro_search() -> None:
    """5,373,140: in each cell 160 F^2 + 3040 F for its edges and 7 F^2 + 2 F for the last convolution."""
    space = EnasMicro().search_form()
    with torch.device("meta"):
        network = space.supernet()
    assert sum(p.numel() for p in network.parameters()) == 5_373_140
    assert sum(p.numel() for p in network.get_submodule("cells.3").parameters()) == (
        167 * 40**2 + 3042 * 40 + (20 * 40 + 2 * 40)  # the older input is halved in the cell
    )


def test_shared_weights_of_the_macro_search() -> None:
    """697,860: in each layer 42 F^2 + 54 F for six branches."""
    space = EnasMacro().search_form()
    with torch.device("meta"):
        network = space.supernet()
    assert sum(p.numel() for p in network.parameters()) == 697_860
    assert sum(p.numel() for p in network.get_submodule("layers.1").parameters()) == 42 * 36**2 + 54 * 36 + 2 * 36


def test_auxiliary_classifier() -> None:
    """494,848 parameters more in training, behind the cell after the second reduction; none for small images."""
    found = open_architecture("enas-micro")
    with torch.device("meta"):
        network = found.space.build_for_training(found.arch)
        small = found.space.with_args(input_shape=(3, 8, 8))
        networks = small.build_for_training(found.arch), small.build(found.arch)
    assert sum(p.numel() for p in network.parameters()) == 3_894_372 + 494_848
    assert network._auxiliary_after == 12
    assert networks[0].state_dict().keys() == networks[1].state_dict().keys()


def test_micro_arc_decodes_to_the_edges_of_the_sheet() -> None:
    """Forty numbers; state 0 is the older cell."""
    found = open_architecture("enas-micro")
    space = found.space
    assert isinstance(space, EnasMicro)
    tokens = space.tokens(found.arch)
    assert tokens == [int(number) for number in f"{NORMAL} {REDUCTION}".split()]
    assert len(tokens) == 40
    short = {"sep_conv_3x3": "sep3", "sep_conv_5x5": "sep5", "avg_pool_3x3": "avg", "max_pool_3x3": "max"}
    texts = [
        ["+".join(f"{short.get(edge.op, 'id')}({edge.source})" for edge in (b.first, b.second)) for b in cell]
        for cell in space.cells_of(found.arch)
    ]
    assert texts[0] == ["avg(0)+sep3(0)", "id(0)+sep5(0)", "id(0)+sep5(1)", "sep3(1)+sep5(0)", "avg(0)+sep5(1)"]
    assert texts[1] == ["sep3(1)+sep3(1)", "max(0)+avg(0)", "sep5(1)+sep5(3)", "sep3(1)+id(0)", "max(0)+sep5(1)"]
    assert space.outputs(found.arch) == ((2, 3, 4, 5, 6), (2, 4, 5, 6))


def test_macro_arc_decodes_to_the_layers_of_the_sheet() -> None:
    """Three hundred numbers; 98 of 276 bits are set."""
    found = open_architecture("enas-macro")
    space = found.space
    assert isinstance(space, EnasMacro)
    tokens = space.tokens(found.arch)
    assert len(tokens) == 24 + 24 * 23 // 2 == 300
    assert len(EnasMacro().decisions) == 12 + 12 * 11 // 2 == 78
    starts = [i * (i + 1) // 2 for i in range(24)]
    assert [tokens[start] for start in starts] == [int(op) for op in MACRO_OPS.split()]
    assert space.skips(found.arch) == [MACRO_SKIPS.get(i, []) for i in range(24)]
    assert sum(map(len, space.skips(found.arch))) == 98


def test_recurrent_arc_decodes_to_the_nodes_of_the_sheet() -> None:
    """Twenty-three numbers; loose ends 3, 4, 7, 9, 10, 11."""
    found = open_architecture("enas-rnn")
    space = found.space
    assert isinstance(space, EnasRnn)
    assert space.tokens(found.arch) == [int(number) for number in RNN.split()]
    assert len(space.tokens(found.arch)) == 2 * 12 - 1 == 23
    assert space.code(found.arch) == (
        "tanh,tanh-0,relu-1,relu-2,tanh-2,tanh-2,relu-5,tanh-1,relu-6,relu-8,relu-8,relu-8"
    )
    assert space.averaged(found.arch) == [3, 4, 7, 9, 10, 11]


@pytest.mark.parametrize("name", ["enas-micro", "enas-macro", "enas-rnn", "enas-rnn-lm"])
def test_codes_and_numbers_round_trip(name: str) -> None:
    """The short code, the released script's blanks and the list of numbers name the same arch."""
    found = open_architecture(name)
    space = found.space
    assert isinstance(space, EnasMicro | EnasMacro | EnasRnn)
    tokens = space.tokens(found.arch)
    assert space.parse(space.code(found.arch)) == found.arch
    assert space.parse(" ".join(map(str, tokens))) == found.arch
    assert space.arch_of_tokens(tokens) == found.arch


def test_sizes() -> None:
    """Formulas of the sheet, the micro one corrected: block b sees b + 2 states."""
    assert EnasMicro().size() == math.factorial(6) ** 4 * 5**20
    assert f"{EnasMicro().size():.3e}" == "2.563e+25"
    assert EnasMacro().size() == 6**12 * 2**66
    assert f"{EnasMacro().size():.3e}" == "1.606e+29"
    assert EnasRnn().size() == 4**12 * math.factorial(11)
    assert f"{EnasRnn().size():.2e}" == "6.70e+14"


def test_reductions_of_the_micro_stack() -> None:
    """At 5 and 11 of 17 cells, at 2 and 5 of 8; the last cells are 4 F wide, 5 F leave them."""
    for cells, places in ((15, [5, 11]), (6, [2, 5])):
        positions = EnasMicro(cells=cells)._positions()
        assert [i for i, position in enumerate(positions) if position.kind == "reduction"] == places
    backbone = features_only(built(EnasMicro(), "enas-micro"), (3, 32, 32))
    assert backbone.strides_and_channels == [(1, 5 * 36), (2, 5 * 72), (4, 5 * 144)]


def test_reductions_of_the_macro_network() -> None:
    """Behind layers 7 and 15 of 24, 3 and 7 of 12; the width doubles in the final network only."""
    assert EnasMacro(layers=24).reductions == (7, 15)
    assert EnasMacro().reductions == (3, 7)
    backbone = features_only(built(EnasMacro(layers=24), "enas-macro"), (3, 32, 32))
    assert backbone.strides_and_channels == [(1, 96), (2, 192), (4, 384)]
