"""Supernet, extracted and rebuilt network are equal; extraction leaves the supernet as it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from archwright.core.arch import Arch
from archwright.core.errors import InvalidArchError, SpaceError
from archwright.nn import Chooser, Fixed, Supernet, extract, selection_of
from archwright.nn.choice.modules import active_modules
from archwright.spaces import NasBench201, NasBench201Size, SposSpace
from archwright.spaces.base import Space
from archwright.testing.spaces import (
    BranchSpace,
    ElasticSpace,
    LooseEndsSpace,
    MBConvSpace,
    NumberSpace,
    StagesSpace,
)

SPOS = SposSpace(input_shape=(1, 16, 16), n_classes=5)
CELLS = NasBench201(input_shape=(3, 8, 8), n_classes=5, channels=4, cells=1)
SPACES = [
    *(SPOS, ElasticSpace(), BranchSpace(), NumberSpace(), StagesSpace(), MBConvSpace(), LooseEndsSpace()),
    *(CELLS, CELLS.search_form(), NasBench201Size(input_shape=(3, 8, 8), n_classes=5)),
]


def prepared(space: Space, arch: Arch, seed: int = 0) -> tuple[nn.Module, Tensor]:
    """A supernet with the arch active, random affine parameters, statistics of one cumulative pass; and images."""
    torch.manual_seed(seed)
    network = space.supernet()
    selection_of(network).activate(arch)
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = None
            if part.affine:
                nn.init.normal_(part.weight, 1.0, 0.2)
                nn.init.normal_(part.bias, 0.0, 0.2)
    images = torch.randn(16, *space.input_shape)
    with torch.no_grad():
        network.train()(images)
    return network.eval(), images


def is_equal(one: Tensor, other: Tensor) -> bool:
    """The tolerance of the promise."""
    return bool((one - other).abs().max() <= 1e-5 * max(1.0, float(one.abs().max())))


@pytest.mark.parametrize("space", SPACES, ids=lambda space: type(space).__name__)
def test_three_executions_give_the_same_logits(space: Space) -> None:
    """Supernet with the arch active, extracted network, freshly built network with the same weights; four archs."""
    for arch in space.sample(4, np.random.default_rng(1)):
        supernet, images = prepared(space, arch)
        extracted = space.extract(supernet, arch)
        rebuilt = space.build(arch)
        rebuilt.load_state_dict(extracted.state_dict(), strict=True)
        with torch.no_grad():
            logits = supernet(images)
            assert logits.std() > 1e-3  # they say something
            assert is_equal(logits, extracted(images))
            assert is_equal(logits, rebuilt.eval()(images))


@pytest.mark.parametrize("space", SPACES, ids=lambda space: type(space).__name__)
def test_perturbing_any_active_convolution_breaks_equality(space: Space) -> None:
    """The centre of each active convolution's first filter, one at a time: the comparison is not blind."""
    arch = space.sample(1, np.random.default_rng(2))[0]
    supernet, images = prepared(space, arch)
    extracted = space.extract(supernet, arch)
    convolutions = [part for _, part in active_modules(supernet) if isinstance(part, nn.Conv2d)]
    assert convolutions
    with torch.no_grad():
        for conv in convolutions:
            centre = conv.kernel_size[0] // 2
            before = conv.weight.clone()
            conv.weight[:, :, centre, centre] += 1.0
            assert not is_equal(supernet(images), extracted(images))
            conv.weight.copy_(before)
        assert is_equal(supernet(images), extracted(images))


def test_perturbing_inactive_weights_changes_nothing() -> None:
    """Every parameter outside the active path may be anything."""
    arch = SPOS.sample(1, np.random.default_rng(3))[0]
    supernet, images = prepared(SPOS, arch)
    active = {id(p) for _, part in active_modules(supernet) for p in part._parameters.values()}
    with torch.no_grad():
        before = supernet(images)
        for parameter in supernet.parameters():
            if id(parameter) not in active:
                parameter.fill_(torch.nan)
        assert torch.equal(supernet(images), before)


