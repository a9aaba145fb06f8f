"""The once-for-all chains against the fact sheet, the released descriptions and their own contract."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from archwright.core.arch import Arch
from archwright.core.errors import InvalidArchError, InvalidValueError
from archwright.costs import Macs, Params
from archwright.costs.counting.count import count
from archwright.nn import selection_of
from archwright.nn.ops.sorting import sort_channels
from archwright.spaces import OfaMobileNetV3, OfaProxyless, Space, open_architecture
from archwright.spaces.ofa import RESOLUTIONS, OfaChain
from archwright.spaces.opening import published_architectures
from archwright.testing import SpaceContract

SMALL: dict[str, Any] = {"n_classes": 10, "kernels": (3, 5), "expands": (3, 4), "depths": (1, 2)}
TINY = SMALL | {"input_shape": (1, 8, 8), "widths": (8, 8, 8, 8, 16, 16, 16, 24, 32)}


class TestMobileNetV3Contract(SpaceContract):
    n_archs = 2
    n_costed = 6

    def make(self) -> Space:
        return OfaMobileNetV3(**TINY)


class TestProxylessContract(SpaceContract):
    n_archs = 2
    n_costed = 6

    def make(self) -> Space:
        return OfaProxyless(**TINY)


class TestResolutionContract(SpaceContract):
    n_archs = 3
    n_costed = 6

    def make(self) -> Space:
        return OfaMobileNetV3(**TINY | {"input_shape": (1, 12, 8), "resolutions": (6, 8), "depths": (1,)})


@pytest.mark.slow
class TestFullSizeContract(SpaceContract):
    n_archs = 3

    def make(self) -> Space:
        return OfaMobileNetV3(input_shape=(3, 32, 32), n_classes=10)


# ── sizes ─────────────────────────────────────────────────────────────────────────────────────────


def test_sizes() -> None:
    """(9^2 + 9^3 + 9^4)^5, nine times that for the last block of the other chain; 25 resolutions."""
    assert OfaMobileNetV3().size() == 7371**5 == 21_758_655_492_572_485_851
    assert OfaProxyless().size() == 9 * 7371**5
    assert len(RESOLUTIONS) == 25
    assert OfaMobileNetV3(resolutions=RESOLUTIONS).size() == 25 * 7371**5
    assert OfaProxyless(resolutions=RESOLUTIONS).size() == 225 * 7371**5


def uniform(space: OfaChain, kernel: int, expand: int, depth: int) -> Arch:
    """The arch whose blocks are alike."""
    n = space.decisions["stage1.depth"].values[-1]
    n_stages = 5 if isinstance(space, OfaMobileNetV3) else 6
    n_blocks = 5 * int(str(n)) + n_stages - 5
    depths = [depth] * 5 + [1] * (n_stages - 5)
    return space.parse(json.dumps({"ks": [kernel] * n_blocks, "e": [expand] * n_blocks, "d": depths}))


# the fact sheet's rows: kernel, expansion and depth; parameters; multiply-accumulates at 224 and 128 pixels
ROWS = [
    (OfaMobileNetV3, 1.0, (7, 6, 4), 7_664_760, 566_170_656, 188_248_320),
    (OfaMobileNetV3, 1.0, (3, 6, 4), 7_299_960, 433_141_536, 144_810_240),
    (OfaMobileNetV3, 1.0, (5, 4, 3), 4_551_792, 250_746_944, 84_099_584),
    (OfaMobileNetV3, 1.0, (3, 3, 2), 3_410_792, 121_278_672, 41_476_224),
    (OfaMobileNetV3, 1.2, (7, 6, 4), 10_701_632, 843_101_040, 279_987_456),
    (OfaMobileNetV3, 1.2, (3, 3, 2), 4_602_456, 193_078_200, 65_536_896),
    (OfaProxyless, 1.3, (7, 6, 4), 7_942_056, 1_004_908_032, 329_253_888),
    (OfaProxyless, 1.3, (3, 3, 2), 3_718_832, 265_526_256, 87_823_104),
]


@pytest.mark.parametrize(("cls", "width_mult", "choice", "params", "macs", "macs_small"), ROWS)
def test_corners(
    cls: type[OfaChain], width_mult: float, choice: tuple[int, int, int], params: int, macs: int, macs_small: int
) -> None:
    """To the unit, at both ends of the resolutions."""
    for side, expected in ((224, macs), (128, macs_small)):
        space = cls(width_mult=width_mult, input_shape=(3, side, side))
        with torch.device("meta"):
            counted = count(space.build(uniform(space, *choice)), space.input_shape, memory=False)
        assert (counted.params, counted.macs, counted.uncounted) == (params, expected, [])


@pytest.mark.parametrize(
    ("cls", "width_mult", "params"),
    [(OfaMobileNetV3, 1.0, 7_678_880), (OfaMobileNetV3, 1.2, 10_715_752), (OfaProxyless, 1.3, 7_956_882)],
)
def test_supernets(cls: type[OfaChain], width_mult: float, params: int) -> None:
    """The largest network and, for every block, a 25x25 and a 9x9 matrix."""
    space = cls(width_mult=width_mult)
    with torch.device("meta"):
        found = sum(parameter.numel() for parameter in space.supernet().parameters())
        largest = sum(parameter.numel() for parameter in space.build(uniform(space, 7, 6, 4)).parameters())
        plain = space.with_args(kernel_matrices=False).supernet()
    assert found == params
    assert found - largest == (25**2 + 9**2) * (20 if cls is OfaMobileNetV3 else 21)
    assert sum(parameter.numel() for parameter in plain.parameters()) == largest


def test_maps_at_224_pixels() -> None:
    """Sides behind the stem and every stage."""
    space = OfaMobileNetV3()
    with torch.device("meta"):
        x, sides = torch.empty(1, 3, 224, 224), {}
        for name, stage in space.build(uniform(space, 3, 3, 2)).named_children():
            x = stage(x)
            sides[name] = tuple(x.shape[1:])
    assert sides == {
        "stem": (16, 112, 112),
        "block0": (16, 112, 112),
        "stage1": (24, 56, 56),
        "stage2": (40, 28, 28),
        "stage3": (80, 14, 14),
        "stage4": (112, 14, 14),
        "stage5": (160, 7, 7),
        "head": (1000,),
    }


def test_details_of_the_released_code() -> None:
    """Activations, squeeze-and-excitation, shortcuts, batch norms and dropout."""
    for cls, eps, gated in ((OfaMobileNetV3, 1e-5, {2, 4, 5}), (OfaProxyless, 1e-3, set())):
        space = cls()
        with torch.device("meta"):
            network = space.build(uniform(space, 5, 4, 2))
        norms = [part for part in network.modules() if isinstance(part, nn.BatchNorm2d)]
        assert {(norm.eps, norm.momentum) for norm in norms} == {(eps, 0.1)}
        found = {int(name[5]) for name, _ in network.named_modules() if name.endswith("squeeze")}
        assert found == gated
        second: Any = network.get_submodule("stage3.1")
        first: Any = network.get_submodule("stage3.0")
        assert (first.has_shortcut, second.has_shortcut) == (False, True)
        dropout = [part.p for part in network.modules() if isinstance(part, nn.Dropout)]
        assert dropout == [0.1]
    first_block: Any = network.get_submodule("block0")
    assert not first_block.is_joined


# ── sharing of weights ────────────────────────────────────────────────────────────────────────────


def test_a_smaller_network_takes_first_blocks_first_channels_and_transformed_kernels() -> None:
    """Read from the supernet's tensors by hand, for one block."""
    space = OfaMobileNetV3(**TINY | {"depths": (2, 3), "kernels": (3, 5, 7)})
    supernet = space.supernet()
    conv: Any = supernet.get_submodule("stage2.1.main.depthwise.0")
    with torch.no_grad():
        for name in ("matrix_7to5", "matrix_5to3"):
            conv.get_parameter(name).normal_()
    arch = {**uniform(space, 5, 3, 2)}
    taken = space.extract(supernet, arch)
    assert [name for name, _ in taken.get_submodule("stage2").named_children()] == ["0", "1"]
    block, whole = taken.get_submodule("stage2.1.main"), supernet.get_submodule("stage2.1.main")
    assert torch.equal(block.get_parameter("expand.0.weight"), whole.get_parameter("expand.0.weight")[:24])
    assert torch.equal(block.get_parameter("project.0.weight"), whole.get_parameter("project.0.weight")[:, :24])
    assert torch.equal(block.get_parameter("depthwise.1.bias"), whole.get_parameter("depthwise.1.bias")[:24])
    squeezed = whole.get_parameter("squeeze.reduce.weight")[:8, :24]
    assert torch.equal(block.get_parameter("squeeze.reduce.weight"), squeezed)
    vectors = conv.weight[:24, 0, 1:6, 1:6].reshape(24, 25).double()
    expected = (vectors @ conv.matrix_7to5.double().T).reshape(24, 1, 5, 5)
    assert (block.get_parameter("depthwise.0.weight") - expected).abs().max() < 1e-5


