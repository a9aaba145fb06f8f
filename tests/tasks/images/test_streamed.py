"""Tasks over files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from archwright.core.errors import DataError, InvalidValueError
from archwright.tasks import ImageTask, StreamedTask, folder
from archwright.tasks.images import streamed
from archwright.tasks.images.file_lists import FileList

PARTS = ("train", "validation", "train+validation", "test")


def _arrays(root: Path) -> dict[str, Any]:
    """The images of a tree as arrays, read with nothing of ours."""
    found: dict[str, Any] = {}
    for part in ("train", "test"):
        paths = sorted(root.glob(f"{part}/*/*"))
        classes = sorted({path.parent.name for path in paths})
        found[f"x_{part}"] = np.stack([np.atleast_3d(np.asarray(Image.open(path))) for path in paths]).transpose(
            0, 3, 1, 2
        )
        found[f"y_{part}"] = np.array([classes.index(path.parent.name) for path in paths])
    return found


@pytest.mark.parametrize("shape", [(8, 8, 3), (12, 9), (33, 40, 3)])
def test_small_images_are_as_in_memory(make_tree: Callable[..., Path], shape: tuple[int, ...]) -> None:
    """Statistics, parts, inputs, targets and augmented batches are those of the same images in an array."""
    root = make_tree(shapes=(shape,))
    streamed, held = folder(root, seed=4), ImageTask("held", **_arrays(root), seed=4)
    assert streamed.input_shape == held.input_shape
    assert {**streamed.preprocessing, **held.preprocessing} == streamed.preprocessing
    for part in PARTS:
        one, other = streamed.split(part), held.split(part)  # type: ignore[arg-type]
        pairs = list(zip(one.ordered(7), other.ordered(7), strict=True))
        for augment in (None, ("crop", "mirror"), ("jitter", "auto")):
            one, other = one.augmented(augment), other.augmented(augment)  # type: ignore[arg-type, assignment]
            pairs += zip(one.batches(5, seed=1, n_steps=3), other.batches(5, seed=1, n_steps=3), strict=True)
        for (x, y), (u, v) in pairs:
            assert torch.equal(x, u)
            assert torch.equal(y, v)
            assert x.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    ("shapes", "expected"),
    [
        (((8, 8, 3),), (3, 8, 8)),
        (((8, 8),), (1, 8, 8)),
        (((8, 8), (8, 8, 3)), (3, 8, 8)),
        (((40, 64, 3),), (3, 40, 64)),
        (((65, 65, 3),), (3, 224, 224)),
        (((8, 8, 3), (9, 8, 3)), (3, 224, 224)),
        (((8, 8), (8, 9)), (1, 224, 224)),
    ],
)
def test_input_follows_the_images(
    make_tree: Callable[..., Path], shapes: tuple[tuple[int, ...], ...], expected: tuple[int, int, int]
) -> None:
    """One size up to 64 is kept, else 224; grey only where all are."""
    assert folder(make_tree(shapes=shapes)).input_shape == expected


def test_photos_are_cut_and_scaled(make_tree: Callable[..., Path]) -> None:
    """From 64 pixels on as ImageNet papers do; the preprocessing says how images are framed."""
    task = folder(make_tree(shapes=((70, 90, 3), (80, 60, 3))), input_shape=(3, 64, 64))
    assert {name: task.preprocessing[name] for name in ("resize", "crop", "interpolation")} == {
        "resize": [73, 73],
        "crop": [64, 64],
        "interpolation": "bilinear",
    }
    inputs, _ = next(task.split("train").batches(8, seed=0, n_steps=1))
    assert tuple(inputs.shape) == (8, 3, 64, 64)


def test_photos_can_be_brought_to_smaller_inputs(make_tree: Callable[..., Path]) -> None:
    """Unless somebody gave the inputs; the task is then the one that is opened with those."""
    root = make_tree(shapes=((70, 90, 3), (80, 60, 3)))
    task = folder(root, val_images=7, seed=3)
    assert task.other_inputs() == tuple((3, side, side) for side in (96, 160))
    smaller, opened = task.brought_to((3, 96, 96)), folder(root, val_images=7, seed=3, input_shape=(3, 96, 96))
    assert smaller.fingerprint == opened.fingerprint
    assert smaller.options == opened.options
    assert opened.other_inputs() == ()
    assert folder(make_tree("small")).other_inputs() == ()


def test_options_are_kept_as_json(make_tree: Callable[..., Path]) -> None:
    """What was given, and nothing else; the validation part has the number asked for."""
    root = make_tree()
    task = folder(root, val_images=7, input_shape=(1, 16, 16))
    assert dict(task.options) == {"val_images": 7, "input_shape": [1, 16, 16]}
    assert [len(task.split(part)) for part in ("train", "validation")] == [20, 7]
    assert dict(folder(root).options) == {}


@pytest.mark.parametrize("shape", [(2, 8, 8), (3, 0, 8), (3, 8)])
def test_inputs_that_are_no_images_are_refused(make_tree: Callable[..., Path], shape: Any) -> None:
    """One or three channels, at least a pixel."""
    with pytest.raises(InvalidValueError, match=f"the input is {'x'.join(map(str, shape))}; give channels x height"):
        folder(make_tree(), input_shape=shape)


def test_statistics_of_many_images_are_those_of_a_sample(
    make_tree: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a sample of ten, ten files of "train" are read, the same for the same seed, others for another."""
    root = make_tree()
    monkeypatch.setitem(streamed.N_SAMPLED, "train", 10)
    found = [folder(root, seed=seed).preprocessing["mean"] for seed in (0, 0, 1)]
    assert found[0] == found[1] != found[2]
    everything = ImageTask("held", **_arrays(root)).preprocessing["mean"]
    assert found[0] != everything
    assert found[0] == pytest.approx(everything, abs=0.05)


