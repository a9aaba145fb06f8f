"""Read arrays of a numpy archive; sizes in headers are checked before memory is allocated.

A few kilobytes can claim any shape, or unpack to any number of zeros, and numpy's own reader takes the memory first.
"""

from __future__ import annotations

import math
import os
import stat
import zipfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from archwright.core.errors import DataError

MAX_RATIO = 1032
"""Largest compression ratio of deflate; a member that claims more is refused."""

_SLACK = 1024
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def read_arrays(path: Path, required: Collection[str], optional: Collection[str] = ()) -> dict[str, NDArray[Any]]:
    """The named arrays of an npz file; other arrays are ignored, and Python objects are never read.

    Args:
        path: The file.
        required: Names that have to be there.
        optional: Names that are read where they are there.

    Raises:
        DataError: If the file is none, damaged, lacks an array, or its arrays would take more than half of the memory;
            names file and array.
    """
    with _opened(path) as archive:
        members = _members(path, archive)
        for name in required:
            if name not in members:
                there = ", ".join(sorted(members)) or "none"
                raise DataError(f"{path}: lacks the array {name!r}; there are: {there}; needed: {', '.join(required)}")
        claims = [_claim(path, archive, members[name], name) for name in (*required, *optional) if name in members]
        needed, limit = sum(claim.nbytes for claim in claims), memory_limit()
        if needed > limit:
            raise DataError(
                f"{path}: its arrays take {needed / 2**30:,.1f} GiB, more than half of the memory here "
                f"({limit / 2**30:,.1f} GiB); use fewer images, or files: folder:PATH"
            )
        return {claim.name: _array(path, archive, claim) for claim in claims}


def memory_limit() -> int:
    """Most bytes of data: half of this machine's memory, or of this process's memory limit."""
    memory = 2**36
    if hasattr(os, "sysconf"):
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        import resource
    except ImportError:  # Windows
        return memory // 2
    allowed, _ = resource.getrlimit(resource.RLIMIT_AS)
    return (memory if allowed == resource.RLIM_INFINITY else min(memory, allowed)) // 2


@dataclass(frozen=True)
class _Claim:
    """The header of a member, checked against its size."""

    name: str
    member: zipfile.ZipInfo
    nbytes: int


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        is_regular = stat.S_ISREG(os.stat(path).st_mode)
    except (OSError, ValueError):
        raise DataError(f"{path}: no such file; give the path of an npz file, npz:PATH") from None
    try:
        if not is_regular or not zipfile.is_zipfile(path):
            raise DataError(f"{path}: not an npz file (or a truncated one); write it with numpy.savez")
        archive = zipfile.ZipFile(path)
    except DataError:
        raise
    except Exception as error:  # a damaged archive makes the parser raise nearly anything
        raise DataError(f"{path}: cannot be opened ({_line(error)}); write it anew with numpy.savez") from None
    with archive:
        yield archive


def _members(path: Path, archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Members by the name of their array; two members of one name are refused."""
    found: dict[str, zipfile.ZipInfo] = {}
    for member in archive.infolist():
        name = member.filename.removesuffix(".npy")
        if name in found:
            raise DataError(f"{path}: {name!r} is there twice; write the file anew with numpy.savez")
        found[name] = member
    return found


def _claim(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str) -> _Claim:
    if not member.filename.endswith(".npy"):
        raise DataError(f"{path}: {name!r} is not an array; write the file with numpy.savez")
    _check_packing(path, member, name)
    with _reading(path, name), archive.open(member) as stream:
        shape, dtype = _header(stream)
        start = stream.tell()
    if dtype.hasobject:
        raise DataError(f"{path}: array {name!r} holds Python objects (dtype object); store plain numbers")
    if dtype.kind == "V":
        raise DataError(f"{path}: array {name!r} has fields (dtype {dtype}); store plain numbers")
    nbytes = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or start + nbytes != member.file_size:
        raise DataError(
            f"{path}: array {name!r} cannot be read (its header says shape {shape} of {dtype}, which the "
            f"{member.file_size - start:,} bytes behind it are not); write the file anew"
        )
    return _Claim(name, member, nbytes)


def _check_packing(path: Path, member: zipfile.ZipInfo, name: str) -> None:
    """Refuse impossible sizes in the archive's directory."""
    most = {zipfile.ZIP_STORED: member.compress_size, zipfile.ZIP_DEFLATED: MAX_RATIO * member.compress_size + _SLACK}
    if member.compress_type not in most:
        raise DataError(f"{path}: array {name!r} cannot be read (unknown packing); write the file with numpy.savez")
    if member.file_size > most[member.compress_type]:
        raise DataError(
            f"{path}: array {name!r} cannot be read (it says it unpacks from {member.compress_size:,} to "
            f"{member.file_size:,} bytes); write the file anew"
        )


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = npy.read_magic(stream)
    if version not in _HEADERS:
        raise ValueError(f"version {version} of the format; 1.0 and 2.0 are read")
    shape, _, dtype = _HEADERS[version](stream)
    return tuple(shape), dtype


def _array(path: Path, archive: zipfile.ZipFile, claim: _Claim) -> NDArray[Any]:
    with _reading(path, claim.name), archive.open(claim.member) as stream:
        array: NDArray[Any] = npy.read_array(stream, allow_pickle=False)
        return array


@contextmanager
def _reading(path: Path, name: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # damage, encryption, lack of memory: numpy and zipfile raise nearly anything
        raise DataError(f"{path}: array {name!r} cannot be read ({_line(error)}); write the file anew") from None


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
