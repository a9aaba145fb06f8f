"""Image files of every kind, and files that are none."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from archwright.core.errors import DataError
from archwright.tasks.images.decoding import Header, is_image_name, read_header, read_image

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
RGB, GREY = Image.fromarray(PIXELS), Image.fromarray(PIXELS[..., 0])


def _saved(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)
    return path


@pytest.mark.parametrize(("name", "options"), [("a.png", {}), ("a.webp", {"lossless": True})])
def test_lossless_files_give_their_pixels(tmp_path: Path, name: str, options: dict[str, object]) -> None:
    """PNG and lossless WebP of 5 x 7 pixels."""
    path = _saved(tmp_path / name, RGB, **options)
    assert np.array_equal(np.asarray(read_image(path, 3)), PIXELS)
    assert read_header(path) == Header(5, 7, False)


def test_jpeg_is_what_pillow_makes_of_it(tmp_path: Path) -> None:
    """The same decoder, whatever the file is called."""
    path = _saved(tmp_path / "a.png", RGB, format="JPEG")
    with Image.open(path) as image:
        assert np.array_equal(np.asarray(read_image(path, 3)), np.asarray(image))


@pytest.mark.parametrize(
    ("orientation", "turned"),
    [(1, PIXELS), (3, PIXELS[::-1, ::-1]), (6, np.rot90(PIXELS, -1)), (8, np.rot90(PIXELS)), (2, PIXELS[:, ::-1])],
)
def test_images_are_turned_upright(tmp_path: Path, orientation: int, turned: np.ndarray) -> None:
    """By the orientation in EXIF: kept, upside down, a quarter to the right or left, mirrored; the header agrees."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = _saved(tmp_path / "a.png", RGB, exif=exif)
    assert np.array_equal(np.asarray(read_image(path, 3)), turned)
    header = read_header(path)
    assert (header.height, header.width) == turned.shape[:2]


def test_grey_becomes_three_equal_channels_and_colour_one(tmp_path: Path) -> None:
    """Grey stays its value in each channel; colour becomes luma, 0.299 R + 0.587 G + 0.114 B within rounding."""
    path = _saved(tmp_path / "grey.png", GREY)
    assert np.array_equal(np.asarray(read_image(path, 3)), np.repeat(PIXELS[..., :1], 3, axis=2))
    assert read_header(path).is_grey
    luma = PIXELS @ np.array([0.299, 0.587, 0.114])
    assert np.abs(np.asarray(read_image(_saved(tmp_path / "rgb.png", RGB), 1)) - luma).max() <= 1


def test_sixteen_bits_keep_the_upper_eight(tmp_path: Path) -> None:
    """0x1234 becomes 0x12; Pillow's own conversion would make all large values white."""
    values = np.array([[0x1234, 0xFFFF], [0x00FF, 0x8000]], dtype=np.uint16)
    path = _saved(tmp_path / "a.png", Image.fromarray(values))
    assert np.asarray(read_image(path, 1)).tolist() == [[0x12, 0xFF], [0x00, 0x80]]
    assert read_header(path).is_grey


def test_transparency_is_dropped(tmp_path: Path) -> None:
    """Colours stay what they were, with an alpha channel and in a palette with transparent entries."""
    alpha = np.dstack([PIXELS, np.arange(35, dtype=np.uint8).reshape(5, 7)])
    assert np.array_equal(np.asarray(read_image(_saved(tmp_path / "a.png", Image.fromarray(alpha)), 3)), PIXELS)
    few = Image.fromarray(PIXELS).quantize(4)
    path = _saved(tmp_path / "b.png", few, transparency=bytes([0, 128, 255, 255]))
    assert np.array_equal(np.asarray(read_image(path, 3)), np.asarray(few.convert("RGB")))
    assert not read_header(path).is_grey


def test_black_and_white_and_cmyk(tmp_path: Path) -> None:
    """One bit becomes 0 and 255; print colours become RGB."""
    bits = Image.fromarray(PIXELS[..., 0]).convert("1")
    assert set(np.unique(np.asarray(read_image(_saved(tmp_path / "a.png", bits), 1)))) == {0, 255}
    image = read_image(_saved(tmp_path / "a.jpg", RGB.convert("CMYK")), 3)
    assert (image.mode, image.size) == ("RGB", (7, 5))


def _huge_png() -> bytes:
    """A PNG of 58 bytes that claims 50,000 x 50,000 pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"<html>not found</html>", "begins like none of them"),
        (b"GIF89a" + bytes(20), "cannot be read"),
        (b"\xff\xd8\xff", "cannot be read as a JPEG, PNG, WebP, BMP, TIFF or GIF image"),
        (b"\x89PNG\r\n\x1a\n" + bytes(30), "cannot be read"),
        (b"RIFF1234WEBPVP8 ", "cannot be read"),
        (_huge_png(), r"image of 50,000 x 50,000 pixels; accepted are 100,000,000"),
    ],
)
def test_what_is_no_image_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    """One line with the file's path, for header and image alike."""
    path = tmp_path / "a.png"
    path.write_bytes(content)
    for read in (read_header, lambda path: read_image(path, 3)):
        with pytest.raises(DataError, match=message) as caught:
            read(path)
        assert str(caught.value).startswith(f"{path}: ")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp"])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_truncated_images_are_named(tmp_path: Path, name: str, share: float) -> None:
    """A file that ends too early is no grey patch in the training data."""
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8))
    path = _saved(tmp_path / name, noise)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(DataError, match=f"{name}: cannot be read.*replace or remove the file"):
        read_image(path, 3)


def test_missing_file_is_named(tmp_path: Path) -> None:
    """Removed while a run went on."""
    with pytest.raises(DataError, match=r"gone\.png: cannot be read"):
        read_image(tmp_path / "gone.png", 3)


def test_suffixes_in_either_case() -> None:
    """Those of all formats that are read count."""
    assert all(map(is_image_name, ["a.jpg", "a.JPEG", "a.Png", "a.webp", "a.BMP", "a.tif", "a.TIFF", "a.gif"]))
    assert not any(map(is_image_name, ["a.svg", "a.txt", "jpg", "a.jpg.bak"]))
