"""The result of a run: what was found, in memory and in the run's folder."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from archwright.core.arch import Arch
from archwright.core.errors import InvalidValueError, RunFolderError, error_text
from archwright.core.trial import Trial
from archwright.export.files import EXPORT_FORMATS, check_format, write_export
from archwright.export.preprocessing import read_metadata
from archwright.export.weights import load_weights
from archwright.finish.attempts import last_attempt
from archwright.finish.measuring import latency_lines, limit_line
from archwright.finish.quantised import int8_lines, products_of
from archwright.reports.folder import PAGE, run_document
from archwright.reports.next_steps import next_steps
from archwright.reports.page import holds_page, write_page
from archwright.reports.text import quantity
from archwright.runs.files import read_json
from archwright.runs.nondeterminism import withdrawal
from archwright.runs.phase import CHECKPOINTS
from archwright.runs.record import CODE, CODE_CHANGES, NONDETERMINISTIC
from archwright.runs.run import Run
from archwright.runs.status import check_products
from archwright.spaces.base import Space
from archwright.spaces.opening import Architecture, code_identity, open_architecture
from archwright.training.checkpoint import load_network

README = "README.md"
"""What a winner's folder says of itself."""


@dataclass(frozen=True)
class Result:
    """A finished run.

    Attributes:
        record: What result.json holds.
        space: The space of stand-alone networks.
        trials: Trials of the search; empty where a finished run was only opened again.
        folder: The run's folder, if it has one.
        network: The retrained winner.
    """

    record: dict[str, Any]
    space: Space
    network: nn.Module
    trials: tuple[Trial, ...] = ()
    folder: Path | None = None

    @property
    def arch(self) -> Arch:
        """The architecture found."""
        return Arch.from_json(self.record["arch"])

    def model(self) -> nn.Module:
        """The retrained network: a plain torch module in evaluation mode."""
        return self.network.eval()

    def summary(self) -> list[str]:
        """Lines that say what was found, how good it is, and where it lies."""
        return summary_lines(self.record, self.folder)


def reopen(run: Run, space: Space, *, phase: str = "retrain-winner") -> Result:
    """The result of a run that is finished already; a page that is gone is written again.

    Args:
        run: The run.
        space: The space of stand-alone networks.
        phase: The phase that trained the winner; its checkpoint holds the weights.

    Raises:
        RunFolderError: If result.json was not written by a run, or the weights are gone.
    """
    record = checked_record(run.result, run.folder)
    network = _load_winner(run, last_attempt(run, phase), space, Arch.from_json(record["arch"]))
    studies = [f"search{label}" for label in _labels(record)] if "n_evaluated" in record else []
    trials = [trial for study in studies for trial in run.store(study).trials()]
    if run.folder is not None and not holds_page(run.folder / PAGE):
        write_page(run.folder / PAGE, run_document(run.folder, result=record))
    return Result(record, space, network, tuple(trials), run.folder)


def _labels(record: Mapping[str, Any]) -> list[str]:
    """The suffix of each winner of a record in names of studies: empty for the first."""
    folders = [one.get("folder", "best") for one in record.get("selected", ())] or ["best"]
    return [folder.removeprefix("best").replace("/", "-", 1) for folder in folders]


def checked_record(record: Any, folder: Path | None) -> dict[str, Any]:
    """A record that was read from a file, checked to have the keys that are needed.

    Raises:
        RunFolderError: If it was not written by a run.
    """
    try:
        summary_lines(record, folder)
        Arch.from_json(record["arch"])
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise RunFolderError(
            f"result.json of {folder} was not written by a run ({error_text(error)}); "
            "delete it and resume to write it again"
        ) from None
    checked: dict[str, Any] = record
    return checked


def _load_winner(run: Run, phase: str, space: Space, arch: Arch) -> nn.Module:
    stored, path = run.phase(phase).restore(), run.path(f"{CHECKPOINTS}/{phase}.safetensors")
    if stored is None:
        raise RunFolderError(f"{path} is gone, which holds the winner's weights; restore it from a copy")
    network = space.build(arch)
    load_network(network, stored[0])
    return network.eval()


def open_winner(folder: Path) -> tuple[Architecture, nn.Module, dict[str, str]]:
    """The network in a finished run's folder, in evaluation mode, with the metadata of its weights.

    Raises:
        UsageError: If the folder is no finished run, or a file in it is damaged.
    """
    if not os.path.lexists(folder / "result.json"):
        raise RunFolderError(f"{folder} holds no finished run (there is no result.json); finish it with --resume first")
    check_products(folder)
    read_json(folder / "result.json")
    found = open_architecture(str(folder / "best" / "arch.json"))
    _check_code(folder, found.space)
    network = found.space.build(found.arch)
    weights = folder / "best" / "model.safetensors"
    metadata = load_weights(network, weights)
    if metadata.keys() >= {"class_names", "preprocessing"}:
        try:
            read_metadata(metadata, found.space.args().get("n_classes"))
        except InvalidValueError as error:
            raise RunFolderError(f"{weights} is damaged: {error}") from None
    return found, network.eval(), metadata


def _check_code(folder: Path, space: Space) -> None:
    """Refuse a user's space whose code was edited since the run: its network may be another one with the same weights.

    Raises:
        RunFolderError: Names the space.
    """
    record = read_json(folder / "run.json") if os.path.lexists(folder / "run.json") else {}
    config = record.get("config") if isinstance(record, dict) else None
    before = config.get(CODE) if isinstance(config, dict) else None
    if before is not None and before != code_identity(space).get(CODE):
        raise RunFolderError(
            f"the code of space {space.name!r} was edited since the run, so its network may compute something else; "
            "restore the file as it was"
        )


