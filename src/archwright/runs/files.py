"""Atomic files: each is there completely or not at all, and damage to it is noticed."""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import json
import math
import os
import re
import secrets
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from archwright.core.errors import ArchwrightError, InvalidValueError, RunError, RunFolderError

if TYPE_CHECKING:  # `archwright status` reads JSON files here and need not wait for torch
    import torch

Json: TypeAlias = Any
"""What JSON can hold: None, bool, int, float, str, and lists and string-keyed mappings of these."""

TENSORS_FORMAT = 1

_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{16}\.tmp")
_DIGEST = re.compile(rb'"sha256":"([0-9a-f]{64})"')
_NO_DIGEST = b"0" * 64
_FLOAT = "__float__"
SEAL = "sha256"
"""Key under which a sealed JSON document holds its digest."""


# --- writing -----------------------------------------------------------------------------------------------------


@contextmanager
def replacing(path: Path | str, *, durable: bool = True) -> Iterator[Path]:
    """Give a temporary path beside `path`; it replaces `path` if the block ends well and is deleted otherwise.

    Args:
        path: The file to create or replace; its folder is created.
        durable: Flush file and folder to the disk, so that the file also survives a power loss.

    Raises:
        RunError: If the file cannot be written.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        if path.exists() and not path.is_file():  # a rename would put the file in the place of a device
            raise RunError(f"{path} cannot be written: there is a folder or a device of that name; choose another")
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        if durable:
            _flush(temporary)
        os.replace(temporary, path)
        if durable:
            _flush(path.parent)
    except OSError as error:
        if isinstance(error, ArchwrightError):  # some of ours are OSErrors; they say already what is wrong
            raise
        raise RunError(f"{path} cannot be written: {error.strerror or error}; what was there before is kept") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_bytes(path: Path | str, data: bytes | bytearray, *, durable: bool = True) -> None:
    """Create or replace a file atomically.

    Args:
        path: The file; its folder is created.
        data: Its content.
        durable: Flush file and folder to the disk, so that the file also survives a power loss.

    Raises:
        RunError: If it cannot be written, for example because the disk is full.
    """
    with replacing(path, durable=durable) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path | str, text: str, *, durable: bool = True) -> None:
    """Create or replace a UTF-8 file atomically.

    Args:
        path: The file; its folder is created.
        text: Its content; what UTF-8 cannot encode is written as an escape.
        durable: Flush file and folder to the disk, so that the file also survives a power loss.

    Raises:
        RunError: If it cannot be written.
    """
    write_bytes(path, text.encode("utf-8", "backslashreplace"), durable=durable)


def write_json(path: Path | str, document: Json, *, durable: bool = True) -> None:
    """Create or replace a strict JSON file atomically.

    Args:
        path: The file; its folder is created.
        document: What to write.
        durable: Flush file and folder to the disk, so that the file also survives a power loss.

    Raises:
        InvalidValueError: If the document holds what JSON has no form for, such as NaN or an array.
        RunError: If the file cannot be written.
    """
    write_text(path, json_text(document, str(path)) + "\n", durable=durable)


def write_sealed_json(path: Path | str, document: Mapping[str, Any], *, durable: bool = True) -> None:
    """Write JSON as `write_json` does, with a SHA-256 of the document beside its keys, for `read_sealed_json`.

    Args:
        path: The file; its folder is created.
        document: What to write.
        durable: Flush file and folder to the disk, so that the file also survives a power loss.

    Raises:
        InvalidValueError: If the document holds what JSON has no form for.
        RunError: If the file cannot be written.
    """
    write_json(path, {SEAL: _seal_of(document, str(path)), **document}, durable=durable)


def _seal_of(document: Mapping[str, Any], what: str) -> str:
    plain = json.loads(json_text(document, what))
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def json_text(document: Json, what: str, *, any_float: bool = False) -> str:
    """Strict, indented JSON text.

    Args:
        document: What to write.
        what: Its name in errors.
        any_float: Write floats that are not finite as {"__float__": "inf"} and the like (`unpack` undoes it).

    Raises:
        InvalidValueError: If the document holds what JSON has no form for.
    """
    try:
        return json.dumps(_pack(document) if any_float else document, indent=1, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        accepted = "use text, finite numbers, lists and mappings"
        raise InvalidValueError(f"{what} cannot be JSON: {error}; {accepted}") from error


def as_json(document: Json, what: str) -> Json:
    """The document as it comes back from a file: tuples as lists, keys as text; any float is allowed.

    `what` names the document in errors.
    """
    return unpack(json.loads(json_text(document, what, any_float=True)))


def _pack(value: Json) -> Json:
    if isinstance(value, float) and not math.isfinite(value):
        return {_FLOAT: str(float(value))}
    if isinstance(value, Mapping):
        if value.keys() == {_FLOAT}:
            raise ValueError(f"a mapping with the only key {_FLOAT!r} stands for a float")
        return {name: _pack(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_pack(item) for item in value]
    return value


def unpack(value: Json) -> Json:
    """Restore the floats in parsed JSON that `json_text(…, any_float=True)` wrote."""
    if isinstance(value, dict):
        if value.keys() == {_FLOAT}:
            return float(value[_FLOAT])
        return {name: unpack(item) for name, item in value.items()}
    if isinstance(value, list):
        return [unpack(item) for item in value]
    return value


def remove_leftovers(folder: Path) -> int:
    """Delete the temporary files of writes that were killed, at any depth; return how many there were."""
    removed = 0
    for parent, _, names in os.walk(folder):
        for name in filter(_TEMPORARY.fullmatch, names):
            Path(parent, name).unlink(missing_ok=True)
            removed += 1
    return removed


def is_leftover(path: Path) -> bool:
    """Whether the path has the name of a write's temporary file."""
    return _TEMPORARY.fullmatch(path.name) is not None


