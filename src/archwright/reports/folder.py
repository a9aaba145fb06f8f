"""Read a run's folder into the document of its page; a run in progress is not disturbed."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from archwright.core.errors import ArchwrightError, RunFolderError
from archwright.core.trial import Trial, of_largest_budget
from archwright.runs import files
from archwright.runs.ledger import Ledger
from archwright.runs.phase import CHECKPOINTS
from archwright.runs.record import read_record
from archwright.runs.status import CHOICE, RESULT, check_products, read_status
from archwright.stores.opening import FILE_NAME as STORE
from archwright.stores.opening import open_store

PAGE = "report.html"
"""Name of a run's own page in its folder."""

EXTRAS = "report.json"
"""File with what only the page needs: the cost of each layer, loss curves, a drawing, classes, codes of trials."""

PREDICTIONS = "predictions.safetensors"
"""Labels, predictions and confidences of the winner's test, example by example, for programs."""

RANK = "rank.json"
STUDIES = ("search", "baseline")
LATENCIES = {"latency_ms": "latency_ms.json", "latency_ms.torch": "latency_ms_torch.json"}
"""Files of the latency tables that a run measured for its limits, by cost."""


def run_document(folder: Path | str, *, result: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The document for `write_page`, from the files in a run's folder.

    Args:
        folder: The run's folder.
        result: Its result, if it is known but not written yet; the run then counts as finished.

    Raises:
        RunFolderError: If the folder holds no run, or a file in it is damaged or was changed after the run.
    """
    folder = Path(folder)
    status = {"state": "finished"} if result is not None else read_status(folder)
    check_products(folder)
    if status["state"] == "empty" or not os.path.lexists(folder / "run.json"):
        raise RunFolderError(f"{folder} holds no run yet: nothing was started; give the folder of a run (its --out)")
    found = result if result is not None else _read(folder, RESULT)
    extras = _read(folder, EXTRAS)
    ledger = _mapping(found.get("ledger")) or Ledger(folder).entries()
    return {
        "result": found if result is not None or status["state"] == "finished" else {},
        "run": read_record(folder),
        "status": status,
        "ledger": ledger,
        "trials": {study: _trials(folder, study, _mapping(extras.get("codes")).get(study)) for study in STUDIES},
        "architecture": [{"name": name, "value": value} for name, value in _mapping(found.get("arch")).items()],
        "layers": extras.get("layers") or (),
        "classes": extras.get("classes") or {},
        "drawing": extras.get("drawing"),
        "training": {**_mapping(extras.get("training")), **_curves(folder, list(ledger))},
        "rank": _read(folder, RANK),
        "choice": _chosen(folder),
        "latencies": {cost: table for cost, name in LATENCIES.items() if (table := _read(folder, name))},
        "folder": str(folder),
    }


def plain_trials(trials: Sequence[Trial]) -> list[dict[str, Any]]:
    """Trials as the JSON objects that the page reads.

    Of trials that were trained for less than the longest budget the metrics are left out: charts compare equals.
    """
    full = {trial.number for trial in of_largest_budget(trials)}
    return [
        {
            "number": trial.number,
            "metrics": dict(trial.metrics) if trial.number in full else {},
            "costs": dict(trial.costs),
            "status": trial.status,
            "arch": trial.arch.to_json(),
            "failure": trial.failure,
        }
        for trial in trials
    ]


def _trials(folder: Path, study: str, codes: Any) -> list[dict[str, Any]]:
    """The trials of a study, each with the code that the page's file has for it."""
    if not os.path.lexists(folder / STORE):  # opening would make one
        return []
    with open_store(folder, study) as store:
        found, known = plain_trials(store.trials()), _mapping(codes)
    return [{**trial, "code": known.get(str(trial["number"]))} for trial in found]


def _curves(folder: Path, phases: Sequence[str]) -> dict[str, Any]:
    """Loss curves by phase, in the order of the phases, from the checkpoints of trainings, done or not."""
    found = {}
    for path in (folder / CHECKPOINTS / f"{phase}.safetensors" for phase in phases):
        if not path.is_file():
            continue
        try:
            state = _mapping(_mapping(files.read_state(path)).get("state"))
        except ArchwrightError:  # the page is not where a damaged checkpoint matters
            continue
        curve = _mapping(state.get("log")).get("curve") or _mapping(state.get("losses")).get("curve")
        if curve:
            found[path.stem] = curve
    return found


def _chosen(folder: Path) -> dict[str, Any]:
    """What the recipe `auto` says of its choice; empty where it made none."""
    try:
        return _read(folder, CHOICE)
    except ArchwrightError:  # nothing depends on it
        return {}


def _read(folder: Path, name: str) -> dict[str, Any]:
    """A JSON object in the folder; empty where there is no such file.

    Raises:
        RunFolderError: If it is damaged or holds something else.
    """
    path = folder / name
    if not os.path.lexists(path):
        return {}
    document = files.read_json(path)
    if not isinstance(document, dict):
        raise RunFolderError(f"{path} holds no JSON object; restore it from a copy, or remove it")
    return document


def _mapping(found: Any) -> Mapping[str, Any]:
    return found if isinstance(found, Mapping) else {}
