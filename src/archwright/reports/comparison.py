"""Compare several runs: the mean and interval of a search over its seeds, and one search against another."""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from archwright.core.errors import InvalidValueError
from archwright.reports.charts import Table
from archwright.reports.comparison_charts import (
    Group,
    Member,
    curves_chart,
    fronts_chart,
    interval,
    tests_chart,
    winners_chart,
)
from archwright.reports.found import draw_scores, kept_text
from archwright.reports.measures import (
    Document,
    Measure,
    command_text,
    measure_of,
    part,
    parts,
    search_measure_of,
    versions_text,
)
from archwright.reports.text import ABSENT, difference, duration, is_number, quantity, score
from archwright.runs.record import flattened

NOT_A_SETTING = ("seed", "threads", "device", "data_sha256", "recipe")
"""Configuration keys in which runs of one group may differ; the data's digest does, since the seed draws the split."""

COMPARED = ("macs", "params")


def comparison_view(documents: Mapping[str, Document], folder: Path) -> dict[str, Any]:
    """Everything the template `compare.html` reads.

    Args:
        documents: The runs' documents (see `write_page`) by the folders' names.
        folder: The folder of the page, from which it links to the pages of the runs.

    Raises:
        InvalidValueError: If the runs have different data or metrics.
    """
    members = [_member(name, document) for name, document in documents.items()]
    _check_comparable(members)
    groups = _groups(members)
    measure = Measure(members[0].measure.metric, members[0].measure.direction)
    result, run = part(members[0].document, "result"), part(members[0].document, "run")
    searched = replace(search_measure_of(result, run), limits={})
    charts = [
        tests_chart(groups, measure),
        winners_chart(groups, measure),
        curves_chart(groups, searched),
        fronts_chart(groups, searched),
    ]
    return {
        "title": f"{len(members)} runs on {members[0].data}",
        "metric": measure.metric,
        "groups": _group_table(groups, measure),
        "settings": _settings_table(groups),
        "runs": [_run_row(group, one, measure, folder) for group in groups for one in group.members],
        "verdict": _verdict(groups, measure),
        "repeat": [(one.name, *_repeat(one)) for group in groups for one in group.members],
        "charts": {chart.key: chart for chart in charts if chart is not None},
    }


# ── which runs belong together ────────────────────────────────────────────────────────────────────


def _member(name: str, document: Document) -> Member:
    result, run = part(document, "result"), part(document, "run")
    config = part(run, "config")
    return Member(
        name=name,
        recipe=str(result.get("recipe") or run.get("recipe") or "search"),
        data=str(result.get("dataset") or config.get("data") or "unknown data"),
        measure=measure_of(result, run),
        document=document,
    )


def _check_comparable(members: Sequence[Member]) -> None:
    kinds = {(one.data, one.measure.metric if part(one.document, "result") else ""): one.name for one in members}
    datasets = {data for data, _ in kinds}
    metrics = {metric for _, metric in kinds if metric}
    if len(datasets) > 1 or len(metrics) > 1:
        listed = "; ".join(f"{name}: {' '.join(filter(None, kind))}" for kind, name in kinds.items())
        raise InvalidValueError(f"these runs cannot be compared, they are of different data or metrics ({listed})")


def _groups(members: Sequence[Member]) -> list[Group]:
    """Runs that differ in nothing but the seed, in the order in which they were given."""
    found: dict[str, list[Member]] = {}
    for one in members:
        found.setdefault(json.dumps([one.recipe, _settings(one)], sort_keys=True, default=str), []).append(one)
    recipes = [gathered[0].recipe for gathered in found.values()]
    groups = []
    for i, gathered in enumerate(found.values()):
        number = f" {recipes[: i + 1].count(recipes[i])}" if recipes.count(recipes[i]) > 1 else ""
        groups.append(Group(f"{gathered[0].recipe}{number}", gathered))
    return groups


def _settings(one: Member) -> dict[str, Any]:
    config = part(part(one.document, "run"), "config")
    flat = flattened(config).items()
    return {name: value for name, value in flat if name not in NOT_A_SETTING and not isinstance(value, Mapping)}


def _settings_table(groups: Sequence[Group]) -> Table:
    """Settings in which groups of one recipe differ; other recipes have other settings altogether."""
    rows = []
    for recipe in dict.fromkeys(group.members[0].recipe for group in groups):
        alike = [group for group in groups if group.members[0].recipe == recipe]
        settings = [_settings(group.members[0]) for group in alike]
        for name in sorted({name for one in settings for name in one}):
            values = [one.get(name) for one in settings]
            if any(value != values[0] for value in values):
                rows += [[name, group.name, str(value)] for group, value in zip(alike, values, strict=True)]
    return Table(("setting", "of", "value"), rows)


