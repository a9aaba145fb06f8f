"""Published NASNets and AmoebaNets against the fact sheets, to the digit."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from archwright.costs.counting.count import count
from archwright.nn.meta import ShapesOnly
from archwright.nn.ops.nasnet import CellStack
from archwright.spaces import AmoebaNet, Architecture, NasNet, open_architecture
from archwright.spaces.nasnet.genotype import genotype_of_tokens, genotype_tokens, token_dims

FIGURES = {
    "nasnet-a-6-768": (3_346_538, 544_333_312),
    "nasnet-a-mobile": (5_289_978, 563_638_816),
    "nasnet-a-large": (88_753_150, 23_783_414_658),
    "amoebanet-a-32": (2_567_754, 407_671_808),
    # no published figures: these are ours, kept so that a change is noticed
    "amoebanet-b": (2_254_378, 361_305_088),
    "amoebanet-c": (3_169_898, 486_512_896),
    "amoebanet-d": (1_882_890, 301_372_416),
}


def on_meta(found: Architecture) -> CellStack:
    with torch.device("meta"):
        network = found.space.build(found.arch)
    assert isinstance(network, CellStack)
    return network


@functools.cache
def published(name: str) -> tuple[Architecture, CellStack]:
    """A published network as it is, built once."""
    found = open_architecture(name)
    return found, on_meta(found)


def maps(network: CellStack, shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Channels and sides behind the stem and each cell."""
    found: list[tuple[int, ...]] = []
    handles = [
        part.register_forward_hook(lambda _part, _given, out: found.append(tuple(out.shape[1:])))
        for part in (network.stem, *network.cells)
    ]
    with ShapesOnly(), torch.no_grad():
        network.eval()(torch.empty(2, *shape, device="meta"))
    for handle in handles:
        handle.remove()
    return found


@pytest.mark.parametrize("name", FIGURES)
def test_parameters_and_multiply_accumulates(name: str) -> None:
    """Of networks as `archwright cost` builds them, without auxiliary classifier."""
    found, network = published(name)
    counted = count(network, found.space.input_shape, memory=False)
    assert (counted.params, counted.macs, counted.uncounted) == (*FIGURES[name], [])


def test_amoebanet_a_with_36_channels() -> None:
    """3,218,266 parameters, 509.7 M multiply-accumulates, and 576 features for the classifier."""
    found = open_architecture("amoebanet-a-32", channels=36)
    counted = count(network := on_meta(found), found.space.input_shape, memory=False)
    assert (counted.params, round(counted.macs / 1e6, 1)) == (3_218_266, 509.7)
    assert network.head[-1].in_features == 4 * 4 * 36 == 576  # type: ignore[index, union-attr]


def test_amoebanet_a_for_imagenet_has_odd_widths() -> None:
    """F = 190 at 331 pixels and 1001 classes: 86.72 M parameters, 23.13 G multiply-accumulates."""
    form: dict[str, Any] = {"form": "imagenet", "channels": 190, "stem_channels": None}
    found = open_architecture("amoebanet-a-32", input_shape=(3, 331, 331), n_classes=1001, **form)
    counted = count(on_meta(found), found.space.input_shape, memory=False)
    assert (round(counted.params / 1e6, 2), round(counted.macs / 1e9, 2)) == (86.72, 23.13)


@pytest.mark.parametrize(
    ("name", "width", "side"), [("nasnet-a-6-768", 768, 8), ("nasnet-a-mobile", 1056, 7), ("nasnet-a-large", 4032, 11)]
)
def test_final_maps(name: str, width: int, side: int) -> None:
    """24 times the first width, and the sides of the sheet."""
    found, network = published(name)
    assert maps(network, found.space.input_shape)[-1] == (width, side, side)
    assert isinstance(found.space, NasNet)
    assert width == 24 * found.space.channels


def test_maps_and_parameters_of_nasnet_a_mobile_by_stage() -> None:
    """Sides 56, 28, 28, 14, 7, and the parameters up to there."""
    found, network = published("nasnet-a-mobile")
    ends = [0, 1, 5, 6, 10, 11, 15]  # the last cell of each stage
    sides = [shape[-1] for shape in maps(network, found.space.input_shape)[1:]]
    assert [sides[end] for end in ends] == [56, 28, 28, 14, 14, 7, 7]
    sizes = [sum(p.numel() for p in part.parameters()) for part in (network.stem, *network.cells)]
    sums = [sum(sizes[: end + 2]) for end in ends]
    assert sums == [9_462, 23_410, 199_938, 353_586, 1_043_506, 1_598_610, 4_232_978]


def test_parameters_of_cells_inside_a_stage() -> None:
    """Closed forms of the sheets: NASNet-A normal at F = 32 and reduction at F = 64, AmoebaNet-A normal at F = 32."""
    nasnet, amoebanet = (published(name)[1] for name in ("nasnet-a-6-768", "amoebanet-a-32"))

    def size(cell: nn.Module) -> int:
        return sum(p.numel() for p in cell.parameters())

    assert size(nasnet.cells[2]) == 22 * 32**2 + 178 * 32 == 28_224
    assert size(nasnet.cells[6]) == 10 * 64**2 + 334 * 64 + (192 + 192) * 64 + 4 * 64 == 87_168
    assert size(amoebanet.cells[2]) == 8 * 32**2 + 120 * 32 + (128 + 128) * 32 + 4 * 32 == 20_352