def test_without_matrices_a_small_kernel_is_the_centre() -> None:
    """The released code's other mode."""
    space = OfaMobileNetV3(**TINY | {"kernel_matrices": False})
    supernet = space.supernet()
    taken = space.extract(supernet, uniform(space, 3, 4, 1))
    whole = supernet.get_parameter("stage1.0.main.depthwise.0.weight")
    assert torch.equal(taken.get_parameter("stage1.0.main.depthwise.0.weight"), whole[..., 1:4, 1:4])


def test_sorted_channels_leave_the_largest_network_as_it_was() -> None:
    """Acceptance fact: the same logits, and importances fall in every block."""
    space = OfaMobileNetV3(**TINY)
    torch.manual_seed(0)
    supernet, x = space.supernet().eval(), torch.randn(4, 1, 8, 8)
    selection_of(supernet).activate(uniform(space, 5, 4, 2))
    with torch.no_grad():
        before = supernet(x)
        sort_channels(supernet)
        assert (supernet(x) - before).abs().max() < 1e-5
    for name, part in supernet.named_modules():
        if name.endswith("project.0") and not name.startswith("block0"):
            weight = part.get_parameter("weight").detach()
            assert (weight.abs().sum((0, 2, 3)).diff() <= 1e-6).all()


# ── published networks ────────────────────────────────────────────────────────────────────────────

