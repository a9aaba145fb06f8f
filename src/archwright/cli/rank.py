"""`archwright rank`: how well a run's supernet ranks architectures."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from archwright.cli.boundary import quoted, run_errors
from archwright.cli.options import Json, parse_path
from archwright.cli.text import columns, print_json, print_lines
from archwright.core.errors import InvalidValueError

TRAIN = "train"


def rank(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="The folder of a run that trained a supernet.", parser=parse_path)
    ],
    truth: Annotated[
        str, typer.Option("--truth", metavar="PATH|train", help="True scores: a CSV table, or by training.")
    ] = TRAIN,
    n: Annotated[int, typer.Option("--n", metavar="N", help="How many random architectures.")] = 20,
    column: Annotated[
        str | None, typer.Option("--column", metavar="C", help="Table column; a known name by default.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Seed of the random architectures.")] = 0,
    json: Json = False,
) -> None:
    """Measure how well a supernet ranks architectures."""
    if n < 2:
        raise InvalidValueError(f"--n is {n}; a ranking needs at least 2 architectures")
    if not 0 <= seed < 2**63:
        raise InvalidValueError(f"--seed is {seed}; give a number from 0 to 2**63 - 1")
    if column is not None and truth == TRAIN:
        raise InvalidValueError(f"--column is {column!r}, but there is no table; add --truth PATH")
    chosen = [] if column is None else ["--column", column]
    with run_errors(folder, quoted("rank", folder, "--truth", truth, "--n", str(n), *chosen, "--seed", str(seed))):
        from archwright.ranking import rank_run
        from archwright.runs.progress import make_progress

        document = rank_run(
            folder,
            truth=truth,
            column=column,
            n=n,
            seed=seed,
            progress=make_progress(sys.stderr),
            deterministic=True,
        )
        if json:
            print_json(document)
        else:
            print_lines(_lines(document))


def _lines(document: Mapping[str, Any]) -> list[str]:
    from archwright.runs.nondeterminism import withdrawal
    from archwright.runs.record import NONDETERMINISTIC

    truth = "training from scratch" if document["truth"] == TRAIN else f"{document['column']} of {document['truth']}"
    rows = [
        ("compared", f"{document['metric']} on the {document['part']} part with {truth}"),
        ("architectures", str(document["n"])),
    ]
    for name in ("kendall", "spearman", "pearson"):
        low, high = document["ci95"][name]
        interval = f"{low:.3f} to {high:.3f}" if low == low else "too few architectures for an interval"
        rows.append((name, f"{document[name]:.3f} ({interval})"))
    rows.append(("macs alone", f"kendall {document['baselines']['macs']:.3f}"))
    if said := withdrawal(document.get(NONDETERMINISTIC, ())):
        rows.append(("no promise", said))
    return columns(rows, indent=0)