def test_multiply_accumulates_of_a_cell_inside_a_stage() -> None:
    """28,114,944 on 32 x 32 for NASNet-A's normal cell at F = 32."""
    counted = count(published("nasnet-a-6-768")[1], (3, 32, 32), memory=False)
    assert sum(leaf.macs for path, leaf in counted.leaves.items() if path.startswith("cells.2.")) == 28_114_944


def test_output_widths_of_amoebanet_a() -> None:
    """4 F behind normal cells, 5 F behind reductions."""
    shapes = maps(published("amoebanet-a-32")[1], (3, 32, 32))[1:]
    assert [shapes[i][0] for i in (5, 6, 12, 13, 19)] == [4 * 32, 5 * 64, 4 * 64, 5 * 128, 4 * 128]


def test_only_wiring_differs_where_the_reduction_s_input_is_skipped() -> None:
    """Equal parameters and multiply-accumulates."""
    costs, reads = set(), []
    for skip in (False, True):
        found = open_architecture("nasnet-a-mobile", skip_reduction_input=skip)
        network = on_meta(found)
        counted = count(network, found.space.input_shape, memory=False)
        costs.add((counted.params, counted.macs))
        reads.append(network.reads)
    assert len(costs) == 1
    assert [i for i, (plain, skipping) in enumerate(zip(*reads, strict=True)) if plain != skipping] == [7, 12]


def test_tokens_of_nasnet_a() -> None:
    """Fifty, within their ranges, and the same cells again."""
    found = open_architecture("nasnet-a-6-768")
    assert isinstance(found.space, NasNet)
    genotype = found.space.genotype(found.arch)
    tokens = genotype_tokens(genotype, found.space.ops)
    assert tokens[:5] == [0, 1, 11, 10, 0]  # sep 5x5 of state 0 + sep 3x3 of state 1
    assert all(token < n for token, n in zip(tokens, token_dims(13), strict=True))
    again = genotype_of_tokens(tokens, found.space.ops)
    assert (again.normal, again.reduction) == (genotype.normal, genotype.reduction)


@pytest.mark.parametrize("name", FIGURES)
def test_genotype_text_round_trips(name: str) -> None:
    """Text with the states that leave the cells, and without them."""
    found = open_architecture(name)
    code = found.space.code(found.arch)
    assert found.space.parse(code) == found.arch
    assert found.space.parse("/".join(cell.split("@")[0] for cell in code.split("/"))) == found.arch


def test_auxiliary_classifier() -> None:
    """1,631,498 parameters more in the training of NASNet-A 6 @ 768; none in images too small for its pooling."""
    found = open_architecture("nasnet-a-6-768")
    with torch.device("meta"):
        network = found.space.build_for_training(found.arch)
    assert sum(p.numel() for p in network.parameters()) == 3_346_538 + 1_631_498
    small = found.space.with_args(input_shape=(3, 8, 8))
    with torch.device("meta"):
        network = small.build_for_training(found.arch)
    assert isinstance(network, CellStack)
    assert network.auxiliary is not None  # before the second reduction of 8 pixels, which halve once, there are 8
    smaller = found.space.with_args(input_shape=(3, 4, 4))
    with torch.device("meta"):
        assert sum(p.numel() for p in smaller.build_for_training(found.arch).parameters()) == 3_346_538


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("shape", [(1, 4, 4), (1, 8, 8), (3, 28, 28), (3, 70, 45)])
def test_small_images(name: str, shape: tuple[int, ...]) -> None:
    """Logits for images down to 4 pixels, with narrow cells; also where height and width differ."""
    found = open_architecture(name, input_shape=shape, n_classes=3, channels=4, cells=1)
    assert on_meta(found)(torch.empty(2, *shape, device="meta")).shape == (2, 3)


def test_amoebanet_c_emits_a_state_of_another_size() -> None:
    """Its reduction gives state 0 through a factorized reduction, 6 F in all."""
    shapes = maps(published("amoebanet-c")[1], (3, 32, 32))[1:]
    assert shapes[6] == (6 * 64, 16, 16)


def test_space_of_amoebanet_takes_the_published_cells_only_with_their_operations() -> None:
    """AmoebaNet-A's are among the paper's eight; the others need the released ones."""
    assert len(AmoebaNet().ops) == 8
    found = open_architecture("amoebanet-d")
    assert isinstance(found.space, AmoebaNet)
    assert len(found.space.ops) == 11


def test_logits_depend_on_every_input_channel() -> None:
    """A real pass of a narrow published cell: nothing is cut off."""
    torch.manual_seed(0)
    found = open_architecture("nasnet-a-6-768", input_shape=(3, 16, 16), channels=4, cells=1)
    network = found.space.build(found.arch).eval()
    x = torch.randn(2, 3, 16, 16, requires_grad=True)
    network(x).sum().backward()
    assert isinstance(x.grad, Tensor)
    assert bool((x.grad.abs().amax((0, 2, 3)) > 0).all())
