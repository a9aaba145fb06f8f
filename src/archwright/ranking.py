"""How well a run's supernet ranks architectures: compares its scores with the truth, from a table or from training."""

from __future__ import annotations

import csv
import gzip
import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from archwright.core.arch import Arch
from archwright.core.correlation import correlations, kendall
from archwright.core.errors import DataError, InvalidArchError, InvalidValueError, RunError
from archwright.core.objective import Goal, Objective
from archwright.core.trial import Candidate, derive_seed
from archwright.costs.counted import Macs
from archwright.evaluators.from_scratch import FromScratch
from archwright.recipes.reopening import TrainedSupernet, open_supernet
from archwright.reports.folder import RANK
from archwright.runs.files import is_file, json_text, write_text
from archwright.runs.progress import Progress
from archwright.runs.record import NONDETERMINISTIC
from archwright.runs.run import Run, open_run
from archwright.search import search
from archwright.spaces.base import Space
from archwright.stores.opening import open_store
from archwright.strategies.random import Random
from archwright.tasks.base import Part
from archwright.training.device import make_deterministic

STORE = "rank.sqlite"
"""File in a run's folder that keeps the results of networks trained as truth."""

TRAIN = "train"
COLUMNS = ("test200_c10", "mean_acc", "accuracy", "test", "top1_accuracy", "perplexity")
"""Columns of a table that are used as truth if none is named; the first that exists is taken."""

N_NAMED = 3


def rank_run(
    folder: Path | str,
    *,
    truth: Path | str = TRAIN,
    column: str | None = None,
    n: int = 20,
    seed: int = 0,
    part: Part = "validation",
    progress: Progress | None = None,
    deterministic: bool = False,
) -> dict[str, Any]:
    """Correlations of a supernet's scores with the true quality of random architectures; `rank.json` keeps them.

    Args:
        folder: A run of `spos` whose supernet is trained.
        truth: "train" trains each architecture from scratch with the run's `retrain` configuration (kept in
            `rank.sqlite`, so that an interrupted ranking goes on); otherwise a path of a CSV file, plain or gzipped,
            with the column `arch`.
        column: Column of the table; None takes the first of `COLUMNS` that the table has. Better values have to be
            larger in it if they are larger in the run's metric, else smaller.
        n: How many distinct architectures, uniform over the space; all of them if it has fewer.
        seed: Seed of the draw, of their training and of the intervals.
        part: The part of the data on which the supernet scores; use the test part only to reproduce published figures.
        progress: Where to show how far it is.
        deterministic: Whether to switch this whole process to deterministic algorithms, as the command does.

    Returns:
        `correlations`, and: "baselines" (Kendall's τ between multiply–accumulates and quality), "metric", "truth",
        "archs" (code, score, truth and multiply–accumulates of each).

    Raises:
        UsageError: If the folder holds no trained supernet, or the table cannot be used.
        RunError: If training fails for many architectures in a row.
    """
    if n < 2:
        raise InvalidValueError(f"--n is {n}; a ranking needs at least 2 architectures")
    opened = open_supernet(folder, part=part)
    if deterministic:
        make_deterministic(opened.device)
    space, metric = opened.space, opened.task.search_metric
    candidates = _random(space, n, seed).ask(n)
    table: dict[Arch, float] = {}
    if truth != TRAIN:
        table, column = read_truth(Path(truth), space, column)
        _check_all_there(Path(truth), space, candidates, table, column)
    with open_run(None, {"recipe": "rank"}, seed=seed, progress=progress) as run:
        if truth == TRAIN:
            table = _trained(run, opened, Path(folder), len(candidates), seed)
        kept = [candidate for candidate in candidates if candidate.arch in table]
        if len(kept) < 2:
            raise RunError(f"only {len(kept)} of {len(candidates)} architectures could be trained; see {STORE}")
        scores = _scores(run, opened, kept)
    archs = [candidate.arch for candidate in kept]
    true = [table[arch] for arch in archs]
    macs = Macs().cost_rows(space, space.decisions.rows(archs))
    found = correlations(scores, true, np.random.default_rng(derive_seed(seed, "bootstrap")))
    lines = [
        {"arch": space.code(arch), "score": score, "truth": right, "macs": int(cost)}
        for arch, score, right, cost in zip(archs, scores, true, macs, strict=True)
    ]
    better = true if opened.task.search_direction == "max" else [-value for value in true]
    described = {"metric": metric, "part": part, "truth": str(truth), "column": column, "seed": seed}
    document = {**found, "baselines": {"macs": kendall(macs, better)}, **described, "archs": lines}
    if run.nondeterministic:
        document[NONDETERMINISTIC] = run.nondeterministic
    with suppress(RunError):  # a folder that cannot be written is no reason to lose the figures
        write_text(Path(folder) / RANK, json_text(document, RANK, any_float=True) + "\n")
    return document