def test_extraction_keeps_the_active_arch() -> None:
    """Another arch is extracted than the one that runs."""
    space = ElasticSpace()
    running, wanted = space.sample(2, np.random.default_rng(0))
    supernet, images = prepared(space, running)
    with torch.no_grad():
        before = supernet(images)
        space.extract(supernet, wanted)
        assert torch.equal(supernet(images), before)


def test_extraction_before_any_activation_leaves_nothing_active() -> None:
    """As it was."""
    space = BranchSpace()
    supernet = space.supernet()
    space.extract(supernet, space.sample(1, np.random.default_rng(0))[0])
    with pytest.raises(SpaceError, match="no active value"):
        supernet(torch.zeros(1, 3, 6, 6))


def test_the_extracted_weights_are_copies() -> None:
    """Zeroing them leaves the supernet's logits as they were."""
    space = ElasticSpace()
    arch = space.sample(1, np.random.default_rng(0))[0]
    supernet, images = prepared(space, arch)
    with torch.no_grad():
        before = supernet(images)
        for tensor in space.extract(supernet, arch).state_dict().values():
            tensor.zero_()
        assert torch.equal(supernet(images), before)


def test_extracted_parameters_learn() -> None:
    """They are leaves that require gradients, no views of the supernet's."""
    space = ElasticSpace()
    arch = space.sample(1, np.random.default_rng(0))[0]
    supernet, images = prepared(space, arch)
    network = space.extract(supernet, arch)
    network(images).sum().backward()
    assert all(p.is_leaf and p.requires_grad and p.grad is not None for p in network.parameters())
    assert all(p.grad is None for p in supernet.parameters())


@pytest.mark.parametrize("training", [True, False])
def test_mode_is_taken_over(training: bool) -> None:
    """Training stays training, evaluation stays evaluation."""
    space = BranchSpace()
    network = space.extract(space.supernet().train(training), space.sample(1, np.random.default_rng(0))[0])
    assert network.training is training


def test_a_foreign_arch_is_refused() -> None:
    """Before anything is built."""
    space = BranchSpace()
    with pytest.raises(InvalidArchError, match="is missing"):
        space.extract(space.supernet(), {"last": "relu"})


class Scaled(nn.Module):
    """Has a buffer outside the state dict, made while it is built."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.register_buffer("factor", torch.tensor(factor), persistent=False)
        self.layer = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) * self.factor


def test_buffers_outside_the_state_dict_are_made_again() -> None:
    """They hold values, not descriptions."""

    def network(choose: Chooser) -> nn.Module:
        return choose.op("op", {"two": lambda: Scaled(2.0), "three": lambda: Scaled(3.0)})

    supernet = network(Supernet())
    selection_of(supernet).activate({"op": "three"})
    x = torch.randn(4, 3)
    assert torch.equal(extract(network, supernet, {"op": "three"})(x), supernet(x))


class Tied(nn.Module):
    """Two layers with one weight, and one module in two places."""

    def __init__(self, choose: Chooser) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)
        self.two.weight = self.one.weight
        self.again = self.one
        self.op = choose.op("op", {"relu": nn.ReLU, "none": nn.Identity})

    def forward(self, x: Tensor) -> Tensor:
        return self.again(self.op(self.two(self.one(x))))


def test_shared_weights_stay_shared() -> None:
    """One parameter in the supernet is one parameter in the extracted network."""
    supernet = Tied(Supernet())
    selection_of(supernet).activate({"op": "relu"})
    network = extract(Tied, supernet, {"op": "relu"})
    x = torch.randn(4, 3)
    assert torch.equal(network(x), supernet(x))
    assert len(list(network.parameters())) == 1


def test_networks_that_do_not_correspond_are_named() -> None:
    """A network that builds something else when fixed is the space's fault, and the message shows where."""

    def network(choose: Chooser) -> nn.Module:
        size = 4 if isinstance(choose, Fixed) else 3
        return nn.Sequential(nn.Linear(size, 2), choose.op("op", {"relu": nn.ReLU, "none": nn.Identity}))

    with pytest.raises(SpaceError, match=r"fixed and the searched network differ.*0\.weight"):
        extract(network, network(Supernet()), {"op": "relu"})