@pytest.mark.parametrize("change", ["name", "label", "seed", "input", "pixels", "val_images"])
def test_fingerprint_sees_a_change(make_tree: Callable[..., Path], change: str) -> None:
    """Another file name, class, split, input or content gives another hash."""
    root, before = make_tree(), folder(make_tree()).fingerprint
    options: dict[str, Any] = {}
    if change == "name":
        (root / "train/cat/00.png").rename(root / "train/cat/aa.png")
    elif change == "label":
        (root / "train/cat/00.png").rename(root / "train/dog/aa.png")
    elif change == "pixels":
        Image.new("RGB", (8, 8), "white").save(root / "train/cat/00.png")
    else:
        options = {"seed": {"seed": 1}, "input": {"input_shape": (3, 9, 9)}, "val_images": {"val_images": 5}}[change]
    assert folder(root, **options).fingerprint != before


def _direct(root: Path, **options: Any) -> StreamedTask:
    arrays = _arrays(root)
    files = [
        FileList(root, [str(path.relative_to(root)) for path in sorted(root.glob(f"{part}/*/*"))])
        for part in ("train", "test")
    ]
    return StreamedTask("toy", files[0], arrays["y_train"], files[1], arrays["y_test"], **options)


def test_fingerprint_is_of_the_files_not_of_the_place(make_tree: Callable[..., Path]) -> None:
    """A copy of the tree elsewhere is the same data; a file outside the sample may be put right."""
    one, other = make_tree("one"), make_tree("other")
    assert folder(one).fingerprint == folder(other).fingerprint
    assert len(folder(one).fingerprint) == 64


@pytest.mark.parametrize("path", ["train/cat/03.png", "test/eel/01.png"])
def test_small_tree_is_checked_as_a_whole_when_opened(make_tree: Callable[..., Path], path: str) -> None:
    """An image that ends too early, in whichever part, is found before anything starts."""
    root = make_tree()
    content = (root / path).read_bytes()
    (root / path).write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=f"{path}: cannot be read"):
        folder(root)


def test_labels_must_fit_the_files(make_tree: Callable[..., Path]) -> None:
    """One a file."""
    files = FileList(make_tree(), ["train/cat/00.png"] * 4)
    with pytest.raises(DataError, match="3 labels for the 4 images of 'train'"):
        StreamedTask("toy", files, np.array([0, 0, 1]), files, np.array([0, 0, 1, 1]))


def test_shares_are_those_of_images_in_memory(make_tree: Callable[..., Path]) -> None:
    """Sizes as asked, classes in proportion, and no file in two."""
    task = _direct(make_tree())
    n = task.split("train").n
    one, two = task.shares("train", (0.5, 0.5), seed=0)
    assert (one.n, two.n) == (round(n / 2), n - round(n / 2))
    assert not set(one._positions.tolist()) & set(two._positions.tolist())  # type: ignore[attr-defined]
