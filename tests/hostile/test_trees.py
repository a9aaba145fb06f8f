"""Folders of images that nobody meant: only our errors come out, and nothing outside the tree is read."""

from __future__ import annotations

import io
import os
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st
from PIL import Image

from archwright.core.errors import DataError
from archwright.tasks import folder as open_folder
from archwright.tasks.images.decoding import MAX_PIXELS, read_header, read_image
from archwright.tasks.images.folders import MAX_DEPTH
from archwright.testing.hostile import N_QUICK, NASTY_TEXTS, chosen_seed, mutated_bytes, only_our_errors, run_cases

FORMATS = ("PNG", "JPEG", "WEBP")


def _image(kind: str, mode: str = "RGB", size: tuple[int, int] = (8, 8), **options: Any) -> bytes:
    stream = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(noise).convert(mode).save(stream, kind, **options)
    return stream.getvalue()


def _png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _png_claiming(width: int, height: int) -> bytes:
    """A whole PNG of a few bytes that says it is as large as that."""
    header = _png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    body = _png_chunk(b"IDAT", zlib.compress(b"\0" * 100)) + _png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + body


GOOD = [_image(kind, mode) for kind in FORMATS for mode in ("RGB", "L")]
GOOD += [_image("PNG", mode) for mode in ("P", "LA", "RGBA", "1")]
GOOD += [_image("JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0")]
BAD = [b"", b"GIF89a" + bytes(20), b"<svg/>", b"\xff\xd8\xff", GOOD[0][:40], _png_claiming(30_000, 30_000)]


def _check_image(folder: Path, content: bytes) -> None:
    """Decoded, or refused with its name; never larger than what is accepted."""
    path = folder / "x.png"
    path.write_bytes(content)
    header = only_our_errors(lambda: read_header(path))
    image = only_our_errors(lambda: read_image(path, 3))
    if image is not None:
        assert header is not None
        assert (image.height, image.width) == (header.height, header.width)


def _name() -> st.SearchStrategy[str]:
    good = [name for name in NASTY_TEXTS if _is_file_name(name)]
    any_name = st.text(st.characters(), min_size=1, max_size=8).filter(_is_file_name)
    return st.sampled_from((*good, "cat", "dog", "0.png", "x.PNG", ".hidden", "train", "test")) | any_name


def _is_file_name(name: str) -> bool:
    try:
        return name not in ("", ".", "..") and "/" not in name and "\0" not in name and len(os.fsencode(name)) < 250
    except UnicodeEncodeError:
        return False


@st.composite
def _changes(draw: st.DrawFn) -> list[tuple[str, ...]]:
    """What is done to a good tree: (kind, place, name or target)."""
    places = st.sampled_from(("", "train", "test", "train/cat", "train/dog", "test/cat", "test/dog", "train/new"))
    kinds = st.sampled_from(("folder", "image", "garbage", "link", "pipe", "remove", "empty", "rename"))
    targets = st.sampled_from(
        ("..", ".", "../..", "/etc", "/etc/passwd", "/dev/zero", "loop", "cat/0.png", "../dog", "/", "x")
    )
    return draw(st.lists(st.tuples(kinds, places, _name(), targets | _name()), min_size=1, max_size=4))


def _tree(root: Path) -> None:
    for part in ("train", "test"):
        for label in ("cat", "dog"):
            (root / part / label).mkdir(parents=True)
            for i in range(2):
                (root / part / label / f"{i}.png").write_bytes(GOOD[0])


def _apply(root: Path, kind: str, place: str, name: str, target: str) -> None:
    here = root / place
    here.mkdir(parents=True, exist_ok=True)
    path = here / name
    if kind == "remove":
        shutil.rmtree(here, ignore_errors=True)
    elif kind == "rename" and here != root:
        here.rename(here.with_name(name))
    elif os.path.lexists(path) or kind == "rename":
        return
    elif kind == "folder":
        path.mkdir()
        (path / "0.png").write_bytes(GOOD[1])
        (path / "1.png").write_bytes(GOOD[1])
    elif kind == "empty":
        path.mkdir()
    elif kind == "link":
        path.symlink_to(target)
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.write_bytes(GOOD[2] if kind == "image" else BAD[len(name) % len(BAD)])


