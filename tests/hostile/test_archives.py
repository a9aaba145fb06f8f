"""Binary files that nobody meant: only our errors come out, and no memory is taken for what a header claims."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import struct
import subprocess
import sys
import tracemalloc
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from archwright.core.errors import DataError, RunFolderError
from archwright.export.preprocessing import input_metadata
from archwright.export.weights import load_weights, save_weights
from archwright.finish.result import open_winner
from archwright.runs.files import read_state, read_tensors, write_tensors
from archwright.spaces import NasBench201
from archwright.spaces.opening import arch_document
from archwright.tasks.images import npz_archive
from archwright.tasks.images.npz_files import npz
from archwright.tasks.images.torchvision_arrays import read_idx
from archwright.testing.hostile import (
    N_QUICK,
    NASTY_NUMBERS,
    chosen_seed,
    json_values,
    mutated,
    mutated_bytes,
    only_our_errors,
    run_cases,
    texts,
)

Check = Callable[[Path, Any], None]

MAX_TAKEN = 40_000_000
"""Bytes that reading a file of a few kilobytes may take at once."""

NAMES = ("x_train", "y_train", "x_test", "y_test", "class_names")
PREPROCESSING = {"layout": "CHW", "scale": 1 / 255, "mean": [0.5], "std": [0.25]}
SPACE = NasBench201(input_shape=(1, 8, 8), n_classes=2, channels=1, cells=1)
ARCH = SPACE.parse("6111")
WINNER = SPACE.build(ARCH)


def _arrays() -> dict[str, np.ndarray[Any, Any]]:
    rng = np.random.default_rng(0)
    return {
        "x_train": rng.integers(0, 256, (6, 4, 4), dtype=np.uint8),
        "y_train": np.arange(6) % 2,
        "x_test": rng.integers(0, 256, (4, 4, 4), dtype=np.uint8),
        "y_test": np.arange(4) % 2,
        "class_names": np.array(["cat", "dog"]),
    }


def _npz(save: Callable[..., None]) -> bytes:
    stream = io.BytesIO()
    save(stream, **_arrays())
    return stream.getvalue()


def _network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))


def _weights(folder: Path) -> bytes:
    save_weights(_network(), folder / "good", metadata=input_metadata(["a", "b"], PREPROCESSING))
    return (folder / "good").read_bytes()


# ── npz ───────────────────────────────────────────────────────────────────────────────────────────


@st.composite
def _headers(draw: st.DrawFn) -> bytes:
    """The beginning of an npy file: what it claims to be."""
    sides = st.sampled_from([number for number in NASTY_NUMBERS if isinstance(number, int)]) | st.integers(-2, 40)
    header: dict[str, Any] = {
        "descr": draw(
            st.sampled_from(("|u1", "<i8", ">i4", "|b1", "<f4", "|O", "<U3", "<U99999999", "|S0", "<M8[s]", "|V7"))
            | st.just([("a", "<i4"), ("b", "|u1")])
            | texts()
        ),
        "fortran_order": draw(st.booleans() | st.just("x")),
        "shape": tuple(draw(st.lists(sides, max_size=4))),
    }
    text = repr(header) if draw(st.integers(0, 4)) else draw(texts() | st.just("(" * 5000) | st.just("{'descr':"))
    data = text.encode("utf-8", "surrogateescape" if text.isascii() else "backslashreplace")
    version, length = draw(st.sampled_from(((1, 2), (2, 4), (3, 4), (9, 2)))), len(data)
    if not draw(st.integers(0, 9)):
        length = draw(st.integers(0, 65_535))
    return b"\x93NUMPY" + bytes([version[0], 0]) + (length % 65_536).to_bytes(version[1], "little") + data


@st.composite
def _archives(draw: st.DrawFn) -> bytes:
    """A zip in which some members are not what they were; what its directory says may be wrong too."""
    stream, good = io.BytesIO(), _arrays()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in draw(st.permutations(NAMES)):
            content = io.BytesIO()
            np.save(content, good[name])
            data, packing = content.getvalue(), zipfile.ZIP_DEFLATED
            if not draw(st.integers(0, 2)):
                data = draw(_headers()) + draw(st.binary(max_size=200) | st.just(b"\0" * 100_000))
                packing = draw(st.sampled_from((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)))
            suffix = draw(st.sampled_from((".npy",) * 12 + ("", ".NPY", "/.npy")))
            above = draw(st.sampled_from(("",) * 12 + ("../", "/", "a/")))
            archive.writestr(f"{above}{name}{suffix}", data, packing)
    if draw(st.booleans()):
        return stream.getvalue()
    return draw(_with_other_sizes(stream.getvalue()) | mutated_bytes(stream.getvalue()))


@st.composite
def _with_other_sizes(draw: st.DrawFn, data: bytes) -> bytes:
    """The zip with another packed or unpacked size, or packing, in one entry of its directory."""
    changed = bytearray(data)
    entries = [i for i in range(len(data)) if data.startswith(b"PK\x01\x02", i)]
    place = draw(st.sampled_from(entries)) + draw(st.sampled_from((10, 20, 24, 42)))
    value = draw(st.sampled_from((0, 1, 1000, 2**31, 2**32 - 2, 2**32 - 1)))
    changed[place : place + 4] = struct.pack("<I", value)
    return bytes(changed)


def _check_npz(folder: Path, content: bytes) -> None:
    """The memory that is taken is bounded by the file, not by its claims."""
    path = folder / "data.npz"
    path.write_bytes(content)
    tracemalloc.start()
    try:
        only_our_errors(lambda: npz(path))
        assert tracemalloc.get_traced_memory()[1] < MAX_TAKEN
    finally:
        tracemalloc.stop()


# ── safetensors ───────────────────────────────────────────────────────────────────────────────────


@st.composite
def _safetensors(draw: st.DrawFn, good: bytes) -> bytes:
    """A file whose header says something else than it did: offsets, types, shapes, names, length."""
    length = int.from_bytes(good[:8], "little")
    header, numbers = json.loads(good[8 : 8 + length]), good[8 + length :]
    kind = draw(st.sampled_from(("fields", "fields", "header", "twice", "length", "bytes")))
    if kind == "bytes":
        return draw(mutated_bytes(good))
    if kind == "length":
        return draw(st.sampled_from((0, 1, length + 1, 2**31, 2**63, 2**64 - 1))).to_bytes(8, "little") + good[8:]
    if kind == "fields":
        name = draw(st.sampled_from(sorted(header)))
        field = draw(st.sampled_from(("dtype", "shape", "data_offsets")))
        types = st.sampled_from(("F64", "F16", "BF16", "I8", "U8", "BOOL", "F8_E4M3", "C64", "F4", "f32", ""))
        sizes = st.lists(st.integers(-2, 40) | st.sampled_from(NASTY_NUMBERS), max_size=4)
        header[name][field] = draw(types if field == "dtype" else sizes)
    elif kind == "header":
        header = draw(mutated(header))
    text = json.dumps(header)
    if kind == "twice":
        text = text[:-1] + ", " + text[1:]
    return len(text.encode()).to_bytes(8, "little") + text.encode() + numbers + draw(st.sampled_from((b"", b"\0" * 8)))


def _check_weights(folder: Path, content: bytes) -> None:
    """Weights fit the network and are loaded, or nothing of it changes."""
    path, network = folder / "w.safetensors", _network()
    path.write_bytes(content)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    if only_our_errors(lambda: load_weights(network, path)) is None:
        assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def _check_winner(folder: Path, case: tuple[str, Any]) -> None:
    """Texts in the header of a run's weights are class names and preprocessing, or refused."""
    best, (key, text) = folder / "best", case
    best.mkdir(exist_ok=True)
    (folder / "result.json").write_text("{}")
    (best / "arch.json").write_text(json.dumps(arch_document(SPACE, ARCH)))
    texts_ = {**input_metadata(["a", "b"], PREPROCESSING), key: text.encode("utf-8", "replace").decode()}
    save_file(WINNER.state_dict(), best / "model.safetensors", texts_)
    found = only_our_errors(lambda: open_winner(folder))
    assert found is None or len(json.loads(found[2]["class_names"])) == 2


