"""From a supernet's weights to a stand-alone network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from torch import Tensor, nn

from archwright.core.arch import Value
from archwright.core.errors import SpaceError
from archwright.nn.choice.choosers import Chooser, Fixed
from archwright.nn.choice.modules import OpChoice
from archwright.nn.choice.selection import selection_of
from archwright.nn.meta import for_shapes


def extract(
    build: Callable[[Chooser], nn.Module], supernet: nn.Module, arch: Mapping[str, Value], *, for_real: bool = False
) -> nn.Module:
    """The stand-alone network of an arch with the weights it has in the supernet (cloned).

    The two give the same logits. Running statistics are cloned too; those of elastic layers belong to the
    widest run and want recalibrating.

    Args:
        build: The space's `network` method, with the arguments the supernet was built with.
        supernet: A network built with `Supernet()`; its active arch is the same afterwards.
        arch: A member of the space.
        for_real: Build it of real tensors from the start, which takes longer: where modules keep tensors in ways that
            cannot be seen from outside.

    Raises:
        InvalidArchError: If the arch is no member of the space.
        SpaceError: If the two networks do not correspond: `network` builds something else for `Fixed`.
    """
    selection = selection_of(supernet)
    before = selection.state()
    selection.activate(arch)
    try:
        return _extract_active(build, supernet, arch, for_real)
    finally:
        selection.restore(*before)


def _extract_active(
    build: Callable[[Chooser], nn.Module], supernet: nn.Module, arch: Mapping[str, Value], for_real: bool
) -> nn.Module:
    network = build(Fixed(arch)) if for_real else for_shapes(lambda: build(Fixed(arch)))
    state = dict(_paired_state(network, supernet, "", {}))
    try:
        network.load_state_dict(state, strict=True, assign=True)
    except RuntimeError as error:
        raise SpaceError(f"the fixed and the searched network differ: {' '.join(str(error).split())}") from None
    if any(tensor.is_meta for tensor in _tensors_of(network)):
        # a buffer outside the state dict, or a plain attribute, was only described: build for real and copy the rest
        network = build(Fixed(arch))
        network.load_state_dict(state, strict=True)
    return network.train(supernet.training)


def _tensors_of(network: nn.Module) -> Iterator[Tensor]:
    """Parameters, buffers, and tensors that modules keep as plain attributes, also in lists and mappings."""
    yield from network.parameters()
    yield from network.buffers()
    for module in network.modules():
        for value in vars(module).values():
            inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
            yield from (tensor for tensor in (value, *inner) if isinstance(tensor, Tensor))


def _paired_state(
    fixed: nn.Module, searched: nn.Module, prefix: str, clones: dict[int, nn.Parameter]
) -> Iterator[tuple[str, Tensor]]:
    """Every tensor of the fixed network's state by its path, taken from the counterpart's active part."""
    while isinstance(searched, OpChoice):
        searched = searched.active
    for name, tensor in active_state(searched).items():
        if name in fixed._parameters or name in fixed._buffers:
            yield prefix + name, _cloned(tensor, clones)
    for name, child in fixed._modules.items():  # not named_children: it lists a shared module once
        if child is None:
            continue
        counterpart = searched._modules.get(name)
        if counterpart is None:
            raise SpaceError(f"the fixed network has a module {prefix + name!r} that the supernet lacks")
        yield from _paired_state(child, counterpart, f"{prefix}{name}.", clones)


def _cloned(tensor: Tensor, clones: dict[int, nn.Parameter]) -> Tensor:
    """A copy; a parameter that is used in several places stays one parameter."""
    if not isinstance(tensor, nn.Parameter):
        return tensor.detach().clone()
    if id(tensor) not in clones:
        clones[id(tensor)] = nn.Parameter(tensor.detach().clone(), requires_grad=tensor.requires_grad)
    return clones[id(tensor)]


def active_state(module: nn.Module) -> Mapping[str, Tensor]:
    """A module's own tensors as the active arch uses them: sliced where it is elastic, plain otherwise."""
    sliced = getattr(module, "active_state", None)
    if sliced is not None:
        found: Mapping[str, Tensor] = sliced()
        return found
    persistent = {n: b for n, b in module._buffers.items() if n not in module._non_persistent_buffers_set}
    return {name: tensor for name, tensor in (module._parameters | persistent).items() if tensor is not None}
