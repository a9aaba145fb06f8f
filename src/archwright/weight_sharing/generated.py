"""Weights that a hypernetwork gives each arch (SMASH, Brock et al., ICLR 2018; GHN, Zhang et al., ICLR 2019)."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call

from archwright.core.arch import Arch, Value
from archwright.core.blueprint import Blueprint
from archwright.core.errors import SpaceError, UsageError
from archwright.nn.meta import on_meta
from archwright.nn.modes import eval_mode
from archwright.runs.files import read_tensors
from archwright.spaces.base import Space
from archwright.spaces.opening import space_blueprint
from archwright.training.checkpoint import load_network
from archwright.weight_sharing.shared import SharedWeights, Stage, write_weights

N_CACHED = 8
"""Structures of networks that are kept: building one takes milliseconds."""


class GeneratedNetwork(nn.Module):
    """Runs the network of the active arch with the parameters a generator gives it; trained is the generator."""

    def __init__(self, owner: GeneratedWeights, generator: nn.Module) -> None:
        super().__init__()
        self.generator = generator
        self._owner = owner

    def forward(self, *inputs: Tensor) -> Any:
        return self._owner.run(inputs)


class GeneratedWeights(SharedWeights):
    """Weights of each arch from one network that generates them.

    A subclass says what the parameters of an arch's network are in `generate`, and takes a space and what `args` gives
    as its constructor's arguments. Running statistics of batch norms begin afresh in every pass.

    Args:
        space: Whose archs they serve.
        generator: What is trained; parameters that all archs share belong to it too.

    Attributes:
        reads: Where networks are an `nn.Sequential` of as many stages whatever the arch: the decisions that form and
            weights of each stage depend on. None where every weight may depend on every decision.
    """

    reads: ClassVar[Sequence[Collection[str]] | None] = None

    def __init__(self, space: Space, generator: nn.Module) -> None:
        super().__init__(space, GeneratedNetwork(self, generator))
        self.generator = generator
        self._arch: Arch | None = None
        self._executed: tuple[Arch, nn.Module] | None = None
        self._structures: dict[Arch, nn.Module] = {}

    @abstractmethod
    def generate(self, arch: Arch, structure: nn.Module) -> Mapping[str, Tensor]:
        """Every parameter of the arch's network by name, differentiable in the generator's.

        Args:
            arch: A member of the space.
            structure: Its network; the parameters have shapes but no values.
        """

    def args(self) -> dict[str, Any]:
        """The constructor's arguments beside the space, as JSON."""
        return {}

    def activate(self, row: NDArray[Any]) -> None:
        self._arch, self._executed = self.space.decisions.arch(row), None

    @property
    def executed(self) -> nn.Module:
        """The stand-alone network of the active arch; the same object until another arch is activated."""
        arch = self._active()
        if self._executed is None:
            self._executed = arch, self.model(arch).eval()
        return self._executed[1]

    def stages(self) -> list[Stage] | None:
        """As `reads` declares them.

        Raises:
            SpaceError: If the network has other stages than are declared.
        """
        if self.reads is None:
            return None
        children = list(self.executed.children())
        if type(self.executed) is not nn.Sequential or len(children) != len(self.reads):
            raise SpaceError(
                f"{type(self).__name__} declares what {len(self.reads)} stages read, but the network is "
                f"{type(self.executed).__name__} of {len(children)}; give one collection of names for each stage"
            )
        for name in sorted({name for names in self.reads for name in names}):
            self.space.decisions.position(name)
        return [Stage(child, frozenset(names)) for child, names in zip(children, self.reads, strict=True)]

    def run(self, inputs: tuple[Tensor, ...]) -> Any:
        """A differentiable pass of the active arch."""
        arch = self._active()
        structure = self._structure(arch)
        structure.train(self.network.training)
        # copies: a pass depends on nothing a pass before it has left in statistics
        buffers = {name: buffer.clone() for name, buffer in structure.named_buffers()}
        return functional_call(structure, {**self._parameters(arch, structure), **buffers}, inputs)

    def model(self, arch: Mapping[str, Value]) -> nn.Module:
        with torch.inference_mode(False), torch.no_grad():
            return self._filled(arch)

    def blueprint(self, folder: Path) -> Blueprint:
        cls = type(self)
        make = Blueprint(f"{cls.__module__}:{cls.__qualname__}", {"space": space_blueprint(self.space), **self.args()})
        return Blueprint(f"{__name__}:reopen_generated", {"shared": make, "weights": write_weights(self, folder)})

    @property
    def _device(self) -> torch.device:
        return next(self.network.parameters()).device

    def _active(self) -> Arch:
        if self._arch is None:
            raise UsageError("no arch is active; call activate(row) first")
        return self._arch

    def _filled(self, arch: Mapping[str, Value]) -> nn.Module:
        """The stand-alone network of an arch with what is generated for it."""
        arch = self.space.decisions.arch(self.space.row(arch))
        structure = self._structure(arch)
        # in the precision the weights are kept in, whatever a pass that asks for them computes in
        with eval_mode(self.network.modules()), torch.autocast(self._device.type, enabled=False):
            tensors = self._parameters(arch, structure)
        network = copy.deepcopy(structure)
        given = {id(p): nn.Parameter(tensors[name].detach().clone()) for name, p in network.named_parameters()}
        for module in network.modules():
            for name, parameter in list(module._parameters.items()):
                if parameter is not None:
                    setattr(module, name, given[id(parameter)])
        return network.train(self.network.training)

    def _parameters(self, arch: Arch, structure: nn.Module) -> dict[str, Tensor]:
        """What is generated, checked to be what the network needs."""
        given = dict(self.generate(arch, structure))
        wanted = {name: tuple(parameter.shape) for name, parameter in structure.named_parameters()}
        found = {name: tuple(tensor.shape) for name, tensor in given.items()}
        if found != wanted:
            name = min(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
            raise SpaceError(
                f"{type(self).__name__} generates {name} of shape {found.get(name)}; the network has "
                f"{wanted.get(name)}; give every parameter in its shape and nothing else"
            )
        return given

    def _structure(self, arch: Arch) -> nn.Module:
        """The arch's network: parameters on the meta device, buffers with their values."""
        if arch not in self._structures:
            while len(self._structures) >= N_CACHED:
                del self._structures[next(iter(self._structures))]
            self._structures[arch] = _structure(self.space, arch)
        structure = self._structures[arch]
        for module in structure.modules():
            for name, buffer in module._buffers.items():
                if buffer is not None and buffer.device != self._device:
                    module._buffers[name] = buffer.to(self._device)
        return structure


def _structure(space: Space, arch: Arch) -> nn.Module:
    with on_meta():
        network = space.build(arch)
    if not any(True for _ in network.buffers()):
        return network
    with torch.random.fork_rng(devices=[]):  # values of buffers are not described anywhere: they are made
        network = space.build(arch)
    described = {id(p): nn.Parameter(p.detach().to("meta"), p.requires_grad) for p in network.parameters()}
    for module in network.modules():
        for name, parameter in list(module._parameters.items()):
            if parameter is not None:
                setattr(module, name, described[id(parameter)])
    return network


def reopen_generated(shared: GeneratedWeights, weights: str) -> GeneratedWeights:
    """What `GeneratedWeights.blueprint` builds."""
    load_network(shared.network, read_tensors(weights)[0])
    return shared
