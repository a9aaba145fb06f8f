"""`archwright report`: the page of a run, or a page that compares several."""

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
            help="Output file; DIR/report.html, or ./report.html for several runs, by default.",
        ),
    ] = None,
) -> None:
    """Write the HTML page of a run, or one that compares several."""
    from archwright.reports.building import build_report

    print_lines([f"wrote {build_report(folders, output)}"])