def read_truth(path: Path, space: Space, column: str | None = None) -> tuple[dict[Arch, float], str]:
    """The values of a table's column by architecture, and the column's name.

    Lines with an architecture that is not in the space are skipped, and so are empty cells: the table may belong to a
    larger space or be incomplete.

    Args:
        path: CSV file with a header; gzipped if its name ends in .gz.
        space: The space, whose `parse` reads the column `arch`.
        column: Name of the column; None takes the first of `COLUMNS` that the table has.

    Raises:
        DataError: If the file cannot be used; the message says where and why.
    """
    lines = _lines(path)
    header = next(lines, (0, []))[1]
    if "arch" not in header:
        raise DataError(f"{path} has no column 'arch'; its columns: {', '.join(header) or 'none'}")
    name = column or next((known for known in COLUMNS if known in header), None)
    if name is None or name not in header:
        asked = f"no column {name!r}" if name else f"none of the columns {', '.join(COLUMNS)}"
        raise DataError(f"{path} has {asked}; name one with --column: {', '.join(header)}")
    found: dict[Arch, float] = {}
    refused: InvalidArchError | None = None
    for number, line in lines:
        cells = dict(zip(header, line, strict=False))
        text, value = cells.get("arch", ""), cells.get(name, "").strip()
        try:
            arch = space.parse(text)
        except InvalidArchError as error:
            refused = refused or error
            continue
        if value:
            if arch in found:
                raise DataError(f"{path}, line {number}: {text} stands there twice; keep one line")
            found[arch] = _number(value, f"{path}, line {number}: {name}")
    if not found:
        why = f"; the first line that is none: {refused}" if refused else ""
        raise DataError(f"{path} has no architecture of space {space.name!r} with a value{why}")
    return found, name


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The cells of each line that is not empty, with its number."""
    if not is_file(path):
        raise DataError(f"{path}: there is no such file; give a CSV file, or train")
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream)
            for line in reader:
                if line:
                    yield reader.line_num, line
    except (OSError, EOFError, ValueError, zlib.error, csv.Error) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path}: cannot be read as CSV ({type(error).__name__}: {reason})") from None


def _number(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{where} is {text!r}; give a finite number, or nothing where there is none")
    return value


def _random(space: Space, n: int, seed: int) -> Random:
    return Random(space, n_trials=n, seed=derive_seed(seed, "rank"))


def _check_all_there(
    path: Path, space: Space, candidates: Sequence[Candidate], table: Mapping[Arch, float], column: str
) -> None:
    missing = [space.code(candidate.arch) for candidate in candidates if candidate.arch not in table]
    if missing:
        more = ", …" if len(missing) > N_NAMED else ""
        raise DataError(
            f"{path} has no {column} for {len(missing)} of {len(candidates)} drawn architectures: "
            f"{', '.join(missing[:N_NAMED])}{more}; complete it, or choose another --seed or a smaller --n"
        )


def _trained(run: Run, opened: TrainedSupernet, folder: Path, n: int, seed: int) -> dict[Arch, float]:
    """The metric of each architecture trained from scratch; those that fail are left out."""
    task, space = opened.task, opened.space
    evaluator = FromScratch(space, task, opened.config.retrain, device=opened.device)
    objective = Objective((Goal(task.search_metric, task.search_direction),))
    with (
        run.phase("truth", total=n) as phase,
        open_store(folder / STORE, study=f"truth-{seed}") as store,
    ):
        found = search(space, _random(space, n, seed), evaluator, objective, store=store, phase=phase)
        phase.finish()
    return {trial.arch: trial.metrics[task.search_metric] for trial in found.trials if trial.is_complete}


def _scores(run: Run, opened: TrainedSupernet, candidates: Sequence[Candidate]) -> list[float]:
    """What the supernet gives each candidate."""
    scores: list[float] = []
    with run.phase("scores", total=len(candidates)) as phase:
        for first in range(0, len(candidates), opened.evaluator.chunk):
            chunk = candidates[first : first + opened.evaluator.chunk]
            scores += [metrics[opened.task.search_metric] for metrics in opened.evaluator.evaluate(chunk)]
            phase.advance(len(scores))
        phase.finish()
    return scores
