"""Classification data sets that torchvision has downloaded to disk."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archwright.core.catalog import listed
from archwright.core.errors import DataError, InvalidValueError, UnknownNameError
from archwright.tasks.base import Task
from archwright.tasks.images.file_lists import FileList, is_folder
from archwright.tasks.images.in_memory import ImageTask
from archwright.tasks.images.streamed import StreamedTask
from archwright.tasks.images.torchvision_arrays import SETS


@dataclass(frozen=True)
class FileSet:
    """A data set whose torchvision class lists image files, and unpickles nothing (its source was read for that).

    Attributes:
        train: Values of `split` whose images are the training images.
        test: The value that is the test part.
        options: Further arguments of the class.
    """

    train: tuple[str, ...]
    test: str
    options: dict[str, Any] = field(default_factory=dict)


FILE_SETS = {
    "Country211": FileSet(("train", "valid"), "test"),
    "DTD": FileSet(("train", "val"), "test"),
    "FGVCAircraft": FileSet(("trainval",), "test"),
    "Flowers102": FileSet(("train", "val"), "test"),
    "Food101": FileSet(("train",), "test"),
    "Imagenette": FileSet(("train",), "val"),
    "OxfordIIITPet": FileSet(("trainval",), "test"),
    "StanfordCars": FileSet(("train",), "test"),
}


@listed(
    "dataset",
    "torchvision",
    summary="a torchvision data set on disk: torchvision:NAME:ROOT; " + ", ".join(sorted({*SETS, *FILE_SETS})),
    source="torchvision",
)
def torchvision(
    name: str,
    root: str | os.PathLike[str],
    *,
    seed: int = 0,
    val_images: int | None = None,
    input_shape: tuple[int, int, int] | None = None,
) -> Task:
    """A classification data set that torchvision has downloaded; nothing is downloaded here.

    Sets of small images are read into memory, from their original files; CIFAR in its binary version, as torchvision's
    own is pickled. Sets of files are streamed as `folder:` is; torchvision's class says which they are. Where it has
    a validation part of its own, these are training images too.

    Args:
        name: Of torchvision's class, in any case.
        root: The folder given to it.
        seed: Draws the validation part.
        val_images: Images in it, instead of 10 %.
        input_shape: (C, H, W) of the network's input; for sets of files.

    Raises:
        UnknownNameError: If the set is none of those that are known to unpickle nothing.
        DataError: If it is not there, or damaged.
        InvalidValueError: If an option cannot be met.
    """
    known = {each.lower(): each for each in (*SETS, *FILE_SETS)}
    if name.lower() not in known:
        # nearness minds the case, which names here do not
        raise UnknownNameError("torchvision data set", name, known if name.islower() else known.values())
    official, base = known[name.lower()], Path(root)
    if not is_folder(base):
        raise DataError(f"{base}: no such folder; give the root that torchvision downloaded {official} to")
    source = f"torchvision:{official}:{root}"
    if official in FILE_SETS:
        train, y_train, names = _files(official, base, FILE_SETS[official].train)
        test, y_test, _ = _files(official, base, (FILE_SETS[official].test,))
        return StreamedTask(
            source,
            *(train, y_train, test, y_test),
            class_names=names,
            seed=seed,
            val_images=val_images,
            input_shape=input_shape,
        )
    (x_train, y_train), (x_test, y_test), classes = SETS[official](base)
    task = ImageTask(source, x_train, y_train, x_test, y_test, class_names=classes, seed=seed, val_images=val_images)
    if input_shape not in (None, task.input_shape):
        own = "x".join(map(str, task.input_shape))
        raise InvalidValueError(f"images of {official} are {own} and stay so; leave the input's shape (--input) out")
    return task


def _files(name: str, root: Path, splits: Sequence[str]) -> tuple[FileList, NDArray[np.int64], list[str]]:
    """The files of some splits, their labels, and the names of the classes."""
    from torchvision import datasets

    paths: list[str] = []
    labels: list[int] = []
    classes: list[Any] = []
    for split in splits:
        try:
            found: Any = getattr(datasets, name)(os.fspath(root), split=split, download=False)
        except Exception as error:  # lists that are missing or damaged end in many ways
            said = " ".join(str(error).split()) or type(error).__name__
            raise DataError(
                f"torchvision {name} in {root} cannot be used ({said}); "
                f"download it first: torchvision.datasets.{name}({os.fspath(root)!r}, download=True)"
            ) from None
        split_paths, split_labels = _listed(name, found)
        paths += split_paths
        labels += split_labels
        classes = list(found.classes)
    names = [", ".join(each) if isinstance(each, tuple) else str(each) for each in classes]
    return FileList(root, [os.path.relpath(path, root) for path in paths]), np.asarray(labels, dtype=np.int64), names


def _listed(name: str, found: Any) -> tuple[list[str], list[int]]:
    """Paths and labels as torchvision's classes keep them: pairs, or two lists."""
    for pairs in ("samples", "_samples"):
        if hasattr(found, pairs):
            return [str(path) for path, _ in getattr(found, pairs)], [int(label) for _, label in getattr(found, pairs)]
    for files in ("_image_files", "_images"):
        if hasattr(found, files) and hasattr(found, "_labels"):
            return [str(path) for path in getattr(found, files)], [int(label) for label in found._labels]
    raise DataError(f"this version of torchvision keeps the files of {name} otherwise; use folder:PATH instead")
