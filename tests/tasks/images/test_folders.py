"""Trees of folders, good and bad."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from archwright.core.errors import DataError, InvalidValueError
from archwright.tasks import folder
from archwright.tasks.images.folders import read_part

Make = Callable[..., Path]


def test_classes_and_labels_come_from_the_folders(make_tree: Make) -> None:
    """In order of names; test has fewer classes and keeps the numbers of train."""
    root = make_tree(counts={"train": {"eel": 3, "cat": 2, "dog": 2}, "test": {"eel": 2, "cat": 1}})
    task = folder(root)
    assert task.class_names == ("cat", "dog", "eel")
    assert task.name == f"folder:{root}"
    labels = [next(task.split(part).ordered(100))[1].tolist() for part in ("train+validation", "test")]
    assert labels == [[0, 0, 1, 1, 2, 2, 2], [0, 2, 2]]


def test_files_are_listed_in_order_of_their_names(make_tree: Make) -> None:
    """Class by class, also below further folders."""
    root = make_tree(counts={"train": {"b": 2, "a": 1}})
    (root / "train/b/01").mkdir()
    shutil.copy(root / "train/a/00.png", root / "train/b/01/x.PNG")
    part = read_part(root, "train")
    names = [part.files.name(i) for i in range(4)]
    assert names == ["train/a/00.png", "train/b/00.png", "train/b/01/x.PNG", "train/b/01.png"]
    assert part.counts == {"a": 1, "b": 3}


@pytest.mark.parametrize("suffix", ["jpg", "jpeg", "png", "webp", "bmp", "tif", "tiff", "gif"])
def test_each_format_counts(make_tree: Make, suffix: str) -> None:
    """27 training images of which 3 validate."""
    assert len(folder(make_tree(suffix=suffix)).split("train")) == 24


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_val_is_the_test_part_where_there_is_no_test(make_tree: Make, name: str) -> None:
    """As in ImageNet papers; the validation part is drawn from train by seed, also then."""
    root = make_tree(counts={"train": {"a": 10, "b": 10}, name: {"a": 3, "b": 2}})
    task = folder(root)
    assert [len(task.split(part)) for part in ("train", "validation", "test")] == [18, 2, 5]
    assert folder(root, seed=1).fingerprint != task.fingerprint


def test_val_is_the_validation_part_beside_a_test_part(make_tree: Make) -> None:
    """Whatever the seed; both parts together hold its images too, and no number of them can be asked for."""
    root = make_tree(counts={"train": {"a": 10, "b": 10}, "val": {"a": 3, "b": 2}, "test": {"a": 4}})
    task = folder(root)
    assert [len(task.split(p)) for p in ("train", "validation", "train+validation", "test")] == [20, 5, 25, 4]
    assert [batch.targets.tolist() for batch in task.split("validation").ordered(9)] == [[0, 0, 0, 1, 1]]
    assert folder(root, seed=1).split("validation").n == 5
    with pytest.raises(InvalidValueError, match="val_images is 3, and the data have a validation part of 5 images"):
        folder(root, val_images=3)


# ── one tree ──────────────────────────────────────────────────────────────────────────────────────


def test_one_tree_is_divided_on_request(make_tree: Make) -> None:
    """A fifth of each class is tested, the same with every seed; the options open the same data again."""
    root = make_tree(counts={"": {"a": 10, "b": 20}})
    with pytest.raises(DataError, match=r"holds no folder 'train' but a, b; .*--set data.test_share=0.2"):
        folder(root)
    task = folder(root, test_share="0.2")
    assert [len(task.split(part)) for part in ("train+validation", "test")] == [24, 6]
    assert task.options == {"test_share": 0.2}
    tested = [task.split("test"), folder(root, test_share=0.2, seed=5).split("test")]
    first, second = (torch.cat([batch.inputs for batch in split.ordered(9)]) for split in tested)
    assert first.shape == second.shape
    assert [batch.targets.tolist() for batch in tested[0].ordered(9)] == [[0, 0, 1, 1, 1, 1]]


def test_a_train_folder_is_divided_too(make_tree: Make) -> None:
    """Beside a validation part, which stays."""
    root = make_tree(counts={"train": {"a": 10, "b": 10}, "valid": {"a": 3, "b": 2}})
    task = folder(root, test_share=0.3)
    assert [len(task.split(part)) for part in ("train", "validation", "test")] == [14, 5, 6]


@pytest.mark.parametrize("share", ["0", "1", "x", "-1", "nan"])
def test_a_share_that_is_none_is_refused(make_tree: Make, share: str) -> None:
    with pytest.raises(InvalidValueError, match=f"test_share is '{share}'; give a share of the images between 0 and 1"):
        folder(make_tree(counts={"train": {"a": 10, "b": 10}}), test_share=share)


def test_a_test_part_is_not_drawn_where_there_is_one(make_tree: Make) -> None:
    with pytest.raises(InvalidValueError, match=r"test_share is 0.2, and .* has a test part"):
        folder(make_tree(), test_share=0.2)


# ── what is told ──────────────────────────────────────────────────────────────────────────────────


def test_what_was_found_is_told(make_tree: Make) -> None:
    """Images by part and class, and what was passed over."""
    root = make_tree(counts={"train": {"a": 10, "b": 8}, "test": {"a": 3}})
    for name in ("train/notes.txt", "train/a/x.txt", "train/a/x.PDF", "test/a/none"):
        (root / name).write_bytes(b"")
    assert folder(root).remarks == (
        "train 18 images: a 10, b 8",
        "test 3 images: a 3",
        "passed over 4 files that are no images by their suffix: .txt 2, .pdf 1, without suffix 1",
    )


def test_many_classes_are_told_in_short(make_tree: Make) -> None:
    root = make_tree(counts={"train": {f"c{i:02d}": 2 + i for i in range(10)}, "test": {"c00": 1}})
    assert folder(root).remarks[0].endswith("c07 9, … (10 classes of 2 to 11)")


def test_links_out_of_the_tree_are_followed_on_request(make_tree: Make) -> None:
    """As trees made of links to a store of images."""
    root = make_tree()
    store = make_tree("store", {"more": {"cat": 3}})
    (root / "train/cat/more").symlink_to(store / "more/cat")
    with pytest.raises(DataError, match=r"a link out of the tree.*--set data.links=follow"):
        folder(root)
    assert "cat 15" in folder(root, links="follow").remarks[0]
    with pytest.raises(InvalidValueError, match="links is 'all'; choose inside or follow"):
        folder(root, links="all")


def test_sixteen_bits_that_hold_eight_are_named(make_tree: Make) -> None:
    """Their upper 8 bits are all zero: nothing could be learned from them, and nobody would be told."""
    root = make_tree()
    for file in root.rglob("*.png"):
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 8), dtype=np.uint16)).save(file)
    assert folder(root).remarks[-1].startswith("all training images are one colour (0 of 255)")


def test_images_that_hardly_vary_are_pointed_out(make_tree: Make) -> None:
    root = make_tree()
    for file in root.rglob("*.png"):
        Image.fromarray(np.random.default_rng(0).integers(3, 13, (8, 8), dtype=np.uint8)).save(file)
    assert folder(root).remarks[-1] == (
        "training images hardly vary: their values are 3 to 12 of 0 to 255; is their range right?"
    )


def test_what_is_no_image_or_hidden_does_not_count(make_tree: Make) -> None:
    """Notes, checksums, folders and resource forks that begin with a dot."""
    root = make_tree()
    before = folder(root).fingerprint
    (root / "train/readme.txt").write_text("hello")
    (root / "train/cat/notes.pdf").write_bytes(b"")
    (root / "train/cat/._00.png").write_bytes(b"no image")
    (root / "train/.cache").mkdir()
    (root / "extra").mkdir()
    assert folder(root).fingerprint == before


def test_links_within_the_tree_are_followed(make_tree: Make) -> None:
    """To files and to folders."""
    root = make_tree()
    (root / "train/cat/linked.png").symlink_to(root / "train/dog/00.png")
    (root / "val").symlink_to("test")
    assert read_part(root, "train").counts["cat"] == 13
    assert read_part(root, "val").counts == read_part(root, "test").counts


def _remove(path: str) -> Callable[[Path], None]:
    return lambda root: shutil.rmtree(root / path)


def _only_one_class(root: Path) -> None:
    for name in ("dog", "eel"):
        shutil.rmtree(root / "train" / name)
        shutil.rmtree(root / "test" / name)


def _empty(path: str) -> Callable[[Path], None]:
    def act(root: Path) -> None:
        shutil.rmtree(root / path)
        (root / path).mkdir()

    return act


def _one_image(root: Path) -> None:
    for i in range(1, 9):
        (root / f"train/dog/{i:02d}.png").unlink()


def _unknown_class(root: Path) -> None:
    shutil.copytree(root / "test/dog", root / "test/emu")


def _beside(root: Path) -> None:
    shutil.copy(root / "train/dog/00.png", root / "train/stray.JPG")


def _text(root: Path) -> None:
    (root / "train/dog/00.png").write_text("hello")


def _link(target: str, path: str) -> Callable[[Path], None]:
    def act(root: Path) -> None:
        outside = root.parent / "outside"
        outside.mkdir()
        Image.new("RGB", (8, 8)).save(outside / "a.png")
        if (root / path).exists():
            shutil.rmtree(root / path)
        (root / path).symlink_to(target.format(root=root, outside=outside))

    return act


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_remove(""), "{root}: no such folder; give the path of a folder with train/CLASS/*"),
        (_remove("train"), "{root}: holds no folder 'train' but test; make it train/CLASS/*"),
        (_remove("test"), "{root}: holds no folder 'test' but train; make it train/CLASS/* and test/CLASS/* (or val"),
        (_empty(""), "{root}: holds no folder 'train' but none"),
        (_empty("train"), "{root}/train: holds no class folder"),
        (_empty("test"), "{root}/test: holds no class folder"),
        (
            _empty("train/dog"),
            "{root}/train/dog: class 'dog' has no image (.jpg, .jpeg, .png, .webp, .bmp, .tif, .tiff, .gif)",
        ),
        (_empty("test/dog"), "{root}/test/dog: class 'dog' has no image"),
        (_only_one_class, "{root}/train: holds one class, 'cat'; accepted are 2 or more"),
        (_one_image, "{root}/train/dog: class 'dog' has one image; give at least 2"),
        (_unknown_class, "{root}/test/emu: class 'emu' is missing in train"),
        (_remove("train/dog"), "{root}/test/dog: class 'dog' is missing in train"),
        (_beside, "{root}/train/stray.JPG: an image beside the class folders"),
        (_text, "{root}/train/dog/00.png: cannot be read as a JPEG, PNG, WebP, BMP, TIFF or GIF image"),
        (_link("{outside}/a.png", "train/dog/x.png"), "{root}/train/dog/x.png: a link out of the tree, to"),
        (_link("{outside}", "train/emu"), "{root}/train/emu: a link out of the tree, to"),
        (_link("{outside}", "train"), "{root}/train: a link out of the tree, to"),
        (_link("{root}/train", "train/dog/x"), "{root}/train/dog/x: a link to a folder around itself"),
        (_link("{root}/gone.png", "train/dog/x.png"), "{root}/train/dog/x.png: named like an image, but no file"),
    ],
)
def test_bad_trees_are_refused_with_one_line(make_tree: Make, spoil: Callable[[Path], None], message: str) -> None:
    """Which names the folder or file."""
    root = make_tree()
    spoil(root)
    with pytest.raises(DataError) as caught:
        folder(root)
    assert str(caught.value).startswith(message.format(root=root))
    assert "\n" not in str(caught.value)


def test_file_instead_of_a_folder_is_refused(tmp_path: Path) -> None:
    """An archive that was not unpacked."""
    (tmp_path / "images.zip").write_bytes(b"")
    with pytest.raises(DataError, match=r"images\.zip: a file, not a folder"):
        folder(tmp_path / "images.zip")


def test_class_name_that_is_no_text_is_refused(make_tree: Make) -> None:
    """It would travel into JSON and ONNX files; a file's name may be anything."""
    root = make_tree()
    os.rename(root / "train/cat/00.png", os.fsencode(root / "train/cat") + b"/\xff.png")
    assert len(folder(root).split("train+validation")) == 27
    os.rename(root / "train/cat", os.fsencode(root / "train") + b"/c\xff")
    with pytest.raises(DataError, match="name is not UTF-8"):
        folder(root)


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_folder_closed_to_us_is_named(make_tree: Make) -> None:
    """A line instead of a traceback."""
    root = make_tree()
    (root / "train/dog").chmod(0)
    with pytest.raises(DataError, match=r"train/dog: cannot be read \(Permission denied\)"):
        folder(root)
