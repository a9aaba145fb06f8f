"""Update parameters from a loss: gradients, clipping, and the optimizer's step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from archwright.training.config import OptimizerConfig
from archwright.training.muon import Muon

_SCALER_STATE = ("scale", "_growth_tracker")
_Groups = list[tuple[list[nn.Parameter], float]]


class Updater:
    """Owns the optimizer of some parameters and, for float16, the scaler of their loss.

    Parameters without a gradient in a step (paths that did not run) are not touched in it, neither by momentum nor by
    decay, and cost next to nothing: one look at their `grad`.

    Args:
        parameters: By name, on their device and in their final layout.
        config: Optimizer, decay and clipping.
        dtype: Type of the forward pass.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], config: OptimizerConfig, dtype: torch.dtype) -> None:
        self._named = dict(parameters)
        self._clip_norm = config.clip_norm
        self._movers = _movers(list(self._named.values()), config)
        device = next(iter(self._named.values())).device
        self._scaler = torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)

    @property
    def is_scaled(self) -> bool:
        """Whether losses are scaled for float16, each learner's by a factor of its own."""
        return self._scaler.is_enabled()

    def scaled(self, loss: Tensor) -> Tensor:
        """The loss whose gradients `update` expects."""
        return self._scaler.scale(loss)

    def update(self, rate: float) -> None:
        """Update the parameters by their gradients; clears the gradients."""
        active = self._narrow(rate)
        if not active:
            return  # a scaler would refuse to have seen no gradient
        moving = [mover.optimizer for mover in self._movers if mover.is_active()]
        if self._clip_norm is not None:
            for optimizer in moving:
                self._scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(active, self._clip_norm)
        for optimizer in moving:
            self._scaler.step(optimizer)
        self._scaler.update()
        for parameter in active:
            parameter.grad = None

    def momentum(self, name: str) -> Tensor | None:
        """What the optimizer remembers of a parameter's gradients; None as long as it remembers nothing."""
        state = self._state(self._named[name])
        found: Tensor | None = state.get("momentum_buffer", state.get("exp_avg"))
        return found

    def _narrow(self, rate: float) -> list[nn.Parameter]:
        """Show the optimizer only parameters that have a gradient; returns them."""
        active = [parameter for mover in self._movers for parameter in mover.narrow(rate)]
        for parameter in active:
            _match_layout(parameter)
        return active

    def tensors(self) -> dict[str, Tensor]:
        """The optimizer's state by `PARAMETER/KEY`, for a checkpoint; not copied."""
        states = ((name, self._state(parameter)) for name, parameter in self._named.items())
        return {
            f"{name}/{key}": value
            for name, state in states
            for key, value in state.items()
            if isinstance(value, Tensor)
        }

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take up the state that `tensors` gave, in the memory layout of the parameters."""
        for path, value in tensors.items():
            name, key = path.rsplit("/", 1)
            parameter = self._named[name]
            optimizer = self._optimizer_of(parameter)
            # Moments lie in memory as their parameters do: fused optimizers go through both side by side.
            is_moment = key != "step"
            kept = torch.empty_like(parameter).copy_(value) if is_moment else _as_step(value, parameter, optimizer)
            optimizer.state[parameter][key] = kept

    def _optimizer_of(self, parameter: nn.Parameter) -> torch.optim.Optimizer:
        return next(mover.optimizer for mover in self._movers if parameter in mover)

    def _state(self, parameter: nn.Parameter) -> dict[str, Any]:
        found: dict[str, Any] = self._optimizer_of(parameter).state.get(parameter, {})
        return found

    def state(self) -> dict[str, Any]:
        """The loss scale, as JSON; empty without one."""
        every = self._scaler.state_dict()
        return {key: every[key] for key in _SCALER_STATE if key in every}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` gave."""
        if self._scaler.is_enabled():
            self._scaler.load_state_dict(self._scaler.state_dict() | dict(state))


