"""Trees of folders, good and bad."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from archwright.core.errors import DataError
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


@pytest.mark.parametrize("suffix", ["jpg", "jpeg", "png", "webp"])
def test_each_format_counts(make_tree: Make, suffix: str) -> None:
    """27 training images of which 3 validate."""
    assert len(folder(make_tree(suffix=suffix)).split("train")) == 24


def test_val_is_the_test_part_where_there_is_no_test(make_tree: Make) -> None:
    """As in ImageNet papers; the validation part is drawn from train by seed, also then."""
    root = make_tree(counts={"train": {"a": 10, "b": 10}, "val": {"a": 3, "b": 2}})
    task = folder(root)
    assert [len(task.split(part)) for part in ("train", "validation", "test")] == [18, 2, 5]
    assert folder(root, seed=1).fingerprint != task.fingerprint
    shutil.copytree(root / "val", root / "test")
    (root / "test/a/00.png").unlink()
    assert len(folder(root).split("test")) == 4


def test_what_is_no_image_or_hidden_does_not_count(make_tree: Make) -> None:
    """Notes, checksums, folders and resource forks that begin with a dot."""
    root = make_tree()
    before = folder(root).fingerprint
    (root / "train/readme.txt").write_text("hello")
    (root / "train/cat/notes.gif").write_bytes(b"")
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
        (_empty("train/dog"), "{root}/train/dog: class 'dog' has no image (.jpg, .jpeg, .png, .webp)"),
        (_empty("test/dog"), "{root}/test/dog: class 'dog' has no image"),
        (_only_one_class, "{root}/train: holds one class, 'cat'; accepted are 2 or more"),
        (_one_image, "{root}/train/dog: class 'dog' has one image; give at least 2"),
        (_unknown_class, "{root}/test/emu: class 'emu' is missing in train"),
        (_remove("train/dog"), "{root}/test/dog: class 'dog' is missing in train"),
        (_beside, "{root}/train/stray.JPG: an image beside the class folders"),
        (_text, "{root}/train/dog/00.png: cannot be read as a JPEG, PNG or WebP image"),
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
