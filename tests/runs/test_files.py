"""Atomic files and damaged ones."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from archwright.core.errors import InvalidValueError, RunError, RunFolderError
from archwright.runs import files

TENSORS = {
    "weight": torch.arange(12, dtype=torch.float32).reshape(3, 4),
    "half": torch.tensor([1.5, -2.25], dtype=torch.bfloat16),
    "mask": torch.tensor([True, False]),
    "step": torch.tensor(7, dtype=torch.int64),
    "none": torch.empty(0, 3),
}
STATE = {"step": 7, "losses": [0.1, 1e-300], "name": '"sha256":"' + "0" * 64 + '"', "best": None}


def test_json_round_trip(tmp_path: Path) -> None:
    """What was written is read; the folder is made."""
    files.write_json(tmp_path / "a" / "b.json", {"x": [1, 2.5, None, "ü"]})
    assert files.read_json(tmp_path / "a" / "b.json") == {"x": [1, 2.5, None, "ü"]}


@pytest.mark.parametrize("value", [math.nan, math.inf, {1, 2}, object(), b"x"])
def test_json_is_strict(tmp_path: Path, value: object) -> None:
    """What JSON lacks is refused, and the former file stays."""
    files.write_json(tmp_path / "x.json", 1)
    with pytest.raises(InvalidValueError, match=r"x\.json cannot be JSON"):
        files.write_json(tmp_path / "x.json", {"value": value})
    assert files.read_json(tmp_path / "x.json") == 1


@pytest.mark.parametrize("text", [b"", b'{"a": 1', b'{"a": NaN}', b"\xff\xfe\xfd", b"[" * 100_000])
def test_damaged_json_is_refused_by_name(tmp_path: Path, text: bytes) -> None:
    """Empty, truncated, not strict, not UTF-8, absurdly deep."""
    (tmp_path / "x.json").write_bytes(text)
    with pytest.raises(RunFolderError, match=r"x\.json"):
        files.read_json(tmp_path / "x.json")


def test_missing_file_and_folder_in_its_place(tmp_path: Path) -> None:
    """Both name the path."""
    (tmp_path / "d.json").mkdir()
    with pytest.raises(RunFolderError, match=r"d\.json cannot be read: Is a directory"):
        files.read_json(tmp_path / "d.json")
    with pytest.raises(RunFolderError, match=r"m\.json cannot be read: No such file"):
        files.read_json(tmp_path / "m.json")


def test_a_write_that_fails_leaves_the_former_file_and_nothing_else(tmp_path: Path) -> None:
    """An error in the middle of writing, as a full disk gives it."""
    files.write_text(tmp_path / "x", "before")

    def fail() -> None:
        with files.replacing(tmp_path / "x") as new:
            new.write_text("aft")
            raise OSError(28, "No space left on device")

    with pytest.raises(RunError, match="x cannot be written: No space left"):
        fail()
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    assert (tmp_path / "x").read_text() == "before"


def test_a_folder_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    """It stays with its content."""
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "mine").touch()
    with pytest.raises(RunError, match="x cannot be written"):
        files.write_text(tmp_path / "x", "text")
    assert (tmp_path / "x" / "mine").exists()


def test_only_our_leftovers_are_removed(tmp_path: Path) -> None:
    """Temporary files of killed writes at any depth; a user's own .tmp stays."""
    (tmp_path / "best").mkdir()
    (tmp_path / "best" / f".model.onnx.{'0a' * 8}.tmp").touch()
    (tmp_path / "notes.tmp").touch()
    assert files.remove_leftovers(tmp_path) == 1
    assert (tmp_path / "notes.tmp").exists()
    assert not list((tmp_path / "best").iterdir())


def test_tensors_round_trip(tmp_path: Path) -> None:
    """Values, data types and shapes, of scalars and empty tensors too; a state that looks like the digest."""
    files.write_tensors(tmp_path / "c.safetensors", TENSORS, STATE)
    tensors, state = files.read_tensors(tmp_path / "c.safetensors")
    assert state == STATE
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype
        assert torch.equal(tensors[name], tensor)