def _check_tensors(folder: Path, case: tuple[bytes, bool]) -> None:
    """A checkpoint is whole, or refused, also where someone made its checksum right."""
    content, is_sealed = case
    path = folder / "c.safetensors"
    path.write_bytes(_sealed(content) if is_sealed else content)
    only_our_errors(lambda: read_state(path))
    only_our_errors(lambda: read_tensors(path))


def _sealed(content: bytes) -> bytes:
    """The content with the right checksum, where there is place for one."""
    found = re.search(rb'"sha256": ?"([0-9a-f]{64})"', content)
    if found is None:
        return content
    empty = content[: found.start(1)] + b"0" * 64 + content[found.end(1) :]
    return content[: found.start(1)] + hashlib.sha256(empty).hexdigest().encode() + content[found.end(1) :]


def _check_idx(folder: Path, case: tuple[str, bytes]) -> None:
    """MNIST's own format, plain or packed."""
    path = folder / case[0]
    path.write_bytes(case[1])
    only_our_errors(lambda: read_idx(folder / "images", 3))
    path.unlink()


IDX = bytes([0, 0, 8, 3]) + struct.pack(">3I", 2, 4, 4) + bytes(32)


def _cases(folder: Path) -> dict[str, tuple[Check, st.SearchStrategy[Any], int]]:
    """By name: the check, the values, and how many of them in the long run."""
    write_tensors(folder / "t", {"a": torch.arange(6.0), "b": torch.ones(2, 2)}, {"step": 3, "x": [1.5, None]})
    tensors = (folder / "t").read_bytes()
    good = st.sampled_from((_npz(np.savez), _npz(np.savez_compressed)))
    packed = mutated_bytes(gzip.compress(IDX)) | mutated_bytes(IDX).map(gzip.compress)
    plain = [PREPROCESSING, {**PREPROCESSING, "resize": [8, 8], "crop": [8, 8], "interpolation": "bilinear"}]
    documents = st.sampled_from(plain).flatmap(mutated) | json_values()
    return {
        "npz": (_check_npz, _archives() | good.flatmap(mutated_bytes), 8_000),
        "weights": (_check_weights, _safetensors(_weights(folder)), 8_000),
        "header texts": (
            _check_winner,
            st.tuples(st.just("class_names"), texts() | json_values().map(json.dumps))
            | st.tuples(st.just("preprocessing"), texts() | documents.map(json.dumps)),
            1_000,
        ),
        "checkpoint": (_check_tensors, st.tuples(_safetensors(tensors), st.booleans()), 5_000),
        "idx": (
            _check_idx,
            st.tuples(st.just("images"), mutated_bytes(IDX)) | st.tuples(st.just("images.gz"), packed),
            3_000,
        ),
    }


