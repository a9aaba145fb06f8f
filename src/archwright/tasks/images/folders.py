"""A user's own images in a tree of folders."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from archwright.core.catalog import listed
from archwright.core.errors import DataError, InvalidValueError
from archwright.tasks.base import given_options
from archwright.tasks.images.decoding import SUFFIXES, is_image_name
from archwright.tasks.images.file_lists import FileList, is_folder, joined
from archwright.tasks.images.streamed import StreamedTask
from archwright.tasks.splitting import hold_out_test

ACCEPTED = ", ".join(SUFFIXES)
VALIDATION = ("val", "valid", "validation")
"""Names of the folder of a validation part."""

LAYOUT = "train/CLASS/* and test/CLASS/* (or val/CLASS/*)"
MAX_DEPTH = 50
"""How deep nested folders are searched."""

N_LISTED = 8
"""Most classes and kinds of files that a remark names."""

LINKS = ("inside", "follow")


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
    test_share: str | float | None = None,
    links: str = "inside",
) -> StreamedTask:
    """Images of a folder `train` and a folder `test` with one folder a class, which names it.

    JPEG, PNG, WebP, BMP, TIFF and GIF files count, by suffix, also in folders below a class's; others are passed over
    and counted, and hidden ones left out. A folder `val` (`valid`, `validation`) is the validation part, and without
    `test` the test part, as in ImageNet papers; the validation part is then drawn from `train`.

    Args:
        path: The folder.
        seed: Draws the validation part.
        val_images: Images in it, instead of 10 %.
        input_shape: (C, H, W) of the network's input; see `StreamedTask` for what it is by default.
        test_share: Of each class's images in `train`, or in the folder itself where it has no `train`, the share that
            is the test part. It is the same with every seed.
        links: "inside" follows links within the tree and refuses those that lead out; "follow" follows all.

    Raises:
        DataError: If the tree or an image in it cannot be used; names folder or file.
        InvalidValueError: If an option cannot be met.
    """
    root, there = Path(path), _folders(Path(path))
    if links not in LINKS:
        raise InvalidValueError(f"links is {links!r}; choose {' or '.join(LINKS)}")
    share = _share(test_share)
    validation = next((name for name in VALIDATION if name in there), None)
    reads = partial(read_part, root, follow=links == "follow")
    if share is not None and "test" in there:
        raise InvalidValueError(f"test_share is {share:g}, and {root} has a test part; leave the share out")
    train = reads("train" if share is None or "train" in there else "")
    held: PartOfTree | None = None
    if share is not None:
        train, test = _divided(train, share)
        held = reads(validation) if validation is not None and train.folder else None
    elif "test" in there or validation is None:
        test, held = reads("test"), reads(validation) if validation is not None else None
    else:
        test = reads(validation)
    _check(root, train, test, *([] if held is None else [held]))
    names = list(train.counts)
    files, labels = train.files, train.labels(names)
    if held is not None:
        files, labels = joined(train.files, held.files), np.concatenate([labels, held.labels(names)])
    task = StreamedTask(
        str(path),
        *(files, labels, test.files, test.labels(names)),
        class_names=names,
        input_shape=input_shape,
        val_images=val_images,
        n_val=None if held is None else len(held.files),
        seed=seed,
    )
    task.name = f"folder:{path}"
    given = {"test_share": share, "links": links if links != "inside" else None}
    task.options = {**task.options, **given_options(**given)}
    parts = {"train": train, **({} if held is None else {"validation": held}), "test": test}
    passed = train.passed + test.passed + (Counter() if held is None else held.passed)
    task.remarks = (*_remarks(parts, passed), *task.remarks)
    return task


def _share(given: str | float | None) -> float | None:
    if given is None:
        return None
    try:
        share = float(given)
    except ValueError:
        share = math.nan
    if not 0 < share < 1:
        raise InvalidValueError(f"test_share is {given!r}; give a share of the images between 0 and 1, like 0.2")
    return share


def _divided(part: PartOfTree, share: float) -> tuple[PartOfTree, PartOfTree]:
    """A part in two: what is trained on, and what is tested."""
    labels = part.labels(list(part.counts))
    found = list[PartOfTree]()
    for name, positions in zip((part.folder, "test"), hold_out_test(labels, share), strict=True):
        counts = np.bincount(labels[positions], minlength=len(part.counts))
        kept = {key: int(n) for key, n in zip(part.counts, counts, strict=True)}
        files = FileList(part.files.root, (part.files.name(int(i)) for i in positions))
        found.append(PartOfTree(name, files, kept, part.passed if not found else Counter()))
    return found[0], found[1]


def _remarks(parts: Mapping[str, PartOfTree], passed: Counter[str]) -> tuple[str, ...]:
    """What was found: images by part and class, and the files that are no images."""
    lines = []
    for name, part in parts.items():
        listed = [f"{key} {n:,}" for key, n in list(part.counts.items())[:N_LISTED]]
        counts = list(part.counts.values())
        more = f", … ({len(counts):,} classes of {min(counts):,} to {max(counts):,})" if len(counts) > N_LISTED else ""
        lines.append(f"{name} {sum(counts):,} images: {', '.join(listed)}{more}")
    if passed:
        kinds = ", ".join(f"{kind} {n:,}" for kind, n in passed.most_common(N_LISTED))
        lines.append(f"passed over {passed.total():,} files that are no images by their suffix: {kinds}")
    return tuple(lines)


@dataclass(frozen=True)
class PartOfTree:
    """The images of one part of a tree.

    Attributes:
        folder: Its name, such as "train"; empty for the tree itself.
        files: Class by class, each in order of names.
        counts: Images of each class, in the order of `files`.
        passed: Files that are no images, by suffix.
    """

    folder: str
    files: FileList
    counts: dict[str, int]
    passed: Counter[str] = field(default_factory=Counter)

    def labels(self, names: list[str]) -> NDArray[np.int64]:
        """The class number of each file."""
        numbers = {name: number for number, name in enumerate(names)}
        return np.repeat([numbers[name] for name in self.counts], list(self.counts.values())).astype(np.int64)


def read_part(root: Path, part: str, *, follow: bool = False) -> PartOfTree:
    """Classes and images below root/part.

    Args:
        root: The tree.
        part: Name of a folder in it; the tree itself where it is empty.
        follow: Follow links out of the tree too.

    Raises:
        DataError: If there is no such folder, an image lies beside the classes, a class has no image, or a link leads
            out of the tree.
    """
    tree = _Tree(root, "" if follow else os.path.realpath(root))
    counts, passed = dict[str, int](), Counter[str]()
    if part and part not in (there := _folders(root)):
        listed = ", ".join(there[:N_LISTED]) or "none"
        one = "; if these are the classes, say how much of them is for testing: --set data.test_share=0.2"
        hint = one if part == "train" and there and not {"test", *VALIDATION} & set(there) else ""
        raise DataError(f"{root}: holds no folder {part!r} but {listed}; make it {LAYOUT}{hint}")
    tree.check(os.path.join(root, part))
    above = (os.path.realpath(root), os.path.realpath(root / part))

    def names() -> Iterator[str]:
        for entry in tree.entries(part):
            if not entry.is_dir():
                if is_image_name(entry.name):
                    raise DataError(
                        f"{entry.path}: an image beside the class folders, so its class is not known; put it into one "
                        "of them"
                    )
                passed[_suffix(entry.name)] += 1
                continue
            name = _printable(entry)
            counts[name] = 0
            for path in _images(tree, f"{part}/{entry.name}".lstrip("/"), above, passed):
                counts[name] += 1
                yield path
            if not counts[name]:
                raise DataError(f"{entry.path}: class {entry.name!r} has no image ({ACCEPTED}); add some or remove it")

    return PartOfTree(part, FileList(root, names()), counts, passed)


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower() or "without suffix"


@dataclass(frozen=True)
class _Tree:
    """A tree of folders; links are followed within `real_root`, everywhere where that is empty."""

    root: Path
    real_root: str

    def entries(self, folder: str) -> list[os.DirEntry[str]]:
        """The entries of a folder in order of their names, without hidden ones."""
        try:
            with os.scandir(self.root / folder) as found:
                entries = sorted((one for one in found if not one.name.startswith(".")), key=lambda one: one.name)
        except OSError as error:
            raise DataError(f"{self.root / folder}: cannot be read ({error.strerror}); check its permissions") from None
        for entry in entries:
            if entry.is_symlink():
                self.check(entry.path)
                _refuse_endless(entry)
        return entries

    def check(self, path: str) -> None:
        """Refuse what leads out of the tree."""
        target = os.path.realpath(path)
        if self.real_root and os.path.commonpath([target, self.real_root]) != self.real_root:
            raise DataError(
                f"{path}: a link out of the tree, to {target}; copy what it names into the tree, or follow all links: "
                "--set data.links=follow"
            )


def _images(tree: _Tree, folder: str, above: tuple[str, ...], passed: Counter[str]) -> Iterator[str]:
    """Paths of the images below a folder, relative to the root, in order of names."""
    here = os.path.realpath(tree.root / folder)
    if here in above:
        raise DataError(f"{tree.root / folder}: a link to a folder around itself; remove it")
    if len(above) > MAX_DEPTH:
        raise DataError(f"{tree.root / folder}: more than {MAX_DEPTH} folders deep; put the images higher up")
    for entry in tree.entries(folder):
        name = f"{folder}/{entry.name}"
        if entry.is_dir():
            yield from _images(tree, name, (*above, here), passed)
        elif is_image_name(entry.name):
            if not entry.is_file():
                raise DataError(f"{entry.path}: named like an image, but no file; remove it")
            yield name
        else:
            passed[_suffix(entry.name)] += 1


def _refuse_endless(entry: os.DirEntry[str]) -> None:
    try:
        entry.stat()
    except FileNotFoundError:
        return  # a link to nothing, which is no folder and no image
    except OSError as error:
        raise DataError(f"{entry.path}: a link that cannot be followed ({error.strerror}); remove it") from None


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


def _check(root: Path, train: PartOfTree, *others: PartOfTree) -> None:
    for part in (train, *others):
        if not part.counts:
            raise DataError(f"{root / part.folder}: holds no class folder; make it {LAYOUT}")
    trained = train.folder or "the tree"
    if len(train.counts) < 2:
        raise DataError(f"{root / train.folder}: holds one class, {next(iter(train.counts))!r}; accepted are 2 or more")
    for part in others:
        for name in part.counts:
            if name not in train.counts:
                raise DataError(
                    f"{root / part.folder / name}: class {name!r} is missing in {trained}; add it there or remove it"
                )
    for name, n in train.counts.items():
        if n < 2:
            raise DataError(
                f"{root / train.folder / name}: class {name!r} has one image; give at least 2, one is for validation"
            )