NAMES = [name for name in published_architectures() if name.startswith("ofa-")]


@pytest.fixture(scope="module")
def released(shared_data: Callable[[str], Path]) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """Description and measured costs of each specialised network by our name."""
    costs = json.loads(shared_data("arch_configs/reference_costs.json").read_text("utf-8"))
    packed = shared_data("arch_configs/ofa_specialized.json.gz").read_bytes()
    found = json.loads(gzip.decompress(packed))
    return {f"ofa-{name.lower().replace('_', '-')}": (given, costs[name]) for name, given in found.items()}


def test_all_released_networks_are_published(released: dict[str, Any]) -> None:
    """46 of them."""
    assert set(NAMES) == set(released)
    assert len(NAMES) == 46


@pytest.mark.parametrize("name", NAMES)
def test_published_networks(name: str, released: dict[str, Any]) -> None:
    """Block for block the released description, with its parameters and multiply-accumulates to the unit."""
    description, costs = released[name]
    found = open_architecture(name)
    with torch.device("meta"):
        network = found.space.build(found.arch)
    counted = count(network, found.space.input_shape, memory=False)
    assert found.space.input_shape == (3, costs["resolution"], costs["resolution"])
    assert (counted.params, counted.macs, counted.uncounted) == (costs["params"], costs["macs"], [])
    assert layers_of(network) == described(description["net"])


def layers_of(network: nn.Module) -> list[tuple[int, ...]]:
    """(channels in, out, kernel, stride, groups) of each convolution but those on single pixels."""
    convs = [(n, part) for n, part in network.named_modules() if isinstance(part, nn.Conv2d)]
    kept = [conv for name, conv in convs if "squeeze" not in name]
    return [(c.in_channels, c.out_channels, c.kernel_size[0], c.stride[0], c.groups) for c in kept]


def described(net: dict[str, Any]) -> list[tuple[int, ...]]:
    """The same of an official description."""
    found = [(net["first_conv"]["in_channels"], net["first_conv"]["out_channels"], 3, 2, 1)]
    for block in (block["mobile_inverted_conv"] for block in net["blocks"]):
        n_in, n_out, kernel = block["in_channels"], block["out_channels"], block["kernel_size"]
        middle = n_in * block["expand_ratio"]
        found += [(n_in, middle, 1, 1, 1)] if block["expand_ratio"] > 1 else []
        found += [(middle, middle, kernel, block["stride"], middle), (middle, n_out, 1, 1, 1)]
    last = net.get("final_expand_layer") or net["feature_mix_layer"]
    return [*found, (last["in_channels"], last["out_channels"], 1, 1, 1)]


