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


# ── sealed documents and digests ──────────────────────────────────────────────────────────────────


def test_a_sealed_document_comes_back_without_its_seal(tmp_path: Path) -> None:
    """Also one that an earlier version wrote without."""
    files.write_sealed_json(tmp_path / "x.json", {"seed": 3, "rates": (0.1, 2)})
    assert files.read_sealed_json(tmp_path / "x.json") == {"seed": 3, "rates": [0.1, 2]}
    files.write_json(tmp_path / "x.json", {"seed": 3})
    assert files.read_sealed_json(tmp_path / "x.json") == {"seed": 3}


def test_a_sealed_document_that_says_something_else_is_refused(tmp_path: Path) -> None:
    """One flipped bit anywhere: refused, or it says the same."""
    path, document = tmp_path / "x.json", {"seed": 3, "rate": 0.125, "space": "tiny"}
    files.write_sealed_json(path, document)
    good = path.read_bytes()
    n_refused = 0
    for position in range(8 * len(good)):
        changed = bytearray(good)
        changed[position // 8] ^= 1 << position % 8
        path.write_bytes(changed)
        try:
            found = files.read_sealed_json(path)
        except RunFolderError:
            n_refused += 1
        else:
            assert {name: found.get(name) for name in document} == document
    assert n_refused > 7 * len(good)


def test_a_change_that_is_meant_goes_without_the_seal(tmp_path: Path) -> None:
    """It is the first line of the mapping, so that deleting it leaves JSON."""
    path = tmp_path / "x.json"
    files.write_sealed_json(path, {"seed": 3})
    path.write_text(path.read_text().replace("3\n", "4\n"))
    with pytest.raises(RunFolderError, match=r"its checksum does not match; restore it .* delete the line 'sha256'"):
        files.read_sealed_json(path)
    lines = path.read_text().splitlines(keepends=True)
    assert lines[1].startswith(' "sha256": ')
    path.write_text("".join([lines[0], *lines[2:]]))
    assert files.read_sealed_json(path) == {"seed": 4}


def test_gone_is_not_changed(tmp_path: Path) -> None:
    """What is gone can be made again; what is another is refused and stays."""
    (tmp_path / "a").write_text("one")
    (tmp_path / "b").write_text("two")
    digests = {name: files.digest(tmp_path / name) for name in ("a", "b")}
    assert digests["a"] == "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"  # sha256sum
    assert files.are_unchanged(tmp_path, digests)
    (tmp_path / "a").unlink()
    assert not files.are_unchanged(tmp_path, digests)
    (tmp_path / "a").write_text("another")
    with pytest.raises(RunFolderError, match="a was changed after the run; delete it and resume to write it again"):
        files.are_unchanged(tmp_path, digests)
    (tmp_path / "a").unlink()
    (tmp_path / "a").mkdir()
    with pytest.raises(RunFolderError, match="a cannot be read: Is a directory"):
        files.are_unchanged(tmp_path, digests)


def test_what_is_there(tmp_path: Path) -> None:
    """A link to nothing is not, nor is what a file would have to hold."""
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    found = [files.is_there(tmp_path / name) for name in ("file", "nothing", "link", "file/within")]
    assert found == [True, False, False, False]
    with pytest.raises(RunFolderError, match="loop cannot be read: Too many levels of symbolic links"):
        files.is_there(tmp_path / "loop")