def _flush(path: Path) -> None:
    if os.name == "nt" and path.is_dir():  # Windows opens no folders
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# --- reading -----------------------------------------------------------------------------------------------------


def read_bytes(path: Path | str) -> bytes:
    """The content of a file; a device or pipe, which may never end, is refused.

    Raises:
        RunFolderError: If it is missing or cannot be read; the message names it.
    """
    with _named(path):
        return read_regular(path)


@contextmanager
def _named(path: Path | str) -> Iterator[None]:
    """What keeps a file from being read becomes an error of ours that names it."""
    try:
        yield
    except (OSError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) else None
        raise RunFolderError(f"{path} cannot be read: {said or error}") from error


def read_regular(path: Path | str, most: int | None = None) -> bytes:
    """The content of a regular file.

    Args:
        path: The file.
        most: Largest accepted size in bytes, to protect the memory from foreign files; None accepts any size.

    Raises:
        OSError, ValueError: If it is missing, no regular file, or larger.
    """
    with _regular(path) as stream:
        n_bytes = os.fstat(stream.fileno()).st_size
        if most is not None and n_bytes > most:
            raise ValueError(f"it has {n_bytes:,} bytes, more than the {most:,} that are read")
        return stream.read()


@contextmanager
def _regular(path: Path | str) -> Iterator[io.BufferedReader]:
    """A regular file, opened for reading; OSError or ValueError where it is none."""
    # opened without waiting: a pipe has no writer perhaps
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    kind = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(kind):
        os.close(descriptor)
        if stat.S_ISDIR(kind):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        raise ValueError("it is no regular file")
    with os.fdopen(descriptor, "rb") as stream:
        yield stream


