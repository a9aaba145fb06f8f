"""Fast forms of plain sequences against the modules they stand for."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from archwright.evaluators.fast_forms import find_forms, running
from archwright.nn.ops.pooling import GlobalAvgPool2d
from archwright.testing import NumberSpace


def conv(n_in: int, n_out: int, kernel: int = 1, *, bias: bool = False, groups: int = 1, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(n_in, n_out, kernel, stride, kernel // 2, bias=bias, groups=groups)


def norm(n: int, *, affine: bool = True) -> nn.BatchNorm2d:
    layer = nn.BatchNorm2d(n, affine=affine)
    if affine:
        nn.init.normal_(layer.weight)
        nn.init.normal_(layer.bias)
    return layer


CHAINS: dict[str, Callable[[], nn.Sequential]] = {
    "conv-bn-relu": lambda: nn.Sequential(conv(4, 6, 3), norm(6), nn.ReLU(inplace=True)),
    "not affine": lambda: nn.Sequential(conv(4, 6, 3), norm(6, affine=False), nn.ReLU()),
    "conv-bn, 1x1": lambda: nn.Sequential(conv(4, 4, 3, groups=4), norm(4), conv(4, 6), norm(6), nn.ReLU()),
    "conv-bn, 1x1, not affine": lambda: nn.Sequential(conv(4, 4, 3), norm(4, affine=False), conv(4, 6), norm(6)),
    "conv-bn, 1x1 with bias": lambda: nn.Sequential(conv(4, 4, 3), norm(4), conv(4, 6, bias=True), norm(6)),
    "conv-bn, 1x1 without norm": lambda: nn.Sequential(conv(4, 4, 3), norm(4), conv(4, 6, bias=True), nn.ReLU()),
    "conv-bn, strided 1x1": lambda: nn.Sequential(conv(4, 4, 3), norm(4), conv(4, 6, stride=2), norm(6)),
    "conv-bn, 3x3": lambda: nn.Sequential(conv(4, 4), norm(4), conv(4, 6, 3), norm(6)),
    "conv-bn, grouped 1x1": lambda: nn.Sequential(conv(4, 4), norm(4), conv(4, 4, groups=2), norm(4)),
    "conv with bias": lambda: nn.Sequential(conv(4, 6, 3, bias=True), norm(6), nn.ReLU()),
    "conv, relu": lambda: nn.Sequential(conv(4, 6, 3, bias=True), nn.ReLU(), conv(6, 6), norm(6)),
    "nested": lambda: nn.Sequential(nn.Sequential(conv(4, 4), norm(4)), nn.Sequential(conv(4, 4), norm(4), nn.ReLU())),
    "last norm": lambda: nn.Sequential(conv(4, 4), norm(4), nn.ReLU(), conv(4, 4, 3), norm(4)),
    "pooled": lambda: nn.Sequential(conv(4, 6), norm(6), nn.AvgPool2d(2), nn.MaxPool2d(2), conv(6, 4), norm(4)),
    "pooled squares, 1x1": lambda: nn.Sequential(nn.AvgPool2d(2, 2, ceil_mode=True), conv(4, 6, bias=True)),
    "pooled squares, 1x1, not even": lambda: nn.Sequential(nn.AvgPool2d(4, 4, ceil_mode=True), conv(4, 6), norm(6)),
    "norm before pooled squares": lambda: nn.Sequential(conv(4, 4, 3), norm(4), nn.AvgPool2d(3), conv(4, 6), norm(6)),
    "pooled squares, strided 1x1": lambda: nn.Sequential(nn.AvgPool2d(2), conv(4, 6, stride=2), norm(6)),
    "pooled squares, 3x3": lambda: nn.Sequential(nn.AvgPool2d(2), conv(4, 6, 3), norm(6)),
    "pooled squares that overlap": lambda: nn.Sequential(nn.AvgPool2d(3, 1), conv(4, 6), norm(6)),
    "head": lambda: nn.Sequential(
        conv(4, 6), norm(6), nn.ReLU(), GlobalAvgPool2d(), nn.Flatten(), nn.Dropout(), nn.Linear(6, 3)
    ),
    "relu first": lambda: nn.Sequential(nn.ReLU(), conv(4, 6, 3), norm(6)),
}

UNTOUCHED: dict[str, Callable[[], nn.Sequential]] = {
    "bn without conv": lambda: nn.Sequential(norm(4), nn.ReLU(), conv(4, 4)),
    "relu between conv and bn": lambda: nn.Sequential(conv(4, 4), nn.ReLU(), norm(4)),
    "no norm": lambda: nn.Sequential(conv(4, 4), nn.ReLU()),
    "norm without statistics": lambda: nn.Sequential(conv(4, 4), nn.BatchNorm2d(4, track_running_stats=False)),
    "unknown module": lambda: nn.Sequential(conv(4, 4), norm(4), nn.Softmax(dim=1)),
    "reflected padding": lambda: nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"), norm(4)),
    "padding by name": lambda: nn.Sequential(nn.Conv2d(4, 4, 3, padding="same"), norm(4)),
    "other norm": lambda: nn.Sequential(conv(4, 4), nn.GroupNorm(2, 4)),
    "a kind of convolution": lambda: nn.Sequential(_OddConv(4, 4, 1), norm(4)),
}


class _OddConv(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


def _network(make: Callable[[], nn.Sequential]) -> nn.Sequential:
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        network = make().double().eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None:
            module.momentum = None
            module.train()
    return network


def _batches(n: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(3, 4, 6, 6, generator=generator, dtype=torch.float64) + i for i in range(n)]


def _stop(network: nn.Module) -> None:
    network.eval()


@pytest.mark.parametrize("name", CHAINS)
@torch.no_grad()
def test_calibration_gives_outputs_and_statistics_of_the_modules(name: str) -> None:
    """Over three batches, in float64: outputs, running means, variances and counts; inputs are not changed."""
    network = _network(CHAINS[name])
    plain = copy.deepcopy(network)
    chains = find_forms(network)
    assert list(chains) == [network]
    with running(chains, calibrate=True):
        for images in _batches(3):
            before = images.clone()
            torch.testing.assert_close(network(images), plain(before), rtol=1e-12, atol=1e-12)
            assert torch.equal(images, before)
    for (path, found), expected in zip(network.named_buffers(), plain.buffers(), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12, msg=path)


@pytest.mark.parametrize("name", CHAINS)
@torch.no_grad()
def test_scoring_gives_outputs_of_the_modules(name: str) -> None:
    """With the statistics that are there, in float64; weights and statistics stay as they are."""
    network = _network(CHAINS[name])
    for images in _batches(2):
        network(images)
    _stop(network)
    state = copy.deepcopy(network.state_dict())
    images = _batches(3)[2]
    expected = network(images)
    with running(find_forms(network), calibrate=False):
        torch.testing.assert_close(network(images), expected, rtol=1e-12, atol=1e-12)
    assert all(torch.equal(tensor, state[path]) for path, tensor in network.state_dict().items())


@pytest.mark.parametrize("name", UNTOUCHED)
def test_other_sequences_run_as_they_are(name: str) -> None:
    """What has no fast form is left to its modules."""
    assert find_forms(_network(UNTOUCHED[name])) == {}


@pytest.mark.parametrize("kind", ["forward", "forward_pre"])
@pytest.mark.parametrize("place", ["0", "1", "2"])
def test_hooks_are_called(kind: str, place: str) -> None:
    """A module somebody watches is run itself, so that the hook sees what it would see."""
    network = _network(CHAINS["conv-bn-relu"])
    seen: list[object] = []
    getattr(network.get_submodule(place), f"register_{kind}_hook")(lambda *seen_now: seen.append(seen_now))
    with running(find_forms(network), calibrate=True), torch.no_grad():
        network(_batches(1)[0])
    assert len(seen) == 1


def test_sequence_with_a_hook_runs_as_it_is() -> None:
    """Also where the sequence itself is watched."""
    network = _network(CHAINS["conv-bn-relu"])
    network.register_forward_hook(lambda *_: None)
    assert find_forms(network) == {}


def test_elastic_layers_run_as_they_are() -> None:
    """Their weights are sliced at each call."""
    assert find_forms(NumberSpace().supernet()) == {}


def test_modules_are_themselves_afterwards() -> None:
    """Also where a forward pass fails: the fast form is gone."""
    network = _network(CHAINS["conv-bn-relu"])
    with pytest.raises(RuntimeError), running(find_forms(network), calibrate=True):
        network(torch.zeros(1, 5, 6, 6, dtype=torch.float64))
    assert "forward" not in vars(network)


def test_chains_inside_other_modules_are_found() -> None:
    """The outermost plain sequences, wherever they hang; their parts are not listed again."""
    inner = _network(CHAINS["nested"])
    outer = nn.ModuleDict({"a": nn.ModuleList([inner]), "b": _network(CHAINS["conv-bn-relu"])})
    assert list(find_forms(outer)) == [inner, outer["b"]]
