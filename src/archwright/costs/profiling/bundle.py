"""A space's parts as a folder of ONNX files, with a script that times them where archwright is not installed."""

from __future__ import annotations

import os
import secrets
import shlex
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from archwright import __version__
from archwright.core.errors import InvalidValueError, RunError, RunFolderError
from archwright.core.text import printable
from archwright.costs.latency import check_backend
from archwright.costs.profiling.parts import Runnable
from archwright.costs.profiling.plan import Plan, Planned, network_name
from archwright.costs.profiling.profile import Advance, ProfileConfig
from archwright.costs.profiling.weights import SharedWeights, refer
from archwright.costs.tables.latencies import plain_args
from archwright.export.folding import fold_batch_norms
from archwright.export.onnx import export_onnx
from archwright.export.reference import plain_copy
from archwright.nn.inputs import TensorSpec, shape_text, signature_for
from archwright.runs.files import digest, write_bytes, write_sealed_json, write_text
from archwright.spaces.base import Space

FORMAT = 1
SCRIPT = "measure.py"
MEASUREMENTS = "measurements.json"
README = """\
Latency of {space} at {shape}: {n} parts to time on another machine

1. Copy this folder there. It needs Python 3.8 or newer with onnxruntime and numpy, nothing else. Leave the machine
   alone meanwhile, with its clock fixed if that can be done.

       python3 {script}

   It writes {measurements} after each part; if it was interrupted, the same command goes on.

2. Bring {measurements} back and make the table of it, which `archwright search` takes as latency_table:

       {command}
"""


@dataclass(frozen=True)
class Bundle:
    """What was written.

    Attributes:
        folder: Where.
        n_parts: ONNX files.
        n_bytes: Size of the whole folder.
    """

    folder: Path
    n_parts: int
    n_bytes: int


def write_bundle(
    space: Space,
    folder: Path | str,
    config: ProfileConfig | None = None,
    *,
    seed: int = 0,
    options: Sequence[str] = (),
    advance: Advance | None = None,
) -> Bundle:
    """Write the parts of a space as ONNX files, with a script that times them; `read_measurements` makes the table.

    The script needs onnxruntime and numpy only. The folder is there completely or not at all.

    Args:
        space: The space, at the input size that will be used.
        folder: A new or empty folder.
        config: How to measure, if the script is not told otherwise; its backend is ONNX Runtime.
        seed: Seed of the weights and of the choice of whole networks.
        options: Options of `archwright profile` that give this space again, for the folder's README.
        advance: Called with (done, total) after each file.

    Raises:
        InvalidValueError: If ONNX Runtime cannot run the networks as they are used, the backend is another, or a module
            without children depends on too many decisions.
        RunFolderError: If the folder has anything in it.
        RunError: If a part cannot be exported, or the folder not be written.
    """
    config, folder = config or ProfileConfig(), Path(folder)
    if config.backend != "onnxruntime":
        raise InvalidValueError(
            f"a bundle is measured in onnxruntime, but backend is {config.backend!r}; leave the backend out"
        )
    check_backend(space, config.backend)
    check_new(folder)
    planned = Planned(space, seed=seed, n_fitted=config.n_fitted, n_checked=config.n_checked)
    with _appearing(folder) as temporary:
        weights, parts = SharedWeights(seed), []
        for done, (name, form) in enumerate(planned):
            parts.append(_written(temporary, f"parts/{done:04d}.onnx", name, form, weights))
            if advance is not None:
                advance(done + 1, len(planned))
        files = [f"parts/{name}" for name in weights.write(temporary / "parts")]
        document = {
            **_document(space, planned.plan, config),
            "weights": [{"file": file, "sha256": digest(temporary / file)} for file in files],
            "parts": parts,
        }
        write_sealed_json(temporary / "bundle.json", document)
        write_bytes(temporary / SCRIPT, resources.files("archwright.costs.profiling").joinpath(SCRIPT).read_bytes())
        write_text(temporary / "README.txt", _readme(space, len(parts), options))
        n_bytes = sum(path.stat().st_size for path in temporary.rglob("*") if path.is_file())
    return Bundle(folder, len(parts), n_bytes)


def check_new(folder: Path) -> None:
    """Refuse a folder that is not new or empty, or cannot be made.

    Raises:
        RunFolderError: If it is such a one.
    """
    if os.path.lexists(folder):
        try:
            is_empty = not any(folder.iterdir())
        except OSError as error:
            raise RunFolderError(f"{folder} is no folder: {error.strerror}; give a new one for the bundle") from None
        if not is_empty:
            raise RunFolderError(f"{folder} is not empty; give a new folder for the bundle")
    above = next(parent for parent in folder.absolute().parents if os.path.lexists(parent))
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        raise RunFolderError(f"{folder} cannot be made: {above} is no folder that takes files; choose another")


@contextmanager
def _appearing(folder: Path) -> Iterator[Path]:
    """A temporary folder beside a new one, which it becomes if the block ends well."""
    temporary = folder.absolute().with_name(f".{folder.absolute().name}.{secrets.token_hex(8)}.tmp")
    try:
        temporary.mkdir(parents=True)
        yield temporary
        os.replace(temporary, folder)
    except OSError as error:
        if isinstance(error, RunFolderError):
            raise
        raise RunError(f"{folder} cannot be written: {error.strerror or error}; choose another folder") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _written(folder: Path, file: str, name: str, form: Runnable, weights: SharedWeights) -> dict[str, Any]:
    """Write one part; what bundle.json says of it."""
    network = plain_copy(form.module)
    fold_batch_norms(network)  # before it is filled, so that the file has the very numbers
    places = weights.fill(network)
    export_onnx(network, form.form, folder / file)
    refer(folder / file, places)
    signature = signature_for(network, form.form)
    return {
        "key": name,
        "what": f"{type(form.module).__name__} at {shape_text(signature)}",
        "file": file,
        "sha256": digest(folder / file),
        "inputs": [_input(spec) for spec in signature.inputs],
    }


def _input(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "shape": list(spec.shape), "dtype": spec.dtype, "n_tokens": spec.n_tokens}


def _document(space: Space, plan: Plan, config: ProfileConfig) -> dict[str, Any]:
    names = space.decisions.names
    return {
        "format": FORMAT,
        "archwright": __version__,
        "space": space.name,
        "space_args": plain_args(space),
        "decisions": space.decisions.fingerprint,
        "signature": [_input(spec) for spec in space.signature.inputs],
        "backend": config.backend,
        "unit": "ms",
        "batch": 1,
        "threads": config.threads,
        "warmup": config.warmup,
        "repeats": config.repeats,
        "scopes": [[names[column] for column in scope] for scope in plan.scopes],
        "terms": {key: list(names) for key, names in plan.terms.items()},
        "networks": dict(plan.networks),
        "reference": _reference(plan),
    }


def _reference(plan: Plan) -> str:
    """The whole network that is timed again and again, to see whether the machine stays as fast: one in the middle."""
    used = [code for code, is_fitted in plan.networks.items() if is_fitted]
    return network_name(used[len(used) // 2])


def _readme(space: Space, n_parts: int, options: Sequence[str]) -> str:
    command = ["archwright", "profile", space.name, *options, "--from", MEASUREMENTS, "-o", "table.json"]
    return README.format(
        space=printable(space.name),
        shape=shape_text(space.signature),
        n=n_parts,
        script=SCRIPT,
        measurements=MEASUREMENTS,
        command=printable(shlex.join(command)),
    )
