"""Make the texts, tables and charts of a page from a run's document; what is missing is reported as missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from archwright.reports import found
from archwright.reports.charts import NO_TABLE, Chart, Table
from archwright.reports.classes import (
    Classes,
    accuracy_chart,
    classes_of,
    classes_table,
    confusion_chart,
    counts_text,
    mistakes_view,
)
from archwright.reports.measures import (
    Document,
    Measure,
    Trials,
    command_text,
    cost_names,
    measure_of,
    part,
    parts,
    search_measure_of,
    sequence,
    versions_text,
)
from archwright.reports.next_steps import next_steps
from archwright.reports.parallel_chart import parallel_chart
from archwright.reports.result_charts import (
    arch_text,
    estimate_chart,
    predicted_chart,
    rank_chart,
    spread_chart,
    training_charts,
)
from archwright.reports.search_charts import RANDOM, SEARCH, best_so_far_chart, trade_off_chart
from archwright.reports.text import duration, is_number, quantity
from archwright.runs.nondeterminism import withdrawal
from archwright.runs.record import NONDETERMINISTIC, flattened

MAX_FAILURES = 50
"""Most failed trials that are listed one by one; their total number is always given."""


def run_view(document: Document) -> dict[str, Any]:
    """Everything the template `run.html` reads, from the document described in `write_page`."""
    result, run = part(document, "result"), part(document, "run")
    search, baseline = (_trials(document, study) for study in ("search", "baseline"))
    measure = _measure(result, run, [*search, *baseline])
    searched = _measure(result, run, [*search, *baseline], of=search_measure_of)
    config, classes = part(run, "config"), part(document, "classes")
    figures = classes_of(classes)
    charts = _charts(document, result, search, baseline, measure, searched, figures)
    return {
        "title": _title(result, run),
        "space": result.get("space") or config.get("space"),
        "status": _status(part(document, "status"), run, search, searched),
        "is_search": found.is_search(result or run),
        "has_result": bool(result) or not run,
        "tiles": found.tiles(result, measure),
        "verdict": found.verdict(result, measure),
        "winners": found.winners_table(result, measure),
        "pareto": found.pareto_table(result, measure),
        "constraints": found.constraint_rows(result),
        "draws": found.draws_text(result, measure.metric),
        "same_choice": found.same_choice_rows([*search, *baseline], result, searched),
        "architecture": _architecture(document.get("architecture")),
        "code": result.get("code"),
        "layers": _table(parts(document, "layers")),
        "drawing": drawing if isinstance(drawing := document.get("drawing"), str) else "",
        "failures": _failures([("search", search), ("baseline", baseline)]),
        "counts": counts_text(figures) if figures else "",
        "classes": classes_table(figures) if figures else NO_TABLE,
        "mistakes": mistakes_view(figures, classes) if figures else [],
        "next_steps": next_steps(result, "DIR"),
        "ledger": found.ledger_view(part(document, "ledger") or part(result, "ledger")),
        "repeat": _repeat(result, run, part(document, "choice")),
        "config": [(name, _plain(value)) for name, value in flattened(config).items()],
        "charts": charts,
        "searched": bool({"trade-off", "best-so-far", "parallel"} & charts.keys()),
        "training": [key for key in charts if key.startswith("training")],
    }


def _trials(document: Document, study: str) -> Trials:
    return parts(part(document, "trials"), study)


def _title(result: Document, run: Document) -> str:
    config = part(run, "config")
    recipe = result.get("recipe") or run.get("recipe") or "search"
    return f"{recipe} on {result.get('dataset') or config.get('data') or 'unknown data'}"


def _measure(
    result: Document, run: Document, trials: Trials, of: Callable[[Document, Document], Measure] = measure_of
) -> Measure:
    """Limits are those on costs that trials have; where no result says it yet, the metric is the first they have."""
    measure = of(result, run)
    recorded = set(cost_names(trials, measure))
    measure = replace(measure, limits={name: limit for name, limit in measure.limits.items() if name in recorded})
    names = (str(name) for trial in trials for name in part(trial, "metrics"))
    is_said = "metric" in result or "metric" in part(run, "config")
    return measure if is_said else replace(measure, metric=next(names, measure.metric))


def _charts(
    document: Document,
    result: Document,
    search: Trials,
    baseline: Trials,
    measure: Measure,
    searched: Measure,
    figures: Classes | None,
) -> dict[str, Chart]:
    """The charts there are numbers for, by key.

    Args:
        document: All about the run.
        result: Its result.
        search: Trials of the search.
        baseline: Trials of the random baseline.
        measure: What networks are tested by.
        searched: What the search went by.
        figures: Of its classes, where there are any.
    """
    known = {
        arch_text(trial.get("arch")): value
        for trial in (*search, *baseline)
        if (value := searched.score(trial)) is not None
    }
    latencies = {str(cost): table for cost, table in part(document, "latencies").items() if isinstance(table, Mapping)}
    charts = [
        spread_chart(result, measure),
        *([accuracy_chart(figures), confusion_chart(figures)] if figures else []),
        trade_off_chart(search, baseline, result.get("arch"), searched),
        best_so_far_chart({SEARCH: search, RANDOM: baseline}, searched),
        parallel_chart(search, searched),
        predicted_chart(latencies, result),
        estimate_chart(result, known, measure, searched),
        rank_chart(part(document, "rank")),
        *training_charts(part(document, "training")),
    ]
    return {chart.key: chart for chart in charts if chart is not None}


# ── texts and tables ──────────────────────────────────────────────────────────────────────────────


def _status(status: Document, run: Document, search: Trials, measure: Measure) -> str:
    """What has to be known of a run that is not finished; empty for one that is."""
    state = status.get("state", "finished")
    if state == "finished":
        return ""
    phase, done, total = (status.get(key) for key in ("phase", "done", "total"))
    where = f" in phase {phase}" if phase else ""
    if phase and is_number(done):
        where += f", {done:,} of {total:,}" if is_number(total) else f", {done:,} done"
    left = status.get("time_left_s")
    until = f"; about {duration(left)} of this phase left" if state == "running" and is_number(left) else ""
    what = "is running" if state == "running" else "has stopped before its end"
    n = len(search)
    n_failed = sum(trial.get("status") == "failed" for trial in search)
    trials = f" {n:,} trials so far, {n_failed:,} of them failed." if n else " No trial yet."
    hint = "" if state == "running" else " It goes on with --resume."
    when = f" as of {status['updated']}" if status.get("updated") else ""
    return f"This run {what}{where}{until}{when}.{trials} Nothing was tested yet; what follows is what there is.{hint}"


def _architecture(rows: Any) -> dict[str, Any]:
    """Rows of name and value, or a text; a plain mapping of decisions will do as well."""
    if isinstance(rows, str):
        return {"text": rows, "rows": []}
    if isinstance(rows, Mapping):
        return {"text": "", "rows": [(str(name), _plain(value)) for name, value in rows.items()]}
    rows = [row for row in sequence(rows) if isinstance(row, Mapping)]
    return {"text": "", "rows": [(str(row.get("name")), _plain(row.get("value"))) for row in rows]}


def _table(rows: Sequence[Document]) -> Table:
    """Columns in the order in which the rows first name them; counts are written short."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    return Table(
        columns,
        [[quantity(row[key]) if is_number(row.get(key)) else _plain(row.get(key)) for key in columns] for row in rows],
    )