NAMES_OF_CASES = ("npz", "weights", "header texts", "checkpoint", "idx")


@pytest.mark.parametrize("name", NAMES_OF_CASES)
def test_only_our_errors_come_out(tmp_path: Path, name: str) -> None:
    """A few, the same each time."""
    check, values, _ = _cases(tmp_path)[name]
    run_cases(lambda value: check(tmp_path, value), values, n=N_QUICK)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", NAMES_OF_CASES)
def test_only_our_errors_come_out_of_many(tmp_path: Path, name: str) -> None:
    """25,000 here, others each time unless the environment names the seed."""
    check, values, n = _cases(tmp_path)[name]
    run_cases(lambda value: check(tmp_path, value), values, n=n, seed=chosen_seed())


def _with_member(folder: Path, name: str, data: bytes, packing: int = zipfile.ZIP_DEFLATED) -> Path:
    """A good archive in which one array is replaced by these bytes."""
    path = folder / "data.npz"
    np.savez(path, **{other: array for other, array in _arrays().items() if other != name})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(f"{name}.npy", data, packing)
    return path


def _npy(descr: str, shape: str, data: bytes = b"") -> bytes:
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + data


CLAIMS = {
    "more than there is": (_npy("'|u1'", "(4000000000, 8, 8)"), "its header says shape"),
    "negative": (_npy("'|u1'", "(-4, -4, 4)", b"\0" * 64), "its header says shape"),
    "less than there is": (_npy("'|u1'", "(1, 4, 4)", b"\0" * 64), "its header says shape"),
    "wide text": (_npy("'<U100000000'", "(4,)"), "its header says shape"),
    "fields": (_npy("[('a', '|u1')]", "(4,)", b"\0" * 4), "has fields"),
    "objects": (_npy("'|O'", "(4,)", b"\x80\x04."), "holds Python objects"),
    "brackets": (_npy("'|u1'", "(" * 200), "cannot be read"),
}