# ── tables ────────────────────────────────────────────────────────────────────────────────────────


def _group_table(groups: Sequence[Group], measure: Measure) -> Table:
    columns = (
        "search",
        "runs",
        "test",
        "best of random search",
        "winner's gain over it",
        "drawn at random",
        "plain network",
    )
    rows = []
    for group in groups:
        gains = [gain for one in group.members if (gain := one.gain(measure)) is not None]
        drawn = [
            statistics.mean(draws) for one in group.members if (draws := draw_scores(part(one.document, "result")))
        ]
        rows.append(
            [
                group.name,
                _finished(group),
                _scores(group.tests, measure),
                _scores(group.rivals, measure),
                _gains(gains, measure),
                _scores(drawn, measure),
                _scores([one.plain for one in group.members if one.plain is not None], measure),
                *(
                    quantity(statistics.mean(values)) if (values := group.figures(cost)) else ABSENT
                    for cost in COMPARED
                ),
                _mean_duration(group),
            ]
        )
    return Table((*columns, *COMPARED, "wall time"), rows)


def _finished(group: Group) -> str:
    n, n_tested = len(group.members), len(group.tests)
    return str(n) if n == n_tested else f"{n_tested} of {n} finished"


def _scores(values: Sequence[float], measure: Measure) -> str:
    if not values:
        return ABSENT
    mean, half = interval(values)
    if half is None:
        return score(mean, measure.metric)
    return f"{score(mean, measure.metric)} ± {difference(half, measure.metric).removesuffix(' points')}"


def _gains(gains: Sequence[float], measure: Measure) -> str:
    if not gains:
        return ABSENT
    mean, half = interval(gains)
    text = f"{'+' if mean > 0 else '−' if mean < 0 else ''}{difference(mean, measure.metric)}"
    return text if half is None else f"{text} ± {difference(half, measure.metric).removesuffix(' points')}"


def _mean_duration(group: Group) -> str:
    walls = [wall for one in group.members if (wall := _wall(one))]
    return duration(statistics.mean(walls)) if walls else ABSENT


def _wall(one: Member) -> float:
    entries = part(one.document, "ledger") or part(part(one.document, "result"), "ledger")
    return float(sum(v for e in entries.values() if isinstance(e, Mapping) and is_number(v := e.get("wall_s"))))


def _run_row(group: Group, one: Member, measure: Measure, folder: Path) -> dict[str, Any]:
    result, run, status = (part(one.document, key) for key in ("result", "run", "status"))
    limits = [
        f"{limit.get('cost')} {quantity(limit.get('limit'))}: {kept_text(limit)}"
        for limit in parts(result, "constraints")
    ]
    gain = one.gain(measure)
    return {
        "name": one.name,
        "link": _link(Path(str(one.document.get("folder", one.name))) / "report.html", folder),
        "cells": [
            group.name,
            run.get("seed", result.get("seed")),
            str(status.get("state", "finished")),
            score(one.test, measure.metric),
            score(one.rival, measure.metric),
            ABSENT if gain is None else _gains([gain], measure),
            score(one.plain, measure.metric),
            *(quantity(result.get(cost)) for cost in COMPARED),
            "; ".join(limits) or "none",
            duration(_wall(one) or None),
        ],
    }


def _link(page: Path, folder: Path) -> str:
    """The address of a run's own page from a page in the folder; empty where there is none."""
    if not page.is_file():
        return ""
    try:
        return quote(Path(os.path.relpath(page, folder)).as_posix())
    except ValueError:  # another drive
        return ""


def _repeat(one: Member) -> tuple[str, str]:
    run = part(one.document, "run")
    return command_text(run), versions_text(run)


def _verdict(groups: Sequence[Group], measure: Measure) -> list[str]:
    """What the intervals allow to say."""
    sentences = []
    for group in groups:
        gains = [gain for one in group.members if (gain := one.gain(measure)) is not None]
        if len(gains) < 2:
            continue
        mean, half = interval(gains)
        assert half is not None
        side = "better than" if mean > half else "worse than" if mean < -half else "not clearly different from"
        sentences.append(
            f"Over {len(gains)} seeds the winner of {group.name} is {side} the best of random search at equal budget "
            f"({_gains(gains, measure)})."
        )
    if not sentences:
        return ["No search has several finished seeds: take small differences as ties."]
    return [*sentences, "± is half the width of the 95 % t interval of the mean; gains are paired by run."]
