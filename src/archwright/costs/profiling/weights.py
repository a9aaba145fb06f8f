"""Weights that the ONNX files of one bundle share, so that it is about as large as its largest network.

Latency does not depend on what weights are, as long as no number becomes too small to be a normal one. So every part
takes its weights from the same random numbers, and its file says where they lie in a file beside it. Inside a part no
number is used twice: weights that overlapped would stay in the processor's caches where real ones do not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from archwright.core.trial import derive_seed
from archwright.runs.files import write_bytes

Place = tuple[str, int]
"""A file, and where in it a weight begins."""

LEAST = 256
"""Numbers in a weight that is shared, at least."""

PAGE = 4096
"""Bytes of which every place is a multiple, so that files can be mapped into memory."""


class SharedWeights:
    """Random normal numbers, one stream for each standard deviation 1, 1/2, 1/4, …

    Args:
        seed: Draws them.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._streams: dict[int, NDArray[np.float32]] = {}
        self._used: dict[int, int] = {}

    def fill(self, network: nn.Module) -> dict[bytes, Place]:
        """Give a network's matrices and filters other values, about as large as usual, and say where they lie."""
        begin: dict[int, int] = {}
        places: dict[bytes, Place] = {}
        for weight in network.parameters():
            if weight.dim() < 2 or weight.numel() < LEAST or weight.dtype != torch.float32:
                continue
            halvings = max(0, round(math.log2(weight[0].numel()) / 2))  # deviation 1 / sqrt(inputs of one output)
            start = begin.get(halvings, 0)
            values = self._values(halvings, start, weight.numel())
            with torch.no_grad():
                weight.copy_(torch.from_numpy(values).view(weight.shape))
            places[values.astype("<f4").tobytes()] = (_file(halvings), 4 * start)
            begin[halvings] = -(-(start + weight.numel()) * 4 // PAGE) * PAGE // 4
        return places

    def write(self, folder: Path) -> list[str]:
        """Write what was used; gives the files' names."""
        for halvings, n in self._used.items():
            write_bytes(folder / _file(halvings), self._streams[halvings][:n].astype("<f4").tobytes())
        return sorted(map(_file, self._used))

    def _values(self, halvings: int, start: int, n: int) -> NDArray[np.float32]:
        stream, end = self._streams.get(halvings), start + n
        if stream is None or len(stream) < end:
            # drawn anew and longer: the numbers so far begin it
            rng = np.random.default_rng(derive_seed(self._seed, "bundle weights", halvings))
            length = max(end, 0 if stream is None else 2 * len(stream))
            stream = rng.standard_normal(length, dtype=np.float32) * np.float32(0.5**halvings)
            self._streams[halvings] = stream
        self._used[halvings] = max(self._used.get(halvings, 0), end)
        return stream[start:end]


def refer(path: Path, places: Mapping[bytes, Place]) -> None:
    """Replace the weights inside an ONNX file by the places where the same numbers lie."""
    import onnx
    from onnx.external_data_helper import set_external_data

    model = onnx.load(str(path))
    for tensor in model.graph.initializer:
        if place := places.get(tensor.raw_data):
            name, offset = place
            set_external_data(tensor, name, offset=offset, length=len(tensor.raw_data))
            tensor.ClearField("raw_data")
    write_bytes(path, model.SerializeToString(deterministic=True))


def _file(halvings: int) -> str:
    return f"weights{halvings}.bin"
