"""A classifier's feature maps at each stride, for a detector or a segmenter behind them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from archwright.core.errors import InvalidValueError
from archwright.nn.inputs import in_type_of
from archwright.nn.meta import ShapesOnly, described, for_real
from archwright.nn.modes import eval_mode

_POOLED_TO_A_POINT = (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)
_MOST_SKEWED = 1.5
"""How many times as far apart pixels of a map may lie along one axis as along the other, from rounding."""


@dataclass(frozen=True)
class Feature:
    """One feature map.

    Attributes:
        stride: How many input pixels one pixel of the map stands for, along the shorter side of the image.
        channels: Number of its channels.
        path: Path of the module whose output it is.
    """

    stride: int
    channels: int
    path: str


class FeaturesOnly(nn.Module):
    """The last feature map of a network at each stride: (N, C, H, W) → a list of (N, C_i, H_i, W_i), finest first.

    If the network is a sequence of stages, the stages after the last map are left out.

    Attributes:
        network: The network, or its first stages.
        features: What each map is, in the order of the maps.
    """

    def __init__(self, network: nn.Module, features: Sequence[Feature]) -> None:
        super().__init__()
        self.network = _until(network, features[-1].path)
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

            def keep(_module: nn.Module, _given: Any, out: Tensor, path: str = feature.path) -> None:
                maps[path] = out

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

    The maps are found by running the network once, on the meta device if it can do without values. Only outputs of
    whole blocks, cells or stages count, not maps inside a block that at most halves its image.

    Args:
        network: A stand-alone convolutional network; it is shared, not copied.
        input_shape: Shape of one input without the batch, (C, H, W). Other sizes may be given later.

    Raises:
        InvalidValueError: If the network has no feature map, or is not convolutional throughout: its parts hand on
            tokens (N, T, C), or maps whose channels stand last.
    """
    if len(input_shape) != 3:
        raise InvalidValueError(f"feature maps are those of images (C, H, W); the input shape is {tuple(input_shape)}")
    calls = _calls(network, input_shape)
    side = min(input_shape[1:])
    last: dict[int, Feature] = {}
    for path in _spine(network, "", calls, is_root=True):
        call = calls.get(path)
        if call is None:
            continue
        _refuse_others(network, path, call, input_shape)
        if _is_pooled(network.get_submodule(path), call):
            break  # what comes behind is a classifier, though some of them keep 1x1 maps
        if call.out is None:
            continue
        stride = _stride(side, call.out)
        last.pop(stride, None)  # so that the order stays the order in time
        last[stride] = Feature(stride, call.out[1], path)
    if not last:
        raise InvalidValueError(f"{type(network).__name__} has no feature map: no part of it gives (N, C, H, W)")
    return FeaturesOnly(network, [last[stride] for stride in sorted(last)])


def _refuse_others(network: nn.Module, path: str, call: _Call, input_shape: Sequence[int]) -> None:
    """Refuse a network whose part hands on something else than maps (N, C, H, W) or a vector."""
    what = ""
    if call.n_axes == 3:
        what = "tokens (N, T, C)"
    elif call.out is not None and min(call.out[2:]) > 1:
        distances = [side / found for side, found in zip(input_shape[1:], call.out[2:], strict=True)]
        if max(distances) > _MOST_SKEWED * min(distances):
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


@dataclass
class _Call:
    """Shapes of a module's last call: its first image, what it gave if that is an image, and how many axes that has."""

    given: tuple[int, ...] | None
    out: tuple[int, ...] | None
    n_axes: int


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
    device: str | torch.device, network: nn.Module, replaced: dict[str, Tensor], input_shape: Sequence[int]
) -> dict[str, _Call]:
    found: dict[str, _Call] = {}
    handles = []
    for path, part in network.named_modules():

        def note(_module: nn.Module, given: tuple[Any, ...], out: Any, path: str = path) -> None:
            found.pop(path, None)
            found[path] = _Call(_image(given), _image(out), out.dim() if isinstance(out, Tensor) else 0)

        handles.append(part.register_forward_hook(note))
    try:
        with eval_mode(network.modules()), torch.no_grad(), ShapesOnly():
            images = in_type_of(network, torch.zeros((1, *input_shape), device=device))
            torch.func.functional_call(network, replaced, images)
    finally:
        for handle in handles:
            handle.remove()
    return found


def _described(network: nn.Module) -> dict[str, Tensor]:
    """The network's tensors as descriptions of them."""
    tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    return {name: described(tensor) for name, tensor in tensors.items()}


def _image(given: Any) -> tuple[int, ...] | None:
    """The shape of the first image among tensors and lists of them."""
    if isinstance(given, Tensor):
        return tuple(given.shape) if given.dim() == 4 else None
    if isinstance(given, tuple | list):
        return next((shape for item in given if (shape := _image(item)) is not None), None)
    return None


def _stride(side: int, shape: tuple[int, ...]) -> int:
    """A power of two, as sides are rounded up or down on the way."""
    ratio, stride = side / min(shape[2:]), 1
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
        return isinstance(module, nn.ModuleList | nn.ModuleDict)
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
