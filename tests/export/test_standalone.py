"""The reader of weights that every `model.py` carries."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from archwright.export.standalone import read_safetensors

TENSORS = {
    "matrix": torch.arange(6, dtype=torch.float32).reshape(2, 3),
    "scalar": torch.tensor(7),
    "empty": torch.zeros(0, 3),
    "half": torch.tensor([1.5, -2.0], dtype=torch.float16),
    "brain": torch.tensor([[3.0]], dtype=torch.bfloat16),
    "double": torch.tensor([1e300], dtype=torch.float64),
    "bytes": torch.tensor([1, 255], dtype=torch.uint8),
    "small": torch.tensor([-1], dtype=torch.int8),
    "short": torch.tensor([-300], dtype=torch.int16),
    "int": torch.tensor([1 << 30], dtype=torch.int32),
    "truth": torch.tensor([True, False]),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    save_file(TENSORS, tmp_path / "w.safetensors", metadata={"note": "text"})
    return tmp_path / "w.safetensors"


def test_all_types_are_read(path: Path) -> None:
    """What the safetensors library wrote, bit for bit, without its texts."""
    found = read_safetensors(path)
    assert found.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert found[name].dtype == tensor.dtype, name
        assert torch.equal(found[name], tensor), name


@pytest.mark.parametrize("n_bytes", [0, 7, 8, 100, -1])
def test_truncated_file_is_refused(path: Path, n_bytes: int) -> None:
    """In the length, the header or the numbers."""
    path.write_bytes(path.read_bytes()[:n_bytes])
    with pytest.raises(ValueError, match=r"w\.safetensors is (no whole|damaged)"):
        read_safetensors(path)


@pytest.mark.parametrize("offsets", [[0, 3], [4, 8], [-4, 0], [4, 0]])
def test_sizes_that_contradict_each_other_are_refused(tmp_path: Path, offsets: list[int]) -> None:
    """A header that names other bytes than the shape needs, or bytes that are not there."""
    header = json.dumps({"x": {"dtype": "F32", "shape": [1], "data_offsets": offsets}}).encode()
    (tmp_path / "w").write_bytes(len(header).to_bytes(8, "little") + header + b"\0" * 4)
    with pytest.raises(ValueError, match="w is damaged at x, or not whole"):
        read_safetensors(tmp_path / "w")
