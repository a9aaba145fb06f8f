"""All commands under one name, with the options that every command has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer
from typer.main import get_command

from archwright import __version__
from archwright.cli import bench, cost, describe, draw, export, listing, profile, rank, report, search, status, train
from archwright.cli.boundary import guarded

COMMANDS: dict[str, Callable[..., None]] = {
    "search": search.search,
    "status": status.status,
    "list": listing.list_names,
    "describe": describe.describe,
    "cost": cost.cost,
    "draw": draw.draw,
    "train": train.train,
    "profile": profile.profile,
    "bench": bench.bench,
    "rank": rank.rank,
    "export": export.export,
    "report": report.report,
}
"""The function of each command, in the order of the help page."""

app = typer.Typer(
    name="archwright",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
for name, command in COMMANDS.items():
    app.command(name)(command)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"archwright {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_show_version)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an unexpected error.")] = False,
) -> None:
    """Neural architecture search for PyTorch: from a dataset and a limit to a trained, exported network."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code; `--debug` may be anywhere in it."""
    rest = [argument for argument in arguments if argument != "--debug"]
    parsed = get_command(app)
    return guarded(
        lambda: parsed.main(args=rest, prog_name="archwright", standalone_mode=False), debug=len(rest) < len(arguments)
    )
