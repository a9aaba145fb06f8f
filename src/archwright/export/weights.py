"""Write weights to a plain safetensors file, and read them from it or from files of other projects."""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from archwright.core.errors import InvalidValueError, RunFolderError
from archwright.export.checkpoints import read_checkpoint
from archwright.export.foreign import translate
from archwright.runs.files import write_bytes

_DIGEST = "sha256"
_TEXTS = "__metadata__"
_N_LISTED = 5
_COUNTER = ".num_batches_tracked"
_TORCH_SUFFIXES = (".pt", ".pth", ".bin", ".ckpt", ".tar")
_PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.")
"""What wrappers put before all names: torch's parallel and compiled modules, and classes that hold a network."""

_TALLIES = ("total_ops", "total_params")
"""Buffers that counters of operations leave in every module."""


def save_weights(network: nn.Module, path: Path | str, *, metadata: Mapping[str, str] | None = None) -> None:
    """Write the whole state dict (parameters and buffers) of a network, atomically; equal states give equal bytes.

    A tensor with several names is written under each, so that a plain `load_state_dict(strict=True)` accepts
    the file; after loading, such names share a tensor again because the network itself makes them share it.

    Args:
        network: Any module with all its tensors on a real device.
        path: File to write; its folder exists.
        metadata: Texts for the header of the file. The name "sha256" is taken by a digest of the tensors.

    Raises:
        InvalidValueError: If the network holds something that is no tensor or has no data, or if the metadata
            name the digest.
    """
    texts = dict(metadata or {})
    if _DIGEST in texts:
        raise InvalidValueError(f"metadata may not name {_DIGEST!r}; it holds the digest of the tensors")
    tensors = {name: _saved(name, tensor) for name, tensor in network.state_dict().items()}
    texts[_DIGEST] = _digest(tensors)
    write_bytes(Path(path), _ordered(safetensors.torch.save(tensors, metadata=texts)))


def load_weights(
    network: nn.Module,
    path: Path | str,
    *,
    ignore: Sequence[str] = (),
    partial: bool = False,
    averaged: bool = False,
    log: Callable[[str], object] = print,
) -> dict[str, str]:
    """Load a file of weights into a network and return the texts of its header (without the digest).

    The network is changed only if every name and shape fits. It keeps its devices, memory formats and floating-point
    types. Files of other projects are read too, and the names of some of them are known (see `export.foreign`), also
    behind what wrappers put before names. The digest is checked if there is one. A batch norm's count of batches may be
    missing.

    Args:
        network: The network to load into, of the architecture to which the weights belong.
        path: A safetensors file; a torch file (.pt, .pth, .bin, .ckpt, .tar), from which only tensors are read, also
            those below the keys that trainings give them (see `export.checkpoints`); or a numpy file (.npz).
        ignore: Names of tensors, or of modules with all below them, that the network keeps as it has them, such as the
            classifier.
        partial: Load what fits, and leave the rest.
        averaged: Take a torch file's moving average of the weights.
        log: Told what was left out, in a line, where something was.

    Raises:
        RunFolderError: If the file is missing, truncated, corrupt, or of another kind.
        InvalidValueError: If names are missing or unexpected, or shapes differ; the first few are listed.
    """
    tensors, texts = read_weights(Path(path), averaged=averaged)
    expected = network.state_dict()
    tensors, origin = in_form_of(expected, tensors)
    fitted = fit_weights(
        expected,
        tensors,
        f"{path}{origin} does not fit this {type(network).__name__}",
        ignore=ignore,
        partial=partial,
    )
    network.load_state_dict(expected | fitted.tensors, strict=True)
    if left := fitted.left():
        log(f"{path}: {left}")
    return texts


@dataclass(frozen=True)
class Fitted:
    """What of a file's tensors a network gets.

    Attributes:
        tensors: By the network's names.
        fresh: Names that the network keeps as it has them.
        unused: Names of the file that the network has no place for.
    """

    tensors: dict[str, Tensor]
    fresh: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()

    def left(self) -> str:
        """What was left out, in words; empty where all was loaded."""
        parts = [_listing("kept as they were", list(self.fresh)), _listing("not used", list(self.unused))]
        return "; ".join(filter(None, parts))


