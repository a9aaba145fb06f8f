"""A user's own images in a tree of folders."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from archwright.core.catalog import listed
from archwright.core.errors import DataError
from archwright.tasks.images.decoding import SUFFIXES, is_image_name
from archwright.tasks.images.file_lists import FileList, is_folder
from archwright.tasks.images.streamed import StreamedTask

ACCEPTED = ", ".join(SUFFIXES)
LAYOUT = "train/CLASS/* and test/CLASS/* (or val/CLASS/*)"
MAX_DEPTH = 50
"""How deep nested folders are searched."""


@listed(
    "dataset",
    "folder",
    summary="your own images: folder:PATH with train/CLASS/* and test/CLASS/* or val/CLASS/*, streamed",
    source="a folder",
)
def folder(
    path: str | os.PathLike[str],
    *,
    seed: int = 0,
    val_images: int | None = None,
    input_shape: tuple[int, int, int] | None = None,
) -> StreamedTask:
    """Images of a folder `train` and a folder `test` with one folder a class, which names it.

    JPEG, PNG and WebP files count, by suffix, also in folders below a class's; other files, and all whose names begin
    with a dot, do not. Without `test`, `val` is the test part, as in ImageNet papers; beside `test` it is not used, as
    the validation part is drawn from `train`. Links are followed within the tree and refused where they lead out.

    Args:
        path: The folder.
        seed: Draws the validation part.
        val_images: Images in it, instead of 10 %.
        input_shape: (C, H, W) of the network's input; see `StreamedTask` for what it is by default.

    Raises:
        DataError: If the tree or an image in it cannot be used; names folder or file.
        InvalidValueError: If an option cannot be met.
    """
    root = Path(path)
    there = _folders(root)
    train = read_part(root, "train")
    test = read_part(root, "val" if "val" in there and "test" not in there else "test")
    _check(root, train, test)
    names = list(train.counts)
    task = StreamedTask(
        str(path),
        *(train.files, train.labels(names), test.files, test.labels(names)),
        class_names=names,
        input_shape=input_shape,
        val_images=val_images,
        seed=seed,
    )
    task.name = f"folder:{path}"
    return task


@dataclass(frozen=True)
class PartOfTree:
    """The images of one part of a tree.

    Attributes:
        folder: Its name: "train", "test" or "val".
        files: Class by class, each in order of names.
        counts: Images of each class, in the order of `files`.
    """

    folder: str
    files: FileList
    counts: dict[str, int]

    def labels(self, names: list[str]) -> NDArray[np.int64]:
        """The class number of each file."""
        numbers = {name: number for number, name in enumerate(names)}
        return np.repeat([numbers[name] for name in self.counts], list(self.counts.values())).astype(np.int64)


def read_part(root: Path, part: str) -> PartOfTree:
    """Classes and images below root/part.

    Raises:
        DataError: If there is no such folder, an image lies beside the classes, a class has no image, or a link leads
            out of the tree.
    """
    real_root, counts = os.path.realpath(root), dict[str, int]()
    if part not in (there := _folders(root)):
        raise DataError(f"{root}: holds no folder {part!r} but {', '.join(there[:8]) or 'none'}; make it {LAYOUT}")
    _refuse_outside(os.path.join(root, part), real_root)
    above = (real_root, os.path.realpath(root / part))

    def names() -> Iterator[str]:
        for entry in _entries(root, part, real_root):
            if not entry.is_dir():
                if is_image_name(entry.name):
                    raise DataError(f"{entry.path}: an image beside the class folders; put it into one of them")
                continue
            name = _printable(entry)
            counts[name] = 0
            for path in _images(root, f"{part}/{entry.name}", real_root, above):
                counts[name] += 1
                yield path
            if not counts[name]:
                raise DataError(f"{entry.path}: class {entry.name!r} has no image ({ACCEPTED}); add some or remove it")

    return PartOfTree(part, FileList(root, names()), counts)


def _images(root: Path, folder: str, real_root: str, above: tuple[str, ...]) -> Iterator[str]:
    """Paths of the images below a folder, relative to the root, in order of names."""
    here = os.path.realpath(root / folder)
    if here in above:
        raise DataError(f"{root / folder}: a link to a folder around itself; remove it")
    if len(above) > MAX_DEPTH:
        raise DataError(f"{root / folder}: more than {MAX_DEPTH} folders deep; put the images higher up")
    for entry in _entries(root, folder, real_root):
        name = f"{folder}/{entry.name}"
        if entry.is_dir():
            yield from _images(root, name, real_root, (*above, here))
        elif is_image_name(entry.name):
            if not entry.is_file():
                raise DataError(f"{entry.path}: named like an image, but no file; remove it")
            yield name


def _entries(root: Path, folder: str, real_root: str) -> list[os.DirEntry[str]]:
    """The entries of a folder in order of their names, without hidden ones."""
    try:
        with os.scandir(root / folder) as found:
            entries = sorted((entry for entry in found if not entry.name.startswith(".")), key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"{root / folder}: cannot be read ({error.strerror}); check its permissions") from None
    for entry in entries:
        if entry.is_symlink():
            _refuse_outside(entry.path, real_root)
            _refuse_endless(entry)
    return entries


def _refuse_endless(entry: os.DirEntry[str]) -> None:
    try:
        entry.stat()
    except FileNotFoundError:
        return  # a link to nothing, which is no folder and no image
    except OSError as error:
        raise DataError(f"{entry.path}: a link that cannot be followed ({error.strerror}); remove it") from None


def _refuse_outside(path: str, real_root: str) -> None:
    target = os.path.realpath(path)
    if os.path.commonpath([target, real_root]) != real_root:
        raise DataError(f"{path}: a link out of the tree, to {target}; copy what it names into the tree")


def _printable(entry: os.DirEntry[str]) -> str:
    # class names travel in JSON and ONNX files
    try:
        entry.name.encode("utf-8")
    except UnicodeEncodeError:
        raise DataError(f"{entry.path!a}: the class's name is not UTF-8; rename the folder") from None
    return entry.name


def _folders(root: Path) -> list[str]:
    """Names of the folders in the tree's root."""
    if not is_folder(root):
        what = "a file, not a folder" if os.path.lexists(root) else "no such folder"
        raise DataError(f"{root}: {what}; give the path of a folder with {LAYOUT}")
    try:
        return sorted(path.name for path in root.iterdir() if path.is_dir())
    except OSError as error:
        raise DataError(f"{root}: cannot be read ({error.strerror}); check its permissions") from None


def _check(root: Path, train: PartOfTree, test: PartOfTree) -> None:
    for part in (train, test):
        if not part.counts:
            raise DataError(f"{root / part.folder}: holds no class folder; make it {LAYOUT}")
    if len(train.counts) < 2:
        raise DataError(f"{root / 'train'}: holds one class, {next(iter(train.counts))!r}; accepted are 2 or more")
    for name in test.counts:
        if name not in train.counts:
            raise DataError(
                f"{root / test.folder / name}: class {name!r} is missing in train; add it there or remove it"
            )
    for name, n in train.counts.items():
        if n < 2:
            raise DataError(
                f"{root / 'train' / name}: class {name!r} has one image; give at least 2, one is for validation"
            )
