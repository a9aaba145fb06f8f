"""What is kept of a classifier's one test: predictions, and pictures of what it confuses most."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from archwright.core.errors import InvalidValueError
from archwright.tasks import digits
from archwright.tasks import recording as module
from archwright.tasks.base import Batch
from archwright.tasks.classification import ClassificationMeter
from archwright.tasks.recording import MAX_SIDE, N_EACH, ClassificationRecorder, pixels, thumbnail

GREY = {"layout": "CHW", "scale": 1 / 255, "mean": [0.25], "std": [0.5]}


def logits(*probabilities: tuple[float, ...]) -> Tensor:
    """Outputs whose softmax gives these."""
    return torch.tensor(probabilities).log()


def images(n: int, *values: int) -> Tensor:
    """Inputs of n grey images of 2x2 pixels, each of one value, as `GREY` says."""
    grey = torch.tensor(values or range(n), dtype=torch.float32).view(n, 1, 1, 1).expand(n, 1, 2, 2)
    return (grey / 255 - 0.25) / 0.5


def test_predictions_by_hand() -> None:
    """Three examples in two batches: the likeliest class, and how likely it is."""
    recorder = ClassificationRecorder(3, {})
    recorder.add(logits((0.5, 0.3, 0.2), (0.1, 0.2, 0.7)), Batch(torch.empty(2, 4), torch.tensor([0, 1])))
    recorder.add(logits((0.0, 1.0, 0.0)), Batch(torch.empty(1, 4), torch.tensor([1])))
    found = recorder.tensors()
    assert found.keys() == {"labels", "predictions", "confidences"}
    assert found["labels"].tolist() == [0, 1, 1]
    assert found["predictions"].tolist() == [0, 2, 1]
    assert found["confidences"].tolist() == pytest.approx([0.5, 0.7, 1.0])


def test_nothing_seen_is_nothing_kept() -> None:
    """No tensors without an example."""
    assert ClassificationRecorder(3, GREY).tensors() == {}


@pytest.mark.parametrize("n_classes", [2, 5, 6, 9])
def test_right_is_what_the_meter_counts(n_classes: int, rng: np.random.Generator) -> None:
    """Also of equal outputs, of infinite ones and of those that are no numbers."""
    outputs = torch.from_numpy(rng.integers(0, 3, (200, n_classes)).astype(np.float32))
    outputs[3], outputs[4, 0], outputs[5] = math.nan, math.inf, -math.inf
    outputs[6:9] = 0
    targets = torch.from_numpy(rng.integers(0, n_classes, 200))
    targets[4] = 0
    meter, recorder = ClassificationMeter(n_classes), ClassificationRecorder(n_classes, {})
    for part in (slice(0, 90), slice(90, None)):
        meter.update(outputs[part], Batch(torch.empty(0), targets[part]))
        recorder.add(outputs[part], Batch(torch.empty(0), targets[part]))
    found = recorder.tensors()
    right = (found["labels"] == found["predictions"]).double().mean().item()
    assert right == pytest.approx(meter.result()["top1_accuracy"], abs=1e-12)
    assert found["predictions"][[3, 4, 5]].tolist() == [-1, -1, -1]
    assert found["confidences"][[3, 4, 5]].tolist() == [0, 0, 0]


def test_pictures_are_the_most_confident_mistakes_of_the_most_frequent_pairs() -> None:
    """Four times 0 taken for 1, once 1 for 0: three of the first, the surest first, then the one."""
    sure = [0.6, 0.9, 0.7, 0.8, 0.99]
    outputs = logits(*((1 - p, p) for p in sure[:4]), (sure[4], 1 - sure[4]), (0.9, 0.1))
    recorder = ClassificationRecorder(2, GREY)
    recorder.add(outputs, Batch(images(6, 0, 51, 102, 153, 204, 255), torch.tensor([0, 0, 0, 0, 1, 0])))
    found = recorder.tensors()
    assert found["shown"].tolist() == [1, 3, 2, 4]
    assert found["pictures"].shape == (4, 2, 2, 1)
    assert found["pictures"][:, 0, 0, 0].tolist() == [51, 153, 102, 204]


def test_places_count_over_batches() -> None:
    """The first of the second batch is the third."""
    recorder = ClassificationRecorder(2, GREY)
    recorder.add(logits((0.9, 0.1), (0.9, 0.1)), Batch(images(2), torch.tensor([0, 0])))
    recorder.add(logits((0.1, 0.9)), Batch(images(1), torch.tensor([0])))
    assert recorder.tensors()["shown"].tolist() == [2]


def test_pictures_are_the_images_that_were_stored() -> None:
    """Normalised inputs of the digits, taken back: every pixel of every image."""
    task = digits()
    inputs = next(task.split("validation").ordered(60)).inputs
    raw = task._train[0][task._positions["validation"][:60]]
    assert isinstance(inputs, Tensor)
    restored = np.stack([pixels(one, task.preprocessing) for one in inputs])
    np.testing.assert_array_equal(restored, raw)


def test_few_pairs_are_held_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """With many classes the rarest pairs lose their pictures; the frequent ones keep theirs."""
    monkeypatch.setattr(module, "MAX_WATCHED", 8)
    recorder, n = ClassificationRecorder(40, GREY), 40
    for _ in range(3):
        wrong = torch.eye(n).roll(1, dims=1).log().clamp(min=-9)
        recorder.add(wrong, Batch(images(n), torch.arange(n)))
        frequent = torch.eye(n)[[2] * 5].log().clamp(min=-9)
        recorder.add(frequent, Batch(images(5), torch.zeros(5, dtype=torch.int64)))
        assert len(recorder._kept) <= 8
    shown = recorder.tensors()["shown"].tolist()
    labels, predictions = (recorder.tensors()[name][shown].tolist() for name in ("labels", "predictions"))
    assert list(zip(labels, predictions, strict=True))[:N_EACH] == [(0, 2)] * N_EACH


@pytest.mark.parametrize(("shape", "expected"), [((224, 224, 3), (72, 72, 3)), ((50, 400, 1), (9, 72, 1))])
def test_large_images_are_scaled_down(shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    """To the longest side that a page has room for; a plain colour stays that colour."""
    small = thumbnail(np.full(shape, 77, dtype=np.uint8))
    assert small.shape == expected
    assert max(small.shape) == MAX_SIDE
    assert (small == 77).all()


def test_channels_that_are_no_colours_are_left_out() -> None:
    """Of four the first three, of two the first."""
    assert thumbnail(np.zeros((4, 4, 4), dtype=np.uint8)).shape == (4, 4, 3)
    assert thumbnail(np.zeros((4, 4, 2), dtype=np.uint8)).shape == (4, 4, 1)


@pytest.mark.parametrize(
    ("outputs", "targets"),
    [
        (torch.zeros(2, 4), torch.tensor([0, 1])),
        (torch.zeros(2, 3, 5), torch.zeros(2, 5, dtype=torch.int64)),
        (torch.zeros(2, 3), torch.tensor([0, 3])),
        (torch.zeros(2, 3), torch.tensor([0, -100])),
    ],
)
def test_other_forms_are_refused(outputs: Tensor, targets: Tensor) -> None:
    """Not one number a class, targets that are no classes."""
    with pytest.raises(InvalidValueError, match="are not one of 3 classes a target"):
        ClassificationRecorder(3, {}).add(outputs, Batch(torch.empty(0), targets))
