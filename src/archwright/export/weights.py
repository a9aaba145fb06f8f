"""Weights ↔ one plain safetensors file that any reader of that format can open."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from archwright.core.errors import InvalidValueError, RunFolderError
from archwright.runs.files import write_bytes

_DIGEST = "sha256"
_TEXTS = "__metadata__"
_N_LISTED = 5


def save_weights(network: nn.Module, path: Path | str, *, metadata: Mapping[str, str] | None = None) -> None:
    """Write the whole state dict (parameters and buffers) of a network, atomically; the same bytes for the same.

    A tensor with several names is written under each, so that a plain `load_state_dict(strict=True)` accepts
    the file; loading restores what was tied because the network itself ties it.

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
    """Fill a network from a safetensors file and return the texts of its header (without the digest).

    Nothing is changed unless every name and shape fits. Devices, memory formats and floating-point types stay
    those of the network. Files of other origin are read too; the digest is checked where there is one.

    Raises:
        RunFolderError: If the file is missing, truncated, corrupt, or not a safetensors file.
        InvalidValueError: If names are missing or unexpected, or shapes differ; the first few are listed.
    """
    tensors, texts = _read(Path(path))
    expected = network.state_dict()
    faults = [
        _listing("missing", [name for name in expected if name not in tensors]),
        _listing("unexpected", [name for name in tensors if name not in expected]),
        _listing("wrongly shaped", [text for name in expected if (text := _mismatch(name, expected, tensors))]),
    ]
    if any(faults):
        raise InvalidValueError(
            f"{path} does not fit this {type(network).__name__}: {'; '.join(filter(None, faults))}; "
            "build the network the weights were saved from"
        )
    network.load_state_dict(tensors, strict=True)
    return texts


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


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
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
