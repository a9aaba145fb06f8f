"""Translate the names in other projects' weight files to ours.

Each family of files has one function. It takes the names in a file and those of the network, and gives our name for
each name it knows, or None if the file is not of that family. An unknown name is kept and reported as unexpected.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

NameMap = Callable[[Sequence[str], Sequence[str]], Mapping[str, str] | None]

_maps: dict[str, NameMap] = {}


def name_map(family: str) -> Callable[[NameMap], NameMap]:
    """A decorator that registers a map under the family's name in messages; later maps are tried first."""

    def register(function: NameMap) -> NameMap:
        _maps[family] = function
        return function

    return register


def translate(names: Sequence[str], ours: Sequence[str]) -> tuple[str, Mapping[str, str]] | None:
    """The family that knows a file's names, and our name for each it knows; None if no family knows them.

    Args:
        names: The names in a file.
        ours: The names of the network's state, in its order.
    """
    for family, function in reversed(_maps.items()):
        found = function(names, ours)
        if found is not None:
            return family, found
    return None


# ── inverted residual blocks ──────────────────────────────────────────────────────────────────────

_OUR_BLOCK = re.compile(r"(.+?)\.(?:expand|depthwise|squeeze|project)\.")


def our_blocks(ours: Iterable[str]) -> list[str]:
    """Paths of a network's inverted residual blocks, in order, from the names of its state."""
    found = [match[1] for name in ours if (match := _OUR_BLOCK.match(name)) is not None]
    return list(dict.fromkeys(found))


def _renamed(names: Iterable[str], modules: Mapping[str, str]) -> dict[str, str]:
    """Tensor names whose module has a new path."""
    split = [(name, *name.rpartition(".")[::2]) for name in names]
    return {name: f"{modules[module]}.{tensor}" for name, module, tensor in split if module in modules}


_OFFICIAL_BLOCK = re.compile(
    r"blocks\.(\d+)\.(?:mobile_inverted_conv|conv)\.(inverted_bottleneck|depth_conv|point_linear)\."
    r"(conv|bn|se\.fc\.reduce|se\.fc\.expand)\."
)
_OFFICIAL_LAYERS = {"inverted_bottleneck": "expand", "depth_conv": "depthwise", "point_linear": "project"}
_OFFICIAL_SQUEEZE = {"se.fc.reduce": "squeeze.reduce", "se.fc.expand": "squeeze.restore"}
_OFFICIAL_MATRIX = re.compile(r"(\d+)to(\d+)_matrix$")
_TWICE = re.compile(r"\.(conv|bn|linear)\.\1\.")
"""A supernet's layers hold the plain ones under the same name once more."""


@name_map("ProxylessNAS and once-for-all (official code)")
def official_names(names: Sequence[str], ours: Sequence[str]) -> Mapping[str, str] | None:
    """The map for the official code: its block i, which also counts blocks that are left out, is our `block<i>`.

    In once-for-all networks, whose blocks are in stages, it is our block number i. Their supernets are known too.
    """
    if not any(_OFFICIAL_BLOCK.match(name) for name in names):
        return None
    plain = {name: _TWICE.sub(r".\1.", name) for name in names}
    has_stages = any(name.startswith("stage1.") for name in ours)
    paths = our_blocks(ours) if has_stages else []
    modules = _official_ends(plain.values(), ours)
    for name in plain.values():
        if (match := _OFFICIAL_BLOCK.match(name)) is not None:
            i, layer, part = int(match[1]), _OFFICIAL_LAYERS[match[2]], match[3]
            block = paths[i] if i < len(paths) else f"block{i}.main"
            place = _OFFICIAL_SQUEEZE.get(part) or f"{layer}.{0 if part == 'conv' else 1}"
            modules[match[0][:-1]] = f"{block}.{place}"
    found = _renamed(plain.values(), modules)
    return {
        name: _OFFICIAL_MATRIX.sub(r"matrix_\1to\2", found[known]) for name, known in plain.items() if known in found
    }


