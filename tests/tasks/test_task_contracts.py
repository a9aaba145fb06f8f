"""Every dataset, and the tasks behind them, keep the contract of tasks."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torch import nn

from archwright.tasks import ImageTask, LanguageTask, Task, open_task
from archwright.testing import TaskContract

WORDS = " ".join(f"w{i * i % 7}" for i in range(300))


class TestImageTask(TaskContract):
    def make(self) -> Task:
        return self._task(0)

    def make_other(self) -> Task:
        return self._task(1)

    def _task(self, first: int) -> ImageTask:
        rng = np.random.default_rng(0)
        images, labels = rng.integers(1, 256, (60, 1, 6, 6), dtype=np.uint8), np.arange(60) % 3
        images[0, 0, 0, 0] = first
        return ImageTask("mine", images[:45], labels[:45], images[45:], labels[45:], class_names=["a", "b", "c"])


class TestDigits(TaskContract):
    dataset = "digits"

    def make(self) -> Task:
        return open_task(self.dataset)

    def make_other(self) -> Task:
        return open_task(self.dataset, seed=1)


class TestMnist(TestDigits):
    dataset = "mnist5k"
    batch_size = 200


class OfFiles(TaskContract):
    """A task whose files are written anew for each test."""

    @pytest.fixture(autouse=True)
    def _files(self, tmp_path: Path) -> None:
        self.root = tmp_path
        self.write(tmp_path)

    def write(self, root: Path) -> None:
        """Make the files."""

    def make_other(self) -> Task:
        return open_task(self.make().name, seed=1)


class TestNpz(OfFiles):
    dataset = "npz"

    def write(self, root: Path) -> None:
        images, labels = np.random.default_rng(0).integers(0, 256, (40, 5, 5), dtype=np.uint8), np.arange(40) % 2
        np.savez(root / "data.npz", x_train=images[:30], y_train=labels[:30], x_test=images[30:], y_test=labels[30:])

    def make(self) -> Task:
        return open_task(f"npz:{self.root / 'data.npz'}")


class TestFolder(OfFiles):
    dataset = "folder"

    def write(self, root: Path) -> None:
        rng = np.random.default_rng(0)
        for part, n in (("train", 15), ("test", 4)):
            for name in ("cat", "dog"):
                (root / part / name).mkdir(parents=True)
                for i in range(n):
                    pixels = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
                    Image.fromarray(pixels).save(root / part / name / f"{i:02d}.png")

    def make(self) -> Task:
        return open_task(f"folder:{self.root}")


class TestTorchvision(OfFiles):
    dataset = "torchvision"

    def write(self, root: Path) -> None:
        rng, folder = np.random.default_rng(0), root / "MNIST" / "raw"
        folder.mkdir(parents=True)
        for part, n in (("train", 40), ("t10k", 10)):
            for kind, array in (
                ("images-idx3", rng.integers(0, 256, (n, 28, 28))),
                ("labels-idx1", np.arange(n) % 10),
            ):
                header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
                (folder / f"{part}-{kind}-ubyte").write_bytes(header + array.astype(np.uint8).tobytes())

    def make(self) -> Task:
        return open_task(f"torchvision:MNIST:{self.root}")


class TestText(OfFiles):
    dataset = "text"
    batch_size = 4

    def write(self, root: Path) -> None:
        (root / "words.txt").write_text(WORDS, "utf-8")

    def make(self) -> Task:
        return open_task(f"text:{self.root / 'words.txt'}", tokens=5)

    def make_other(self) -> Task:
        return LanguageTask("other", WORDS[3:], tokens=5)

    def network(self, task: Task) -> nn.Module:
        assert task.n_classes is not None
        return nn.Sequential(nn.Embedding(task.n_classes, 4), nn.Linear(4, task.n_classes))


class TestPydoc(TestText):
    dataset = "pydoc"

    def make(self) -> Task:
        return open_task("pydoc", tokens=20, vocabulary=40)