class _Mover:
    """One optimizer with the parameters that are its own, in groups of one weight decay each.

    Args:
        optimizer: It shows its groups in the order of theirs here.
        groups: Parameters with their decay.
        factor: Its learning rate as a multiple of the learner's.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, groups: _Groups, factor: float = 1.0) -> None:
        self.optimizer, self._groups, self._factor = optimizer, groups, factor
        self._own = {parameter for parameters, _ in groups for parameter in parameters}

    def __contains__(self, parameter: nn.Parameter) -> bool:
        return parameter in self._own

    def narrow(self, rate: float) -> list[nn.Parameter]:
        """Show the optimizer only parameters that have a gradient, and its rate; returns them."""
        active = []
        for group, (parameters, _) in zip(self.optimizer.param_groups, self._groups, strict=True):
            group["lr"] = rate * self._factor
            group["params"] = [parameter for parameter in parameters if parameter.grad is not None]
            active += group["params"]
        return active

    def is_active(self) -> bool:
        """Whether a parameter has a gradient; a scaler would refuse to have seen none."""
        return any(group["params"] for group in self.optimizer.param_groups)


def _movers(parameters: list[nn.Parameter], config: OptimizerConfig) -> list[_Mover]:
    """The optimizers that move these parameters: one, or with Muon one for what it takes and SGD for the rest."""
    if config.optimizer != "muon":
        groups = _decay_groups(parameters, config)
        return [_Mover(_optimizer(groups, config), groups)]
    matrices = [parameter for parameter in parameters if _is_dense_convolution(parameter)]
    others = [parameter for parameter in parameters if not _is_dense_convolution(parameter)]
    made = []
    if matrices:
        groups = _decay_groups(matrices, config)
        muon = Muon(_options(groups), config.learning_rate, config.momentum, config.nesterov)
        made.append(_Mover(muon, groups, config.muon_rate))
    if others:
        groups = _decay_groups(others, config)
        made.append(_Mover(_optimizer(groups, replace(config, optimizer="sgd")), groups))
    return made


def _is_dense_convolution(parameter: Tensor) -> bool:
    """Whether it is a convolution's weight that mixes channels: (out, in, kernel axes) with more than one channel in.

    Layers with a matrix are left out: first and last layers of language models and classifiers gain nothing by it.
    """
    return parameter.dim() > 2 and parameter.shape[1] > 1


def _decay_groups(parameters: list[nn.Parameter], config: OptimizerConfig) -> _Groups:
    """Parameters with their weight decay; those of one axis or none are spared unless the config says otherwise."""
    decayed = [parameter for parameter in parameters if config.decay_norm_and_bias or parameter.dim() > 1]
    spared = [parameter for parameter in parameters if not config.decay_norm_and_bias and parameter.dim() <= 1]
    return [(group, decay) for group, decay in ((decayed, config.weight_decay), (spared, 0.0)) if group]


def _options(groups: _Groups) -> list[dict[str, Any]]:
    return [{"params": list(parameters), "weight_decay": decay} for parameters, decay in groups]


def _optimizer(groups: _Groups, config: OptimizerConfig) -> torch.optim.Optimizer:
    every = [parameter for parameters, _ in groups for parameter in parameters]
    options = _options(groups)
    # Fused steps were 2 to 8 times as fast as others on a CPU, where foreach is a loop. They know no RMSprop, and no
    # first step of a momentum with dampening, whose first gradient enters as a whole.
    fused = config.optimizer != "rmsprop" and not config.dampening and all(_is_dense(parameter) for parameter in every)
    kernel: dict[str, Any] = {"fused": True} if fused else {"foreach": True}
    if config.optimizer == "rmsprop":
        return torch.optim.RMSprop(
            options,
            lr=config.learning_rate,
            alpha=config.squares_decay,
            eps=config.eps,
            centered=config.centered,
            momentum=config.momentum,
            **kernel,
        )
    if config.optimizer != "sgd":
        cls = torch.optim.Adam if config.optimizer == "adam" else torch.optim.AdamW
        return cls(
            options, lr=config.learning_rate, betas=config.betas, eps=config.eps, amsgrad=config.amsgrad, **kernel
        )
    sgd = torch.optim.SGD(
        options,
        lr=config.learning_rate,
        momentum=config.momentum,
        dampening=config.dampening,
        nesterov=config.nesterov,
        **kernel,
    )
    if config.momentum and not config.dampening:
        # From zeros momentum begins as without a buffer. Fused SGD cannot tell new parameters (a path that runs for
        # the first time) from old ones in the same step, so all have theirs from the start.
        for parameter in every:
            sgd.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return sgd


def _is_dense(parameter: Tensor) -> bool:
    is_channels_last = parameter.dim() == 4 and parameter.is_contiguous(memory_format=torch.channels_last)
    return parameter.is_floating_point() and (parameter.is_contiguous() or is_channels_last)


def _match_layout(parameter: nn.Parameter) -> None:
    """Fused optimizers walk parameter and gradient in memory order and ignore strides: make them agree.

    Autograd creates them alike; a hook or a user's own backward might not.
    """
    grad = parameter.grad
    if grad is not None and grad.stride() != parameter.stride():
        parameter.grad = torch.empty_like(parameter).copy_(grad)


def _as_step(value: Tensor, parameter: nn.Parameter, optimizer: torch.optim.Optimizer) -> Tensor:
    """Adam's count of updates; fused optimizers keep it beside the parameter, others on the CPU."""
    return value.clone().to(parameter.device if optimizer.defaults.get("fused") else "cpu")
