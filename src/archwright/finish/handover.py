"""Export the winner in several formats, measure it, and write the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from archwright.core.arch import Arch
from archwright.core.errors import RunError, UsageError, error_text
from archwright.costs.counting.count import count
from archwright.costs.describe import layer_rows
from archwright.export.files import EXPORT_FORMATS, attempt_export, made_files
from archwright.export.int8 import INT8_FILE
from archwright.export.preprocessing import TRAINED_WITH, input_metadata
from archwright.export.weights import save_weights
from archwright.finish.measuring import Latencies, measure_winner
from archwright.finish.predictions import classes_document
from archwright.finish.quantised import Int8Terms, quantise_winner
from archwright.reports.drawing import draw_svg
from archwright.reports.folder import EXTRAS, PAGE, STUDIES, run_document
from archwright.reports.page import write_page
from archwright.runs.files import are_unchanged, digest
from archwright.runs.run import Run
from archwright.spaces.base import Space
from archwright.spaces.opening import arch_document
from archwright.stores.opening import FILE_NAME as STORE
from archwright.stores.opening import open_store
from archwright.tasks.base import Task

MAX_CODES = 20_000
"""Most trials of a study whose codes the page's file keeps; the page shows a few thousand points."""


def export_and_measure(
    run: Run,
    space: Space,
    arch: Arch,
    network: nn.Module,
    task: Task,
    known: Latencies,
    *,
    augment: str,
    int8: Int8Terms | None = None,
    label: str = "",
) -> tuple[dict[str, Any], dict[str, str]]:
    """Export and measure a finished network: its figures, and the reason for each file that is missing, by name.

    Args:
        run: Where it happens.
        space: The space of stand-alone networks.
        arch: The network's architecture.
        network: The trained network.
        task: Its classes and preprocessing travel with the files.
        known: Latencies that were measured already, by backend.
        augment: What changed training images, as `TrainingConfig.augment`; it is told in the files.
        int8: When an int8 file is good enough; None makes none, as a run in memory does.
        label: Of the winner in a run that has several: `-COST-LIMIT`, or nothing for the first, whose files lie in
            best/ itself.
    """
    missing = {} if run.folder is None else _export(run, space, arch, network, _metadata(task, augment), label)
    onnx = EXPORT_FORMATS["onnx"]
    exported = None if run.folder is None or onnx in missing else run.path(f"{place_of(label)}/{onnx}")
    figures: dict[str, Any] = {
        **_counted(run, space, arch, network),
        "latency_ms": measure_winner(run, network, space, known, exported, label=label),
    }
    if int8 is not None and run.folder is not None:
        figures["int8"] = quantise_winner(run, space, task, exported, int8, label=label)
        if "reason" in figures["int8"]:
            missing[INT8_FILE] = figures["int8"]["reason"]
    return figures, missing


def _counted(run: Run, space: Space, arch: Arch, network: nn.Module) -> dict[str, Any]:
    """Costs of the finished network, or of its architecture where that one cannot be counted."""
    try:
        counted = count(network, space.signature)
    except Exception as error:  # nothing that was trained is lost for a figure
        run.log(f"the finished network is not counted, its architecture is: {error_text(error)}")
        with space.shapes_only():
            described = space.build(arch)
        counted = count(described, space.signature)
    figures = {"params": counted.params, "macs": counted.macs, "memory_access_bytes": counted.memory_access_bytes}
    return {**figures, "uncounted": counted.uncounted} if counted.uncounted else figures


def _metadata(task: Task, augment: str) -> dict[str, str]:
    """The texts that travel inside the files."""
    trained_with = {TRAINED_WITH: augment} if task.default_augment else {}
    return input_metadata(task.class_names, {**task.preprocessing, **trained_with})


def place_of(label: str) -> str:
    """The folder of a winner's files."""
    return f"best/{label.removeprefix('-')}".rstrip("/")


def _export(
    run: Run, space: Space, arch: Arch, network: nn.Module, metadata: Mapping[str, str], label: str
) -> dict[str, str]:
    """A winner's arch.json, model.safetensors, model.onnx and model.py; why one of the last two is missing, by name.

    All are made again where one that was made is gone; one that was changed is refused.
    """
    phase = run.phase(f"export{label}", total=4)
    if phase.is_done and run.folder is not None and not are_unchanged(run.folder, phase.result.get("sha256", {})):
        phase.reopen()
    with phase:
        if not phase.is_done:
            place = place_of(label)
            run.path(place).mkdir(parents=True, exist_ok=True)
            run.write_json(f"{place}/arch.json", arch_document(space, arch))
            phase.advance(1)
            save_weights(network, run.path(f"{place}/model.safetensors"), metadata=metadata)
            phase.advance(2)
            missing = {}
            for done, format in enumerate(("onnx", "python"), start=3):
                path = run.path(f"{place}/{EXPORT_FORMATS[format]}")
                reason = attempt_export(
                    network, format, path, input_shape=space.signature, metadata=metadata, log=run.log
                )
                if reason is not None:
                    missing[path.name] = reason
                    run.log(f"{path.name} is not written: {reason}")
                phase.advance(done)
            made = {f"{place}/{name}": digest(run.path(f"{place}/{name}")) for name in made_files(missing)}
            phase.finish(state={"missing": missing, "sha256": made})
        outcome: Any = phase.result
    return dict(outcome.get("missing", {}))


def write_run_page(
    run: Run,
    folder: Path,
    record: Mapping[str, Any],
    space: Space,
    network: nn.Module,
    task: Task,
    curves: Mapping[str, Any],
) -> None:
    """Write a run's page, and the file of what only the page shows.

    The page is made from the folder alone, so `archwright report` makes the same one again.

    Args:
        run: The run.
        folder: Its folder.
        record: What result.json holds.
        space: The space of stand-alone networks.
        network: The winner.
        task: Its classes and their numbers of examples are shown.
        curves: Loss curves of the trainings, by name.
    """
    extras: dict[str, Any] = {"format": 1, "training": curves}
    makers: dict[str, tuple[str, Callable[[], Any]]] = {
        "layers": ("the table of layers", lambda: layer_rows(network, space.signature)),
        "classes": ("the table of classes", lambda: classes_document(run, task)),
        "codes": ("the code of each trial", lambda: codes_of_trials(space, folder)),
        "drawing": ("the drawing", lambda: draw_svg(space, Arch.from_json(record["arch"]), title="")),
    }
    for name, (what, make) in makers.items():
        try:
            extras[name] = make()
        except RunError:
            raise
        except Exception as error:  # a user's own space may have no picture, or a broken one
            why = str(error) if isinstance(error, UsageError) else error_text(error)
            run.log(f"{what} is left out of the page: {why}")
    run.write_json(EXTRAS, extras)
    try:
        write_page(run.path(PAGE), run_document(folder, result=record))
    except (RunError, OSError):
        raise
    except Exception as error:
        run.log(f"the page is not written: {error_text(error)}; `archwright report` makes it later")


def codes_of_trials(space: Space, folder: Path) -> dict[str, dict[str, str]]:
    """The code of each trial by study and number, for the page; none where there are very many.

    Args:
        space: Makes the codes.
        folder: The run's folder; nothing in it changes.
    """
    found: dict[str, dict[str, str]] = {}
    for study in STUDIES if (folder / STORE).exists() else ():
        with open_store(folder, study) as store:
            trials = store.trials() if len(store) <= MAX_CODES else []
        found[study] = {str(trial.number): space.code(trial.arch) for trial in trials}
    return found