def test_the_two_networks_of_the_fact_sheet() -> None:
    """Note 8 at 22 and 31 ms, by their genotypes; dashes of the sheet are entries that depth leaves out."""
    kernels = "33xx55xx73xx53xx37xx", "53335533335335733355"
    expands = "33xx33xx43xx34xx66xx", "33334333444443436333"
    depths = [2, 2, 2, 2, 2], [2, 2, 3, 3, 4]
    sides, params, macs = (140, 152), (4_304_592, 4_595_536), (67_196_888, 100_520_248)
    for i in range(2):
        space = OfaMobileNetV3(input_shape=(3, sides[i], sides[i]))
        lists = {"ks": kernels[i], "e": expands[i]}
        genotype = {key: [0 if c == "x" else int(c) for c in text] for key, text in lists.items()} | {"d": depths[i]}
        with torch.device("meta"):
            counted = count(space.build(space.parse(json.dumps(genotype))), space.input_shape, memory=False)
        assert (counted.params, counted.macs) == (params[i], macs[i])


# ── genotypes ─────────────────────────────────────────────────────────────────────────────────────


def test_code_is_the_genotype_of_the_released_code() -> None:
    """20 kernels, 20 expansions, 5 depths and the image size; 0 where a block is left out."""
    space = OfaMobileNetV3(resolutions=RESOLUTIONS)
    (arch,) = space.sample(1, np.random.default_rng(3))
    genotype = json.loads(space.code(arch))
    assert list(genotype) == ["ks", "e", "d", "image_size"]
    assert [len(genotype[key]) for key in ("ks", "e", "d")] == [20, 20, 5]
    for i, (kernel, expand) in enumerate(zip(genotype["ks"], genotype["e"], strict=True)):
        is_there = i % 4 < genotype["d"][i // 4]
        assert (kernel > 0, expand > 0) == (is_there, is_there)


def test_what_is_said_of_absent_blocks_is_not_read() -> None:
    """As in the released code, whose samples have values there."""
    space = OfaProxyless()
    lists = {"ks": [7] * 21, "e": [6] * 21, "d": [2, 2, 2, 2, 2, 1]}
    other = {"ks": [*[7, 7, 0, 3] * 5, 7], "e": [*[6, 6, 0, 99] * 5, 6], "d": [2, 2, 2, 2, 2, 1]}
    assert space.parse(json.dumps(lists)) == space.parse(json.dumps(other))


GOOD: dict[str, Any] = {"ks": [3] * 20, "e": [3] * 20, "d": [2] * 5}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ks": [3] * 19}, "ks has 19 entries; give a list of 20"),
        ({"ks": [3, 4, *[3] * 18]}, r"ks\[1\] is 4; choose one of 3, 5, 7"),
        ({"e": [3] * 16 + [-6] * 4}, r"e\[16\] is -6; choose one of 3, 4, 6"),
        ({"d": [2, 2, 2, 2, 5]}, r"d\[4\] is 5; choose one of 2, 3, 4"),
        ({"d": 2}, "d has 2; give a list of 5"),
        ({"ks": [True] * 20}, r"ks\[0\] is True"),
        ({"ks": ["x" * 9000] * 20}, r"ks\[0\] is 'x{79}…; choose"),
        ({"e": [[3]] * 20}, r"e\[0\] is \[3\]"),
        ({"ks": [float("nan")] * 20}, r"ks\[0\] is nan"),
        ({"w": [1]}, "has 'w', which this space does not choose"),
    ],
)
def test_impossible_genotypes_are_refused(change: dict[str, Any], message: str) -> None:
    """Each names the list and the entry."""
    with pytest.raises(InvalidArchError, match=message):
        OfaMobileNetV3().parse(json.dumps(GOOD | change))


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "no JSON"), ("[1]", "no JSON object"), ('{"ks":[3]}', "lacks e, d"), ("0" * 45, "no JSON")],
)
def test_what_is_no_genotype_is_refused(text: str, message: str) -> None:
    """With the form that is asked for."""
    with pytest.raises(InvalidArchError, match=message):
        OfaMobileNetV3().parse(text)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": (3, 3, 3)}, "at least 4 pixels a side, not 3"),
        ({"n_classes": 0}, "give a whole number, 1 to"),
        ({"widths": (16, 16, -24, 40, 80, 112, 160, 960, 1280)}, r"widths\[2\] is -24"),
        ({"width_mult": -1.0}, "width_mult is -1.0"),
        ({"width_mult": float("nan")}, "width_mult is nan"),
        ({"kernels": (3, 4)}, r"kernels\[1\] is 4; give odd whole numbers from 1 up"),
        ({"expands": ()}, "at least one"),
        ({"depths": (2, 2)}, "name each number once"),
        ({"depths": (0, 2)}, r"depths\[0\] is 0"),
        ({"resolutions": (128, 2)}, r"resolutions\[1\] is 2; give whole numbers from 4 up"),
        ({"kernel_matrices": "no"}, "give true or false"),
        ({"dropout": 1.0}, "dropout is 1.0"),
    ],
)
def test_impossible_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    """Each names its place."""
    with pytest.raises(InvalidValueError, match=message):
        OfaMobileNetV3(**arguments)


