"""Updates against torch's plain optimizers, one tensor at a time."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from archwright.training.config import OptimizerConfig
from archwright.training.muon import Muon
from archwright.training.optimizers import Updater

CONFIGS = [
    {"optimizer": "sgd", "momentum": 0.0},
    {"optimizer": "sgd", "momentum": 0.9, "weight_decay": 0.01},
    {"optimizer": "sgd", "momentum": 0.9, "weight_decay": 0.01, "nesterov": True},
    {"optimizer": "adam", "weight_decay": 0.01, "betas": (0.8, 0.99)},
    {"optimizer": "adamw", "weight_decay": 0.1},
    {"optimizer": "adam", "eps": 0.1, "amsgrad": True},
    {"optimizer": "sgd", "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.01},
    {"optimizer": "rmsprop", "momentum": 0.0, "squares_decay": 0.9, "eps": 0.01},
    {"optimizer": "rmsprop", "momentum": 0.8, "centered": True, "weight_decay": 0.01},
]


MUON = {"optimizer": "muon", "momentum": 0.9, "nesterov": True, "weight_decay": 0.01, "muon_rate": 0.3}


class Branches(nn.Module):
    """Two branches, of which a step uses one; matrices, convolutions and single-axis parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList([nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)])
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor, branch: int) -> Tensor:
        out: Tensor = self.head(self.convs[branch](x).mean((2, 3)))
        return out


def _network(layout: torch.memory_format = torch.channels_last) -> Branches:
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        return Branches().to(memory_format=layout)


