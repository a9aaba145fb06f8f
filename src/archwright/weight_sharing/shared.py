"""One set of weights for many archs, through one door: of a supernet, or of a network that generates them."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from torch import nn

from archwright.core.arch import Value
from archwright.core.blueprint import Blueprint
from archwright.core.errors import UsageError
from archwright.nn.choice import selection_of
from archwright.nn.choice.reading import decisions_read, is_apart
from archwright.nn.choice.selection import Weights
from archwright.runs.files import read_tensors, write_tensors
from archwright.spaces.base import Space
from archwright.spaces.opening import space_blueprint
from archwright.training.checkpoint import load_network, network_tensors
from archwright.training.networks import build_seeded


@dataclass(frozen=True)
class Stage:
    """A part of a network; its input is the output of the stage before.

    Attributes:
        module: Runs it for the active arch.
        reads: The decisions its result depends on, beside its input: archs that agree in them and in those of all
            stages before have the same result.
    """

    module: nn.Module
    reads: frozenset[str]


class SharedWeights(ABC):
    """Weights that serve every arch of a space; one arch is active at a time.

    Args:
        space: Whose archs they serve.
        network: What is trained: its parameters are the shared ones, a forward pass runs the active arch.
    """

    def __init__(self, space: Space, network: nn.Module) -> None:
        self.space, self.network = space, network

    @abstractmethod
    def activate(self, row: NDArray[Any]) -> None:
        """Run the arch of a row (n_decisions,) from now on; it is trusted to be a member of the space."""

    def relax(self, weights: Mapping[str, Weights], values: Mapping[str, Value] | None = None) -> None:
        """Run a weighted mixture of archs from now on; see `Selection.relax`.

        Raises:
            UsageError: If only single archs can be run.
        """
        raise UsageError(
            f"{type(self).__name__} runs one arch at a time and has no mixtures; activate single archs, "
            "or train a supernet"
        )

    def twin(self) -> SharedWeights | None:
        """The same weights for another thread, which may run another arch at a time; None where there can be none."""
        return None

    @property
    def executed(self) -> nn.Module:
        """A network with the outputs of `network` for the active arch, for use without gradients."""
        return self.network

    @abstractmethod
    def stages(self) -> list[Stage] | None:
        """The stages of `executed` in order, or None where it is not known what each reads: it is scored whole then."""

    @abstractmethod
    def model(self, arch: Mapping[str, Value]) -> nn.Module:
        """The stand-alone network of an arch with the weights it has here, copied; what is active stays so.

        Raises:
            UnknownNameError, InvalidArchError: If the arch is no member of the space.
        """

    @abstractmethod
    def blueprint(self, folder: Path) -> Blueprint:
        """A description from which another process makes equal weights.

        Args:
            folder: Where the weights are put; it lives as long as the other process.
        """


class SupernetWeights(SharedWeights):
    """The weights of a supernet: each arch runs a part of them.

    Args:
        space: The space the supernet was built from.
        supernet: Made by `space.supernet()`.

    Raises:
        SpaceError: If the network has no searched part, or parts of two supernets.
    """

    def __init__(self, space: Space, supernet: nn.Module) -> None:
        super().__init__(space, supernet)
        self.selection = selection_of(supernet)

    @classmethod
    def build(cls, space: Space, seed: int) -> SupernetWeights:
        """Untrained weights by a seed, of the form of a space that its supernet is searched in."""
        form = space.search_form()
        return cls(form, build_seeded(form, None, seed))

    def twin(self) -> SupernetWeights | None:
        """The same parameters in modules of their own, which may run another arch at a time; buffers are copied.

        None where the copy would reach this one's modules or Selection, as by a function that has one in its closure.
        """
        kept: dict[int, Any] = {id(parameter): parameter for parameter in self.network.parameters()}
        twin = SupernetWeights(self.space, copy.deepcopy(self.network, kept))
        return twin if is_apart(twin.network, self.network) else None

    def activate(self, row: NDArray[Any]) -> None:
        self.selection.activate_row(row)

    def relax(self, weights: Mapping[str, Weights], values: Mapping[str, Value] | None = None) -> None:
        self.selection.relax(weights, values)

    def stages(self) -> list[Stage] | None:
        """The children of a plain `nn.Sequential`, or the supernet as one stage.

        Raises:
            UnknownNameError: If a module says it reads a decision that the space does not have.
        """
        supernet, found = self.network, []
        for module in list(supernet.children()) if type(supernet) is nn.Sequential else [supernet]:
            reads = decisions_read(module)
            if reads is None:
                return None
            for name in sorted(reads):
                self.space.decisions.position(name)
            found.append(Stage(module, reads))
        return found

    def model(self, arch: Mapping[str, Value]) -> nn.Module:
        return self.space.extract(self.network, arch)

    def blueprint(self, folder: Path) -> Blueprint:
        path = write_weights(self, folder)
        return Blueprint(f"{__name__}:reopen_supernet", {"space": space_blueprint(self.space), "weights": path})


def write_weights(shared: SharedWeights, folder: Path) -> str:
    """Write the trained tensors to a file in a folder; returns its path."""
    path = folder / "shared.safetensors"
    write_tensors(path, network_tensors(shared.network))
    return str(path)


def reopen_supernet(space: Space, weights: str) -> SupernetWeights:
    """The weights that a `SupernetWeights.blueprint` describes."""
    supernet = space.supernet()
    load_network(supernet, read_tensors(weights)[0])
    return SupernetWeights(space, supernet)


def opened(shared: SharedWeights | nn.Module) -> tuple[nn.Module, Callable[[NDArray[Any]], None], Any]:
    """What is trained, what activates a row in it, and its decisions.

    Args:
        shared: The weights, or a supernet made by `Space.supernet()`.
    """
    if isinstance(shared, SharedWeights):
        return shared.network, shared.activate, shared.space.decisions
    selection = selection_of(shared)
    return shared, selection.activate_row, selection.decisions


def relaxing(shared: SharedWeights | nn.Module) -> tuple[nn.Module, Callable[[Mapping[str, Weights]], None]]:
    """What is trained, and what writes a mixture into it.

    Args:
        shared: The weights, or a supernet made by `Space.supernet()`.
    """
    if isinstance(shared, SharedWeights):
        return shared.network, shared.relax
    return shared, selection_of(shared).relax
