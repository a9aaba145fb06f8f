"""The choices for each block of the MnasNet space, and the block strings of the released code.

A block is a few equal layers. Their number and width begin from MobileNetV2 (Sandler et al., CVPR 2018); the search
changes both.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from archwright.core.arch import Value
from archwright.core.errors import InvalidArchError
from archwright.spaces.mobile import round_width

CONV_OPS: dict[str, int | None] = {"conv": None, "sepconv": 1, "mbconv3": 3, "mbconv6": 6}
"""The paper's ConvOp: for each convolution its expansion, or None if it has no depth-wise convolution."""
KERNELS = (3, 5)
SQUEEZES = ("none", "quarter")
"""The paper's SERatio, 0 and 0.25: the share of a layer's input channels that squeeze-and-excitation keeps."""
SKIPS = ("identity", "pool", "none")
FILTER_FACTORS = (0.75, 1.0, 1.25)
LAYER_CHANGES = (-1, 0, 1)


@dataclass(frozen=True)
class Block:
    """A block of MobileNetV2, around which the search varies.

    Attributes:
        filters: Output channels.
        layers: Number of layers.
        stride: Stride of its first layer.
    """

    filters: int
    layers: int
    stride: int

    @property
    def filter_choices(self) -> tuple[int, ...]:
        """The filters times 0.75, 1 and 1.25, rounded to multiples of 8; equal ones are given once.

        >>> Block(96, 3, 1).filter_choices, Block(16, 1, 1).filter_choices
        ((72, 96, 120), (16, 24))
        """
        return tuple(sorted({round_width(self.filters * factor) for factor in FILTER_FACTORS}))

    @property
    def layer_choices(self) -> tuple[int, ...]:
        """One layer fewer, the same number, one more; never 0.

        >>> Block(96, 3, 1).layer_choices, Block(16, 1, 1).layer_choices
        ((2, 3, 4), (1, 2))
        """
        return tuple(n for change in LAYER_CHANGES if (n := self.layers + change) >= 1)


BLOCKS = (
    Block(16, 1, 1),
    Block(24, 2, 2),
    Block(32, 3, 2),
    Block(64, 4, 2),
    Block(96, 3, 1),
    Block(160, 3, 2),
    Block(320, 1, 1),
)
STEM = 32
LAST = 1280
PAPER_BLOCKS = 5


def paper_choices() -> int:
    """Sub-search-space size S of one block (Sec. 4.1), before filters coincide and layer counts are clamped.

    >>> paper_choices(), paper_choices() ** PAPER_BLOCKS
    (432, 15045919506432)
    """
    choices = (CONV_OPS, KERNELS, SQUEEZES, SKIPS, FILTER_FACTORS, LAYER_CHANGES)
    product = 1
    for values in choices:
        product *= len(values)
    return product


# ── block strings ─────────────────────────────────────────────────────────────────────────────────

_FIELD = re.compile(r"(conv)|([rkeios])(\d+)|(se)(0\.25)|(noskip|poolskip)")
_EXPANSIONS = {f"e{expansion}": name for name, expansion in CONV_OPS.items() if expansion is not None}


def block_string(values: Mapping[str, Value], n_in: Value, stride: int) -> str:
    """One block in the notation of the released code, e.g. `r3_k5_s22_e3_i24_o40_se0.25`.

    The released code has no notation for a regular convolution, which is `conv` in place of the expansion here, and
    for the pooled shortcut, which is `poolskip`.

    Args:
        values: The block's decisions by their short names.
        n_in: Channels of its input.
        stride: Stride of its first layer.
    """
    expansion = CONV_OPS[str(values["conv"])]
    form = "conv" if expansion is None else f"e{expansion}"
    fields = [f"r{values['layers']}", f"k{values['kernel']}", f"s{stride}{stride}", form]
    fields += [f"i{n_in}", f"o{values['filters']}"]
    fields += ["se0.25"] if values["se"] == "quarter" else []
    fields += {"none": ["noskip"], "pool": ["poolskip"]}.get(str(values["skip"]), [])
    return "_".join(fields)


def read_block(text: str, block: Block, n_in: int, place: str) -> dict[str, Any]:
    """The decisions in one block string, by their short names.

    Args:
        text: The block string, in the notation of `block_string`.
        block: The block of MobileNetV2 that it is a form of.
        n_in: Channels of the block's input.
        place: What the error message calls the block.

    Raises:
        InvalidArchError: If it is no block string, or its input channels or stride are not those of the block.
    """
    found: dict[str, str] = {}
    for field in text.split("_"):
        match = _FIELD.fullmatch(field)
        if match is None:
            raise InvalidArchError(
                f"{place} is {text!r}, where {field!r} is unknown; write r3_k5_s22_e3_i24_o40_se0.25"
            )
        kind = "form" if match[1] or match[2] == "e" else "skip" if match[6] else match[2] or match[4]
        if kind in found:
            raise InvalidArchError(f"{place} is {text!r}, which says {field!r} beside {found[kind]!r}; leave one out")
        found[kind] = field
    missing = [example for kind, example in _REQUIRED.items() if kind not in found]
    if missing:
        raise InvalidArchError(f"{place} is {text!r}, which lacks {', '.join(missing)}")
    _check_same(place, "input channels", found.get("i"), f"i{n_in}")
    _check_same(place, "stride", found["s"], f"s{block.stride}{block.stride}")
    form = found["form"]
    if form != "conv" and form not in _EXPANSIONS:
        raise InvalidArchError(f"{place} has the expansion {form!r}; choose one of {', '.join(_EXPANSIONS)} or conv")
    return {
        "filters": int(found["o"][1:]),
        "layers": int(found["r"][1:]),
        "kernel": int(found["k"][1:]),
        "conv": _EXPANSIONS.get(form, "conv"),
        "se": "quarter" if "se" in found else "none",
        "skip": {"noskip": "none", "poolskip": "pool"}.get(found.get("skip", ""), "identity"),
    }


_REQUIRED = {"r": "r (layers)", "k": "k (kernel)", "s": "s (stride)", "form": "e (expansion)", "o": "o (filters)"}


def _check_same(place: str, what: str, said: str | None, expected: str) -> None:
    if said is not None and said != expected:
        raise InvalidArchError(f"{place} says {said!r} of its {what}; here it is {expected!r}")