def test_other_tools_read_the_file(tmp_path: Path) -> None:
    """It is plain safetensors."""
    files.write_tensors(tmp_path / "c.safetensors", TENSORS, STATE)
    assert torch.equal(load_file(tmp_path / "c.safetensors")["weight"], TENSORS["weight"])


def test_views_and_shared_memory(tmp_path: Path) -> None:
    """A transposed view, a channels-last tensor and two names of one tensor are stored by value."""
    base = torch.arange(6.0).reshape(2, 3)
    image = torch.arange(16.0).reshape(1, 4, 2, 2).contiguous(memory_format=torch.channels_last)
    files.write_tensors(tmp_path / "c", {"a": base.T, "b": base, "c": base, "d": image, "e": base[0].expand(2, 3)})
    tensors, state = files.read_tensors(tmp_path / "c")
    assert state is None
    assert tensors["a"].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert torch.equal(tensors["b"], tensors["c"])
    assert torch.equal(tensors["d"], image)
    assert tensors["e"].tolist() == [[0, 1, 2], [0, 1, 2]]


def test_restored_tensors_can_be_written_to(tmp_path: Path) -> None:
    """They are no read-only view of the file."""
    files.write_tensors(tmp_path / "c", {"a": torch.zeros(2)})
    tensor = files.read_tensors(tmp_path / "c")[0]["a"]
    tensor += 1
    assert tensor.tolist() == [1, 1]
    assert files.read_tensors(tmp_path / "c")[0]["a"].tolist() == [0, 0]


def test_any_float_in_the_state(tmp_path: Path) -> None:
    """A best value of -inf must not stop a checkpoint."""
    files.write_tensors(tmp_path / "c", {}, {"best": -math.inf, "deep": [{"x": math.nan}], "pair": (1, 2)})
    state = files.read_tensors(tmp_path / "c")[1]
    assert state["best"] == -math.inf
    assert math.isnan(state["deep"][0]["x"])
    assert state["pair"] == [1, 2]


@pytest.mark.parametrize(
    "tensor", [torch.zeros(2, 2).to_sparse(), torch.zeros(2, device="meta")], ids=["sparse", "meta"]
)
def test_tensors_without_plain_values_are_refused_by_name(tmp_path: Path, tensor: torch.Tensor) -> None:
    """The message names tensor and file."""
    with pytest.raises(InvalidValueError, match=r"tensor 'w' of .*c is sparse"):
        files.write_tensors(tmp_path / "c", {"w": tensor})


def test_every_flipped_bit_is_found(tmp_path: Path) -> None:
    """One flip in each byte of the file, the header's length included: refused by name, never other tensors."""
    path = tmp_path / "c.safetensors"
    files.write_tensors(path, {"w": torch.arange(5.0)}, {"step": 1})
    good = path.read_bytes()
    for position in range(len(good)):
        path.write_bytes(good[:position] + bytes([good[position] ^ (1 << position % 8)]) + good[position + 1 :])
        with pytest.raises(RunFolderError, match=r"c\.safetensors"):
            files.read_tensors(path)


def test_every_truncation_is_found(tmp_path: Path) -> None:
    """From empty to one byte short, and one byte too long."""
    path = tmp_path / "c.safetensors"
    files.write_tensors(path, {"w": torch.arange(5.0)}, {"step": 1})
    good = path.read_bytes()
    for data in [*(good[:length] for length in range(len(good))), good + b"\0"]:
        path.write_bytes(data)
        with pytest.raises(RunFolderError, match=r"c\.safetensors"):
            files.read_tensors(path)


def test_foreign_safetensors_are_refused(tmp_path: Path) -> None:
    """Another tool's file carries no checksum of ours."""
    save_file({"w": torch.zeros(2)}, tmp_path / "c.safetensors")
    with pytest.raises(RunFolderError, match=r"c\.safetensors .*not written by archwright"):
        files.read_tensors(tmp_path / "c.safetensors")


def test_as_json_is_what_a_file_gives_back() -> None:
    """Tuples become lists and keys text, so that memory and disk agree."""
    document: Any = {"a": (1, 2), 3: math.inf}
    assert files.as_json(document, "it") == {"a": [1, 2], "3": math.inf}
