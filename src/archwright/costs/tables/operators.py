"""Published latency tables of single operators, read as plain keys with milliseconds.

Three forms are known by their content:

- *ProxylessNAS and Once-for-All* (han-cai/files): a JSON object of `key -> {"count", "mean", …}`, means in ms. A key
  is the operator and its fields, `expanded_conv-input:14x14x96-output:14x14x96-expand:288-kernel:3-stride:1-idskip:1`
  (height x width x channels; `expand` is the ratio in the former and the hidden width in the latter, which adds
  `se` and `hs`, squeeze-and-excitation and hard swish). `operator_key` makes such keys, `parse_operator_key` reads
  them.
- *TF-NAS*: CSV of `key,mid_channels,latency_ms`, plain or gzipped. An entry is named `KEY:MID_CHANNELS`, with KEY =
  `MBInvertedResBlock_SIZE_IN_SE_OUT_kK_sS_ACT`; the row `base` is the fixed part. The figures are a linear fit in the
  width, which goes below zero for narrow ones: those are 0 here.
- *FBNet* (Raspberry Pi 4): a JSON list of layers, `null` for fixed ones, else a list of microseconds in the order of
  `FBNET_OPERATORS`. An entry is named `LAYER:OPERATOR`, such as `2:k3_e6`.
"""

from __future__ import annotations

import csv
import io
import re
import sys
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from archwright.core.errors import InvalidValueError
from archwright.runs.files import read_maybe_gzipped

Entries = tuple[dict[str, float], float]
"""(milliseconds by key, milliseconds of the fixed part)."""

MAX_BYTES = 2**28
"""Largest accepted size of an unpacked table in bytes."""

FBNET_OPERATORS = ("k3_e1", "k3_e1_g2", "k3_e3", "k3_e6", "k5_e1", "k5_e1_g2", "k5_e3", "k5_e6", "skip")
TFNAS_HEADER = ["key", "mid_channels", "latency_ms"]

_TFNAS_KEY = re.compile(
    r"(?P<op>[A-Za-z]+)_(?P<size>\d+)_(?P<input>\d+)_(?P<se>\d+)_(?P<output>\d+)"
    r"_k(?P<kernel>\d+)_s(?P<stride>\d+)_(?P<act>[a-z]+):(?P<mid>\d+)"
)


def read_text(path: Path) -> str:
    """A text file, gzipped or not.

    Raises:
        InvalidValueError: If it cannot be read.
    """
    try:
        return read_maybe_gzipped(path, MAX_BYTES).decode("utf-8")
    except FileNotFoundError:
        raise InvalidValueError(f"there is no latency table {path}; give the path of one") from None
    except (OSError, EOFError, ValueError, zlib.error) as error:
        said = (error.strerror if isinstance(error, OSError) else None) or error
        raise InvalidValueError(f"latency table {path} cannot be read: {said}; give the path of a table") from None


def table_entries(name: str, content: Any) -> Entries:
    """The entries of a published table.

    Args:
        name: The file's name, for errors.
        content: Text of a CSV file, or a parsed JSON document.

    Raises:
        InvalidValueError: If the content is in no known format.
    """
    try:
        if isinstance(content, str):
            return _tfnas(content)
        if isinstance(content, Mapping) and content:
            return {str(key): _number(entry["mean"]) for key, entry in content.items()}, 0.0
        if isinstance(content, list) and content:
            return _fbnet(content), 0.0
    except (KeyError, TypeError, ValueError, IndexError, csv.Error) as error:
        raise InvalidValueError(f"{name} is no latency table of a known form ({error})") from None
    raise InvalidValueError(f"{name} is no latency table of a known form")


def operator_key(operator: str, input: Sequence[int], output: Sequence[int], **fields: int) -> str:
    """The key of an operator in a ProxylessNAS or Once-for-All table.

    Args:
        operator: Name of the operator, e.g. "expanded_conv".
        input: (height, width, channels) of its input.
        output: (height, width, channels) of its output; (features,) for a linear layer.
        fields: Further numbers of the key, in its order.

    >>> operator_key("Logits", (1, 1, 1536), (1000,))
    'Logits-input:1x1x1536-output:1000'
    >>> operator_key("expanded_conv", (7, 7, 192), (7, 7, 192), expand=576, kernel=3, stride=1, idskip=1)
    'expanded_conv-input:7x7x192-output:7x7x192-expand:576-kernel:3-stride:1-idskip:1'
    """
    shapes = {"input": "x".join(map(str, input)), "output": "x".join(map(str, output))}
    return "-".join([operator, *(f"{name}:{value}" for name, value in {**shapes, **fields}.items())])


def parse_operator_key(key: str) -> dict[str, Any]:
    """The operator ("op"), shapes and numbers of a ProxylessNAS, Once-for-All or TF-NAS key.

    >>> parse_operator_key("Conv-input:224x224x3-output:112x112x32")
    {'op': 'Conv', 'input': (224, 224, 3), 'output': (112, 112, 32)}
    >>> parse_operator_key("MBInvertedResBlock_7_192_384_320_k5_s1_swish:1536")["mid"]
    1536

    Raises:
        InvalidValueError: If it is no such key.
    """
    match = _TFNAS_KEY.fullmatch(key)
    if match:
        return {name: int(text) if text.isdecimal() else text for name, text in match.groupdict().items()}
    operator, *fields = key.split("-")
    found: dict[str, Any] = {"op": operator}
    for field in fields:
        name, sign, value = field.partition(":")
        if not sign or not re.fullmatch(r"\d+(x\d+)*", value):
            raise InvalidValueError(f"{key!r} is no operator key; write it like Conv-input:224x224x3-output:112x112x32")
        numbers = tuple(map(int, value.split("x")))
        found[name] = numbers if name in ("input", "output") else numbers[0]
    return found


def _tfnas(text: str) -> Entries:
    rows = csv.reader(io.StringIO(text))
    if next(rows, None) != TFNAS_HEADER:
        raise ValueError(f"its columns are not {', '.join(TFNAS_HEADER)}")
    entries, base = {}, 0.0
    for key, width, latency in rows:
        value = max(_number(float(latency)), 0.0)
        if key == "base":
            base = value
        else:
            entries[f"{key}:{int(width)}"] = value
    return entries, base


def _fbnet(layers: Sequence[Any]) -> dict[str, float]:
    return {
        f"{i}:{FBNET_OPERATORS[place]}": _number(microseconds) / 1e3
        for i, layer in enumerate(layers)
        if layer is not None
        for place, microseconds in enumerate(layer)
    }


def _number(value: Any) -> float:
    if type(value) not in (int, float) or not abs(value) <= sys.float_info.max:
        raise ValueError(f"{value!r} is no finite number")
    return float(value)