def _check_tree(folder: Path, changes: list[tuple[str, str, str, str]]) -> None:
    """A task whose classes are those of the tree, or a line."""
    root = folder / "tree"
    _tree(root)
    try:
        for change in changes:
            try:
                _apply(root, *change)
            except (OSError, ValueError):
                continue  # the system takes no such thing here, so nobody can have it
        task = only_our_errors(lambda: open_folder(root))
        if task is not None:
            assert set(task.class_names) <= set(os.listdir(root / "train"))
    finally:
        shutil.rmtree(root, ignore_errors=True)


CASES: dict[str, tuple[Callable[[Path, Any], None], st.SearchStrategy[Any], int]] = {
    "image": (_check_image, st.sampled_from(GOOD).flatmap(lambda data: mutated_bytes(data, 8)), 12_000),
    "tree": (_check_tree, _changes(), 3_000),
}
"""By name: the check, the values, and how many of them in the long run."""


@pytest.mark.parametrize("name", CASES)
def test_only_our_errors_come_out(tmp_path: Path, name: str) -> None:
    """A few, the same each time."""
    check, values, _ = CASES[name]
    run_cases(lambda value: check(tmp_path, value), values, n=N_QUICK)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", CASES)
def test_only_our_errors_come_out_of_many(tmp_path: Path, name: str) -> None:
    """15,000 here, others each time unless the environment names the seed."""
    check, values, n = CASES[name]
    run_cases(lambda value: check(tmp_path, value), values, n=n, seed=chosen_seed())


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    _tree(root)
    return root


def test_link_to_itself_is_refused(tree: Path) -> None:
    """The system says that it has too many levels."""
    (tree / "train/eel").symlink_to("eel")
    with pytest.raises(DataError, match="eel: a link that cannot be followed"):
        open_folder(tree)


def test_link_to_nothing_is_no_image(tree: Path) -> None:
    """It is refused where its name says that it is one, and passed over elsewhere."""
    (tree / "train/cat/notes").symlink_to("nothing")
    assert open_folder(tree).n_classes == 2
    (tree / "train/cat/9.png").symlink_to("nothing")
    with pytest.raises(DataError, match=r"9\.png: named like an image, but no file"):
        open_folder(tree)


def test_endless_depth_is_refused(tree: Path) -> None:
    """Before Python's own limit ends the program."""
    deep = tree / "train/cat"
    for _ in range(MAX_DEPTH + 5):
        deep = deep / "d"
    deep.mkdir(parents=True)
    with pytest.raises(DataError, match=f"more than {MAX_DEPTH} folders deep"):
        open_folder(tree)


@pytest.mark.parametrize("name", ["a\nb", "\x1b[31m", "\u202ecat", "<script>", "'\"", "{x}", " "])
def test_any_text_names_a_class(tree: Path, name: str) -> None:
    """It is kept as it is; whoever shows it has to escape it."""
    for part in ("train", "test"):
        (tree / part / "cat").rename(tree / part / name)
    assert sorted(open_folder(tree).class_names) == sorted([name, "dog"])


def test_bytes_that_are_no_text_name_no_class(tree: Path) -> None:
    """Nor are they printed."""
    (tree / "train/cat").rename(tree / "train" / os.fsdecode(b"c\xff"))
    with pytest.raises(DataError, match="the class's name is not UTF-8") as caught:
        open_folder(tree)
    assert str(caught.value).isprintable()


def test_image_that_claims_to_be_huge_is_refused(tree: Path) -> None:
    """By its header, before it is decoded."""
    (tree / "train/cat/0.png").write_bytes(_png_claiming(30_000, 30_000))
    with pytest.raises(DataError, match=rf"30,000 x 30,000 pixels; accepted are {MAX_PIXELS:,}"):
        open_folder(tree)


def test_damaged_exif_says_nothing(cli: Callable[..., Any], tree: Path) -> None:
    """The image is read as it lies, and a command's stderr holds no warning of a library."""
    exif = b"Exif\0\0II*\0\x08\0\0\0\x05\0\x12\x01\x03\0\x01\0\0\0\x06\0"
    (tree / "train/cat/0.jpg").write_bytes(_image("JPEG", exif=exif))
    arguments = ("--data", f"folder:{tree}", "--preset", "smoke", "--threads", "1", "--dry-run")
    done = cli("train", "spos:0000000000", *arguments)
    assert (done.code, done.err) == (0, "")
