"""What is kept of a classifier's one test: every prediction, and pictures of what it confuses most."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from archwright.core.errors import InvalidValueError
from archwright.tasks.base import Batch, Recorder

N_PAIRS, N_EACH = 6, 3
"""Pairs of classes of which pictures are kept, and pictures of each."""

MAX_SIDE = 72
"""Longest side of a picture in pixels; larger images are scaled down."""

MAX_WATCHED = 500
"""Pairs whose pictures are held at a time; with more, the rarest go. A thousand classes have a million pairs."""

UNDEFINED = -1
"""Predicted class where the outputs are no numbers."""

Pair = tuple[int, int]


class ClassificationRecorder(Recorder):
    """Labels, predictions and confidences of all examples, and pictures of the pairs that are confused most.

    `tensors` gives `labels` and `predictions` (N,), int64, and `confidences` (N,), float32: the probability of the
    predicted class. A prediction counts as right exactly where `ClassificationMeter` says so; it is -1 where the
    outputs are no numbers. Where inputs are images, `shown` (M,), int64, are positions of the most confident mistakes
    of the most frequent pairs, and `pictures` (M, H, W, C), uint8, what the network saw there, C 1 or 3.

    Args:
        n_classes: Width of the outputs.
        preprocessing: Of the task; says how inputs were made of images.
    """

    def __init__(self, n_classes: int, preprocessing: Mapping[str, Any]) -> None:
        self._n_classes, self._preprocessing = n_classes, preprocessing
        self._columns: dict[str, list[Tensor]] = {"labels": [], "predictions": [], "confidences": []}
        self._n = 0
        self._counts: Counter[Pair] = Counter()
        self._kept: dict[Pair, list[tuple[float, int, NDArray[np.uint8]]]] = {}

    def add(self, outputs: Tensor, batch: Batch) -> None:
        """Note a batch.

        Raises:
            InvalidValueError: If outputs are not one number a class, or targets no classes.
        """
        labels = batch.targets.detach().cpu().to(torch.int64)
        is_class = (labels >= 0) & (labels < self._n_classes)
        if outputs.shape != (len(labels), self._n_classes) or labels.ndim != 1 or not is_class.all():
            raise InvalidValueError(f"outputs {tuple(outputs.shape)} are not one of {self._n_classes} classes a target")
        scores = outputs.detach().float()
        predictions = guesses(scores, self._n_classes)[:, 0]
        confidences = scores.softmax(dim=1).gather(1, predictions[:, None])[:, 0]
        is_number = confidences.isfinite()
        predictions = torch.where(is_number, predictions, UNDEFINED).cpu()
        confidences = torch.where(is_number, confidences, 0.0).cpu()
        for name, column in (("labels", labels), ("predictions", predictions), ("confidences", confidences)):
            self._columns[name].append(column)
        wrong = torch.nonzero((predictions != labels) & (predictions != UNDEFINED)).flatten().tolist()
        for i in wrong:
            pair = (int(labels[i]), int(predictions[i]))
            self._note(pair, float(confidences[i]), self._n + i, batch.inputs, i)
        self._n += len(labels)
        if len(self._kept) > MAX_WATCHED:
            self._kept = {pair: self._kept[pair] for pair in self._worst(self._kept, MAX_WATCHED // 2)}

    def tensors(self) -> dict[str, Tensor]:
        if not self._n:
            return {}
        found = {name: torch.cat(column) for name, column in self._columns.items()}
        shown = [one for pair in self._worst(self._counts, N_PAIRS) for one in self._kept.get(pair, ())]
        if shown:
            found["shown"] = torch.tensor([position for _, position, _ in shown])
            found["pictures"] = torch.from_numpy(np.stack([picture for *_, picture in shown]))
        return found

    def _note(self, pair: Pair, confidence: float, position: int, inputs: Any, i: int) -> None:
        """Count a mistake, and keep its picture if it is among the most confident of its pair."""
        self._counts[pair] += 1
        kept = self._kept.get(pair, [])
        if len(kept) == N_EACH and confidence <= -kept[-1][0]:
            return
        if is_image_batch(inputs, self._preprocessing):
            picture = thumbnail(pixels(inputs[i], self._preprocessing))
            self._kept[pair] = sorted([*kept, (-confidence, position, picture)], key=lambda one: one[:2])[:N_EACH]

    def _worst(self, pairs: Mapping[Pair, Any], n: int) -> list[Pair]:
        """The n of these that occurred most often so far; of equal ones the first classes."""
        return sorted(pairs, key=lambda pair: (-self._counts[pair], pair))[:n]


def guesses(scores: Tensor, n_classes: int) -> Tensor:
    """The most likely classes of each example, best first: five, or one where there are no more than five."""
    return scores.topk(5 if n_classes > 5 else 1, dim=1).indices


def is_image_batch(inputs: Any, preprocessing: Mapping[str, Any]) -> bool:
    """Whether inputs are images (N, C, H, W) that `preprocessing` was done to, as far as we know it."""
    mean, std = (preprocessing.get(name) for name in ("mean", "std"))
    if preprocessing.get("layout") != "CHW" or not isinstance(mean, Sequence) or not isinstance(std, Sequence):
        return False
    return isinstance(inputs, Tensor) and inputs.ndim == 4 and len(mean) == len(std) == inputs.shape[1]


def pixels(inputs: Tensor, preprocessing: Mapping[str, Any]) -> NDArray[np.uint8]:
    """The image (H, W, C), uint8, that an input (C, H, W) was made of: what `preprocessing` did is undone."""
    mean, std = (np.asarray(preprocessing[name], dtype=np.float64) for name in ("mean", "std"))
    values = inputs.detach().double().cpu().numpy().transpose(1, 2, 0)
    restored = np.nan_to_num((values * std + mean) / preprocessing["scale"])
    return np.asarray(restored.round().clip(0, 255), dtype=np.uint8)


def thumbnail(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """An image (H, W, C) as people see it: grey or RGB, C 1 or 3, at most `MAX_SIDE` pixels a side."""
    shown = image[..., :3] if image.shape[2] >= 3 else image[..., :1]  # a further channel may be anything
    height, width = shown.shape[:2]
    if max(height, width) <= MAX_SIDE:
        return np.ascontiguousarray(shown)
    scale = MAX_SIDE / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    drawn = Image.fromarray(np.ascontiguousarray(shown.squeeze(2) if shown.shape[2] == 1 else shown))
    return np.asarray(drawn.resize(size, Image.Resampling.BILINEAR)).reshape(size[1], size[0], -1)
