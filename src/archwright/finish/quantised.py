"""The winner in 8-bit integers: calibrated on training images, compared with the float file, tested once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from archwright.core.errors import ExportError, RunError, error_text
from archwright.core.trial import derive_seed
from archwright.costs.latency import time_onnx
from archwright.export.files import made_files
from archwright.export.int8 import ACTIVATIONS, INT8_FILE, WEIGHTS, quantise
from archwright.export.onnx import onnx_session, predict_onnx
from archwright.runs.files import are_unchanged, digest
from archwright.runs.phase import Phase
from archwright.runs.run import Run
from archwright.spaces.base import Space
from archwright.tasks.base import Batch, Meter, Task
from archwright.tasks.classification import ClassificationTask
from archwright.training.evaluate import evaluate

MIN_AGREEMENT = 0.98
"""Least share of validation images in the same class, by default."""

N_IMAGES, BATCH_SIZE = 256, 32
"""Training images that calibrate the activations, fewer where there are fewer, and how many pass at a time."""


@dataclass(frozen=True)
class Int8Terms:
    """When an int8 file is good enough, and how that is told.

    Attributes:
        min_agreement: Least share of validation images that the float and the int8 file must put into one class.
        seen: Where the float network met the validation images before.
    """

    min_agreement: float = MIN_AGREEMENT
    seen: str = "in training"


def n_passed(task: Task) -> int:
    """How many images pass through a network for its int8 file; each that calibrates counts four times.

    Its pass is not optimised, and the least and largest value of every tensor are looked up.
    """
    if not isinstance(task, ClassificationTask):
        return 0
    return 4 * N_IMAGES + 2 * task.n_examples("validation") + task.n_examples("test")


def quantise_winner(
    run: Run, space: Space, task: Task, source: Path | None, terms: Int8Terms, *, label: str = ""
) -> dict[str, Any]:
    """What a result says of the winner's int8 file: its figures, or the reason why there is none.

    The figures are kept with the phase, so a resumed run reads no test part twice. A file that was deleted is made
    again; where its bytes are as before, so are its figures. What fails here is a reason and does not end the run,
    unless the run's own disk refuses the file: that run can be resumed.

    Args:
        run: Where it happens; it has a folder.
        space: The space of the network.
        task: Data and metric.
        source: The float ONNX file; None where there is none.
        terms: See `Int8Terms`.
        label: Of the winner, in a run that has several.
    """
    assert run.folder is not None
    phase, before = run.phase(f"int8{label}", total=4), None
    if phase.is_done and not are_unchanged(run.folder, phase.result["sha256"]):
        before = phase.result
        phase.reopen()
    with phase:
        if not phase.is_done:
            phase.finish(state=_Making(run, space, task, terms, phase).outcome(source, before))
        outcome: Any = phase.result
    return dict(outcome["int8"])


@dataclass(frozen=True)
class _Making:
    """The work of one phase; what its methods return is the phase's state."""

    run: Run
    space: Space
    task: Task
    terms: Int8Terms
    phase: Phase

    def outcome(self, source: Path | None, before: Any) -> dict[str, Any]:
        """Figures of the file and its digest by name, or a reason and no file.

        Args:
            source: The float file, if there is one.
            before: The state of a phase whose file is gone.
        """
        if source is None:
            return self._without("there is no float ONNX file to make it of")
        path = source.with_name(INT8_FILE)
        try:
            return self._made(source, path, before)
        except ExportError as error:
            reason = str(error)
        except RunError:
            raise
        except Exception as error:  # whatever quantiser, engine and data come up with
            reason = error_text(error)
        path.unlink(missing_ok=True)
        return self._without(reason)

    def _without(self, reason: str) -> dict[str, Any]:
        self.run.log(f"{INT8_FILE} is not written: {reason}")
        return {"int8": {"reason": reason}, "sha256": {}}

    def _made(self, source: Path, path: Path, before: Any) -> dict[str, Any]:
        batches = _calibration(self.task, derive_seed(self.run.seed, "int8 calibration"))
        export = quantise(source, path, batches)
        self.phase.advance(1)
        assert self.run.folder is not None
        sha256 = {path.relative_to(self.run.folder).as_posix(): digest(path)}
        if before is not None and before["sha256"] == sha256:
            return dict(before)
        figures = {
            **self._agreement(source, path),
            **self._latency(path),
            "test": self._test(path),
            "bytes": export.n_bytes,
            "weights": WEIGHTS,
            "activations": ACTIVATIONS,
            "kept_float": list(export.kept_float),
            "calibration": {
                "part": "train",
                "images": sum(map(len, batches)),
                "batch_size": len(batches[0]),
                "method": "min-max",
            },
        }
        return {"int8": figures, "sha256": sha256}

    def _agreement(self, source: Path, path: Path) -> dict[str, Any]:
        """Both files over the validation part.

        Raises:
            ExportError: If they name the same class too seldom.
        """
        meter = _Agreement(_OnnxNetwork(source))
        share = evaluate(_OnnxNetwork(path), self.task, "validation", meter=meter)["agreement"]
        if share < self.terms.min_agreement:
            raise ExportError(
                f"it puts {100 * share:.1f} % of the validation images into the same class as the float network; at "
                f"least {100 * self.terms.min_agreement:.4g} % are asked for (int8_agreement)"
            )
        self.phase.advance(2, agreement=share)
        return {"agreement": share, "agreement_on": f"validation images (seen {self.terms.seen})"}

    def _latency(self, path: Path) -> dict[str, Any]:
        if not self.space.runs_once:
            return {}
        latency = time_onnx(path, self.space.signature)
        self.phase.advance(3)
        return {"latency_ms": {latency.backend: latency.to_json()}}

    def _test(self, path: Path) -> float:
        """The task's metric on the test part, which is read here once for this file."""
        score = evaluate(_OnnxNetwork(path), self.task, "test")[self.task.metric]
        if not math.isfinite(score):
            raise ExportError(f"its {self.task.metric} on the test part is {score}")
        self.phase.advance(4)
        return score


