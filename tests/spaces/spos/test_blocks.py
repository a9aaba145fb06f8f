"""The SPOS space against the paper's fact sheet."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from archwright.core.errors import InvalidValueError
from archwright.costs.counted import Macs
from archwright.costs.counting.count import count
from archwright.costs.tables.counted import CostTables
from archwright.nn import Supernet, selection_of
from archwright.nn.choice.modules import OpChoice, active_modules
from archwright.nn.ops.shuffle import ShuffleBlock
from archwright.spaces import Space, SposSpace
from archwright.spaces.mobile import strides_of
from archwright.testing import SpaceContract

SMALL = SposSpace(input_shape=(1, 16, 16), n_classes=10)

# code, multiply-accumulates, parameters of convolutions and classifier, the same with affine batch norms
FIGURES = {
    "all 3x3": ("0" * 20, 295_842_496, 3_132_448, 3_154_880),
    "all 5x5": ("1" * 20, 313_654_976, 3_189_536, 3_211_968),
    "all 7x7": ("2" * 20, 340_373_696, 3_275_168, 3_297_600),
    "all xception": ("3" * 20, 358_825_920, 3_830_400, 3_870_816),
    "README": ("21012020202300003233", 322_918_720, 3_529_312, 3_558_464),
    "paper": ("00311100202110202132", 318_729_024, 3_320_544, 3_345_088),
    "mmrazor": ("20203110010103122013", 317_023_040, 3_327_344, 3_353_104),
}


class TestContract(SpaceContract):
    n_archs = 2

    def make(self) -> Space:
        return SMALL


@pytest.fixture(scope="module")
def tables() -> dict[bool, CostTables]:
    """Cost tables of the 224 x 224 space with and without affine batch norms."""
    return {affine: CostTables(SposSpace(affine=affine)) for affine in (True, False)}


def test_size() -> None:
    """20 blocks of 4 candidates."""
    space = SposSpace()
    assert [len(decision.values) for decision in space.decisions] == [4] * 20
    assert space.size() == 1_099_511_627_776


@pytest.mark.parametrize("name", FIGURES)
def test_published_figures_from_tables(tables: dict[bool, CostTables], name: str) -> None:
    """To the unit."""
    code, macs, bare, affine = FIGURES[name]
    row = np.array([[int(digit) for digit in code]], dtype=np.int16)
    assert tables[True].cost_rows(row).tolist() == [[affine, macs]]
    assert tables[False].cost_rows(row).tolist() == [[bare, macs]]


def test_published_figures_of_a_built_network() -> None:
    """The released code's own architecture, built and counted."""
    code, macs, _, affine = FIGURES["README"]
    space = SposSpace()
    with torch.device("meta"):
        network = space.build(space.parse(code))
    counted = count(network, (3, 224, 224))
    assert (counted.macs, counted.params, counted.uncounted) == (macs, affine, [])


def test_parameters_of_the_supernet() -> None:
    """8,388,176 without affine batch norms, which is the form it is searched in."""
    with torch.device("meta"):
        network = SposSpace().search_form().supernet()
    assert sum(parameter.numel() for parameter in network.parameters()) == 8_388_176


def test_macs_of_uniform_archs(tables: dict[bool, CostTables]) -> None:
    """Mean 327.1 M, standard deviation 11.7 M, 58.7 % at most 330 M."""
    rows = SposSpace().decisions.sample(20_000, np.random.default_rng(0))
    macs = tables[True].cost_rows(rows)[:, 1] / 1e6
    assert macs.mean() == pytest.approx(327.1, abs=0.3)
    assert macs.std() == pytest.approx(11.7, abs=0.2)
    assert (macs <= 330).mean() == pytest.approx(0.587, abs=0.01)


@pytest.mark.parametrize("shape", [(3, 224, 224), (1, 28, 28)])
def test_declared_decisions_are_those_recorded(shape: tuple[int, ...]) -> None:
    """The written-down list and the network's requests agree, in both forms."""
    space, chooser = SposSpace(input_shape=shape), Supernet()
    with torch.device("meta"):
        space.network(chooser)
    assert space.decisions == chooser.decisions()


def test_maps_at_224_pixels() -> None:
    """Channels and sides behind the stem and each stage, as in the paper's table."""
    space = SposSpace()
    with torch.device("meta"):
        network = space.build(space.parse("0" * 20))
        x = torch.empty(1, 3, 224, 224)
        shapes = []
        for name, stage in network.named_children():
            x = stage(x)
            shapes.append((name, tuple(x.shape[1:])))
    expected = {
        "stem": (16, 112, 112),
        "block3": (64, 56, 56),
        "block7": (160, 28, 28),
        "block15": (320, 14, 14),
        "block19": (640, 7, 7),
        "head": (1000,),
    }
    assert {name: shape for name, shape in shapes if name in expected} == expected


def test_full_size_supernet_has_80_candidates_of_which_20_run() -> None:
    """Four under each of twenty choices; one of each is active."""
    with torch.device("meta"):
        network = SposSpace().supernet()
    selection_of(network).activate_row(np.zeros(20, dtype=np.int16))
    choices = [part for part in network.modules() if isinstance(part, OpChoice)]
    assert [len(list(choice.children())) for choice in choices] == [4] * 20
    assert sum(isinstance(part, ShuffleBlock) for _, part in active_modules(network)) == 20


