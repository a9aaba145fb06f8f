"""Decode an image file into an upright 8-bit image; errors say in one line what is wrong with the file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageOps,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from archwright.core.errors import DataError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")
"""File name extensions of images, in lower or upper case."""

MAX_PIXELS = 100_000_000
"""Larger images are refused: a small file can claim any size, and decoding it would take all memory."""

_GREY_MODES = ("1", "L", "LA", "I", "I;16", "I;16B")
_ORIENTATION = 0x0112
_TURNED = (5, 6, 7, 8)


@dataclass(frozen=True)
class Header:
    """What the header of an image file says.

    Attributes:
        height: Pixels, of the upright image.
        width: Pixels, of the upright image.
        is_grey: Whether one value a pixel is stored.
    """

    height: int
    width: int
    is_grey: bool


def is_image_name(name: str) -> bool:
    """Whether the extension of a file name is that of an image."""
    return name.lower().endswith(SUFFIXES)


def read_header(path: str | os.PathLike[str]) -> Header:
    """Size and kind of an image, without decoding it.

    Raises:
        DataError: If the file is no such image, or too large.
    """
    with _opened(path) as image:
        width, height = image.size
        if "exif" in image.info and image.getexif().get(_ORIENTATION) in _TURNED:
            width, height = height, width
        return Header(height, width, image.mode in _GREY_MODES)


def read_image(path: str | os.PathLike[str], n_channels: int) -> Image.Image:
    """A decoded image: turned upright by its EXIF orientation, 8 bits, grey (1 channel) or RGB (3).

    Palettes, CMYK and grey become RGB, colour becomes grey by Pillow's luma where one channel is asked for; of 16 bits
    the upper 8 stay; transparency is dropped, the colours under it stay; of an animation, and of several pages, the
    first one is taken.

    Args:
        path: JPEG, PNG, WebP, BMP, TIFF or GIF, told by its first bytes, whatever its name says.
        n_channels: 1 or 3.

    Raises:
        DataError: If the file cannot be read or decoded; names it.
    """
    with _opened(path) as image:
        image.load()
        if "exif" in image.info:
            ImageOps.exif_transpose(image, in_place=True)
        return _converted(image, "L" if n_channels == 1 else "RGB")


@contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[Image.Image]:
    # A damaged file makes Pillow raise nearly anything (OSError, SyntaxError, struct.error, ...), so all count here.
    try:
        with open(path, "rb") as stream:
            image = _parsed(stream)
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise DataError(
                    f"{os.fspath(path)}: image of {width:,} x {height:,} pixels; accepted are {MAX_PIXELS:,} in all, "
                    "so scale it down"
                )
            yield image
    except DataError:
        raise
    except Exception as error:
        said = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            f"{os.fspath(path)}: cannot be read as a JPEG, PNG, WebP, BMP, TIFF or GIF image ({said}); replace or "
            "remove the file"
        ) from None


def _parsed(stream: object) -> Image.Image:
    """The image behind an open file.

    Past `Image.open`, which warns of large images (threads cannot catch a warning) and tries formats of any name.
    """
    beginning: bytes = stream.read(12)  # type: ignore[attr-defined]
    stream.seek(0)  # type: ignore[attr-defined]
    if beginning.startswith(b"\xff\xd8\xff"):
        return JpegImagePlugin.jpeg_factory(stream)  # type: ignore[arg-type]
    if beginning.startswith(b"\x89PNG\r\n\x1a\n"):
        return PngImagePlugin.PngImageFile(stream)  # type: ignore[arg-type]
    if beginning.startswith(b"RIFF") and beginning[8:] == b"WEBP":
        return WebPImagePlugin.WebPImageFile(stream)  # type: ignore[arg-type]
    if beginning.startswith(b"BM"):
        return BmpImagePlugin.BmpImageFile(stream)  # type: ignore[arg-type]
    if beginning.startswith((b"II*\x00", b"MM\x00*")):
        return TiffImagePlugin.TiffImageFile(stream)  # type: ignore[arg-type]
    if beginning.startswith((b"GIF87a", b"GIF89a")):
        return GifImagePlugin.GifImageFile(stream)  # type: ignore[arg-type]
    raise ValueError("the file is empty" if not beginning else "it begins like none of them")


def _converted(image: Image.Image, mode: str) -> Image.Image:
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64) >> 8
        image = Image.fromarray(values.clip(0, 255).astype(np.uint8))
    elif image.mode in ("P", "PA") and "transparency" in image.info:
        image = image.convert("RGBA")
    return image if image.mode == mode else image.convert(mode)