@pytest.mark.parametrize("claim", CLAIMS)
def test_claim_of_a_header_is_checked(tmp_path: Path, claim: str) -> None:
    """Before the array is read; the line names it."""
    data, message = CLAIMS[claim]
    with pytest.raises(DataError, match=f"array 'x_test' .*{message}|array 'x_test' {message}"):
        npz(_with_member(tmp_path, "x_test", data))


def test_fortran_order_is_read(tmp_path: Path) -> None:
    """As numpy reads it."""
    arrays = _arrays()
    arrays["x_test"] = np.asfortranarray(arrays["x_test"])
    np.savez(tmp_path / "data.npz", **arrays)
    assert npz(tmp_path / "data.npz").input_shape == (1, 4, 4)


def test_array_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    """Readers disagree on which of them counts."""
    np.savez(tmp_path / "data.npz", **_arrays())
    content = io.BytesIO()
    np.save(content, _arrays()["x_test"])
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(tmp_path / "data.npz", "a") as archive:
        archive.writestr("x_test.npy", content.getvalue())
    with pytest.raises(DataError, match="'x_test' is there twice"):
        npz(tmp_path / "data.npz")


def test_bomb_is_refused_by_what_memory_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred megabytes of zeros pack into a hundred kilobytes; the claim is right, but too much."""
    path = _with_member(tmp_path, "x_test", _npy("'|u1'", "(100, 1000, 1000)", bytes(100_000_000)))
    assert path.stat().st_size < 200_000
    monkeypatch.setattr(npz_archive, "memory_limit", lambda: 50_000_000)
    with pytest.raises(DataError, match=r"its arrays take 0\.1 GiB, more than half of the memory here"):
        npz(path)


BOUNDED = """
import resource, sys
from archwright.core.errors import DataError
from archwright.tasks.images.npz_files import npz
from archwright.tasks.images.npz_archive import memory_limit
now = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (now + 2**28, now + 2**28))
assert memory_limit() <= (now + 2**28) // 2
try:
    npz(sys.argv[1])
except DataError as error:
    print(error)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads its own size from Linux's /proc")
def test_lie_about_size_takes_no_memory(tmp_path: Path, child_environment: Mapping[str, str]) -> None:
    """With 256 MB left to the process, a claim of 4 GB whose sizes agree with each other is refused."""
    path = _with_member(tmp_path, "x_test", _npy("'|u1'", "(64, 8000, 8000)", b"\0" * 64))
    content = bytearray(path.read_bytes())
    entry = content.rindex(b"PK\x01\x02")
    content[entry + 24 : entry + 28] = struct.pack("<I", 128 + 64 * 8000 * 8000)
    path.write_bytes(content)
    command = [sys.executable, "-c", BOUNDED, str(path)]
    done = subprocess.run(command, env=dict(child_environment), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "array 'x_test' cannot be read (it says it unpacks from" in done.stdout


@pytest.mark.parametrize("name", ["\ud800", "a\udcff"])
def test_class_name_that_is_no_text_is_refused(tmp_path: Path, name: str) -> None:
    """It could be written into none of the files that carry it."""
    np.savez(tmp_path / "data.npz", **{**_arrays(), "class_names": np.array([name, "b"])})
    with pytest.raises(DataError, match="is no Unicode text"):
        npz(tmp_path / "data.npz")


def test_tensors_file_with_another_header_is_refused(tmp_path: Path) -> None:
    """Its checksum is right; what it is about is not."""
    text = json.dumps({"__metadata__": {"sha256": "0" * 64, "archwright": "1"}}).encode()
    path = tmp_path / "c.safetensors"
    path.write_bytes(_sealed(len(text).to_bytes(8, "little") + text.replace(b'": "', b'":"')))
    with pytest.raises(RunFolderError, match=r"c\.safetensors"):
        read_state(path)
