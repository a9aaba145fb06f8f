"""A classifier's feature maps at each stride, for a detector or a segmenter behind them."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from archwright.core.errors import InvalidValueError
from archwright.nn.inputs import in_type_of
from archwright.nn.meta import ShapesOnly, attributes_kept, described, for_real
from archwright.nn.modes import eval_mode

_POOLED_TO_A_POINT = (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)
MORE = 13_440
"""Pixels by which the image is larger the second time: a multiple of the strides up to 8, of 10, 14, 16 and all their
multiples by powers of two up to 64."""

_MOST_SKEWED = 1.5
"""How many times as far apart pixels of a map may lie along one axis as along the other, from rounding."""


@dataclass(frozen=True)
class Feature:
    """One feature map.

    Attributes:
        stride: How many input pixels one pixel of the map stands for.
        channels: Number of its channels.
        path: Path of the module whose output it is.
        is_overwritten: Whether the network writes into that output later, so that a copy has to be kept.
    """

    stride: int
    channels: int
    path: str
    is_overwritten: bool = False


class FeaturesOnly(nn.Module):
    """The last feature map of a network at each stride: (N, C, H, W) → a list of (N, C_i, H_i, W_i), finest first.

    If the network is a sequence of stages, the stages after the last map are left out.

    Args:
        network: The network.
        features: The maps, finest first.
        last: Path of the map that is made last; that of the coarsest by default.

    Attributes:
        network: The network, or its first stages.
        features: What each map is, in the order of the maps.
    """

    def __init__(self, network: nn.Module, features: Sequence[Feature], last: str | None = None) -> None:
        super().__init__()
        self.network = _until(network, features[-1].path if last is None else last)
        self.features = tuple(features)

    @property
    def strides_and_channels(self) -> list[tuple[int, int]]:
        """(stride, channels) of each map."""
        return [(feature.stride, feature.channels) for feature in self.features]

    def forward(self, x: Tensor) -> list[Tensor]:
        maps: dict[str, Tensor] = {}
        handles = []
        for feature in self.features:
            part = self.network.get_submodule(feature.path)

            def keep(_module: nn.Module, _given: Any, out: Any, feature: Feature = feature) -> None:
                found = _first_map(out)
                maps[feature.path] = found.clone() if feature.is_overwritten else found

            handles.append(part.register_forward_hook(keep))
        try:
            self.network(x)
        finally:
            for handle in handles:
                handle.remove()
        return [maps[feature.path] for feature in self.features]

    def extra_repr(self) -> str:
        return ", ".join(f"stride {stride}: {channels}" for stride, channels in self.strides_and_channels)


def features_only(network: nn.Module, input_shape: Sequence[int]) -> FeaturesOnly:
    """The network as a backbone that gives its last feature map at each stride.

    The maps are found by running the network twice, on the meta device if it can do without values: strides are how
    far a map grows when the image does. Only outputs of whole blocks, cells or stages count, not maps inside a block
    that at most halves its image. A 1x1 convolution that ends the network by other channels and whose name says "head"
    is the classifier's first layer, as in timm: what a detector reads stands before it.

    Args:
        network: A stand-alone convolutional network; it is shared, not copied.
        input_shape: Shape of one input without the batch, (C, H, W). Other sizes may be given later.

    Raises:
        InvalidValueError: If the network has no feature map, or is not convolutional throughout: its parts hand on
            tokens (N, T, C), or maps whose channels stand last.
    """
    if len(input_shape) != 3:
        raise InvalidValueError(f"feature maps are those of images (C, H, W); the input shape is {tuple(input_shape)}")
    calls, larger = _calls(network, input_shape), _calls_larger(network, input_shape)
    chain, is_pooled = list[Feature](), False
    for path in _spine(network, "", calls, is_root=True):
        call = calls.get(path)
        if call is None:
            continue
        _refuse_others(network, path, call, input_shape, larger.get(path))
        if _is_pooled(network.get_submodule(path), call):
            is_pooled = True
        elif call.out is not None and _is_level(call.out, input_shape, is_pooled):
            stride = _stride(input_shape, call.out, larger.get(path))
            chain.append(Feature(stride, call.out[1], path, call.is_overwritten))
    last: dict[int, Feature] = {}
    for feature in _without_head(network, chain):
        last.pop(feature.stride, None)  # so that the order stays the order in time
        last[feature.stride] = feature
    if not last:
        raise InvalidValueError(f"{type(network).__name__} has no feature map: no part of it gives (N, C, H, W)")
    return FeaturesOnly(network, [last[stride] for stride in sorted(last)], list(last.values())[-1].path)


def _is_level(out: tuple[int, ...], input_shape: Sequence[int], is_pooled: bool) -> bool:
    """Whether a map is one of the image: a classifier may keep 1x1 maps, and a larger one has no stride."""
    return min(out[2:]) <= min(input_shape[1:]) and not (is_pooled and max(out[2:]) == 1)


def _without_head(network: nn.Module, chain: list[Feature]) -> list[Feature]:
    """The chain up to the first layer of a classifier that works on maps: a last 1x1 convolution, called a head.

    Its form alone does not tell: the last stage of MobileNetV3 is such a convolution too, and is a level in timm.
    """
    end = len(chain)
    while end > 1 and not _is_spatial(network.get_submodule(chain[end - 1].path)):
        end -= 1
    for i in range(end, len(chain)):
        if (
            i
            and "head" in chain[i].path.lower()
            and (chain[i].channels, chain[i].stride) != (chain[i - 1].channels, chain[i - 1].stride)
        ):
            return chain[:i] if chain[i].stride == chain[i - 1].stride else chain
    return chain


def _is_spatial(part: nn.Module) -> bool:
    """Whether a part of it looks at more than one pixel at a time."""
    by_weights = any(weight.dim() == 4 and max(weight.shape[2:]) > 1 for weight in part.parameters())
    return by_weights or any(max(_pair(getattr(module, "kernel_size", 1))) > 1 for module in part.modules())


def _refuse_others(
    network: nn.Module, path: str, call: _Call, input_shape: Sequence[int], larger: tuple[int, ...] | None
) -> None:
    """Refuse a network whose part hands on something else than maps (N, C, H, W) or a vector."""
    what = ""
    if call.n_axes == 3:
        what = "tokens (N, T, C)"
    elif call.out is not None and min(call.out[2:]) > 1:
        distances = [side / found for side, found in zip(input_shape[1:], call.out[2:], strict=True)]
        turned = larger is not None and larger[1] != call.out[1]  # channels do not grow with the image
        if turned or max(distances) >= _MOST_SKEWED * min(distances):
            what = f"{'x'.join(map(str, call.out))}, which are no maps (N, C, H, W) of the image"
    if what:
        kind = type(network.get_submodule(path)).__name__
        raise InvalidValueError(
            f"part {path!r} ({kind}) of {type(network).__name__} hands on {what}; features_only is for convolutional "
            "networks"
        )


def _is_pooled(part: nn.Module, call: _Call) -> bool:
    """Whether a part of the chain averages whole maps: its output has one pixel, and no stride explains that."""
    if call.given is None or min(call.given[2:]) == 1:
        return False
    if isinstance(part, _POOLED_TO_A_POINT):
        return True
    if call.out is None or max(call.out[2:]) > 1:
        return False
    strided = any(max(_pair(getattr(module, "stride", 1))) > 1 for module in part.modules())
    return min(call.given[2:]) > 2 or not strided


def _pair(stride: Any) -> tuple[int, ...]:
    return tuple(int(each) for each in stride) if isinstance(stride, tuple | list) else (int(stride or 1),)


def _calls_larger(network: nn.Module, input_shape: Sequence[int]) -> dict[str, tuple[int, ...]]:
    """The maps of a larger image, as far as the network runs on one without values."""
    channels, height, width = input_shape
    found: dict[str, _Call] = {}
    with contextlib.suppress(Exception):  # of a network for one size only, or one that needs values
        _calls_on("meta", network, _described(network), (channels, height + MORE, width + MORE), found)
    return {path: call.out for path, call in found.items() if call.out is not None}


@dataclass
class _Call:
    """Shapes of a module's last call: its first image, what it gave if that is an image, and how many axes that has."""

    given: tuple[int, ...] | None
    out: tuple[int, ...] | None
    n_axes: int
    is_overwritten: bool = False