def _loss(network: Branches, step: int) -> Tensor:
    x = torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(step))
    return network(x, (step // 2) % 2).square().sum()


def _reference(network: Branches, settings: dict[str, Any]) -> torch.optim.Optimizer:
    """Torch's loop over single tensors, the slowest and simplest of its implementations."""
    settings = dict(settings)
    decay, name = settings.pop("weight_decay", 0.0), settings.pop("optimizer")
    decayed = [p for p in network.parameters() if p.dim() > 1]
    spared = [p for p in network.parameters() if p.dim() <= 1]
    groups = [{"params": decayed, "weight_decay": decay}, {"params": spared, "weight_decay": 0.0}]
    if "squares_decay" in settings:
        settings["alpha"] = settings.pop("squares_decay")
    kinds = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    cls: Any = (kinds | {"rmsprop": torch.optim.RMSprop})[name]
    return cls(groups, lr=0.1, foreach=False, **settings)


def _updater(network: nn.Module, config: OptimizerConfig, dtype: torch.dtype = torch.float32) -> Updater:
    return Updater(dict(network.named_parameters()), config, dtype)


def _step(updater: Updater, loss: Tensor, rate: float) -> None:
    updater.scaled(loss).backward()
    updater.update(rate)


def _parameters(network: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])


@pytest.mark.parametrize("settings", CONFIGS, ids=str)
@pytest.mark.parametrize("clip_norm", [None, 0.5])
def test_steps_equal_plain_torch(settings: dict[str, Any], clip_norm: float | None) -> None:
    """Eight steps over alternating branches with a falling rate."""
    ours, theirs = _network(), _network(torch.contiguous_format)
    config = OptimizerConfig(learning_rate=0.1, clip_norm=clip_norm, **settings)
    updater, optimizer = _updater(ours, config), _reference(theirs, settings)
    for step in range(8):
        rate = 0.1 / (step + 1)
        _step(updater, _loss(ours, step), rate)
        optimizer.zero_grad(set_to_none=True)
        _loss(theirs, step).backward()
        if clip_norm is not None:
            nn.utils.clip_grad_norm_(theirs.parameters(), clip_norm)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
    torch.testing.assert_close(_parameters(ours), _parameters(theirs), atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("clip_norm", [None, 0.5])
def test_muon_moves_convolutions_and_sgd_the_rest(clip_norm: float | None) -> None:
    """Beside the two optimizers on their own, Muon's at 0.3 times the rate; its biases are SGD's and do not decay."""
    ours, theirs = _network(torch.contiguous_format), _network(torch.contiguous_format)
    updater = _updater(ours, OptimizerConfig(learning_rate=0.1, clip_norm=clip_norm, **MUON))
    muon = Muon([branch.weight for branch in theirs.convs], lr=0.03, momentum=0.9, weight_decay=0.01)
    biases = [branch.bias for branch in theirs.convs] + [theirs.head.bias]
    groups = [{"params": [theirs.head.weight], "weight_decay": 0.01}, {"params": biases, "weight_decay": 0.0}]
    sgd = torch.optim.SGD(groups, lr=0.1, momentum=0.9, nesterov=True, foreach=False)
    for step in range(8):
        _step(updater, _loss(ours, step), 0.1)
        for optimizer in (muon, sgd):
            optimizer.zero_grad(set_to_none=True)
        _loss(theirs, step).backward()
        if clip_norm is not None:
            nn.utils.clip_grad_norm_(theirs.parameters(), clip_norm)
        for optimizer in (muon, sgd):
            optimizer.step()
    torch.testing.assert_close(_parameters(ours), _parameters(theirs), atol=2e-6, rtol=1e-5)


def test_muon_leaves_depthwise_convolutions_to_sgd() -> None:
    """One channel in: the update of SGD without momentum is the rate times the gradient."""
    network = nn.Conv2d(4, 4, 3, groups=4, bias=False)
    before = network.weight.detach().clone()
    loss = network(torch.ones(1, 4, 3, 3)).sum()
    _step(_updater(network, OptimizerConfig(optimizer="muon", momentum=0.0)), loss, 0.1)
    torch.testing.assert_close(before - network.weight.detach(), torch.full((4, 1, 3, 3), 0.1))


@pytest.mark.parametrize("settings", [*CONFIGS, MUON], ids=str)
def test_state_goes_through_a_checkpoint(settings: dict[str, Any]) -> None:
    """Four steps, and two more in a new updater that took up the state: the bits of six steps."""
    whole, first = _network(), _network()
    config = OptimizerConfig(learning_rate=0.1, **settings)
    straight, updater = _updater(whole, config), _updater(first, config)
    for step in range(4):
        _step(straight, _loss(whole, step), 0.1)
        _step(updater, _loss(first, step), 0.1)
    second = _network()
    second.load_state_dict(first.state_dict())
    resumed = _updater(second, config)
    resumed.load({name: value.clone() for name, value in updater.tensors().items()})
    for step in range(4, 6):
        _step(straight, _loss(whole, step), 0.1)
        _step(resumed, _loss(second, step), 0.1)
    assert torch.equal(_parameters(second), _parameters(whole))


@pytest.mark.parametrize("settings", [*CONFIGS, MUON], ids=str)
def test_branch_without_gradient_is_not_touched(settings: dict[str, Any]) -> None:
    """After both branches ran, a step of one leaves every bit of the other, for all its momentum and decay."""
    network = _network()
    updater = _updater(network, OptimizerConfig(learning_rate=0.1, **settings))
    for step in range(4):
        _step(updater, _loss(network, step), 0.1)
    idle, busy = (_parameters(network.convs[i]).clone() for i in (1, 0))
    _step(updater, _loss(network, 4), 0.1)
    assert torch.equal(_parameters(network.convs[1]), idle)
    assert not torch.equal(_parameters(network.convs[0]), busy)


def test_no_gradient_is_left_behind() -> None:
    """None, not zero: zero would let momentum move idle parameters."""
    network = _network()
    _step(_updater(network, OptimizerConfig()), _loss(network, 0), 0.1)
    assert all(parameter.grad is None for parameter in network.parameters())


@pytest.mark.parametrize("everything", [False, True])
def test_decay_spares_biases(everything: bool) -> None:
    """With a loss of zero gradient, a step multiplies decayed parameters by 1 - rate * decay."""
    network = nn.Linear(3, 2)
    with torch.no_grad():
        network.weight.fill_(1.0)
        network.bias.fill_(1.0)
    config = OptimizerConfig(weight_decay=0.5, decay_norm_and_bias=everything)
    _step(_updater(network, config), network(torch.zeros(1, 3)).sum() * 0, 0.1)
    assert network.weight.detach().unique().tolist() == pytest.approx([0.95])
    assert network.bias.detach().unique().tolist() == pytest.approx([0.95 if everything else 1.0])


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_gradient_in_another_layout(optimizer: str) -> None:
    """A contiguous gradient of a channels-last weight must not be applied in memory order."""
    results = []
    for layout in (torch.contiguous_format, torch.channels_last):
        network = _network()
        weight = network.convs[0].weight
        weight.register_post_accumulate_grad_hook(
            lambda p, layout=layout: setattr(p, "grad", p.grad.clone(memory_format=layout))
        )
        config = OptimizerConfig(optimizer=optimizer)  # type: ignore[arg-type]
        _step(_updater(network, config), _loss(network, 0), 0.1)
        results.append(weight.detach().clone())
    assert torch.equal(*results)


def test_parameters_that_are_views_with_gaps() -> None:
    """Weights no fused kernel could walk through are still updated right: w - rate * 2 w."""
    network = nn.Linear(3, 2)
    network.weight = nn.Parameter(torch.arange(12.0).view(2, 6)[:, ::2])
    before = network.weight.detach().clone()
    _step(_updater(network, OptimizerConfig()), network.weight.square().sum(), 0.1)
    torch.testing.assert_close(network.weight.detach(), before * 0.8)


def test_float16_skips_a_step_whose_gradients_overflow() -> None:
    """The loss scale 65,536 makes this gradient infinite: no step, and half the scale."""
    network = nn.Linear(1, 1, bias=False)
    before = network.weight.detach().clone()
    updater = _updater(network, OptimizerConfig(clip_norm=1.0), torch.float16)
    _step(updater, network.weight.sum() * 1e37, 0.1)
    assert torch.equal(network.weight.detach(), before)
    assert updater.state()["scale"] == 2.0**15


def test_float16_scale_survives_a_checkpoint() -> None:
    """State goes out as JSON and in again."""
    network = nn.Linear(1, 1)
    first, second = (_updater(network, OptimizerConfig(), torch.float16) for _ in range(2))
    _step(first, network.weight.sum() * 1e37, 0.1)
    second.load_state(first.state())
    assert second.state() == first.state() == {"scale": 2.0**15, "_growth_tracker": 0}