def export_run(
    folder: Path,
    format: str,
    output: Path | None,
    *,
    opset: int | None = None,
    log: Callable[[str], object] | None = None,
) -> Path:
    """Write a finished run's network again, in a format of `EXPORT_FORMATS`.

    Args:
        folder: The run's folder.
        format: "onnx", "python" or "safetensors".
        output: The file; in the run's best/ by default, of another operator set as model.opsetN.onnx.
        opset: Operator set of an ONNX file.
        log: Told what other engines than ONNX Runtime may compute differently.

    Raises:
        InvalidValueError: If there is no such format.
        UsageError: If the folder is no finished run.
        ExportError: If the format cannot express the network.
    """
    check_format(format)
    if opset is not None and format != "onnx":
        raise InvalidValueError(f"opset is {opset}, and the format is {format}; operator sets are those of onnx files")
    found, network, metadata = open_winner(folder)
    name = EXPORT_FORMATS[format] if opset is None else f"model.opset{opset}.onnx"
    path, own = output or folder / "best" / name, folder / "best" / EXPORT_FORMATS[format]
    if opset is not None and path.absolute() == own.absolute():
        raise InvalidValueError(f"{path} is the run's own file, which stays as the run made it; write to another one")
    for note in write_export(network, format, path, input_shape=found.space.signature, metadata=metadata, opset=opset):
        if log is not None:
            log(f"{path.name}: {note}")
    return path


def summary_lines(record: Mapping[str, Any], folder: Path | None) -> list[str]:
    """What a finished run's record says, and what to do next: some fifteen lines, most of at most 80 columns."""
    lines = []
    others = record.get("selected", [])[1:]
    for one in [record, *({**record, **other} for other in others)]:
        lines += network_lines(one)
    if said := withdrawal(record.get(NONDETERMINISTIC, ())):
        lines.append(f"no promise {said}")
    if changes := record.get(CODE_CHANGES):
        lines.append(f"code       of the space was edited during the run, which was accepted ({len(changes)} times)")
    if folder is not None:
        for one in [record, *others]:
            place = one.get("folder", "best")
            where = "" if one is record else f"{place}/"
            missing = one.get("not_exported", {})
            lines += [f"missing    {where}{name}: {reason}" for name, reason in missing.items()]
            page = f"; {folder}/report.html" if one is record else ""
            word = "files" if one is record else ""
            names = ", ".join(sorted(_files(record, one)))
            lines.append(f"{word:<11}{folder}/{place}: {names}{page}")
        lines += [f"{what:<11}{command}" for what, command in next_steps(record, str(folder))]
    return lines


def _files(record: Mapping[str, Any], one: Mapping[str, Any]) -> list[str]:
    """Names of the files of a winner; runs of earlier versions have no README.md."""
    return [*products_of(one), *([README] if "input_kind" in record else [])]


def network_lines(record: Mapping[str, Any]) -> list[str]:
    """What is said of one network: its figures, limits and latency, and what it is compared with."""
    name = f"{record['search_metric']} " if "search_metric" in record else ""
    searched = f", {name}{record['validation']:.4f} in the search" if "validation" in record else ""
    was_searched = "random_baseline" in record
    lines = [
        f"{'winner' if was_searched else 'network':<11}{record['metric']} {record['test']:.4f} on the test part "
        f"(seen once){searched}",
        f"           {record['macs']:,} multiply-accumulates, {record['params']:,} parameters, code {record['code']}",
    ]
    if record.get("uncounted"):
        lines.append(f"           not counted: {', '.join(record['uncounted'])}")
    if "weights" in record:
        lines.append(_start_line(record["weights"]))
    lines += [limit_line(limit) for limit in record["constraints"]]
    lines += [*latency_lines(record), *int8_lines(record)]
    if was_searched:
        several = len(record.get("selected", [])) > 1
        lines += _baseline_lines(record["random_baseline"], None if several else record.get("n_evaluated"))
    if "plain_baseline" in record:
        lines.append(_plain_line(record["plain_baseline"], record))
    return lines


def _plain_line(plain: Mapping[str, Any], winner: Mapping[str, Any]) -> str:
    """Whether the search beat a plain network."""
    if "reason" in plain:
        return f"plain      none beside it: {plain['reason']}"
    gap = abs(winner["test"] - plain["test"])
    said = "better" if plain["beaten"] else "worse"
    by = f"{gap:.4f} {said}" if gap else "no better"
    size = quantity(plain["macs"])
    return f"plain      {plain['test']:.4f} by a plain network of {size} multiply-accumulates; the search is {by}"


def _start_line(weights: Mapping[str, Any]) -> str:
    fresh = f"; begun anew: {', '.join(weights['fresh'])}" if weights["fresh"] else ""
    return f"began with {weights['file']}{fresh}"


def _baseline_lines(baseline: Mapping[str, Any], n_searched: int | None) -> list[str]:
    drawn = [draw["test"] for draw in baseline["draws"]]
    n = baseline["n_evaluated"]
    if baseline.get("is_search"):
        lines = [f"baseline   none beside it: the search was random search itself ({n} evaluations)"]
    elif n_searched not in (None, n):  # a search that tries some again in a space with few archs
        lines = [f"baseline   {baseline['test']:.4f} by random search with {n} evaluations against {n_searched}"]
    else:
        lines = [f"baseline   {baseline['test']:.4f} by random search with as many evaluations ({n})"]
    if drawn:
        lines.append(
            f"           {statistics.mean(drawn):.4f} mean of {len(drawn)} random networks "
            f"({min(drawn):.4f} to {max(drawn):.4f})"
        )
    return lines
