"""The memory-bank space of SMASH against its fact sheet."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archwright.core.errors import InvalidArchError, InvalidValueError, SpaceError
from archwright.costs import Macs, Params
from archwright.costs.counting.count import count
from archwright.export.onnx import export_onnx, verify_onnx
from archwright.export.source import network_source, verify_source
from archwright.nn import Supernet, selection_of
from archwright.nn.elastic.grouped import ElasticGroupedConv2d
from archwright.nn.features import features_only
from archwright.spaces import Smash, Space
from archwright.spaces.smash import Conv, Op
from archwright.spaces.smash.grammar import STRUCTURES
from archwright.testing import SpaceContract

SMALL: dict[str, Any] = {
    "input_shape": (1, 8, 8),
    "n_classes": 3,
    "depth": 4,
    "width": 1,
    "base": 4,
    "bank": 2,
    "ops": (1, 2, 1),
    "largest_width": 2,
    "kernels": (3,),
    "max_dilation": 1,
    "groups": (1,),
}
RICH = SMALL | {
    "ops": (2, 1, 1),
    "largest_width": 4,
    "structures": tuple(STRUCTURES),
    "kernels": (3, 5),
    "max_dilation": 3,
    "groups": (1, 2, 4),
    "nonlinearities": ("relu", "tanh"),
}
CODE = "01>2*4:1000:31x52g2+2>23*8:1000:71x31g1/0>0*4:1000:33x33g8/0123>4567*4:1000:31x31g1"


class TestContract(SpaceContract):
    """A member that can be listed."""

    n_archs = 2
    n_images = 8
    can_be_relaxed = False
    every_weight_matters = False  # those that read banks of zeros

    def make(self) -> Space:
        return Smash(**SMALL)


class TestRichContract(SpaceContract):
    """All structures, two kernels, groups and non-linearities; no batch norms, as while searching."""

    n_archs = 2
    n_images = 8
    can_be_relaxed = False
    every_weight_matters = False

    def make(self) -> Space:
        return Smash(**RICH, norms="none")


@pytest.mark.slow
class TestPaperSizes(TestContract):
    """Eight units a bank of the released code, batch norms before every convolution."""

    n_costed = 3

    def make(self) -> Space:
        return Smash(input_shape=(3, 8, 8), ops=(2, 2, 2), norms="full")

    def test_what_the_network_asks_for_is_what_is_declared(self) -> None:
        """Without running every value, of which there are thousands."""
        chooser = Supernet()
        with torch.device("meta"):
            self.space.network(chooser)
        assert chooser.decisions() == self.space.decisions


def closed_form(space: Smash, n_convs: int) -> int:
    """Any reads, any writes, a width and `n_convs` forms of its convolutions an operation; 1 to `ops` operations."""
    size = 1
    for block, (n_banks, most) in enumerate(zip(space.banks, space.ops, strict=True)):
        of_op = (2**n_banks - 1) ** 2 * len(space.rules(block).widths) * n_convs
        size *= sum(of_op**n for n in range(1, most + 1))
    return size


def test_size_of_a_small_member() -> None:
    """Of 2 banks a block: one operation of 3 reads and 3 writes, one or two, one."""
    space = Smash(**SMALL)
    assert space.banks == (2, 2, 2)
    assert space.size() == closed_form(space, 1) == 3**2 * (3**2 + 3**4) * 3**2 == 7_290


def test_size_with_all_structures() -> None:
    """A slot has (kernel, dilation) of both sides, groups and a non-linearity; structures have 1, 2, 2, 3 and 4."""
    slot = (3 + 2) ** 2 * 3 * 2
    assert Smash(**RICH).size() == closed_form(Smash(**RICH), slot + 2 * slot**2 + slot**3 + slot**4)


def test_size_at_the_paper_s_sizes() -> None:
    """6, 7 and 8 banks of 32 channels; six numbers a side, four of groups."""
    space = Smash(ops=(14, 23, 34))
    assert space.banks == (6, 7, 8)
    assert space.size() == closed_form(space, 6 * 6 * 4)


def test_sizes_of_the_released_code() -> None:
    """Input channels, most channels and read budgets of the blocks; reads in all."""
    sizes = Smash().block_sizes()
    assert [size.n_in for size in sizes] == [64, 96, 112]
    assert [size.n_most for size in sizes] == [192, 224, 256]
    assert [size.budget for size in sizes] == [832, 1632, 3184]
    assert sum(size.budget for size in sizes) // 8 // 2 == 353  # slices of the hypernetwork's input


@pytest.mark.parametrize(
    ("n_in", "width", "middle"),
    [(32, 8, 32), (64, 4, 64), (96, 4, 96), (160, 4, 128), (256, 4, 128), (224, 8, 128), (96, 8, 64), (32, 4, 32)],
)
def test_width_of_the_narrowing_convolution(n_in: int, width: int, middle: int) -> None:
    """min(clamp(floor(n_in / gN), 1, 4) gN, n_in, 2 N_max)."""
    assert Smash().layers(0).n_middle(n_in, width) == middle


def op_params(n_read: int, width: int, sides: tuple[int, int], groups: int) -> int:
    """Of an operation of one convolution with its batch norms, by hand."""
    n_in, n_out = 32 * n_read, 8 * width
    middle = min(min(max(n_in // n_out, 1), 4) * n_out, n_in, 128)
    return 2 * n_in + n_in * middle + 2 * middle + middle // groups * n_out * sides[0] * sides[1]


def test_parameters_by_hand() -> None:
    """Stem, operations, transitions and classifier of a member."""
    space = Smash()
    expected = 7 * 7 * 3 * 64  # two banks of block 1 are filled
    expected += op_params(2, 4, (3, 5), 2) + op_params(1, 8, (7, 3), 1)
    expected += 2 * 192 + 192 * 96
    expected += op_params(1, 4, (3, 3), 8)
    expected += 2 * 224 + 224 * 96  # three banks of block 3
    expected += op_params(4, 4, (3, 3), 1)
    expected += 2 * 256 + 256 * 10 + 10
    with torch.device("meta"):
        counted = count(space.build(space.parse(CODE)), space.input_shape)
    assert (counted.params, counted.uncounted) == (expected, [])


def test_narrower_operations_than_banks_written_to_cost_no_more() -> None:
    """Writing a result to more banks adds nothing."""
    space = Smash()
    rows = space.decisions.rows([space.parse(CODE), space.parse(CODE.replace(">2*4", ">235*4"))])
    for cost in (Params(), Macs()):
        one, other = cost.cost_rows(space, rows)
        assert one == other


def test_structures() -> None:
    """One or two paths of one or two convolutions; 1 follows 0 and 3 follows 2."""
    space, found = Smash(structures=tuple(STRUCTURES)), {}
    for structure in STRUCTURES:
        convs = ",".join(["31x31g1"] * structure.count("1"))
        network = space.build(space.parse(f"0>0*4:{structure}:{convs}/0>0*4:1000:31x31g1/0>0*4:1000:31x31g1"))
        paths = network.get_submodule("block1.0.body.paths")
        found[structure] = [len(list(path.children())) for path in paths.children()]
    assert found == {"1000": [1], "1010": [1, 1], "1100": [2], "1110": [2, 1], "1111": [2, 2]}


def test_convolutions_of_a_block_share_their_weights_in_a_supernet() -> None:
    """One a place in the structure, as in the released code; the 1x1 convolutions are each operation's own."""
    supernet = Smash(**RICH).supernet()
    convs = [part for part in supernet.modules() if isinstance(part, ElasticGroupedConv2d)]
    assert len(convs) == 4 * (1 + 2 + 2 + 3 + 4)
    assert len({id(conv.weight) for conv in convs}) == 3 * 4


