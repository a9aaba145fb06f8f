"""Net2Net: the same function from wider and deeper layers, in evaluation and in training."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from archwright.core.errors import InvalidValueError
from archwright.nn.morph import deeper, wider

Chain = tuple[nn.Module, tuple[nn.Module, ...], nn.Module, Tensor]


def drawn(*modules: nn.Module) -> None:
    """Batch norms with statistics and scales that are not those of the start."""
    for module in modules:
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight, module.bias, module.running_mean):
                nn.init.normal_(tensor)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 2.0)  # type: ignore[arg-type]


def linear() -> Chain:
    return nn.Linear(5, 8), (nn.Tanh(),), nn.Linear(8, 3), torch.randn(6, 5)


def convolution() -> Chain:
    between = (nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2))
    return nn.Conv2d(3, 8, 3, padding=1, bias=False), between, nn.Conv2d(8, 4, 3, stride=2), torch.randn(6, 3, 10, 10)


def flattened() -> Chain:
    return nn.Conv2d(3, 8, 3), (nn.GELU(), nn.Flatten()), nn.Linear(8 * 36, 4), torch.randn(6, 3, 8, 8)


def depthwise() -> Chain:
    between = (nn.ReLU6(), nn.Conv2d(8, 8, 3, groups=8, padding=1), nn.BatchNorm2d(8))
    return nn.Conv2d(3, 8, 1), between, nn.Conv2d(8, 5, 1), torch.randn(6, 3, 7, 7)


@pytest.mark.parametrize("make", [linear, convolution, flattened, depthwise])
@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize(("dtype", "most"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_a_wider_layer_computes_the_same(
    make: Callable[[], Chain], training: bool, dtype: torch.dtype, most: float
) -> None:
    """8 units to 13, for three draws of what is repeated."""
    torch.manual_seed(0)
    first, between, second, x = make()
    drawn(*between)
    before = nn.Sequential(first, *between, second).to(dtype).train(training)
    with torch.no_grad():
        expected = copy.deepcopy(before)(x.to(dtype))
    for seed in range(3):
        found = wider(first, second, 13, np.random.default_rng(seed), between=between)  # type: ignore[arg-type]
        after = nn.Sequential(found.first, *found.between, found.second).train(training)
        with torch.no_grad():
            assert float((after(x.to(dtype)) - expected).abs().max()) < most


def test_copies_share_the_weight_behind_them() -> None:
    """Their weights sum to the old one; every unit is there, as often as it was drawn."""
    first, _, second, _ = linear()
    found = wider(first, second, 20, np.random.default_rng(0))  # type: ignore[arg-type]
    assert np.bincount(found.units).sum() == 20
    assert found.units[:8].tolist() == list(range(8))
    summed = torch.zeros_like(second.weight)
    summed.index_add_(1, torch.from_numpy(found.units), found.second.weight.detach())
    torch.testing.assert_close(summed, second.weight.detach())


@pytest.mark.parametrize(("noise", "is_equal"), [(0.0, True), (0.01, False)])
def test_only_noise_tells_copies_apart(noise: float, is_equal: bool) -> None:
    """After a step of gradient descent, copies of one unit are still equal without it."""
    torch.manual_seed(0)
    first, between, second, x = linear()
    found = wider(first, second, 16, np.random.default_rng(0), between=between, noise=noise)  # type: ignore[arg-type]
    network = nn.Sequential(found.first, *found.between, found.second)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    network(x).pow(2).mean().backward()
    optimizer.step()
    new = int(found.units[8])
    assert torch.equal(found.first.weight[8], found.first.weight[new]) == is_equal


def test_given_layers_stay_as_they_are() -> None:
    first, between, second, _ = convolution()
    before = copy.deepcopy(nn.Sequential(first, *between, second).state_dict())
    wider(first, second, 9, np.random.default_rng(0), between=between, noise=0.1)  # type: ignore[arg-type]
    after = nn.Sequential(first, *between, second).state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"n_units": 8}, "8 units are no more than the 8 there are"),
        ({"between": (nn.GroupNorm(2, 8),)}, "GroupNorm between the layers does not treat all channels alike"),
        ({"between": (nn.Softmax(1),)}, "Softmax between"),
        ({"noise": -1.0}, "noise is -1.0; give 0 or more"),
        ({"first": nn.Conv2d(4, 8, 3, groups=2)}, "several groups"),
        ({"second": nn.Linear(9, 2)}, "reads 9 inputs, which are not those of 8 units"),
        ({"second": nn.Conv2d(16, 2, 1)}, "reads 16 channels, and there are 8"),
    ],
)
def test_what_cannot_be_widened_exactly(change: dict[str, object], said: str) -> None:
    given: dict[str, object] = {"first": nn.Conv2d(3, 8, 3), "second": nn.Conv2d(8, 4, 3), "n_units": 12, **change}
    with pytest.raises(InvalidValueError, match=said):
        wider(
            given.pop("first"),  # type: ignore[arg-type]
            given.pop("second"),  # type: ignore[arg-type]
            given.pop("n_units"),  # type: ignore[arg-type]
            np.random.default_rng(0),
            **given,  # type: ignore[arg-type]
        )


@pytest.mark.parametrize("activation", [nn.ReLU(), nn.ReLU6(), nn.Identity()])
@pytest.mark.parametrize("kernel", [None, 1, 3, 5])
def test_a_new_layer_changes_nothing(activation: nn.Module, kernel: int | None) -> None:
    """Exactly, in float32."""
    torch.manual_seed(0)
    x = activation(4 * torch.randn(6, 8) if kernel is None else 4 * torch.randn(6, 8, 9, 9))
    with torch.no_grad():
        assert torch.equal(deeper(8, activation, kernel=kernel)(x), x)


def test_the_kernel_has_its_one_in_the_middle() -> None:
    weight = deeper(4, nn.ReLU(), kernel=3)[0].weight.detach()
    assert weight.sum() == 4
    assert [float(weight[i, i, 1, 1]) for i in range(4)] == [1.0] * 4  # type: ignore[index]


@pytest.mark.parametrize("activation", [nn.Tanh(), nn.GELU(), nn.Hardswish(), nn.LeakyReLU(), nn.Sigmoid()])
def test_activations_that_change_their_own_output_are_refused(activation: nn.Module) -> None:
    """Behind them an identity is none."""
    x = 4 * torch.randn(100)
    assert not torch.equal(activation(activation(x)), activation(x))
    with pytest.raises(InvalidValueError, match=f"an identity behind {type(activation).__name__} is not exact"):
        deeper(8, activation, kernel=3)


@pytest.mark.parametrize("kernel", [None, 3])
def test_a_batch_norm_that_changes_nothing(kernel: int | None) -> None:
    """Set by a batch: in evaluation and in training mode on that batch; its scale is the root of variance and eps."""
    torch.manual_seed(0)
    x = torch.relu(torch.randn(32, 8) if kernel is None else torch.randn(32, 8, 5, 5))
    layer = deeper(8, nn.ReLU(), kernel=kernel, batch=x)
    norm = layer[1]
    torch.testing.assert_close(norm.weight, (norm.running_var + norm.eps).sqrt())
    for training in (False, True):
        with torch.no_grad():
            assert float((copy.deepcopy(layer).train(training)(x) - x).abs().max()) < 1e-5


@pytest.mark.parametrize("kernel", [0, 2, 4])
def test_a_kernel_has_a_middle(kernel: int) -> None:
    with pytest.raises(InvalidValueError, match=f"a kernel of {kernel} has no middle"):
        deeper(8, nn.ReLU(), kernel=kernel)
