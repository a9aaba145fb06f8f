"""Data sets of torchvision, as torchvision itself reads them."""

from __future__ import annotations

import gzip
import importlib
import inspect
import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
import torch
from torchvision import datasets

from archwright.core.errors import DataError, InvalidValueError, UnknownNameError
from archwright.tasks import ImageTask, StreamedTask, open_task, torchvision
from archwright.tasks.images.torchvision_arrays import SETS
from archwright.tasks.images.torchvision_sets import FILE_SETS

RNG = np.random.default_rng(0)
N_TRAIN, N_TEST = 47 * 3, 60


def _write_idx(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(header + array.astype(np.uint8).tobytes())


def _write_mnist(root: Path, name: str, parts: tuple[str, str] = ("train", "t10k"), n_classes: int = 10) -> None:
    for part, n in zip(parts, (N_TRAIN, N_TEST), strict=True):
        _write_idx(root / name / "raw" / f"{part}-images-idx3-ubyte", RNG.integers(0, 256, (n, 28, 28)))
        _write_idx(root / name / "raw" / f"{part}-labels-idx1-ubyte", np.arange(n) % n_classes)


def _raw_test(task: Any) -> tuple[np.ndarray, list[int]]:
    """Test images (N, H, W, C) as bytes, and their labels."""
    inputs, targets = next(task.split("test").ordered(10_000))
    mean, std = (torch.tensor(task.preprocessing[name])[:, None, None] for name in ("mean", "std"))
    return ((inputs * std + mean) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy(), targets.tolist()


@pytest.mark.parametrize("name", ["MNIST", "FashionMNIST", "KMNIST"])
def test_mnist_and_its_kin_are_as_torchvision_reads_them(tmp_path: Path, name: str) -> None:
    """Images, labels and number of classes; names in any case."""
    _write_mnist(tmp_path, name)
    task, expected = open_task(f"torchvision:{name.lower()}:{tmp_path}"), getattr(datasets, name)(tmp_path, train=False)
    images, labels = _raw_test(task)
    assert np.array_equal(images[..., 0], expected.data.numpy())
    assert labels == expected.targets.tolist()
    assert (task.input_shape, task.n_classes, len(task.split("train+validation"))) == ((1, 28, 28), 10, N_TRAIN)
    assert task.name == f"torchvision:{name}:{tmp_path}"
    if name != "MNIST":
        assert list(task.class_names) == expected.classes


def test_emnist_is_its_balanced_split(tmp_path: Path) -> None:
    """47 classes, named and lying as in torchvision."""
    _write_mnist(tmp_path, "EMNIST", ("emnist-balanced-train", "emnist-balanced-test"), 47)
    task, expected = torchvision("EMNIST", tmp_path), datasets.EMNIST(tmp_path, "balanced", train=False)
    assert np.array_equal(_raw_test(task)[0][..., 0], expected.data.numpy())
    assert list(task.class_names) == expected.classes


def test_gzipped_files_are_read(tmp_path: Path) -> None:
    """As they are downloaded."""
    _write_mnist(tmp_path, "MNIST")
    before = torchvision("MNIST", tmp_path).fingerprint
    for path in sorted((tmp_path / "MNIST/raw").iterdir()):
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    assert torchvision("MNIST", tmp_path).fingerprint == before


def _write_cifar(folder: Path, files: list[str], n_labels: int, names: str) -> tuple[np.ndarray, np.ndarray]:
    """Records of the last file: images (N, H, W, C) and labels."""
    folder.mkdir(parents=True)
    (folder / names).write_text("\n".join(["first", "second", "third"]) + "\n\n")
    for name in files:
        images, labels = RNG.integers(0, 256, (12, 3, 32, 32), dtype=np.uint8), RNG.permutation(12) % 3
        columns = [np.full(12, 9), labels][-n_labels:]
        (folder / name).write_bytes(np.column_stack([*columns, images.reshape(12, -1)]).astype(np.uint8).tobytes())
    return images.transpose(0, 2, 3, 1), labels


def test_cifar10_is_read_from_its_binary_version(tmp_path: Path) -> None:
    """Five training files; one label byte, then red, green and blue planes."""
    files = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]
    expected = _write_cifar(tmp_path / "cifar-10-batches-bin", files, 1, "batches.meta.txt")
    task = torchvision("cifar10", tmp_path)
    assert np.array_equal(_raw_test(task)[0], expected[0])
    assert _raw_test(task)[1] == expected[1].tolist()
    assert (len(task.split("train+validation")), task.class_names) == (60, ("first", "second", "third"))


def test_cifar100_has_the_fine_labels(tmp_path: Path) -> None:
    """The second of two label bytes."""
    expected = _write_cifar(tmp_path / "cifar-100-binary", ["train.bin", "test.bin"], 2, "fine_label_names.txt")
    assert _raw_test(torchvision("CIFAR100", tmp_path))[1] == expected[1].tolist()


@pytest.mark.parametrize(("name", "folder"), [("CIFAR10", "cifar-10"), ("CIFAR100", "cifar-100")])
def test_pickled_cifar_is_refused(tmp_path: Path, name: str, folder: str) -> None:
    """The line says where the other version is."""
    (tmp_path / f"{folder}-{'batches-py' if name == 'CIFAR10' else 'python'}").mkdir()
    with pytest.raises(DataError, match=f"Python pickles, which are never read.*kriz/{folder}-binary.tar.gz$"):
        torchvision(name, tmp_path)


def test_svhn_counts_ten_as_zero(tmp_path: Path) -> None:
    """Images are stored with their number last, the digit 0 as 10."""
    for part in ("train", "test"):
        images, digits = RNG.integers(0, 256, (32, 32, 3, 40), dtype=np.uint8), np.arange(40)[:, None] % 10 + 1
        scipy.io.savemat(tmp_path / f"{part}_32x32.mat", {"X": images, "y": digits})
    found, labels = _raw_test(torchvision("svhn", tmp_path))
    assert np.array_equal(found, images.transpose(3, 0, 1, 2))
    assert labels == (digits.ravel() % 10).tolist()


# ── sets of files ─────────────────────────────────────────────────────────────────────────────────


def _imagenette(root: Path, tree: Path) -> None:
    for ours, theirs in (("train", "train"), ("test", "val")):
        for label, wnid in (("cat", "n01440764"), ("dog", "n02102040"), ("eel", "n02979186")):
            target = root / "imagenette2" / theirs / wnid
            target.mkdir(parents=True)
            for path in sorted((tree / ours / label).iterdir()):
                shutil.copy(path, target / f"{path.stem}.JPEG")


def _dtd(root: Path, tree: Path) -> None:
    (root / "dtd/dtd/labels").mkdir(parents=True)
    shutil.copytree(tree / "train", root / "dtd/dtd/images")
    names = [f"{path.parent.name}/{path.name}\n" for path in sorted((tree / "train").glob("*/*"))]
    for part, lines in (("train", names[0::3]), ("val", names[1::3]), ("test", names[2::3])):
        (root / f"dtd/dtd/labels/{part}1.txt").write_text("".join(lines))


def _food101(root: Path, tree: Path) -> None:
    (root / "food-101/meta").mkdir(parents=True)
    shutil.copytree(tree / "train", root / "food-101/images")
    names = [f"{path.parent.name}/{path.stem}" for path in sorted((tree / "train").glob("*/*"))]
    for part, start in (("train", 0), ("test", 1)):
        listed = {label: [n for n in names[start::2] if n.startswith(label)] for label in ("cat", "dog", "eel")}
        (root / f"food-101/meta/{part}.json").write_text(json.dumps(listed))


def _aircraft(root: Path, tree: Path) -> None:
    data = root / "fgvc-aircraft-2013b/data"
    (data / "images").mkdir(parents=True)
    lines = []
    for path in sorted((tree / "train").glob("*/*")):
        shutil.copy(path, data / "images" / f"{path.parent.name}{path.name}")
        lines.append(f"{path.parent.name}{path.stem} {path.parent.name}\n")
    (data / "variants.txt").write_text("cat\ndog\neel\n")
    (data / "images_variant_trainval.txt").write_text("".join(lines[::2]))
    (data / "images_variant_test.txt").write_text("".join(lines[1::2]))


def _pets(root: Path, tree: Path) -> None:
    home = root / "oxford-iiit-pet"
    (home / "images").mkdir(parents=True)
    (home / "annotations").mkdir()
    lines = []
    for path in sorted((tree / "train").glob("*/*")):
        shutil.copy(path, home / "images" / f"{path.parent.name}_{path.name}")
        lines.append(f"{path.parent.name}_{path.stem} {['cat', 'dog', 'eel'].index(path.parent.name) + 1} 1 1\n")
    (home / "annotations/trainval.txt").write_text("".join(lines[::2]))
    (home / "annotations/test.txt").write_text("".join(lines[1::2]))


def _country211(root: Path, tree: Path) -> None:
    for ours, theirs in (("train", "train"), ("train", "valid"), ("test", "test")):
        shutil.copytree(tree / ours, root / "country211" / theirs)


LAYOUTS: dict[str, tuple[Callable[[Path, Path], None], dict[str, Any]]] = {
    "Imagenette": (_imagenette, {"split": "val"}),
    "DTD": (_dtd, {"split": "test"}),
    "Food101": (_food101, {"split": "test"}),
    "FGVCAircraft": (_aircraft, {"split": "test"}),
    "OxfordIIITPet": (_pets, {"split": "test"}),
    "Country211": (_country211, {"split": "test"}),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_sets_of_files_are_streamed_as_torchvision_lists_them(
    tmp_path: Path, make_tree: Callable[..., Path], name: str
) -> None:
    """Images and labels of the test part are those that torchvision gives one by one."""
    lay, options = LAYOUTS[name]
    root = tmp_path / "root"
    lay(root, make_tree(suffix="jpg"))
    task, expected = torchvision(name.upper(), root), getattr(datasets, name)(root, **options)
    assert isinstance(task, StreamedTask)
    images, labels = _raw_test(task)
    assert len(expected) == len(labels)
    for i, (image, label) in enumerate(expected):
        assert np.array_equal(np.asarray(image), images[i])
        assert label == labels[i]
    assert task.n_classes == 3


def test_their_validation_part_is_for_training(tmp_path: Path, make_tree: Callable[..., Path]) -> None:
    """Of 27 images a third each is train, val and test; 18 are ours to train on."""
    _dtd(tmp_path / "root", make_tree(suffix="jpg"))
    task = torchvision("dtd", tmp_path / "root", val_images=4, input_shape=(1, 9, 9))
    assert [len(task.split(part)) for part in ("train", "validation", "test")] == [14, 4, 9]
    assert task.class_names == ("cat", "dog", "eel")
    assert task.input_shape == (1, 9, 9)


def test_names_of_several_words_are_joined(tmp_path: Path, make_tree: Callable[..., Path]) -> None:
    """Imagenette knows more than one name of a class."""
    _imagenette(tmp_path / "root", make_tree(suffix="jpg"))
    assert torchvision("imagenette", tmp_path / "root").class_names[0] == "tench, Tinca tinca"


@pytest.mark.parametrize("name", [*FILE_SETS])
def test_no_admitted_class_unpickles(name: str) -> None:
    """Neither pickle nor torch.load in the modules of the classes that are called."""
    classes = inspect.getmro(getattr(datasets, name))
    modules = {cls.__module__ for cls in classes if cls.__module__.startswith("torchvision.")}
    for module in modules:
        source = inspect.getsource(importlib.import_module(module))
        assert "pickle" not in source
        assert "torch.load" not in source


# ── what is wrong ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "nearest"), [("cifar", "cifar10"), ("FashonMNIST", "FashionMNIST"), ("ImageNet", "Imagenette")]
)
def test_unknown_set_offers_the_nearest(tmp_path: Path, name: str, nearest: str) -> None:
    """ImageNet among them: its class unpickles, `folder:` reads the same tree."""
    with pytest.raises(UnknownNameError, match=f"unknown torchvision data set '{name}'; did you mean .*{nearest}"):
        torchvision(name, tmp_path)


@pytest.mark.parametrize("name", [*SETS, *FILE_SETS])
def test_set_that_is_not_there_says_so_in_one_line(tmp_path: Path, name: str) -> None:
    """Nothing is downloaded; what to do is said."""
    with pytest.raises(DataError, match=r"download|unpack") as caught:
        torchvision(name, tmp_path)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_root_that_is_not_there(tmp_path: Path) -> None:
    """A typing error in the path."""
    with pytest.raises(DataError, match="no such folder; give the root that torchvision downloaded MNIST to"):
        torchvision("mnist", tmp_path / "gone")


@pytest.mark.parametrize("content", [b"", b"\0\0\x08\x03", b"\0\0\x08\x03" + struct.pack(">3I", 2, 28, 28) + bytes(9)])
def test_damaged_idx_file_is_named(tmp_path: Path, content: bytes) -> None:
    """Empty, or shorter than it says."""
    _write_mnist(tmp_path, "MNIST")
    (tmp_path / "MNIST/raw/train-images-idx3-ubyte").write_bytes(content)
    with pytest.raises(DataError, match="train-images-idx3-ubyte: no idx file of 3 axes of bytes, or a truncated one"):
        torchvision("MNIST", tmp_path)


def test_damaged_cifar_and_svhn_files_are_named(tmp_path: Path) -> None:
    """A record too short; a file of another kind."""
    _write_cifar(tmp_path / "cifar-100-binary", ["train.bin", "test.bin"], 2, "fine_label_names.txt")
    (tmp_path / "cifar-100-binary/test.bin").write_bytes(bytes(3073))
    with pytest.raises(DataError, match=r"test\.bin: 3073 bytes, no multiple of 3074"):
        torchvision("CIFAR100", tmp_path)
    (tmp_path / "train_32x32.mat").write_bytes(b"not a mat file" * 20)
    with pytest.raises(DataError, match=r"train_32x32\.mat: cannot be read"):
        torchvision("SVHN", tmp_path)


def test_images_in_memory_keep_their_size(tmp_path: Path) -> None:
    """Their own size may be said."""
    _write_mnist(tmp_path, "MNIST")
    assert isinstance(torchvision("MNIST", tmp_path, input_shape=(1, 28, 28), val_images=20), ImageTask)
    with pytest.raises(InvalidValueError, match="images of MNIST are 1x28x28 and stay so"):
        torchvision("MNIST", tmp_path, input_shape=(3, 224, 224))