def read_maybe_gzipped(path: Path, most: int) -> bytes:
    """The content of a regular file, unpacked if its name ends in .gz; it never takes more than `most` bytes of memory.

    Raises:
        OSError, ValueError, EOFError, zlib.error: If it is missing, of another kind, damaged or larger.
    """
    data = read_regular(path, most)
    if path.suffix != ".gz":
        return data
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
        unpacked = stream.read(most + 1)
    if len(unpacked) > most:
        raise ValueError(f"it unpacks to more than the {most:,} bytes that are read")
    return unpacked


def read_json(path: Path | str) -> Json:
    """The document in a strict JSON file.

    Raises:
        RunFolderError: If it is missing, unreadable or no strict JSON; the message names it.
    """
    return parse_json(read_bytes(path), str(path))


def read_sealed_json(path: Path | str) -> dict[str, Any]:
    """The document that `write_sealed_json` wrote; a document of an earlier version, without a seal, is not checked.

    Raises:
        RunFolderError: If it is missing, unreadable, no mapping, or was changed since it was written.
    """
    document = read_json(path)
    if not isinstance(document, dict):
        raise RunFolderError(f"{path} is damaged, it holds no mapping; restore it from a copy")
    if document.get(SEAL) is not None and not is_sealed(document):
        raise RunFolderError(
            f"{path} is damaged or was changed, its checksum does not match; restore it from a copy, "
            f"or, if the change is meant, delete the line {SEAL!r}"
        )
    document.pop(SEAL, None)
    return document


def is_sealed(document: Mapping[str, Any]) -> bool:
    """Whether a document has the seal of `write_sealed_json` and was not changed since."""
    plain = {name: value for name, value in document.items() if name != SEAL}
    return bool(document.get(SEAL) == _seal_of(plain, "a sealed document"))


def is_file(path: Path | str) -> bool:
    """Whether the path leads to a regular file; False too for text that cannot be a path."""
    try:
        return Path(path).is_file()
    except (OSError, ValueError):  # longer than a name may be, a zero byte
        return False


def is_there(path: Path) -> bool:
    """Whether a file or folder exists at the path.

    Raises:
        RunFolderError: If that cannot be checked, for example because reading the folder is not permitted.
    """
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise RunFolderError(f"{path} cannot be read: {error.strerror}; check its permissions") from error
    return True


def digest(path: Path | str) -> str:
    """Hexadecimal SHA-256 of a file.

    Raises:
        RunFolderError: If it cannot be read; the message names it.
    """
    with _named(path), _regular(path) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def are_unchanged(folder: Path, digests: Mapping[str, str]) -> bool:
    """Whether all files still exist unchanged; False if one is missing, so that it can be made again.

    Args:
        folder: The folder with the files.
        digests: SHA-256 of each file, by its name in the folder.

    Raises:
        RunFolderError: If a file was changed: that may be someone's work, so it is not replaced.
    """
    if not all(is_there(folder / name) for name in digests):
        return False
    for name, known in digests.items():
        if digest(folder / name) != known:
            raise RunFolderError(f"{folder / name} was changed after the run; delete it and resume to write it again")
    return True


def parse_json(data: bytes | str, what: str) -> Json:
    """Parse strict JSON; `what` names the text in errors."""
    try:
        return json.loads(data, parse_constant=_refuse_constant, parse_float=_finite_float)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise RunFolderError(f"{what} is damaged, it is no valid JSON: {error}") from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not allowed")


def _finite_float(text: str) -> float:
    number = float(text)
    if math.isinf(number):  # 1e999 is infinity by another name
        raise ValueError(f"{text} is too large a number")
    return number


# --- tensors -----------------------------------------------------------------------------------------------------


