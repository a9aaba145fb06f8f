"""A network → one ONNX file, run by ONNX Runtime and compared with torch."""

from __future__ import annotations

import contextlib
import functools
import importlib
import io
import logging
import re
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from archwright.core.errors import ExportError, InvalidValueError, RunFolderError, UsageError
from archwright.export.engines import agree
from archwright.export.folding import fold_batch_norms
from archwright.export.opsets import graphs_of, lower, version_of
from archwright.export.reference import (
    outputs_of,
    plain_copy,
    random_inputs,
    relative_difference,
    rounds_values,
    spread_difference,
    worst,
)
from archwright.export.sequences import LENGTH, check_sequences, length_names, of_length, scan_recurrent
from archwright.nn.inputs import OUTPUT, Form, Signature, signature_for, tensors_of
from archwright.runs.files import replacing

if TYPE_CHECKING:
    import onnx
    import onnxruntime

_BATCH = "batch"
TOLERANCE = 1e-4
ROUNDED_TOLERANCE = 0.25
"""Of networks that round inside (see `reference.rounds_values`), in units of the spread of their logits."""

_ROUNDS = "it rounds inside: where a value lies half-way, the last bit of an engine's sum decides to which side"

MAX_BYTES, MAX_CAUSES = 1_500_000_000, 8

LONGER = 3
"""Steps by which the sequences are longer at which a file of any length is compared a second time."""

# What torch 2.6 to 2.14 translate to without converting between versions, and ONNX Runtime reads since 1.18.
_OPSET, _IR_VERSION = 18, 10

OLDEST_OPSET, NEWEST_OPSET = 11, 23
"""Operator sets that may be asked for."""

_ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_OPERATOR = re.compile(r"\b(?:aten|prims|torchvision|quantized_decomposed)(?:\.|::)\w+(?:\.\w+)?")


@dataclass(frozen=True)
class OnnxExport:
    """Facts about a written ONNX file.

    Attributes:
        path: The file.
        n_bytes: Its size.
        opset: Version of the operator set.
        ir_version: Version of the file format.
        duration_s: Wall time of the export.
        notes: What other engines may compute differently, in a line each.
        difference: Largest difference between ONNX Runtime and torch (see `verify_onnx`); None where they were not
            compared.
    """

    path: Path
    n_bytes: int
    opset: int
    ir_version: int
    duration_s: float
    notes: tuple[str, ...] = ()
    difference: float | None = None


def export_onnx(
    network: nn.Module,
    input_shape: Form,
    path: Path | str,
    *,
    metadata: Mapping[str, str] | None = None,
    opset: int | None = None,
    any_length: bool = False,
    verify: bool = True,
) -> OnnxExport:
    """Write a network as one ONNX file with its weights inside, atomically and silently, and compare it with torch.

    The file computes float32 eval-mode outputs for any N. Of a shape, its input is "images" (N, …), or int64 "tokens"
    (N, T) for a network that takes tokens, and its output is "logits"; of a signature, they have the names it says.
    The network itself is left as it is. Traces of the exporting machine (source paths) are removed.

    Args:
        network: Any module without searched parts.
        input_shape: Shape of its one input without the batch axis, e.g. (3, 32, 32), or its signature.
        path: File to write; its folder exists.
        metadata: Texts stored in the file, e.g. those of `input_metadata`.
        opset: Operator set version; None takes 18. Older ones are made from that.
        any_length: Whether the file takes sequences of any length, (N, T) or (N, T, features), not only those of the
            given one. Recurrent layers become a loop of the file (`Scan`), which other engines than ONNX Runtime may
            lack.
        verify: Run the file in ONNX Runtime beside the network; one that computes something else is removed.

    Raises:
        InvalidValueError: If the weights exceed what one file should hold (1.5 GB), there is no such operator set, or
            `any_length` is asked for what are no sequences.
        ExportError: If torch cannot express the network in ONNX, for every batch size, or in that operator set, or the
            file computes something else.
    """
    if opset is not None and (type(opset) is not int or not OLDEST_OPSET <= opset <= NEWEST_OPSET):
        raise InvalidValueError(f"opset is {opset!r}; give {OLDEST_OPSET} to {NEWEST_OPSET}, or none for {_OPSET}")
    start = time.perf_counter()
    n_bytes = sum(4 * tensor.numel() for tensor in (*network.parameters(), *network.buffers()))
    if n_bytes > MAX_BYTES:
        raise InvalidValueError(
            f"the network has {n_bytes / 1e9:.1f} GB of weights; one ONNX file takes {MAX_BYTES / 1e9:.1f} GB, "
            "export safetensors instead"
        )
    wanted, path = opset or _OPSET, Path(path)

    def written(to: Path, *, folds: bool) -> tuple[onnx.ModelProto, int, tuple[str, ...]]:
        with silence():
            model, notes = _translate(network, input_shape, max(wanted, _OPSET), any_length, folds=folds)
            if version_of(model) > wanted:
                lower(model, wanted)
            data = _finished(model, metadata or {})
        to.write_bytes(data)
        return model, len(data), notes

    def differing(file: Path) -> float:
        lengths = (0, LONGER) if any_length else (0,)
        try:
            return max(verify_onnx(file, network, _longer(network, input_shape, more)) for more in lengths)
        except (ExportError, UsageError) as error:
            raise ExportError(str(error).replace(str(file), str(path))) from error

    with replacing(path) as temporary:  # what was there before stays until the new file is known to be right
        model, n_written, notes = written(temporary, folds=True)
        seconds, difference = time.perf_counter() - start, None
        if verify:
            try:
                difference = differing(temporary)
            except ExportError:
                # batch norms are folded into convolutions of a sequence, which is wrong where somebody reads between
                model, n_written, notes = written(temporary, folds=False)
                difference = differing(temporary)
    return OnnxExport(path, n_written, version_of(model), model.ir_version, seconds, notes, difference)