def _calibration(task: Task, seed: int) -> list[NDArray[np.float32]]:
    """Batches of equal length of training images as the task prepares them, without augmentation, drawn by seed.

    Raises:
        ExportError: If the task's inputs are not put into classes.
    """
    if not isinstance(task, ClassificationTask):
        raise ExportError(f"int8 files are made of networks that put an input into a class, as {task.name!r} does not")
    n = task.n_examples("train")
    size = min(BATCH_SIZE, n)
    (share,) = task.shares("train", [min(N_IMAGES, n) // size * size / n], seed=seed)
    return [_array(batch.inputs) for batch in share.ordered(size)]


def _array(inputs: Any) -> NDArray[np.float32]:
    return np.ascontiguousarray(inputs.numpy())


class _OnnxNetwork(nn.Module):
    """An ONNX file of one input as a network of torch, on the CPU with the threads torch has.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._session = onnx_session(path, torch.get_num_threads())

    def forward(self, x: Tensor) -> Tensor:
        return torch.from_numpy(predict_onnx(self._session, _array(x)))


class _Agreement(Meter):
    """`agreement`, the share of examples that a network puts into the same class as another one.

    Args:
        other: The other one.
    """

    def __init__(self, other: nn.Module) -> None:
        self._other = other
        self._n = self._n_equal = 0

    def update(self, outputs: Any, batch: Batch) -> None:
        expected = self._other(batch.inputs)
        self._n += len(expected)
        self._n_equal += int((outputs.argmax(1) == expected.argmax(1)).sum())

    def result(self) -> dict[str, float]:
        return {"agreement": self._n_equal / self._n}


# ── what is said of it ────────────────────────────────────────────────────────────────────────────


def products_of(record: Mapping[str, Any]) -> list[str]:
    """Names of the files in the folder of a winner, from its record."""
    made = made_files(record.get("not_exported", {}))
    return [*made, INT8_FILE] if "test" in record.get("int8", {}) else made


def int8_lines(record: Mapping[str, Any]) -> list[str]:
    """The line about a winner's int8 file; none where there is no file."""
    found = record.get("int8", {})
    if "test" not in found:
        return []
    taken = [f"{latency['median']:.4g} ms" for latency in found.get("latency_ms", {}).values()]
    told = [f"{found['test']:.4f} on the test part", *taken]
    return [f"int8       {', '.join(told)}, agrees on {100 * found['agreement']:.1f} % of {found['agreement_on']}"]
