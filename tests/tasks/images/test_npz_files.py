"""A user's own npz file, good and bad."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from archwright.core.errors import DataError, InvalidValueError
from archwright.tasks import open_task
from archwright.tasks.images.npz_files import npz

Arrays = dict[str, Any]


def _good(shape: tuple[int, ...] = (8, 8)) -> Arrays:
    rng = np.random.default_rng(0)
    return {
        "x_train": rng.integers(0, 256, (20, *shape), dtype=np.uint8),
        "y_train": np.arange(20) % 2,
        "x_test": rng.integers(0, 256, (6, *shape), dtype=np.uint8),
        "y_test": np.arange(6) % 2,
    }


def _save(folder: Path, arrays: Arrays) -> Path:
    path = folder / "data.npz"
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize(
    ("shape", "input_shape"),
    [((8, 9), (1, 8, 9)), ((8, 9, 1), (1, 8, 9)), ((8, 9, 3), (3, 8, 9)), ((8, 9, 4), (4, 8, 9))],
)
def test_accepted_shapes(tmp_path: Path, shape: tuple[int, ...], input_shape: tuple[int, int, int]) -> None:
    """(N, H, W) is one channel; channels stand last otherwise."""
    assert npz(_save(tmp_path, _good(shape))).input_shape == input_shape


def test_pixels_arrive_where_they_were(tmp_path: Path) -> None:
    """The test images come back from inputs and preprocessing."""
    arrays = _good((5, 6, 3))
    task = npz(_save(tmp_path, arrays))
    mean, std = (torch.tensor(task.preprocessing[key])[:, None, None] for key in ("mean", "std"))
    inputs, targets = next(task.split("test").ordered(10))
    pixels = torch.round((inputs * std + mean) * 255).permute(0, 2, 3, 1)
    assert np.array_equal(pixels.numpy(), arrays["x_test"])
    assert targets.tolist() == arrays["y_test"].tolist()


def test_class_names_are_kept(tmp_path: Path) -> None:
    """Optional array of strings."""
    assert npz(_save(tmp_path, _good() | {"class_names": np.array(["cat", "dog"])})).class_names == ("cat", "dog")


def test_channels_may_stand_first(tmp_path: Path) -> None:
    """As torch has them, where the last axis cannot be one of channels; the inputs are the same."""
    arrays = _good((9, 7, 3))
    last = npz(_save(tmp_path, arrays))
    first = {name: a.transpose(0, 3, 1, 2) if a.ndim == 4 else a for name, a in arrays.items()}
    assert npz(_save(tmp_path, first)).fingerprint == last.fingerprint


def test_three_pixels_wide_is_not_channels(tmp_path: Path) -> None:
    """(N, 3, H, 3) stays what the documentation says, channels last."""
    assert npz(_save(tmp_path, _good((3, 9, 3)))).input_shape == (3, 3, 9)


def test_a_validation_part_is_used(tmp_path: Path) -> None:
    """Whatever the seed; no number of images can be asked for beside it."""
    arrays = _good()
    arrays |= {"x_val": arrays["x_test"][:4], "y_val": np.array([0, 1, 1, 0], dtype=np.uint8)}
    path = _save(tmp_path, arrays)
    task = npz(path, seed=4)
    assert [len(task.split(part)) for part in ("train", "validation", "train+validation", "test")] == [20, 4, 24, 6]
    (batch,) = task.split("validation").ordered(10)
    assert batch.targets.tolist() == [0, 1, 1, 0]
    assert torch.equal(batch.inputs, next(task.split("test").ordered(4)).inputs)
    with pytest.raises(InvalidValueError, match="the data have a validation part of 4 images"):
        npz(path, val_images=2)


@pytest.mark.parametrize(
    ("arrays", "expected"),
    [
        ({"x_val": np.zeros((2, 8, 8), np.uint8)}, "holds no array 'y_val' beside the other one"),
        ({"y_val": np.zeros(2, np.int64)}, "holds no array 'x_val' beside the other one"),
        ({"x_val": np.zeros((2, 8, 9), np.uint8), "y_val": np.zeros(2, np.int64)}, "those of 'x_val' 1x8x9"),
        ({"x_val": np.zeros((2, 8, 8), np.uint8), "y_val": np.zeros(3, np.int64)}, "'y_val' has 3 labels for the 2"),
        ({"x_val": np.zeros((2, 8, 8), np.uint8), "y_val": np.array([0, 2])}, "'y_val' holds class 2"),
    ],
)
def test_bad_validation_parts(tmp_path: Path, arrays: Arrays, expected: str) -> None:
    with pytest.raises(DataError, match=expected):
        npz(_save(tmp_path, _good() | arrays))


def test_constant_images_are_named(tmp_path: Path) -> None:
    """There is nothing to learn; the value says what went wrong."""
    task = npz(_save(tmp_path, _good((8, 8, 3)) | {"x_train": np.full((20, 8, 8, 3), 7, np.uint8)}))
    assert task.remarks[0].startswith(
        "all training images are one colour (7, 7, 7 of 255), so there is nothing to learn"
    )


def test_a_home_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell does not expand ~ behind a colon."""
    monkeypatch.setenv("HOME", str(tmp_path))
    path = _save(tmp_path, _good())
    assert open_task("npz:~/data.npz").fingerprint == npz(path).fingerprint