def _calls(network: nn.Module, input_shape: Sequence[int]) -> dict[str, _Call]:
    """Every module that is called, in the order in which the calls end."""
    try:
        return _calls_on("meta", network, _described(network), input_shape)
    except Exception:  # of a module that needs values
        buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}
        device = next((tensor.device for tensor in network.parameters()), torch.device("cpu"))
        with for_real():
            return _calls_on(device, network, buffers, input_shape)


def _calls_on(
    device: str | torch.device,
    network: nn.Module,
    replaced: dict[str, Tensor],
    input_shape: Sequence[int],
    found: dict[str, _Call] | None = None,
) -> dict[str, _Call]:
    """As `_calls`; those that ended before an error stand in `found`."""
    found = {} if found is None else found
    versions: dict[str, tuple[Tensor, int]] = {}
    handles = []
    for path, part in network.named_modules():

        def note(_module: nn.Module, given: tuple[Any, ...], out: Any, path: str = path) -> None:
            found.pop(path, None)
            found[path] = _Call(_image(given), _image(out), out.dim() if isinstance(out, Tensor) else 0)
            if found[path].out is not None:
                image = _first_map(out)
                versions[path] = image, image._version

        handles.append(part.register_forward_hook(note))
    try:
        with attributes_kept(network.modules()), eval_mode(network.modules()), torch.no_grad(), ShapesOnly():
            images = in_type_of(network, torch.zeros((1, *input_shape), device=device))
            torch.func.functional_call(network, replaced, images)
    finally:
        for handle in handles:
            handle.remove()
    for path, (image, version) in versions.items():
        found[path].is_overwritten = image._version > version
    return found