def fit_weights(
    expected: Mapping[str, Tensor],
    tensors: Mapping[str, Tensor],
    what: str,
    *,
    ignore: Sequence[str] = (),
    partial: bool = False,
    optional: Collection[str] = (),
    advice: str = "build the network the weights were saved from",
) -> Fitted:
    """The tensors that a network gets, with those left out that it is to keep.

    Args:
        expected: The network's state dict.
        tensors: Those of a file, in its form.
        what: Begins the message.
        ignore: Names, or modules with all below them, that are left out on both sides.
        partial: Leave out all that does not fit.
        optional: Names that may be missing.
        advice: Ends the message.

    Raises:
        InvalidValueError: If the rest does not fit, nothing at all does, `ignore` names nothing, or a tensor holds no
            plain, finite numbers.
    """
    for name in ignore:
        if not any(_is_below(known, (name,)) for known in (*expected, *tensors)):
            known = ", ".join(list(dict.fromkeys(one.partition(".")[0] for one in expected))[:_N_LISTED])
            raise InvalidValueError(f"ignore names {name!r}, and nothing is called so; the network has {known}, …")
    kept = {name: tensor for name, tensor in tensors.items() if not _is_below(name, ignore)}
    if partial:
        kept = {name: t for name, t in kept.items() if name in expected and t.shape == expected[name].shape}
        if not kept:
            raise InvalidValueError(f"{what}: none of its {len(tensors)} tensors has a place; {advice}")
    else:
        ignored = {name for name in expected if _is_below(name, ignore)}
        _refuse_misfits(expected, kept, what, {*optional, *ignored}, advice)
    for name, tensor in kept.items():
        if name in expected and (fault := _fault_of(tensor, expected[name])):
            raise InvalidValueError(f"{what}: {name} {fault}; save the weights as plain {expected[name].dtype} tensors")
    fresh = tuple(name for name in expected if name not in kept and not name.endswith(_COUNTER))
    return Fitted(kept, fresh, tuple(name for name in tensors if name not in kept))


def _is_below(name: str, modules: Sequence[str]) -> bool:
    return any(name == module or name.startswith(f"{module}.") for module in modules)


def in_form_of(expected: Mapping[str, Tensor], tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], str]:
    """A file's tensors under a network's names, and in its shapes where only the way of writing them differs.

    Args:
        expected: The network's state dict.
        tensors: Those of the file.

    Returns:
        The tensors, and for messages how the file's names were understood.
    """
    tensors, origin = _in_our_names(_unwrapped(tensors, expected), list(expected))
    for name in tensors.keys() & expected.keys():
        if tensors[name].numel() == 1 == expected[name].numel():  # a single number is written with an axis by some
            tensors[name] = tensors[name].reshape(expected[name].shape)
        elif tensors[name].shape == (*expected[name].shape, 1, 1):  # a linear layer, there a convolution of 1x1 maps
            tensors[name] = tensors[name].flatten(1)
    return tensors, origin