def test_one_training_step_reaches_one_candidate_a_block() -> None:
    """10 of the small form's 40 candidates have a gradient that is not zero; the others have none at all."""
    torch.manual_seed(0)
    network = SMALL.search_form().supernet().train()
    selection_of(network).activate(SMALL.parse("0123012301"))
    loss = F.cross_entropy(network(torch.randn(8, 1, 16, 16)), torch.arange(8))
    loss.backward()
    candidates = [child for part in network.modules() if isinstance(part, OpChoice) for child in part.children()]
    assert len(candidates) == 40
    grads = [[parameter.grad for parameter in candidate.parameters()] for candidate in candidates]
    assert sum(any(grad is not None and bool(grad.any()) for grad in of_one) for of_one in grads) == 10
    assert sum(all(grad is None for grad in of_one) for of_one in grads) == 30


def test_a_step_leaves_statistics_of_idle_candidates_alone() -> None:
    """Running means move in the ten active candidates only."""
    network = SMALL.supernet().train()
    selection_of(network).activate(SMALL.parse("3333333333"))
    network(torch.randn(8, 1, 16, 16))
    moved = [name for name, buffer in network.named_buffers() if name.endswith("running_mean") and bool(buffer.any())]
    assert moved
    assert all(".xception." in name or name.startswith(("stem", "head")) for name in moved)
    assert {name.split(".")[0] for name in moved} == {"stem", "head", *(f"block{i}" for i in range(10))}


@pytest.mark.parametrize(
    ("side", "expected"),
    [(224, [2, 2, 2, 2, 2]), (96, [1, 2, 2, 2, 2]), (32, [1, 2, 2, 2, 1]), (8, [1, 2, 1, 1, 1]), (4, [1] * 5)],
)
def test_as_many_strides_as_leave_a_map_of_four(side: int, expected: list[int]) -> None:
    """The stem goes first, then the last stages; 96 pixels halve four times to 6, 32 pixels three times to 4."""
    assert strides_of((1, side, side), (True,) * 5) == expected


@pytest.mark.parametrize("side", [4, 5, 8, 28, 32, 48, 49, 63, 64, 96])
@pytest.mark.parametrize("form", [None, "small"])
def test_every_size_of_image_has_a_network(side: int, form: str | None) -> None:
    """Logits come out, and the map before pooling is at least 4 x 4."""
    space = SposSpace(input_shape=(1, side, side), n_classes=3, form=form)  # type: ignore[arg-type]
    with torch.device("meta"):
        network = space.build(space.parse("3" * len(space.decisions)))
        assert isinstance(network, nn.Sequential)
        x = network[:-1](torch.empty(2, 1, side, side))
        assert min(x.shape[2:]) >= 4
        assert network[-1](x).shape == (2, 3)


def test_the_side_that_is_shorter_counts() -> None:
    """A wide image is strided as its height allows."""
    space = SposSpace(input_shape=(3, 8, 64), n_classes=3)
    assert space.form == "small"
    assert space.build(space.parse("0" * 10))(torch.zeros(2, 3, 8, 64)).shape == (2, 3)


def test_small_form() -> None:
    """Half the blocks: 4^10 archs."""
    assert SMALL.size() == 4**10


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": (3, 3, 3)}, "at least 4 pixels a side, not 3"),
        ({"input_shape": (3, 32)}, "takes images"),
        ({"form": "tiny"}, "'tiny'; choose one of imagenet, small"),
    ],
)
def test_impossible_arguments_are_refused(arguments: dict[str, object], message: str) -> None:
    """Too small an image, no image, an unknown form."""
    with pytest.raises(InvalidValueError, match=message):
        SposSpace(**arguments)  # type: ignore[arg-type]


def test_initial_weights() -> None:
    """First convolution and classifier 0.01; other convolutions 1 over their second axis; norms 1 and 0.0001."""
    torch.manual_seed(0)
    network = SMALL.build(SMALL.parse("0" * 10))
    convs = [part for part in network.modules() if isinstance(part, nn.Conv2d)]
    assert convs[0].weight.std().item() == pytest.approx(0.01, rel=0.2)
    for conv in convs[1:]:
        if conv.weight.numel() > 1000:
            assert conv.weight.std().item() == pytest.approx(1 / conv.weight.shape[1], rel=0.1)
    (classifier,) = (part for part in network.modules() if isinstance(part, nn.Linear))
    assert classifier.bias is None
    assert classifier.weight.std().item() == pytest.approx(0.01, rel=0.1)
    for norm in (part for part in network.modules() if isinstance(part, nn.BatchNorm2d)):
        assert norm.weight.unique().tolist() == [1.0]
        assert norm.bias.unique().tolist() == [pytest.approx(1e-4)]


def test_search_form_differs_in_batch_norm_only() -> None:
    """Same decisions, same costs of convolutions, no affine parameters."""
    searched = SMALL.search_form()
    assert searched.decisions == SMALL.decisions
    assert not [part for part in searched.supernet().modules() if isinstance(part, nn.BatchNorm2d) and part.affine]
    rows = SMALL.decisions.sample(5, np.random.default_rng(0))
    assert Macs().cost_rows(searched, rows).tolist() == Macs().cost_rows(SMALL, rows).tolist()
