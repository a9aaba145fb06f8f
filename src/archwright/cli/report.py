"""`archwright report`: the page of a run, or of several side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from archwright.cli.options import parse_output, parse_path
from archwright.cli.text import print_lines


def report(
    folders: Annotated[
        list[Path], typer.Argument(metavar="DIR...", parser=parse_path, help="Folders of runs, finished or not.")
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            parser=parse_output,
            help="File to write; DIR/report.html, or ./report.html for several runs.",
        ),
    ] = None,
) -> None:
    """Write one self-contained HTML page; several runs are compared."""
    from archwright.reports.building import build_report

    print_lines([f"wrote {build_report(folders, output)}"])
