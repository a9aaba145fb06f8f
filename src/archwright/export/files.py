"""The files in which a user gets a trained network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from torch import nn

from archwright.core.errors import ExportError, InvalidValueError, RunError, UsageError, error_text
from archwright.export.onnx import export_onnx
from archwright.export.sequences import takes_text
from archwright.export.source import write_source
from archwright.export.weights import save_weights
from archwright.nn.inputs import Form, signature_for

EXPORT_FORMATS = {"onnx": "model.onnx", "python": "model.py", "safetensors": "model.safetensors"}
"""File name of each format."""


def made_files(missing: Mapping[str, str]) -> list[str]:
    """Names of the files in a run's best/; formats in `missing` could not be written and are left out."""
    return [name for name in ("arch.json", *EXPORT_FORMATS.values()) if name not in missing]


def check_format(format: str) -> None:
    """Refuse an unknown format.

    Raises:
        InvalidValueError: If there is no such format.
    """
    if format not in EXPORT_FORMATS:
        raise InvalidValueError(f"export format is {format!r}; choose one of {', '.join(EXPORT_FORMATS)}")


def write_export(
    network: nn.Module,
    format: str,
    path: Path,
    *,
    input_shape: Form,
    metadata: Mapping[str, str],
    opset: int | None = None,
) -> tuple[str, ...]:
    """Write a network in one format, atomically; ONNX and Python source are run and compared with torch.

    Args:
        network: A plain network.
        format: One of `EXPORT_FORMATS`.
        path: File to write; its folder exists.
        input_shape: Shape of its one input without the batch axis, or its signature.
        metadata: The texts of `input_metadata`.
        opset: Of an ONNX file, see `export_onnx`.

    Returns:
        What the file does not take, and what other engines than ONNX Runtime may compute differently from it, in a line
        each.

    Raises:
        InvalidValueError: If there is no such format, or the network is too large for it.
        ExportError: If the format cannot express the network, or computes something else; there is no file then.
        RunError: If the file cannot be written.
    """
    check_format(format)
    if format == "safetensors":
        save_weights(network, path, metadata=metadata)
    elif format == "python":
        write_source(network, path, input_shape=input_shape, metadata=metadata)
    else:
        return _write_onnx(network, path, input_shape, metadata, opset)
    return ()


def _write_onnx(
    network: nn.Module, path: Path, form: Form, metadata: Mapping[str, str], opset: int | None
) -> tuple[str, ...]:
    """An ONNX file; of texts one that takes any length, where the network can do so."""
    signature, reason = signature_for(network, form), ""
    if takes_text(signature):
        try:
            return export_onnx(network, form, path, metadata=metadata, opset=opset, any_length=True).notes
        except ExportError as error:
            (spec, *_), reason = signature.inputs, str(error)
    notes = export_onnx(network, form, path, metadata=metadata, opset=opset).notes
    return (f"takes texts of {spec.shape[0]} tokens only: {reason}", *notes) if reason else notes


def attempt_export(
    network: nn.Module,
    format: str,
    path: Path,
    *,
    input_shape: Form,
    metadata: Mapping[str, str],
    log: Callable[[str], object],
) -> str | None:
    """Write a network as `write_export` does, but return the reason if the format cannot hold it.

    Args:
        network: A plain network.
        format: One of `EXPORT_FORMATS`.
        path: File to write; its folder exists.
        input_shape: Shape of one input without the batch axis.
        metadata: The texts of `input_metadata`.
        log: Told what other engines may compute differently.

    Returns:
        The reason why there is no file; None if it was written.

    Raises:
        RunError: If the file cannot be written, for example because the disk is full.
    """
    try:
        for note in write_export(network, format, path, input_shape=input_shape, metadata=metadata):
            log(f"{path.name}: {note}")
    except ExportError as error:
        return str(error)
    except (RunError, OSError):
        raise
    except UsageError as error:
        return str(error)
    except (
        Exception
    ) as error:  # whatever a module of a user does when it is traced: what was trained is not lost for it
        return error_text(error)
    return None
