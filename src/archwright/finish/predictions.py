"""The single predictions of a winner's one test: kept while it is tested, stored, and summed up for the page."""

from __future__ import annotations

import base64
import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import safetensors.torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from archwright.core.errors import error_text
from archwright.reports.folder import PREDICTIONS
from archwright.runs.files import write_bytes
from archwright.runs.run import Run
from archwright.tasks.base import Batch, Meter, Part, Recorder, Task

MAX_CONFUSIONS = 2000
"""Most pairs of classes that are listed for the page; it shows the most frequent."""

_STORED = ("labels", "predictions", "confidences")


class Recording(Meter):
    """The task's meter, with what the task's recorder keeps beside it.

    A recorder is for show: what it raises costs the record, not the test.

    Attributes:
        failure: What the recorder raised; empty if nothing.
    """

    def __init__(self, task: Task) -> None:
        self._meter, self.failure = task.meter(), ""
        self._recorder: Recorder | None = None
        if type(self._meter).measure is Meter.measure:  # else it alone knows the outputs
            self._recorder = task.recorder()

    def measure(self, network: nn.Module, batch: Batch) -> None:
        if self._recorder is None:
            self._meter.measure(network, batch)
        else:
            super().measure(network, batch)

    def update(self, outputs: Any, batch: Batch) -> None:
        self._meter.update(outputs, batch)
        if self._recorder is not None:
            try:
                self._recorder.add(outputs, batch)
            except Exception as error:  # a task of the user's own may have outputs of another form
                self._recorder, self.failure = None, error_text(error)

    def result(self) -> dict[str, float]:
        return self._meter.result()

    def kept(self) -> dict[str, Tensor]:
        """What was kept, to be stored with the test."""
        return {} if self._recorder is None else self._recorder.tensors()


def write_predictions(run: Run, task: Task) -> list[str]:
    """Write `predictions.safetensors` of the winner, from what the test kept; the names of the files it made."""
    kept = _kept(run)
    if run.folder is None or not kept:
        return []
    # one text: the library writes several in another order each time, and the file's digest is kept
    names = {"class_names": json.dumps(list(task.class_names), ensure_ascii=False)}
    data = safetensors.torch.save({name: kept[name].contiguous() for name in _STORED}, metadata=names)
    write_bytes(run.path(PREDICTIONS), data)
    return [PREDICTIONS]


def classes_document(run: Run, task: Task) -> dict[str, Any]:
    """What the page says of the classes; empty where the test kept no predictions.

    Returns:
        "names"; by class the examples of "train", "validation" (each only if known) and "test", and of these the
        "right" ones; "confusions", [class, taken for, examples], the most frequent first; "mistakes" with pictures.
    """
    kept = _kept(run)
    if not kept:
        return {}
    labels, predictions = (kept[name].numpy() for name in ("labels", "predictions"))
    n = task.n_classes or 0
    parts: tuple[Part, ...] = ("train", "validation")
    counts: dict[str, list[int]] = {part: [int(one) for one in task.class_counts(part)] for part in parts}
    return {
        "names": list(task.class_names),
        **{part: found for part, found in counts.items() if len(found) == n},
        "test": np.bincount(labels, minlength=n).tolist(),
        "right": np.bincount(labels[labels == predictions], minlength=n).tolist(),
        "confusions": _confusions(labels, predictions),
        "mistakes": _mistakes(kept),
    }


def _kept(run: Run) -> Mapping[str, Tensor]:
    """The tensors of the test; none of a test that an earlier version made."""
    stored = run.phase("test").restore()
    tensors = {} if stored is None else stored[0]
    return tensors if tensors.keys() >= set(_STORED) else {}


def _confusions(labels: NDArray[np.int64], predictions: NDArray[np.int64]) -> list[list[int]]:
    wrong = (labels != predictions) & (predictions >= 0)
    counted = Counter(zip(labels[wrong].tolist(), predictions[wrong].tolist(), strict=True))
    ordered = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
    return [[*pair, count] for pair, count in ordered[:MAX_CONFUSIONS]]


def _mistakes(kept: Mapping[str, Tensor]) -> list[dict[str, Any]]:
    if not kept.keys() >= {"shown", "pictures"}:
        return []
    places: Sequence[int] = kept["shown"].tolist()
    return [
        {
            "number": place,
            "label": int(kept["labels"][place]),
            "predicted": int(kept["predictions"][place]),
            "confidence": round(float(kept["confidences"][place]), 4),
            "png": _png(picture.numpy()),
        }
        for place, picture in zip(places, kept["pictures"], strict=True)
    ]


def _png(picture: NDArray[np.uint8]) -> str:
    """A picture (H, W, C) as the base64 text of a PNG file."""
    image = Image.fromarray(picture.squeeze(2) if picture.shape[2] == 1 else picture)
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode()