def write_tensors(path: Path | str, tensors: Mapping[str, torch.Tensor], state: Json = None) -> None:
    """Write named tensors and a JSON state as one safetensors file, atomically.

    The state travels in the file's metadata, beside a SHA-256 of every byte of the file. Tensors are copied to the
    CPU and made contiguous; data type and shape stay.

    Args:
        path: The file to create or replace.
        tensors: Dense tensors by name; they may share memory (each is stored in full).
        state: JSON; floats that are not finite are allowed.

    Raises:
        InvalidValueError: If a tensor is not dense or the state is no JSON.
        RunError: If the file cannot be written.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import save

    for name, tensor in tensors.items():
        if tensor.layout != torch.strided or tensor.is_meta or tensor.is_quantized:
            raise InvalidValueError(
                f"tensor {name!r} of {path} is sparse, quantized or meta; only dense ones are stored"
            )
    copies = {name: _plain_copy(tensor) for name, tensor in tensors.items()}
    metadata = {
        "format": "pt",
        "archwright": str(TENSORS_FORMAT),
        "state": json_text(state, f"the state in {path}", any_float=True),
        "sha256": _NO_DIGEST.decode(),
    }
    try:
        data = bytearray(save(copies, metadata))
    except (SafetensorError, TypeError, ValueError, KeyError) as error:
        raise InvalidValueError(f"the tensors of {path} cannot be stored: {error}") from error
    write_bytes(path, _seal(data))


def read_tensors(path: Path | str) -> tuple[dict[str, torch.Tensor], Json]:
    """The tensors, on the CPU, and the state that `write_tensors` wrote.

    Raises:
        RunFolderError: If the file is missing, damaged, or written by something else; the message names it.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    data = read_bytes(path)
    state = _checked_state(data, path)
    try:
        return load(data), state
    except (SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise RunFolderError(f"{path} is damaged: {error}; restore it from a copy") from error


def read_state(path: Path | str) -> Json:
    """The state alone; the whole file is checked as in `read_tensors`."""
    return _checked_state(read_bytes(path), path)


def _plain_copy(tensor: torch.Tensor) -> torch.Tensor:
    import torch

    plain = tensor.detach().cpu().resolve_conj().resolve_neg()
    return plain.clone(memory_format=torch.contiguous_format)


def _seal(data: bytearray) -> bytearray:
    """Put the digest of the file, taken with zeros in its place, where the zeros are."""
    found = _DIGEST.search(data, 8, 8 + _header_length(data))
    assert found is not None
    assert found[1] == _NO_DIGEST
    data[found.start(1) : found.end(1)] = hashlib.sha256(data).hexdigest().encode()
    return data


def _checked_state(data: bytes, path: Path | str) -> Json:
    end = 8 + _header_length(data)
    # Quotes inside names or the state are escaped in the header, so this finds the metadata entry and nothing else.
    found = _DIGEST.search(data, 8, end) if end <= len(data) else None
    if found is None:
        raise RunFolderError(f"{path} is truncated or was not written by archwright; restore it from a copy")
    digest = hashlib.sha256(data[: found.start(1)])
    digest.update(_NO_DIGEST)
    digest.update(memoryview(data)[found.end(1) :])
    if digest.hexdigest().encode() != found[1]:
        raise RunFolderError(f"{path} is damaged, its checksum does not match; restore it from a copy")
    header = parse_json(data[8:end], str(path))
    metadata = header.get("__metadata__") if isinstance(header, dict) else None
    if not isinstance(metadata, dict) or not isinstance(metadata.get("state"), str):
        raise RunFolderError(f"{path} was not written by archwright: its header holds no state; restore it from a copy")
    if metadata.get("archwright") != str(TENSORS_FORMAT):
        known = f"this archwright reads {TENSORS_FORMAT}"
        raise RunFolderError(
            f"{path} has format {metadata.get('archwright')!r}; {known}; use the version that wrote it"
        )
    try:
        return unpack(parse_json(metadata["state"], f"the state in {path}"))
    except (TypeError, ValueError, RecursionError) as error:
        if isinstance(error, ArchwrightError):
            raise
        raise RunFolderError(f"the state in {path} is damaged: {error}; restore it from a copy") from error


def _header_length(data: bytes | bytearray) -> int:
    return int.from_bytes(data[:8], "little")