def _official_ends(names: Iterable[str], ours: Sequence[str]) -> dict[str, str]:
    """What stands before and behind the blocks."""
    linear = next((name.rpartition(".")[0] for name in reversed(ours) if name.startswith("head.")), "head.3")
    is_mixed_behind_pooling = any(name.startswith("final_expand_layer.") for name in names)  # in MobileNetV3
    wide = "final_expand_layer" if is_mixed_behind_pooling else "feature_mix_layer"
    modules = {"first_conv.conv": "stem.0", "first_conv.bn": "stem.1", "classifier.linear": linear}
    modules |= {f"{wide}.conv": "head.0.0", f"{wide}.bn": "head.0.1"}
    return modules | ({"feature_mix_layer.conv": "head.2"} if is_mixed_behind_pooling else {})


_TIMM_BLOCK = re.compile(r"(blocks\.\d+\.\d+)\.")
_TIMM_SEPARABLE = {"conv_dw": "depthwise.0", "bn1": "depthwise.1", "conv_pw": "project.0", "bn2": "project.1"}
_TIMM_INVERTED = {
    "conv_pw": "expand.0",
    "bn1": "expand.1",
    "conv_dw": "depthwise.0",
    "bn2": "depthwise.1",
    "conv_pwl": "project.0",
    "bn3": "project.1",
}
_TIMM_SQUEEZE = {"se.conv_reduce": "squeeze.reduce", "se.conv_expand": "squeeze.restore"}


@name_map("timm's EfficientNet family")
def timm_names(names: Sequence[str], ours: Sequence[str]) -> Mapping[str, str] | None:
    """The map for timm: its blocks are ours in the same order; a skipped block has no weights in either."""
    if "conv_stem.weight" not in names:
        return None
    found = {match[1] for name in names if (match := _TIMM_BLOCK.match(name)) is not None}
    blocks = sorted(found, key=lambda path: [int(part) for part in path.split(".")[1:]])
    modules = {"conv_stem": "stem.0", "bn1": "stem.1", "conv_head": "head.0.0", "bn2": "head.0.1"}
    modules["classifier"] = "head.3"
    for theirs, our in zip(blocks, our_blocks(ours), strict=False):  # what is left over is reported
        is_inverted = f"{theirs}.conv_pwl.weight" in names
        layers = (_TIMM_INVERTED if is_inverted else _TIMM_SEPARABLE) | _TIMM_SQUEEZE
        modules |= {f"{theirs}.{layer}": f"{our}.{place}" for layer, place in layers.items()}
    return _renamed(names, modules)


_TORCHVISION_BLOCK = re.compile(r"(layers\.\d+\.\d+)\.layers\.")
_TORCHVISION_ENDS = {
    "layers.0": "stem.0",
    "layers.1": "stem.1",
    "layers.14": "head.0.0",
    "layers.15": "head.0.1",
    "classifier.1": "head.3",
}


@name_map("torchvision's MNASNet")
def torchvision_names(names: Sequence[str], ours: Sequence[str]) -> Mapping[str, str] | None:
    """The map for torchvision: the separable block comes directly after the stem, the others are in stages."""
    found = {match[1] for name in names if (match := _TORCHVISION_BLOCK.match(name)) is not None}
    if not found or "layers.0.weight" not in names:
        return None
    blocks = sorted(found, key=lambda path: [int(part) for part in path.split(".")[1:]])
    first, *others = our_blocks(ours) or [""]
    places = ("expand.0", "expand.1", "depthwise.0", "depthwise.1", "project.0", "project.1")
    modules = dict(_TORCHVISION_ENDS)
    modules |= {f"layers.{n}": f"{first}.{place}" for n, place in zip((3, 4, 6, 7), places[2:], strict=True)}
    for theirs, our in zip(blocks, others, strict=False):
        modules |= {f"{theirs}.layers.{n}": f"{our}.{p}" for n, p in zip((0, 1, 3, 4, 6, 7), places, strict=True)}
    return _renamed(names, modules)
