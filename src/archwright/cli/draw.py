"""`archwright draw`: the picture of one architecture."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Annotated

import typer

from archwright.cli.options import ArchInput, ArchSpec, Classes, parse_output, parse_shape
from archwright.cli.text import chatter_on_stderr, print_lines
from archwright.core.errors import InvalidValueError

MAX_NAME = 80


def draw(
    arch: ArchSpec,
    output: Annotated[
        Path | None,
        typer.Option(
            *("--output", "-o"),
            metavar="FILE",
            help="FILE.svg or FILE.png; ARCH.svg in the current folder by default.",
            parser=parse_output,
        ),
    ] = None,
    input: ArchInput = None,
    classes: Classes = None,
) -> None:
    """Draw a cell or a network as a picture, SVG or PNG."""
    shape = None if input is None else parse_shape(input)
    from archwright.reports.drawing import check_picture_name, save_drawing
    from archwright.spaces import open_architecture

    file = check_picture_name(output or _own_file(arch))
    with chatter_on_stderr():
        opened = open_architecture(arch)
        save_drawing(opened.space.sized(shape, classes), opened.arch, file, title=opened.name)
    print_lines([f"wrote {file}"])


def _own_file(spec: str) -> Path:
    """ARCH.svg here; a file of that name is replaced only if it is a drawing of ours.

    Raises:
        InvalidValueError: If it is anything else.
    """
    file = Path(file_name(spec))
    if file.exists() and not _is_drawing(file):
        raise InvalidValueError(f"{file} exists and is no drawing of archwright; give -o {file} to replace it")
    return file


def _is_drawing(file: Path) -> bool:
    try:
        with file.open("rb") as stream:
            return b'class="aw-drawing"' in stream.read(200)
    except OSError:
        return False


def file_name(spec: str) -> str:
    """The file name of a picture, made from the user's text for the architecture.

    >>> file_name("SPOS_block"), file_name("runs/a/best/arch.json"), file_name("own.py:Net:0-1")
    ('SPOS_block.svg', 'arch.svg', 'own.py-Net-0-1.svg')
    """
    last = Path(spec).name if spec.endswith(".json") else spec.rpartition("/")[2]
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", last.removesuffix(".json")).strip("-.") or "architecture"
    if len(name) > MAX_NAME:  # two long codes may begin alike
        name = f"{name[:MAX_NAME].rstrip('-.')}-{hashlib.sha256(spec.encode(errors='replace')).hexdigest()[:8]}"
    return f"{name}.svg"
