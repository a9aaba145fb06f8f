"""`archwright export`: a finished run's network in another format."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from archwright.cli import completion
from archwright.cli.options import parse_output, parse_path
from archwright.cli.text import print_lines

FORMATS = ("onnx", "python", "safetensors")


def export(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a finished run.", parser=parse_path)],
    format: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="onnx|python|safetensors",
            autocompletion=completion.values((name, "") for name in FORMATS),
            help="File format.",
        ),
    ] = "onnx",
    opset: Annotated[
        int | None, typer.Option("--opset", metavar="N", help="Operator set of an ONNX file; 18 by default.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="The file; in DIR/best by default.", parser=parse_output),
    ] = None,
) -> None:
    """Write a run's network as ONNX, Python source or safetensors."""
    from archwright.finish.result import export_run

    notes: list[str] = []
    path = export_run(folder, format, output, opset=opset, log=notes.append)
    print_lines([f"wrote {path}", *notes])