def _described(network: nn.Module) -> dict[str, Tensor]:
    """The network's tensors as descriptions of them."""
    tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    return {name: described(tensor) for name, tensor in tensors.items()}


def _first_map(given: Any) -> Tensor:
    """The tensor whose shape `_image` gives."""
    if isinstance(given, tuple | list):
        return _first_map(next(item for item in given if _image(item) is not None))
    found: Tensor = given
    return found


def _image(given: Any) -> tuple[int, ...] | None:
    """The shape of the first image among tensors and lists of them."""
    if isinstance(given, Tensor):
        return tuple(given.shape) if given.dim() == 4 else None
    if isinstance(given, tuple | list):
        return next((shape for item in given if (shape := _image(item)) is not None), None)
    return None


def _stride(input_shape: Sequence[int], shape: tuple[int, ...], larger: tuple[int, ...] | None) -> int:
    """Input pixels a map pixel: by how the map grows with the image, or as a power of two, as sides are rounded."""
    if larger is not None and larger[2] > shape[2] and MORE % (larger[2] - shape[2]) == 0:
        return MORE // (larger[2] - shape[2])
    exact = {side // found for side, found in zip(input_shape[1:], shape[2:], strict=True) if side % found == 0}
    ratio, stride = min(input_shape[1:]) / min(shape[2:]), 1
    if len(exact) == 1 and all(side % found == 0 for side, found in zip(input_shape[1:], shape[2:], strict=True)):
        return exact.pop()
    while stride * 1.42 < ratio:  # nearer to the next power than to this one
        stride *= 2
    return stride


def _spine(module: nn.Module, path: str, calls: dict[str, _Call], *, is_root: bool = False) -> list[str]:
    """Paths of the parts a network is a chain of, in the order in which they end."""
    found: list[str] = []
    for name, child in module.named_children():
        below = f"{path}.{name}" if path else name
        found += _spine(child, below, calls) if _is_chain(child, calls.get(below)) else [below]
    order = {called: i for i, called in enumerate(calls)}
    return sorted(found, key=lambda part: order.get(part, -1)) if is_root else found


def _is_chain(module: nn.Module, call: _Call | None) -> bool:
    """Whether the parts of a module are looked at instead of the whole."""
    children = list(module.children())
    if not children:
        return False
    if call is None:  # a list of modules, which its owner calls one by one
        return isinstance(module, nn.ModuleList | nn.ModuleDict | nn.Sequential)
    if call.given is None or call.out is None or min(call.given[2:]) > 2 * min(call.out[2:]) + 1:
        return True
    return type(module) is nn.Sequential and any(list(child.children()) for child in children)


def _until(network: nn.Module, path: str) -> nn.Module:
    """A sequence up to the part at `path`, under the same names; any other module whole."""
    if type(network) is not nn.Sequential or not path:
        return network
    name, _, rest = path.partition(".")
    kept = nn.Sequential()
    for key, child in network.named_children():
        kept.add_module(key, _until(child, rest) if key == name else child)
        if key == name:
            break
    return kept
