"""Image tasks over arrays in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from archwright.core.errors import DataError, InvalidValueError, UsageError
from archwright.tasks.augmenting import Augment
from archwright.tasks.images.in_memory import ImageTask


def _arrays(n: int = 60, n_classes: int = 3, shape: tuple[int, int, int] = (3, 6, 5)) -> dict[str, Any]:
    rng = np.random.default_rng(7)
    return {
        "x_train": rng.integers(0, 256, (n, *shape), dtype=np.uint8),
        "y_train": np.arange(n) % n_classes,
        "x_test": rng.integers(0, 256, (9, *shape), dtype=np.uint8),
        "y_test": np.arange(9) % n_classes,
    }


def _task(seed: int = 0, **arrays: Any) -> ImageTask:
    return ImageTask("toy", **(_arrays() | arrays), seed=seed)


def _stream(
    task: ImageTask, first_step: int, n_steps: int, augment: Augment | None = None
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    split = task.split("train").augmented(augment)
    return list(split.batches(8, seed=5, first_step=first_step, n_steps=n_steps))


def test_normalization_against_numpy() -> None:
    """(x / 255 - mean) / std with the mean and deviation of the training part, in float64, in stored order."""
    arrays, task = _arrays(), _task()
    train = task._positions["train"]
    images = arrays["x_train"][train] / 255
    mean, std = images.mean(axis=(0, 2, 3), keepdims=True), images.std(axis=(0, 2, 3), keepdims=True)
    inputs = torch.cat([inputs for inputs, _ in task.split("train").ordered(16)])
    np.testing.assert_allclose(inputs.numpy(), (images - mean) / std, atol=2e-6)


def test_preprocessing_reproduces_test_inputs() -> None:
    """What the JSON says is what was done."""
    task, p = _task(), _task().preprocessing
    mean, std = np.array(p["mean"])[:, None, None], np.array(p["std"])[:, None, None]
    expected = (_arrays()["x_test"] * p["scale"] - mean) / std
    inputs, _ = next(task.split("test").ordered(100))
    assert p["layout"] == "CHW"
    np.testing.assert_allclose(inputs.numpy(), expected, atol=2e-6)


def test_test_images_do_not_enter_the_statistics() -> None:
    """Other test images, same mean and deviation."""
    other = _task(x_test=np.zeros((9, 3, 6, 5), dtype=np.uint8))
    assert other.preprocessing == _task().preprocessing


def test_constant_channel_is_only_shifted() -> None:
    """No division by a deviation of zero."""
    images = _arrays()["x_train"]
    images[:, 1] = 51
    task = _task(x_train=images)
    inputs, _ = next(task.split("train").ordered(100))
    assert task.preprocessing["std"][1] == 1.0
    assert inputs[:, 1].abs().max() < 1e-6


def test_batches_are_float32_images_in_channels_last_strides() -> None:
    """Type, shape and layout that convolutions are fast with, and int64 targets."""
    inputs, targets = _stream(_task(), 0, 1)[0]
    assert (inputs.dtype, targets.dtype, tuple(inputs.shape)) == (torch.float32, torch.int64, (8, 3, 6, 5))
    assert inputs.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("first_step", [1, 5, 6, 11])
@pytest.mark.parametrize("augment", [("crop", "mirror"), ("jitter", "auto")])
def test_stream_continues_bit_for_bit(first_step: int, augment: Augment) -> None:
    """Batches from step k on are those of a stream that began at 0, augmentation included."""
    task = _task()
    whole, rest = _stream(task, 0, 13, augment), _stream(task, first_step, 13 - first_step, augment)
    for (x, y), (x_rest, y_rest) in zip(whole[first_step:], rest, strict=True):
        assert torch.equal(x, x_rest)
        assert torch.equal(y, y_rest)


def test_inputs_and_targets_belong_together() -> None:
    """Images whose every pixel is their class keep it through shuffling."""
    labels = _arrays()["y_train"]
    images = np.broadcast_to(labels[:, None, None, None] * 100, (60, 3, 6, 5)).astype(np.uint8)
    task = _task(x_train=images)
    mean, std = task.preprocessing["mean"][0], task.preprocessing["std"][0]
    for inputs, targets in _stream(task, 0, 7, ()):
        values = (inputs[:, 0, 0, 0] * std + mean) * 255
        assert torch.equal(torch.round(values / 100).long(), targets)


def test_parts_divide_the_training_images() -> None:
    """54 + 6 = 60, two of each class for validation; ordered passes show every example once."""
    task = _task()
    counts = {part: len(task.split(part)) for part in ("train", "validation", "train+validation", "test")}
    assert counts == {"train": 54, "validation": 6, "train+validation": 60, "test": 9}
    targets = torch.cat([targets for _, targets in task.split("validation").ordered(4)])
    assert targets.bincount().tolist() == [2, 2, 2]


def test_test_reads_are_counted() -> None:
    """Two requests for the test part, none for the others."""
    task = _task()
    for part in ("train", "test", "validation", "test"):
        task.split(part)
    assert (task.n_test_reads, _task().n_test_reads) == (2, 0)


def test_unknown_part_is_named() -> None:
    """The message lists the parts there are."""
    with pytest.raises(InvalidValueError, match=r"unknown part 'dev'.*train\+validation"):
        _task().split("dev")  # type: ignore[arg-type]


def test_fingerprint_is_stable() -> None:
    """Same data, same seed, same hash of 64 hex digits."""
    assert _task().fingerprint == _task().fingerprint
    assert len(_task().fingerprint) == 64


def test_augmentation_is_a_training_setting() -> None:
    """Training batches of a part follow it; ordered ones, and the part itself, do not."""
    large = _arrays(shape=(3, 8, 8))
    task = ImageTask("toy", **large)
    split = task.split("train")
    plain, usual, mirrored = (_stream(task, 0, 3, names) for names in ((), None, ("mirror",)))
    assert not any(torch.equal(a[0], b[0]) for a, b in zip(plain, usual, strict=True))
    for (x, y), (u, v) in zip(plain, mirrored, strict=True):
        assert all(torch.equal(one, other) or torch.equal(one, other.flip(2)) for one, other in zip(x, u, strict=True))
        assert torch.equal(y, v)
    seen = [torch.cat([x for x, _ in each.ordered(20)]) for each in (split, split.augmented(("auto",)))]
    assert torch.equal(*seen)


@pytest.mark.parametrize("change", ["pixel", "label", "test", "seed"])
def test_fingerprint_sees_a_change(change: str) -> None:
    """One pixel, one label, one test label or another split give another hash."""
    arrays, seed = _arrays(), 0
    if change == "pixel":
        arrays["x_train"][3, 0, 0, 0] ^= 1
    elif change == "label":
        arrays["y_train"][3] = 1
    elif change == "test":
        arrays["y_test"][3] = 1
    else:
        seed = 1
    assert _task(seed, **arrays).fingerprint != _task().fingerprint


def test_class_names_default_to_numbers() -> None:
    """Three classes without names."""
    assert _task().class_names == ("0", "1", "2")


def test_wrong_number_of_class_names() -> None:
    """Two names for three classes."""
    with pytest.raises(DataError, match="2 names for 3 classes"):
        ImageTask("toy", **_arrays(), class_names=["a", "b"])


def test_shares_of_the_training_part_divide_it() -> None:
    """Two halves of 54 images: 27 each, 9 of each class, and together the images of the part."""
    task = _task()
    halves = task.shares("train", (0.5, 0.5), seed=1)
    batches = [next(half.ordered(100)) for half in halves]
    assert [np.bincount(batch.targets).tolist() for batch in batches] == [[9, 9, 9]] * 2
    whole = next(task.split("train").ordered(100)).inputs
    images = [sorted(x.numpy().tobytes() for x in inputs) for inputs in (whole, torch.cat([b.inputs for b in batches]))]  # type: ignore[arg-type, union-attr]
    assert images[0] == images[1]


def test_shares_of_the_test_part_are_counted() -> None:
    """As the part itself."""
    task = _task()
    task.shares("test", (0.5,), seed=0)
    assert task.n_test_reads == 1
    with pytest.raises(InvalidValueError, match="unknown part 'half'"):
        task.shares("half", (0.5,), seed=0)  # type: ignore[arg-type]


def test_a_task_that_knows_no_shares_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its name."""
    monkeypatch.delattr(ImageTask, "_shares")
    with pytest.raises(UsageError, match="does not say how its data divide"):
        _task().shares("train", (0.5,), seed=0)