def test_search_form_has_no_norm_in_operations() -> None:
    """Two transitions and the head keep theirs."""
    supernet = Smash(**SMALL).search_form().supernet()
    assert sum(isinstance(part, nn.BatchNorm2d) for part in supernet.modules()) == 3


@pytest.mark.parametrize(
    ("side", "sides"), [(4, [4]), (8, [8, 4]), (16, [16, 8, 4]), (32, [32, 16, 8]), (33, [33, 17, 9])]
)
def test_maps(side: int, sides: list[int]) -> None:
    """The transitions halve images as long as a map of 4 x 4 is left, the later one first."""
    space = Smash(**SMALL | {"input_shape": (1, side, side)})
    network = space.build(space.sample(1, np.random.default_rng(0))[0])
    maps = features_only(network, space.input_shape)(torch.zeros(1, 1, side, side))
    assert [found.shape[-1] for found in maps] == sides


def test_code() -> None:
    """What is read and written, widths, kernels, dilations and groups."""
    space = Smash()
    arch = space.parse(CODE)
    assert space.code(arch) == CODE
    assert arch["block1.op0.conv0.columns"] == 52
    assert space.blocks(arch)[0][1] == Op((2,), (2, 3), 8, "1000", (Conv((7, 3), (1, 1), 1),))
    assert space.arch_of(space.blocks(arch)) == arch