def _unwrapped(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors without what wrappers put before their names, and without what counters left beside them."""
    own = {
        name: tensor
        for name, tensor in tensors.items()
        if name in expected or not (name == "n_averaged" or name.rpartition(".")[2] in _TALLIES)
    }
    # a compiled part may stand anywhere in a network
    own = {(name if name in expected else name.replace("._orig_mod.", ".")): tensor for name, tensor in own.items()}

    def without(prefix: str) -> dict[str, Tensor]:
        return {name.removeprefix(prefix): tensor for name, tensor in own.items()}

    def n_known(prefix: str) -> int:
        renamed, _ = _in_our_names(without(prefix), list(expected))
        return len(renamed.keys() & expected.keys())

    candidates = {"": None, **{prefix: None for name in own for prefix in _prefixes_of(name)}}
    return without(max(candidates, key=n_known))  # of equal ones the first, which takes least away


def _prefixes_of(name: str) -> Iterator[str]:
    """Known prefixes of a name: one, two and more of them in a row."""
    taken, rest = "", name
    while known := next((prefix for prefix in _PREFIXES if rest.startswith(prefix)), None):
        taken, rest = taken + known, rest.removeprefix(known)
        yield taken


def _refuse_misfits(
    expected: Mapping[str, Tensor], tensors: Mapping[str, Tensor], what: str, optional: Collection[str], advice: str
) -> None:
    """Refuse tensors that are missing, unexpected or of other shapes than a network's; batch counts may be missing."""
    needed = [name for name in expected if not name.endswith(_COUNTER) and name not in optional]
    faults = [
        _listing("missing", [name for name in needed if name not in tensors]),
        _listing("unexpected", [name for name in tensors if name not in expected]),
        _listing("wrongly shaped", [text for name in expected if (text := _mismatch(name, expected, tensors))]),
    ]
    if any(faults):
        raise InvalidValueError(f"{what}: {'; '.join(filter(None, faults))}; {advice}")


def _fault_of(tensor: Tensor, own: Tensor) -> str:
    """Why a tensor of the right shape cannot be copied as it is; empty where it can."""
    if tensor.is_meta:
        return "has no values"
    if tensor.layout != torch.strided or tensor.is_quantized:
        return "is sparse or quantised"
    if (tensor.is_floating_point(), tensor.is_complex()) != (own.is_floating_point(), own.is_complex()):
        return f"holds {tensor.dtype}"
    if (tensor.is_floating_point() or tensor.is_complex()) and not bool(torch.isfinite(tensor).all()):
        return "holds NaN or infinite numbers"
    return ""


def _in_our_names(tensors: dict[str, Tensor], ours: Sequence[str]) -> tuple[dict[str, Tensor], str]:
    """The tensors by our names, and for messages how the file's names were understood."""
    found = translate(list(tensors), ours)
    if found is None:
        return tensors, ""
    family, names = found
    renamed = {names.get(name, name): tensor for name, tensor in tensors.items()}
    if len(renamed.keys() & set(ours)) <= len(tensors.keys() & set(ours)):
        return tensors, ""  # the network has the other project's names itself
    return renamed, f", read as names of {family},"


def _ordered(data: bytes) -> bytes:
    """The file with the texts of its header in order; the library writes them in another order each time."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    ordered = {_TEXTS: dict(sorted(header.pop(_TEXTS).items())), **header}
    text = json.dumps(ordered, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the format keeps tensors aligned
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


def _saved(name: str, tensor: object) -> Tensor:
    """A copy of its own on the CPU, contiguous: the format knows neither sharing nor strides."""
    if not isinstance(tensor, Tensor):
        raise InvalidValueError(f"{name!r} is a {type(tensor).__name__}; only tensors can be saved as weights")
    if tensor.is_meta:
        raise InvalidValueError(f"{name!r} is on the meta device and has no data; load or initialise it first")
    return tensor.detach().cpu().clone(memory_format=torch.contiguous_format)


def read_weights(path: Path, *, averaged: bool = False) -> tuple[dict[str, Tensor], dict[str, str]]:
    """All tensors of a file by name, and the texts of its header (only safetensors files have some).

    Args:
        path: The file.
        averaged: Take the moving average of the weights, which only torch files have beside them.

    Raises:
        RunFolderError: If it cannot be read, or has no average.
    """
    suffix = path.suffix.lower()
    if suffix in _TORCH_SUFFIXES:
        return read_checkpoint(path, averaged=averaged), {}
    if averaged:
        raise RunFolderError(f"{path} is no torch file, which alone may hold averaged weights; leave that choice out")
    return (_read_npz(path), {}) if suffix == ".npz" else _read_safetensors(path)


def _read_npz(path: Path) -> dict[str, Tensor]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {
                name: torch.from_numpy(np.ascontiguousarray(arrays[name]).reshape(arrays[name].shape))
                for name in arrays.files
            }
    except (OSError, ValueError, TypeError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise RunFolderError(
            f"{path} cannot be read as numpy arrays ({_first_line(error)}); give a whole .npz file of numbers"
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        if not path.is_file():  # a pipe would be waited for
            raise FileNotFoundError("there is no such file")
        with safetensors.safe_open(str(path), framework="pt") as file:
            texts = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except Exception as error:  # of a crafted header the library says what it does not know in several ways
        raise RunFolderError(
            f"{path} cannot be read as safetensors ({error}); give a whole safetensors file"
        ) from error
    digest = texts.pop(_DIGEST, None)
    if digest is not None and digest != _digest(tensors):
        raise RunFolderError(f"{path} is corrupt: its tensors do not match the digest in its header; save it again")
    return tensors, texts


def _digest(tensors: Mapping[str, Tensor]) -> str:
    """Hexadecimal SHA-256 over names, types, shapes and bytes, in order of the names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _mismatch(name: str, expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> str:
    if name not in found or found[name].shape == expected[name].shape:
        return ""
    return f"{name} {tuple(found[name].shape)} instead of {tuple(expected[name].shape)}"


def _listing(what: str, names: list[str]) -> str:
    if not names:
        return ""
    more = f", … ({len(names)} in all)" if len(names) > _N_LISTED else ""
    return f"{what}: {', '.join(names[:_N_LISTED])}{more}"
