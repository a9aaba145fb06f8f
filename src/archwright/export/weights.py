"""Write weights to a plain safetensors file, and read them from it or from files of other projects."""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from archwright.core.errors import InvalidValueError, RunFolderError
from archwright.export.foreign import translate
from archwright.runs.files import write_bytes

_DIGEST = "sha256"
_TEXTS = "__metadata__"
_N_LISTED = 5
_COUNTER = ".num_batches_tracked"
_TORCH_SUFFIXES = (".pt", ".pth", ".bin", ".ckpt", ".tar")
_NESTED = ("state_dict", "model")
_WRAPPED = "module."


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


def load_weights(network: nn.Module, path: Path | str) -> dict[str, str]:
    """Load a file of weights into a network and return the texts of its header (without the digest).

    The network is changed only if every name and shape fits. It keeps its devices, memory formats and floating-point
    types. Files of other projects are read too, and the names of some of them are known (see `export.foreign`). The
    digest is checked if there is one. A batch norm's count of batches may be missing.

    Args:
        network: The network to load into, of the architecture to which the weights belong.
        path: A safetensors file; a torch file (.pt, .pth, .bin, .ckpt, .tar), from which only tensors are read, also
            those below `state_dict` or `model`; or a numpy file (.npz).

    Raises:
        RunFolderError: If the file is missing, truncated, corrupt, or of another kind.
        InvalidValueError: If names are missing or unexpected, or shapes differ; the first few are listed.
    """
    tensors, texts = read_weights(Path(path))
    expected = network.state_dict()
    tensors, origin = in_form_of(expected, tensors)
    refuse_misfits(expected, tensors, f"{path}{origin} does not fit this {type(network).__name__}")
    network.load_state_dict(expected | tensors, strict=True)
    return texts


def in_form_of(expected: Mapping[str, Tensor], tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], str]:
    """A file's tensors under a network's names, and in its shapes where only the way of writing them differs.

    Args:
        expected: The network's state dict.
        tensors: Those of the file.

    Returns:
        The tensors, and for messages how the file's names were understood.
    """
    tensors, origin = _in_our_names(tensors, list(expected))
    for name in tensors.keys() & expected.keys():
        if tensors[name].numel() == 1 == expected[name].numel():  # a single number is written with an axis by some
            tensors[name] = tensors[name].reshape(expected[name].shape)
        elif tensors[name].shape == (*expected[name].shape, 1, 1):  # a linear layer, there a convolution of 1x1 maps
            tensors[name] = tensors[name].flatten(1)
    return tensors, origin


def refuse_misfits(
    expected: Mapping[str, Tensor],
    tensors: Mapping[str, Tensor],
    what: str,
    *,
    optional: Collection[str] = (),
    advice: str = "build the network the weights were saved from",
) -> None:
    """Refuse tensors that are missing, unexpected or of other shapes than a network's; batch counts may be missing.

    Args:
        expected: The network's state dict.
        tensors: Those of a file, in its form.
        what: Begins the message.
        optional: Names that may be missing too.
        advice: Ends the message.

    Raises:
        InvalidValueError: The first few of each kind are listed.
    """
    needed = [name for name in expected if not name.endswith(_COUNTER) and name not in optional]
    faults = [
        _listing("missing", [name for name in needed if name not in tensors]),
        _listing("unexpected", [name for name in tensors if name not in expected]),
        _listing("wrongly shaped", [text for name in expected if (text := _mismatch(name, expected, tensors))]),
    ]
    if any(faults):
        raise InvalidValueError(f"{what}: {'; '.join(filter(None, faults))}; {advice}")


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


def read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """All tensors of a file by name, and the texts of its header (only safetensors files have some).

    Raises:
        RunFolderError: If it cannot be read.
    """
    read = {".npz": _read_npz, **dict.fromkeys(_TORCH_SUFFIXES, _read_torch)}.get(path.suffix.lower())
    return _read_safetensors(path) if read is None else (read(path), {})


def _read_torch(path: Path) -> dict[str, Tensor]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever it meets: missing, truncated, or more than tensors
        raise RunFolderError(
            f"{path} cannot be read as torch weights ({_first_line(error)}); give a whole file of tensors only"
        ) from error
    for key in _NESTED:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not all(isinstance(tensor, Tensor) for tensor in content.values()):
        raise RunFolderError(f"{path} holds no state dict (tensors by name, or below {' or '.join(_NESTED)})")
    # what torch.nn.DataParallel puts before every name
    is_wrapped = bool(content) and all(str(name).startswith(_WRAPPED) for name in content)
    return {str(name).removeprefix(_WRAPPED if is_wrapped else ""): tensor for name, tensor in content.items()}


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