def _longer(network: nn.Module, form: Form, more: int) -> Form:
    return of_length(signature_for(network, form), more) if more else form


def onnx_session(path: Path | str, threads: int = 1) -> onnxruntime.InferenceSession:
    """An ONNX Runtime session on the CPU with that many threads.

    Raises:
        RunFolderError: If the file is missing or ONNX Runtime cannot load it.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors share no base class
        raise RunFolderError(f"{path} cannot be loaded by ONNX Runtime ({first_line(error)})") from error


def onnx_metadata(session: onnxruntime.InferenceSession) -> dict[str, str]:
    """The texts stored in the file of a session."""
    return dict(session.get_modelmeta().custom_metadata_map)


def predict_onnx(
    session: onnxruntime.InferenceSession, images: NDArray[Any] | Sequence[NDArray[Any]], *, batch_size: int = 256
) -> NDArray[np.float32]:
    """Logits, the first output, of preprocessed images (N, C, H, W) or tokens (N, T); the inputs in order where there
    are several.

    Args:
        session: Of the file.
        images: See above.
        batch_size: Most inputs at a time.
    """
    return _run(session, [images] if isinstance(images, np.ndarray) else images, batch_size)[0]


def _run(
    session: onnxruntime.InferenceSession, inputs: Sequence[NDArray[Any]], batch_size: int = 256
) -> list[NDArray[np.float32]]:
    """Every output for inputs in the order of the file."""
    names = [each.name for each in session.get_inputs()]
    found = []
    for i in range(0, max(len(inputs[0]), 1), batch_size):
        feed = {name: values[i : i + batch_size] for name, values in zip(names, inputs, strict=True)}
        found.append([np.asarray(output) for output in session.run(None, feed)])
    return [np.concatenate(parts) for parts in zip(*found, strict=True)]


def verify_onnx(
    path: Path | str,
    network: nn.Module,
    input_shape: Form,
    *,
    batches: Sequence[int] = (1, 4),
    seed: int = 0,
    threads: int = 1,
) -> float:
    """Largest difference between the logits of the file in ONNX Runtime and of the network in torch (eval mode, CPU).

    Measured on random normal inputs of each batch size, relative to max(1, max|logit|); for a network that rounds
    inside, as the root mean square relative to the spread of the logits.

    Args:
        path: The file.
        network: The network that was exported; it stays as it is.
        input_shape: Shape of one input without the batch, or a signature.
        batches: Batch sizes to compare at.
        seed: Draws the inputs.
        threads: Threads of ONNX Runtime inside an operation.

    Raises:
        RunFolderError: If the file cannot be loaded.
        ExportError: If ONNX Runtime cannot run it, the difference exceeds 1e-4 (0.25 where the network rounds) or is
            not a number, or the shapes differ.
    """
    session, reference = onnx_session(path, threads), plain_copy(network)
    is_rounded = rounds_values(reference)
    compare, limit = (spread_difference, ROUNDED_TOLERANCE) if is_rounded else (relative_difference, TOLERANCE)
    largest = 0.0
    for batch in batches:
        inputs = random_inputs(reference, input_shape, batch, seed=seed, purpose="verify_onnx")
        try:
            found = _run(session, [tensor.numpy() for tensor in tensors_of(inputs)])
        except Exception as error:  # its errors share no base class
            raise ExportError(f"{path} cannot be run by ONNX Runtime ({first_line(error)})") from error
        difference = worst(compare, found, outputs_of(reference, inputs))
        if not difference <= limit:
            raise ExportError(
                f"logits of {path} in ONNX Runtime and of {type(network).__name__} in torch differ by {difference:.3g} "
                f"at batch {batch}; at most {limit:g} is accepted, do not use this file"
            )
        largest = max(largest, difference)
    return largest


@functools.cache
def _read_operators_once() -> None:
    """Let the exporter keep the operators of onnxscript.

    It asks for them at each export, and then the sources of all five hundred are parsed, which takes as long as the
    rest of exporting a small network. Where a version of torch finds them another way, it goes on doing so.
    """
    with contextlib.suppress(ImportError, AttributeError):
        registration: Any = importlib.import_module("torch.onnx._internal.exporter._registration")
        source = registration.onnxscript_apis
        source.get_torchlib_ops = functools.cache(source.get_torchlib_ops)


def _translate(
    network: nn.Module, form: Form, opset: int, any_length: bool, *, folds: bool
) -> tuple[onnx.ModelProto, tuple[str, ...]]:
    """The model, and what other engines may compute differently in it."""
    _read_operators_once()
    try:
        plain = plain_copy(network)
    except Exception as error:  # of modules that keep tensors of a graph, such as old weight norms
        raise ExportError(f"{type(network).__name__} cannot be copied for its export: {first_line(error)}") from error
    signature = signature_for(plain, form)
    if any_length:
        check_sequences(signature)
        plain = scan_recurrent(plain)
    if folds:
        # folded here, not by the exporter, which then has half as many nodes to carry through its passes
        fold_batch_norms(plain)
    # batch 2: the exporter would take a batch of 1 for a constant
    example = tensors_of(signature.example(2))
    # bounded: a strided slice makes torch 2.6 ask for proof that the batch is not the largest integer
    axes = [{0: torch.export.Dim(_BATCH, max=2**31 - 1)} for _ in example]
    if any_length:
        for each, name in zip(axes, length_names(signature), strict=True):
            each[1] = torch.export.Dim(name, max=2**31 - 1)
    try:
        with torch.no_grad():
            # captured here: given a module, torch 2.6 falls back on tracing, which drops branches without a word
            captured = torch.export.export(plain, example, dynamic_shapes=tuple(axes), strict=False)
            notes = agree(captured)
            program = torch.onnx.export(
                captured,
                (),
                dynamo=True,
                input_names=[spec.name for spec in signature.inputs],
                output_names=[spec.name for spec in signature.outputs] or [OUTPUT],
                opset_version=opset,
                external_data=False,
                verbose=False,
            )
    except Exception as error:  # whatever the network's own code or the exporter raises
        raise ExportError(
            f"{type(network).__name__} with inputs {_shapes(signature)} cannot be exported to ONNX: {first_line(error)}"
        ) from error
    assert program is not None
    return program.model_proto, notes + ((_ROUNDS,) if rounds_values(plain) else ())


def _shapes(signature: Signature) -> str:
    """Shapes of the inputs as text, each like (N, 3, 32, 32)."""
    return ", ".join(f"({', '.join(map(str, ('N', *spec.shape)))})" for spec in signature.inputs)


def _finished(model: onnx.ModelProto, metadata: Mapping[str, str]) -> bytes:
    """The bytes of the file: cleaned, with the metadata, checked."""
    import onnx

    for graph in graphs_of(model.graph):
        parts: list[Any] = [graph, *graph.node, *graph.value_info, *graph.initializer, *graph.input, *graph.output]
        for part in parts:
            part.ClearField("metadata_props")
            part.ClearField("doc_string")
    model.ClearField("metadata_props")
    _name_free_axes(model.graph)
    model.ir_version = min(model.ir_version, _IR_VERSION)
    onnx.helper.set_model_props(model, dict(sorted(metadata.items())))
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        version = version_of(model)
        told = (
            f"operator set {version} has no form of what the network needs ({first_line(error)}); give a newer one"
            if version < _OPSET
            else f"torch's exporter made a file that is no valid ONNX: {first_line(error)}"
        )
        raise ExportError(told) from error
    return bytes(model.SerializeToString(deterministic=True))


def _name_free_axes(graph: onnx.GraphProto) -> None:
    """Call the free axes "batch" and "length" wherever they occur; torch 2.6 invents symbols for them."""
    free = [[axis.dim_param for axis in value.type.tensor_type.shape.dim] for value in graph.input]
    assert free[0][0], "the exporter fixed the batch size"
    names = {free[0][0]: _BATCH}
    lengths = list(dict.fromkeys(axes[1] for axes in free if len(axes) > 1 and axes[1]))
    for symbol in lengths:
        names[symbol] = LENGTH if len(lengths) == 1 else symbol
    words = re.compile("|".join(rf"\b{re.escape(symbol)}\b" for symbol in names))
    for value in [*graph.input, *graph.output, *graph.value_info]:
        for axis in value.type.tensor_type.shape.dim:
            if axis.dim_param:
                axis.dim_param = words.sub(lambda found: names[found[0]], axis.dim_param)


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Neither prints, nor warnings, nor log lines: exporters make all three, and none that a user could act on."""
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


def first_line(error: Exception) -> str:
    """The class of an exception and the first line of what it says, with the operator that it or its causes name.

    Without escape codes, by which exporters colour their messages.
    """
    texts, cause = list[str](), cast(BaseException | None, error)
    while cause is not None and len(texts) < MAX_CAUSES:
        texts.append(_ESCAPES.sub("", str(cause)))
        cause = cause.__cause__ or cause.__context__
    lines = [line.strip() for line in texts[0].splitlines() if line.strip()]
    said = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    # the innermost cause is the one that says what was missing
    operators = [match[0] for text in reversed(texts) if (match := _OPERATOR.search(text)) is not None]
    return f"{said} (operator {operators[0]})" if operators and operators[0] not in said else said
