"""Pictures of architectures: cells as layered graphs, chains as strips, in SVG and PNG."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from archwright.core.arch import Value
from archwright.core.drawing import Drawing
from archwright.core.errors import InvalidValueError, SpaceError, UsageError
from archwright.reports.drawing.svg import render
from archwright.runs.files import write_bytes
from archwright.spaces.base import Space, described

__all__ = ["check_picture_name", "draw_png", "draw_svg", "render", "save_drawing"]

SUFFIXES = (".svg", ".png")


def draw_svg(space: Space, arch: Mapping[str, Value], *, title: str | None = None) -> str:
    """An architecture as an SVG, for a file or a page.

    Args:
        space: Its space.
        arch: A member of it.
        title: Text above the picture; None is the space's name and the arch's code, empty text shows nothing.

    Raises:
        UsageError: If the arch is no member, or the space cannot draw it.
    """
    return render(_drawing(space, arch), f"{space.name}:{space.code(arch)}" if title is None else title)


def _drawing(space: Space, arch: Mapping[str, Value]) -> Drawing:
    space.row(arch)
    try:
        drawing = space.drawing(arch)
    except UsageError:
        raise
    except Exception as error:
        code = getattr(type(space).drawing, "__code__", None)
        what = described(error, getattr(code, "co_filename", ""))
        raise SpaceError(f"space {space.name!r} cannot draw {space.code(arch)}: {what}") from error
    if not isinstance(drawing, Drawing):
        raise SpaceError(f"the drawing of space {space.name!r} is {type(drawing).__name__}; return a Drawing")
    return drawing


def draw_png(space: Space, arch: Mapping[str, Value], *, title: str | None = None, scale: float = 2.0) -> bytes:
    """An architecture as a PNG, in light colours.

    Args:
        space: Its space.
        arch: A member of it.
        title: Text above the picture, as in `draw_svg`.
        scale: Pixels of the PNG for each unit of the SVG.

    Raises:
        UsageError: If the arch is no member, or the space cannot draw it.
    """
    import vl_convert

    png: bytes = vl_convert.svg_to_png(draw_svg(space, arch, title=title), scale=scale)
    return png


def save_drawing(space: Space, arch: Mapping[str, Value], file: Path | str, *, title: str | None = None) -> Path:
    """Write the picture of an architecture to a file.

    Args:
        space: Its space.
        arch: A member of it.
        file: The file, ending in .svg or .png; an existing one is replaced.
        title: Text above the picture, as in `draw_svg`.

    Returns:
        The path of the file.

    Raises:
        InvalidValueError: If the name ends neither with .svg nor .png, or is that of a folder.
        RunError: If it cannot be written.
    """
    file = check_picture_name(file)
    if file.suffix.lower() == ".png":
        write_bytes(file, draw_png(space, arch, title=title))
    else:
        write_bytes(file, draw_svg(space, arch, title=title).encode())
    return file


def check_picture_name(file: Path | str) -> Path:
    """The path, after checking that a picture can have that name.

    Raises:
        InvalidValueError: If it ends neither with .svg nor .png, or is that of a folder.
    """
    file = Path(file)
    if file.is_dir():
        raise InvalidValueError(f"{file} is a folder; name a file in it that ends with .svg or .png")
    if file.suffix.lower() not in SUFFIXES:
        raise InvalidValueError(
            f"a picture cannot be written to {str(file)!r}; name a file that ends with .svg or .png"
        )
    return file
