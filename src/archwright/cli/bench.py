"""`archwright bench`: strategies compared on a benchmark whose true scores are known."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from archwright.cli import completion
from archwright.cli.options import Json, SpaceSettings, parse_output, parse_path, parse_space_set
from archwright.cli.text import print_json, print_lines
from archwright.core.config import parse_quantity
from archwright.core.errors import InvalidValueError

if TYPE_CHECKING:
    from archwright.tabular.benchmark import Benchmark


def bench(
    benchmark: Annotated[
        str,
        typer.Argument(
            metavar="BENCHMARK",
            autocompletion=completion.names("benchmark"),
            help="nasbench201, nasbench-macro, or with --signal and --truth the space of your own table.",
        ),
    ],
    strategy: Annotated[
        str, typer.Option("--strategy", metavar="S[,S]", help="Strategies to compare; random search is beside them.")
    ] = "regularized-evolution",
    table: Annotated[
        list[Path] | None,
        typer.Option(
            "--table",
            metavar="PATH",
            help="The benchmark's table, CSV or Parquet; further ones are joined to it by their column index.",
            parser=parse_path,
        ),
    ] = None,
    dataset: Annotated[
        str | None, typer.Option("--dataset", metavar="D", help="Of the table: c10, c100 or in16.  [default: c10]")
    ] = None,
    evals: Annotated[int, typer.Option("--evals", metavar="N", help="Evaluations of a search.")] = 300,
    seeds: Annotated[int, typer.Option("--seeds", metavar="N", help="Searches of each strategy.")] = 50,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Seed of the seeds.")] = 0,
    budget: Annotated[
        int | None, typer.Option("--budget", metavar="EPOCHS", help="Which evaluations the searches see.")
    ] = None,
    limit: Annotated[
        list[str] | None,
        typer.Option("--limit", metavar="COLUMN=VALUE", help="An upper limit on a column of the table; repeatable."),
    ] = None,
    goal: Annotated[
        list[str] | None,
        typer.Option("--goal", metavar="COLUMN", help="A column to minimise beside the score; repeatable."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="STRATEGY.KEY=VALUE", help="A setting of a strategy, like nsga2.population=20; repeatable."
        ),
    ] = None,
    signal: Annotated[
        str | None, typer.Option("--signal", metavar="COLUMN", help="Of your own table: what a search sees.")
    ] = None,
    truth: Annotated[
        str | None, typer.Option("--truth", metavar="COLUMN", help="Of your own table: what a member is worth.")
    ] = None,
    minimise: Annotated[
        bool, typer.Option("--minimise", help="Of your own table: smaller signals and true scores are better.")
    ] = False,
    space_set: SpaceSettings = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write a page with the curves.", parser=parse_output),
    ] = None,
    json: Json = False,
) -> None:
    """Compare search strategies on true accuracies, in seconds."""
    if not table:
        raise InvalidValueError("--table is missing; give the benchmark's table, e.g. --table nb201.csv.gz")
    if (signal is None) != (truth is None):
        raise InvalidValueError("of your own table both --signal and --truth are needed, and one is missing")
    if not 0 <= seed < 2**63:
        raise InvalidValueError(f"--seed is {seed}; give a number from 0 to 2**63 - 1")
    names = [name.strip() for name in strategy.split(",")]
    limits = {name: parse_quantity(value) for name, value in _pairs("--limit", limit or [])}
    chosen: dict[str, dict[str, str]] = {}
    for key, value in _pairs("--set", settings or []):
        of, dot, name = key.rpartition(".")
        if not dot:
            raise InvalidValueError(f"--set {key}={value} names no strategy; write it like nsga2.population=20")
        chosen.setdefault(of, {})[name] = value

    from archwright.tabular.bench import compare

    opened = _opened(benchmark, table, dataset, signal, truth, minimise, parse_space_set(space_set or ()))
    found = compare(
        opened,
        names,
        n_evals=evals,
        n_seeds=seeds,
        seed=seed,
        budget=budget,
        limits=limits,
        goals=tuple(dict.fromkeys(goal or ())),
        settings=chosen,
        tick=_progress(seeds),
    )
    document = found.to_json()
    if output is not None:
        from archwright.reports.bench import write_bench_page

        write_bench_page(output, document)
    if json:
        print_json(document)
    else:
        print_lines(_lines(document) + ([f"wrote {output}"] if output is not None else []))


def _pairs(option: str, texts: list[str]) -> list[tuple[str, str]]:
    found = []
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name or not value:
            raise InvalidValueError(f"{option} is {text!r}; write it like NAME=VALUE")
        found.append((name, value))
    return found


def _opened(
    name: str,
    tables: list[Path],
    dataset: str | None,
    signal: str | None,
    truth: str | None,
    minimise: bool,
    space_settings: Mapping[str, str],
) -> Benchmark:
    from archwright.core import catalog
    from archwright.tabular.published import own_benchmark
    from archwright.tabular.tables import read_table

    if signal is not None and truth is not None:
        from archwright.spaces.opening import open_space

        space = open_space(name, **space_settings)
        if dataset is not None:
            raise InvalidValueError(f"--dataset is {dataset!r}; your own table says by its columns what it is of")
        return own_benchmark(space, tables, signal=signal, truth=truth, direction="min" if minimise else "max")
    if space_settings or minimise:
        raise InvalidValueError(f"--space-set and --minimise are for your own table; {name!r} is a published benchmark")
    table = read_table(tables[0])
    for other in tables[1:]:
        table = table.joined(read_table(other), "index")
    found: Benchmark = catalog.load("benchmark", name)(table, *([dataset] if dataset is not None else []))
    return found


def _progress(n_seeds: int) -> Any:
    """Tells on a terminal how far each strategy is."""

    def tick(name: str, done: int) -> None:
        if sys.stderr.isatty():
            end = "\n" if done == n_seeds else ""
            print(f"\r{name}: {done} of {n_seeds} seeds{end}", end="", file=sys.stderr, flush=True)

    return tick


def _lines(document: Mapping[str, Any]) -> list[str]:
    curves, paired = document["curves"], document["against_random"]
    points = list(next(iter(curves.values())))
    width = max(map(len, curves))
    data = f" on {document['dataset']}" if document["dataset"] else ""
    if document["goals"]:
        what = f"share of the true front's {document['metric']}"
        best = "1 is the front of all members within the limits"
    else:
        what = f"true {document['metric']} of the best so far"
        best = f"the best within the limits has {document['optimum']:.6g}"
    lines = [
        f"{document['benchmark']}{data}: {what}, {document['seeds']} seeds, mean",
        best,
        "",
        f"{'evaluations':{width}}  " + "  ".join(f"{point:>8}" for point in points),
    ]
    for name, curve in curves.items():
        cells = (f"{curve[p]['mean']:8.3f}" if curve[p]["mean"] is not None else f"{'-':>8}" for p in points)
        lines.append(f"{name:{width}}  " + "  ".join(cells))
    last = points[-1]
    lines += [
        "",
        f"after {last} evaluations: median, 95 % interval of the mean, seeds with the optimum, against random",
    ]
    for name, curve in curves.items():
        found = curve[last]
        if found["mean"] is None:
            lines.append(f"{name:{width}}  nothing within the limits")
            continue
        low, high = found["ci95"]
        said = f"{found['median']:.3f}  {low:.3f} to {high:.3f}  {found['share_of_optimum']:4.0%}"
        if name in paired and paired[name][last]["mean"] is not None:
            said += f"  {paired[name][last]['mean']:+.3f} (p {paired[name][last]['p']:.2g})"
        lines.append(f"{name:{width}}  {said}")
    return lines