def test_other_arrays_are_ignored(tmp_path: Path) -> None:
    """Even Python objects, which are not read."""
    task = npz(_save(tmp_path, _good() | {"notes": np.array([{}], dtype=object)}))
    assert task.name == f"npz:{tmp_path / 'data.npz'}"


def test_unsigned_labels_are_fine(tmp_path: Path) -> None:
    """Any integer type."""
    arrays = _good()
    assert npz(_save(tmp_path, arrays | {"y_train": arrays["y_train"].astype(np.uint8)})).n_classes == 2


def _drop(name: str) -> Callable[[Arrays], None]:
    return lambda arrays: arrays.__delitem__(name)


def _put(name: str, make: Callable[[Any], Any]) -> Callable[[Arrays], None]:
    return lambda arrays: arrays.__setitem__(name, make(arrays[name]))


FAULTS = {
    "missing array": (_drop("y_test"), "lacks the array 'y_test'; there are: x_test, x_train, y_train"),
    "objects": (_put("x_train", lambda x: x.astype(object)), "'x_train' holds Python objects"),
    "float images": (_put("x_train", lambda x: x / 255), "'x_train' has dtype float64; accepted is uint8"),
    "signed images": (_put("x_test", lambda x: x.astype(np.int16)), "'x_test' has dtype int16"),
    "flat images": (_put("x_train", lambda x: x.reshape(20, 64)), "'x_train' has 2 axes, shape (20, 64)"),
    "five axes": (_put("x_train", lambda x: x[..., None, None]), "'x_train' has 5 axes"),
    "many channels": (_put("x_train", lambda x: x[:, None].repeat(8, 1)), "'x_train' has 8 channels; accepted are 1"),
    "no channel": (_put("x_train", lambda x: x[..., None][..., :0]), "'x_train' is empty"),
    "no image": (_put("x_test", lambda x: x[:0]), "'x_test' is empty"),
    "too few labels": (_put("y_train", lambda y: y[:-1]), "'y_train' has 19 labels for the 20 images of 'x_train'"),
    "no labels": (_put("y_test", lambda y: y[:0]), "'y_test' has 0 labels for the 6 images of 'x_test'"),
    "one-hot labels": (_put("y_train", lambda y: np.eye(2, dtype=int)[y]), "'y_train' has shape (20, 2)"),
    "float labels": (_put("y_train", lambda y: y.astype(float)), "'y_train' has dtype float64"),
    "truth values": (_put("y_train", lambda y: y.astype(bool)), "'y_train' has dtype bool"),
    "negative label": (_put("y_train", lambda y: y - 1), "'y_train' holds the negative label -1"),
    "negative test label": (_put("y_test", lambda y: y - 1), "'y_test' holds the negative label -1"),
    "gap": (_put("y_train", lambda y: y * 2), "'y_train' goes up to 2 but has no label 1"),
    "from one": (_put("y_train", lambda y: y + 1), "'y_train' goes up to 2 but has no label 0"),
    "huge label": (_put("y_train", lambda y: y.astype(np.uint64) * (2**64 - 1)), "has no label 1"),
    "one class": (_put("y_train", lambda y: y * 0), "'y_train' has 1 class"),
    "unseen class": (_put("y_test", lambda y: y + 1), "'y_test' holds class 2, which 'y_train' lacks"),
    "one of a class": (_put("y_train", lambda y: np.r_[1, y[1:] * 0]), "'y_train' has one image of class 1"),
    "other size": (_put("x_test", lambda x: x[:, :7]), "'x_train' are 1x8x8 and those of 'x_test' 1x7x8"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_one_line_with_path_and_array(tmp_path: Path, fault: str) -> None:
    """The message begins with the file and names the array and what was wrong."""
    arrays = _good()
    change, expected = FAULTS[fault]
    change(arrays)
    path = _save(tmp_path, arrays)
    with pytest.raises(DataError) as caught:
        npz(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert expected in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (np.array(["a"]), "'class_names' has 1 names for 2 classes"),
        (np.array([1, 2]), "'class_names' has dtype int64"),
        (np.array(["a", "b"], dtype=object), "'class_names' holds Python objects"),
    ],
)
def test_bad_class_names(tmp_path: Path, names: Any, expected: str) -> None:
    """Too few, numbers, objects."""
    with pytest.raises(DataError, match=expected):
        npz(_save(tmp_path, _good() | {"class_names": names}))


def test_missing_file(tmp_path: Path) -> None:
    """Named, with the way to write it."""
    with pytest.raises(DataError, match=r"nowhere\.npz: no such file"):
        npz(tmp_path / "nowhere.npz")


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 but no archive"])
def test_not_an_npz(tmp_path: Path, content: bytes) -> None:
    """Empty files, text and the beginning of an archive."""
    path = tmp_path / "data.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match="not an npz file"):
        npz(path)


def test_single_array_file(tmp_path: Path) -> None:
    """An npy file under the name of an npz."""
    path = tmp_path / "data.npz"
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(DataError, match="not an npz file"):
        npz(path)


def test_folder(tmp_path: Path) -> None:
    """A folder is no npz file either."""
    with pytest.raises(DataError, match="not an npz file"):
        npz(tmp_path)


def test_flipped_bits(tmp_path: Path) -> None:
    """Damage inside an array is found by the archive's checksum and blamed on that array."""
    path = _save(tmp_path, _good())
    content = bytearray(path.read_bytes())
    place = content.index(b"x_train.npy") + 400
    content[place] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(DataError, match="'x_train' cannot be read"):
        npz(path)


def test_foreign_archive(tmp_path: Path) -> None:
    """A zip of text files lacks the arrays; the first missing one and those there are named."""
    path = tmp_path / "data.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(DataError, match=r"lacks the array 'x_train'; there are: readme\.txt"):
        npz(path)


def test_text_in_place_of_an_array(tmp_path: Path) -> None:
    """A member of the right name that is no array."""
    path = _save(tmp_path, {name: array for name, array in _good().items() if name != "x_test"})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("x_test", "hello")
    with pytest.raises(DataError, match="'x_test' is not an array"):
        npz(path)


def test_claim_of_an_impossible_size(tmp_path: Path) -> None:
    """A header that promises more than memory holds ends in one line, not in a crash."""
    path = _save(tmp_path, {name: array for name, array in _good().items() if name != "x_test"})
    header = "{'descr': '|u1', 'fortran_order': False, 'shape': (10000000000000, 8, 8), }".ljust(117) + "\n"
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("x_test.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode())
    with pytest.raises(DataError, match="'x_test' cannot be read"):
        npz(path)