def test_code_with_nonlinearities() -> None:
    """ReLU goes without saying."""
    space = Smash(**RICH)
    code = "0>0*4:1110:31x31g1.tanh,31x31g1,53x31g4/0>0*2:1000:31x31g1/0>0*2:1000:31x31g1".replace("53x", "52x")
    assert space.code(space.parse(code)) == code


GOOD = "0>0*4:1000:31x31g1"


@pytest.mark.parametrize(
    ("first", "message"),
    [
        ("", "block1.op0: '' is no operation; write READ>WRITE"),
        ("0>*4:1000:31x31g1", "block1.op0: '0>[*]4:1000:31x31g1' is no operation"),
        (f"{GOOD}+0>0*-4:1000:31x31g1", "block1.op1: .* is no operation"),
        ("00>0*4:1000:31x31g1", "block1.op0: it reads the banks '00'; give each once"),
        ("6>0*4:1000:31x31g1", r"'block1.op0.read' has no value \(6,\)"),
        ("0>9*4:1000:31x31g1", r"'block1.op0.write' has no value \(9,\)"),
        ("0>0*3:1000:31x31g1", "'block1.op0.width' has no value 3; choose one of 4, 8"),
        ("0>0*4:1001:31x31g1", "block1.op0: unknown structure '1001'; choose one of 1000, 1010"),
        ("0>0*4:1111:31x31g1", "structure 1111 has 4 convolutions, not 1"),
        ("0>0*4:1100:31x31g1,31x31g1", "block1.op0: structure '1100' is none of this space; choose one of 1000"),
        ("0>0*4:1000:31g1", "block1.op0: '31g1' is no convolution"),
        ("0>0*4:1000:72x31g1", "'block1.op0.conv0.rows' has no value 72|'block1.op0.rows' has no value 72"),
        ("0>0*4:1000:31x31g3", "groups' has no value 3; choose one of 1, 2, 4, 8"),
        ("0>0*4:1000:31x31g1.tanh", "unknown decision 'block1.op0.conv0.nonlinearity'"),
        ("+".join([GOOD] * 5), "block1 has 5 operations; give 1 to 3"),
    ],
)
def test_bad_codes(first: str, message: str) -> None:
    """One line that names the operation."""
    with pytest.raises(InvalidArchError, match=message) as caught:
        Smash().parse(f"{first}/{GOOD}/{GOOD}")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 450


def test_a_code_of_two_blocks_is_refused() -> None:
    """With the number of them."""
    with pytest.raises(InvalidArchError, match="has 2 blocks; give 3"):
        Smash().parse(f"{GOOD}/{GOOD}")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": (3, 3, 9)}, "at least 4 pixels a side, not 3"),
        ({"input_shape": (3, 32)}, "takes images"),
        ({"n_classes": 0}, "give a whole number, 1 to"),
        ({"depth": 0}, "depth is 0"),
        ({"base": -8}, "base is -8"),
        ({"bank": 1}, r"bank\[0\] is 1, 8 channels, which makes 24 banks; give a larger one, for at most 10"),
        ({"bank": 9}, r"bank\[0\] is 9, 72 channels; block 1 takes in 64 channels"),
        ({"bank": (4, 4)}, "a list of 3"),
        ({"bank": "4"}, "a list of 3"),
        ({"ops": (4, 0, 4)}, r"ops\[1\] is 0"),
        ({"ops": (4, 4, 101)}, "at most 100 a block"),
        ({"structures": ["1001"]}, r"structures\[0\] is '1001'"),
        ({"structures": []}, "structures is "),
        ({"kernels": [4]}, r"kernels\[0\] is 4; give some of 3, 5, 7, each once"),
        ({"kernels": [3, 3]}, r"kernels\[1\] is 3"),
        ({"groups": [3]}, r"groups\[0\] is 3; give some of 1, 2, 4, 8"),
        ({"nonlinearities": "relu"}, "give a list of some of relu, tanh, sigmoid"),
        ({"norms": "batch"}, "norms is 'batch'; choose one of sandwich, full, none"),
    ],
)
def test_impossible_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    """Each names what it got."""
    with pytest.raises(InvalidValueError, match=message):
        Smash(**arguments)


def test_relaxation_is_refused_by_name() -> None:
    """The width of what is read hangs on the banks that are read."""
    space = Smash(**SMALL)
    supernet, name = space.supernet(), "block1.op0.read"
    others = {key: value for key, value in space.sample(1, np.random.default_rng(0))[0].items() if key != name}
    selection_of(supernet).relax({name: [(0, 0.5), (1, 0.5)]}, others)
    with pytest.raises(SpaceError, match=r"decision 'block1\.op0\.read'"):
        supernet(torch.zeros(1, 1, 8, 8))