def _failures(studies: Sequence[tuple[str, Trials]]) -> dict[str, Any]:
    failed = [(study, trial) for study, trials in studies for trial in trials if trial.get("status") == "failed"]
    rows = [
        [study, trial.get("number"), str(trial.get("failure") or "no message")]
        for study, trial in failed[:MAX_FAILURES]
    ]
    n_trials = sum(len(trials) for _, trials in studies)
    return {"n": len(failed), "n_trials": n_trials, "table": Table(("study", "trial", "message"), rows)}


def _repeat(result: Document, run: Document, choice: Document) -> list[tuple[str, str]]:
    host = part(run, "host")
    reasons = (reason.partition(" ") for reason in _texts(choice.get("reasons")))
    rows = [
        ("command", command_text(run)),
        *((name, why.strip()) for name, _, why in reasons),
        ("the same", str(choice.get("command") or "")),
        ("seed", _plain(run.get("seed", result.get("seed")))),
        ("threads", _plain(run.get("threads"))),
        ("versions", versions_text(run)),
        ("machine", ", ".join(f"{name} {value}" for name, value in host.items())),
        ("started", _plain(run.get("started"))),
        ("evaluated", _plain(result.get("n_evaluated"))),
        ("no promise", withdrawal(_texts(result.get(NONDETERMINISTIC) or run.get(NONDETERMINISTIC)))),
    ]
    return [(name, value) for name, value in rows if value]


def _texts(names: Any) -> list[str]:
    return [str(name) for name in sequence(names)]


def _plain(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, value))
    return str(value)