# ── images ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("side", [4, 8, 28, 32, 96, 97])
def test_every_size_of_image_has_a_network(side: int) -> None:
    """Logits come out, and the map before the pooling is at least 4 x 4."""
    space = OfaMobileNetV3(input_shape=(1, side, side), n_classes=3)
    with torch.device("meta"):
        network: Any = space.build(uniform(space, 3, 3, 2))
        x = network[:-1](torch.empty(2, 1, side, side))
        assert min(x.shape[2:]) >= 4
        assert network[-1](x).shape == (2, 3)


def test_resolution_resizes_the_image() -> None:
    """The shorter side has the chosen number of pixels; the network's maps and costs follow."""
    space = OfaMobileNetV3(**TINY | {"input_shape": (1, 48, 32), "resolutions": (16, 32)})
    supernet, x = space.supernet().eval(), torch.randn(1, 1, 48, 32)
    arch = {**space.sample(1, np.random.default_rng(0))[0], "resolution": 16}
    selection_of(supernet).activate(arch)
    with torch.no_grad():
        assert supernet.get_submodule("resize")(x).shape == (1, 1, 24, 16)
    rows = space.decisions.rows([arch, arch | {"resolution": 32}])
    small, large = Macs().cost_rows(space, rows)
    assert 3 < large / small < 4.5
    assert len(set(Params().cost_rows(space, rows))) == 1


def test_every_resolution_of_the_paper_has_its_costs() -> None:
    """Table and built network agree on random archs of the full-size space, to the unit."""
    space = OfaMobileNetV3(resolutions=RESOLUTIONS)
    rows = space.decisions.sample(3, np.random.default_rng(5))
    found = np.stack([cost.cost_rows(space, rows) for cost in (Params(), Macs())], axis=1)
    for row, costs in zip(rows, found.tolist(), strict=True):
        with torch.device("meta"):
            counted = count(space.build(space.decisions.arch(row)), space.input_shape, memory=False)
        assert costs == [counted.params, counted.macs]


def test_expected_cost_is_the_mean_over_all_archs() -> None:
    """Of a small member with resolutions, each decision drawn on its own: every arch's cost times its chance."""
    space = OfaMobileNetV3(**TINY | {"resolutions": (6, 8), "kernels": (3,)})
    rng = np.random.default_rng(0)
    odds = {d.name: (p := rng.random(len(d.values))) / p.sum() for d in space.decisions}
    rows = space.decisions.enumerate_rows()
    assert len(rows) == space.size() == 2 * (2 + 4) ** 5
    chances = np.ones(len(rows))
    for column, name in enumerate(space.decisions.names):
        chances *= np.append(odds[name], 1.0)[rows[:, column]]  # the last one stands for "inactive", which is -1
    assert chances.sum() == pytest.approx(1.0)
    expected = float(chances @ Macs().cost_rows(space, rows))
    assert float(Macs().expected(space, odds)) == pytest.approx(expected, rel=1e-9)


# ── commands ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "name",
    [
        "ofa-note8-lat-22ms-top1-70.4-finetune-25",
        pytest.param("ofa-cpu-lat-10ms-top1-71.1-finetune-25", marks=pytest.mark.slow),
    ],
)
def test_train_command(name: str, cli: Callable[..., Any], tmp_path: Path) -> None:
    """A published network on 8 x 8 digits, two steps, with all its files; the name as the data have it."""
    options = ["--preset", "smoke", "--threads", "1", "--set", "training.steps=2", "--out", tmp_path / "run"]
    done = cli("train", name, "--data", "digits", *options)
    assert done.code == 0, done.err
    assert {path.name for path in (tmp_path / "run" / "best").iterdir()} >= {"model.onnx", "model.py"}