def test_drawing_shows_the_banks() -> None:
    """Inputs, a state whenever a bank is written to, an edge for each read and write."""
    space = Smash()
    graph = space.drawing(space.parse(CODE)).panels[0]
    assert [node.id for node in graph.nodes if node.kind == "input"] == ["bank0", "bank1"]  # type: ignore[union-attr]
    # block 1: 0 and 1 → 2; 2 → 2 and 3
    assert sum(node.kind == "state" for node in graph.nodes) == 3  # type: ignore[union-attr]
    assert len(graph.edges) == (2 + 1) + (1 + 2 + 1) + 4  # type: ignore[union-attr]


def rich() -> nn.Module:
    """A member with several structures and settled statistics."""
    torch.manual_seed(0)
    space = Smash(**RICH)
    network = space.build(space.draw(1, np.random.default_rng(2), largest_share=1.0)[0])
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = None
    with torch.no_grad():
        network.train()(torch.randn(8, *space.input_shape))
    return network.eval()


def test_source_gives_the_logits() -> None:
    """`model.py` of plain torch builds the network with the same names."""
    network = rich()
    text = network_source(network, input_shape=(1, 8, 8), class_names=["a", "b", "c"], preprocessing={})
    assert verify_source(text, network, (1, 8, 8)) <= 1e-5


@pytest.mark.slow
def test_onnx_gives_the_logits(tmp_path: Path) -> None:
    """At two batch sizes."""
    network = rich()
    exported = export_onnx(network, (1, 8, 8), tmp_path / "model.onnx")
    assert verify_onnx(exported.path, network, (1, 8, 8), batches=(1, 3)) < 1e-5


def test_train_command(cli: Callable[..., Any], tmp_path: Path) -> None:
    """A member on 8 x 8 digits, two steps, with all its files."""
    options = ["--preset", "smoke", "--threads", "1", "--set", "training.steps=2", "--out", tmp_path / "run"]
    done = cli("train", f"smash:{CODE}", "--data", "digits", *options)
    assert done.code == 0, done.err
    assert {path.name for path in (tmp_path / "run" / "best").iterdir()} >= {"model.onnx", "model.py"}


def memory_of(ops: list[Op], x: Tensor, bank: int, modules: nn.Module) -> list[Tensor]:
    """A block as the released code runs it: a list of banks, made when they are first written to."""
    banks: dict[int, Tensor] = dict(enumerate(x.split(bank, 1)))
    for i, op in enumerate(ops):
        weights = dict(modules.get_submodule(f"{i}.body").named_parameters())
        out = F.conv2d(torch.cat([banks[j] for j in op.read], 1), weights["point.0.weight"])
        results: dict[int, Tensor] = {}
        for conv, slot in zip(op.convs, op.slots, strict=True):
            given = results.pop(slot - 1) if slot % 2 else out
            given = {"relu": torch.relu, "tanh": torch.tanh}[conv.nonlinearity](given)
            weight = weights[f"paths.{slot // 2}.{slot % 2}.1.weight"]
            sides = zip(conv.kernel, conv.dilation, strict=True)
            padding = [(kernel + (kernel - 1) * (dilation - 1)) // 2 for kernel, dilation in sides]
            results[slot] = F.conv2d(given, weight, None, 1, padding, conv.dilation, conv.groups)
        slices = sum(results.values(), torch.zeros(())).split(bank, 1)
        for j, target in enumerate(op.write):
            part = slices[j % len(slices)]
            banks[target] = banks[target] + part if target in banks else part
    return [banks[j] for j in sorted(banks)]


@pytest.mark.parametrize("seed", range(4))
def test_blocks_compute_what_the_released_code_does(seed: int) -> None:
    """Drawn as SMASH draws, all structures, no norms: against lists of banks with first writes that allocate."""
    torch.manual_seed(seed)
    space = Smash(**RICH | {"ops": (4, 4, 4), "norms": "none"})
    arch = space.draw(1, np.random.default_rng(seed))[0]
    network = space.build(arch)
    for b, ops in enumerate(space.blocks(arch)):
        fill, block = (network.get_submodule(f"{part}{b + 1}") for part in ("fill", "block"))
        x = torch.randn(2, 8, 9, 9)
        found = block(fill(x))
        expected = memory_of(ops, x, 8, block)
        assert torch.allclose(found[:, : 8 * len(expected)], torch.cat(expected, 1), atol=1e-5)
        assert not found[:, 8 * len(expected) :].any()
