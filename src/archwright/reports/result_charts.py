"""Charts of a run's result: the winner against random networks, estimates against measurements, training curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from archwright.reports.charts import (
    MUTED,
    SERIES,
    SHAPES,
    STAR,
    Chart,
    Spec,
    Table,
    cost_format,
    hint,
    nominal,
    quantitative,
    score_format,
)
from archwright.reports.measures import Document, Measure, code_of, part, parts, sequence
from archwright.reports.search_charts import WINNER
from archwright.reports.text import is_number, quantity, score

MAX_CURVE = 200
"""Most points of a drawn loss curve; in a longer curve each point is the mean over several steps."""
MAX_CURVES = 8

RIVAL, PLAIN, DRAW = "best of random search", "plain network", "drawn at random"
ROLES = (WINNER, RIVAL, PLAIN, DRAW)
ROLE_COLORS = (SERIES[2], SERIES[1], SERIES[3], SERIES[5])
ROLE_SHAPES = (STAR, "square", "diamond", "circle")


def spread_chart(result: Document, measure: Measure) -> Chart | None:
    """Test scores side by side: the winner, the best of random search, a plain network, networks drawn at random."""
    found = tests(result)
    rows = [[role, value, code_of(one), _macs(one)] for role, value, one in found]
    draws = [value for role, value, _ in found if role == DRAW]
    if len(rows) < 2:
        return None
    format = score_format(measure.metric)
    present = [role for role in ROLES if any(row[0] == role for row in rows)]
    y = {"field": "s", "type": "nominal", "sort": present, "title": None, "axis": {"labelLimit": 200, "grid": True}}
    x = quantitative("x", f"{measure.metric} on the test part", format)
    layers: list[Spec] = [
        {
            "mark": {"type": "point", "filled": True},
            "encoding": {
                **{"x": x, "y": y, "color": {**nominal("s", ROLES, ROLE_COLORS), "legend": None}},
                "shape": {**nominal("s", ROLES, ROLE_SHAPES), "legend": None},
                "size": {"condition": {"test": f"datum.s === '{WINNER}'", "value": 330}, "value": 90},
                "tooltip": [hint("s", "network"), hint("x", "test", format), *_network_hints(rows)],
            },
        }
    ]
    if len(draws) > 1:
        ends = {"data": {"values": [{"s": DRAW, "low": min(draws), "high": max(draws)}]}}
        span = {"x": {**x, "field": "low"}, "x2": {"field": "high"}, "y": y}
        layers.insert(0, {**ends, "mark": {"type": "rule", "strokeWidth": 2, "color": SERIES[5]}, "encoding": span})
    return Chart(
        key="spread",
        caption="Test scores of networks trained alike",
        description="; ".join(f"{role} {score(value, measure.metric)}" for role, value, *_ in rows) + ".",
        specs={"": {"data": {"name": "tests"}, "layer": layers, "height": 30 + 44 * len(present)}},
        data={"tests": Table(("s", "x", "k", "m"), rows)},
        table=Table(("network", "test"), [[role, score(value, measure.metric)] for role, value, *_ in rows]),
    )


def _macs(one: Document) -> float | None:
    return float(one["macs"]) if is_number(one.get("macs")) else None


def _network_hints(rows: Sequence[Sequence[Any]]) -> list[Spec]:
    """Lines on what network a mark is, from the last two columns of its rows: code and multiply-accumulates."""
    code = [hint("k", "code")] if any(row[-2] for row in rows) else []
    macs = [row[-1] for row in rows if row[-1] is not None]
    return code + ([hint("m", "macs", cost_format(macs))] if macs else [])


def _by_role(roles: Sequence[str]) -> dict[str, Spec]:
    places = [ROLES.index(role) for role in roles]
    return {
        "color": nominal("s", roles, [ROLE_COLORS[i] for i in places]),
        "shape": nominal("s", roles, [ROLE_SHAPES[i] for i in places]),
    }


def tests(result: Document) -> list[tuple[str, float, Document]]:
    """(role, test score, its record) of every network that was evaluated on the test part."""
    baseline = part(result, "random_baseline")
    found: list[tuple[str, Any]] = [(WINNER, result)]
    # a random search is its own baseline: the same network twice says nothing
    found += [] if baseline.get("is_search") else [(RIVAL, baseline)]
    found.append((PLAIN, part(result, "plain_baseline")))
    found += [(DRAW, one if isinstance(one, Mapping) else {"test": one}) for one in sequence(baseline.get("draws"))]
    return [(role, float(one["test"]), one) for role, one in found if is_number(one.get("test"))]


# ── estimates and what they became ────────────────────────────────────────────────────────────────


def estimate_chart(
    result: Document, known: Mapping[str, float], measure: Measure, searched: Measure | None = None
) -> Chart | None:
    """The search's own score of each retrained network against its test score.

    Args:
        result: The run's result.
        known: Scores in the search by the text of an arch, for networks whose own record has none.
        measure: The metric of the test.
        searched: That of the search, where it is another.
    """
    searched = searched or measure
    baseline = part(result, "random_baseline")
    entries = [(WINNER, result), (RIVAL, baseline), *((DRAW, one) for one in parts(baseline, "draws"))]
    rows = []
    for role, one in entries:
        estimate = one.get("validation", known.get(arch_text(one.get("arch"))))
        if is_number(estimate) and is_number(one.get("test")):
            rows.append([role, float(estimate), float(one["test"]), code_of(one), _macs(one)])
    if len(rows) < 2:
        return None
    format, search_format = score_format(measure.metric), score_format(searched.metric)
    spec = {
        "data": {"name": "networks"},
        "mark": {"type": "point", "filled": True, "size": 110},
        "encoding": {
            "x": quantitative("x", f"{searched.metric} in the search", search_format),
            "y": quantitative("y", f"{measure.metric} on the test part, retrained", format),
            **_by_role([role for role in ROLES if any(row[0] == role for row in rows)]),
            "tooltip": [
                *(hint("s", "network"), hint("x", "in the search", search_format), hint("y", "test", format)),
                *_network_hints(rows),
            ],
        },
    }
    return Chart(
        key="estimates",
        caption="Score in the search against the network trained on its own",
        description=f"{len(rows)} networks with both scores. Only their order has to agree, not their height.",
        specs={"": spec},
        data={"networks": Table(("s", "x", "y", "k", "m"), rows)},
        table=Table(
            ("network", "in the search", "test"),
            [[s, score(x, searched.metric), score(y, measure.metric)] for s, x, y, *_ in rows],
        ),
    )


def rank_chart(rank: Document) -> Chart | None:
    """The result of `archwright rank`: the supernet's scores against the truth."""
    lines = parts(rank, "archs")
    rows = [
        [one.get("arch"), one["score"], one["truth"]]
        for one in lines
        if is_number(one.get("score")) and is_number(one.get("truth"))
    ]
    if len(rows) < 2:
        return None
    metric = str(rank.get("metric", "score"))
    format = score_format(metric)
    figures = [
        f"{name} {rank[name]:.3f}{_interval(rank, name)}"
        for name in ("kendall", "spearman", "pearson")
        if is_number(rank.get(name))
    ]
    spec = {
        "data": {"name": "archs"},
        "mark": {"type": "point", "filled": True, "size": 70, "opacity": 0.75, "color": SERIES[0]},
        "encoding": {
            "x": quantitative("x", f"{metric} by the supernet", format),
            "y": quantitative("y", "truth", ".4~g" if max(abs(row[2]) for row in rows) > 1.5 else format),
            "tooltip": [hint("n", "architecture"), hint("x", "supernet", format), hint("y", "truth", ".5~g")],
        },
    }
    return Chart(
        key="rank",
        caption=f"How the supernet ranks {len(rows)} random architectures: {', '.join(figures) or 'not measured'}",
        description="Each mark is an architecture; the closer to one rising line, the better the supernet ranks.",
        specs={"": spec},
        data={"archs": Table(("n", "x", "y"), rows)},
        table=Table(
            ("architecture", "supernet", "truth"), [[n, score(x, metric), f"{y:.4g}"] for n, x, y in rows[:40]]
        ),
    )


def predicted_chart(tables: Mapping[str, Document], result: Document) -> Chart | None:
    """Predicted against measured latencies, of the whole networks that checked the table and of the winner."""
    rows = []
    for cost, table in tables.items():
        for one in parts(table, "checked"):
            if is_number(one.get("predicted")) and is_number(one.get("measured")):
                rows.append([cost, "fitted" if one.get("fitted") else "checked", one["predicted"], one["measured"]])
        kept = [one for one in parts(result, "constraints") if one.get("cost") == cost]
        for role, one in [
            *((WINNER, one) for one in kept),
            *(("passed over", one) for one in parts(result, "passed_over") if one.get("cost") == cost),
        ]:
            if is_number(one.get("predicted")) and is_number(one.get("value")):
                rows.append([cost, role, one["predicted"], one["value"]])
    if len(rows) < 2:
        return None
    names = ("checked", "fitted", "passed over", WINNER)
    ends = [[value, value] for value in (min(min(row[2:]) for row in rows), max(max(row[2:]) for row in rows))]
    x, y = quantitative("x", "predicted", ".3~g"), quantitative("y", "measured", ".3~g")
    points = {
        "data": {"name": "networks"},
        "mark": {"type": "point", "filled": True, "size": 90},
        "encoding": {
            **{"x": x, "y": y, "color": nominal("s", names, (SERIES[0], SERIES[5], SERIES[1], SERIES[2]))},
            "shape": nominal("s", names, (*SHAPES[:2], "triangle-up", STAR)),
            "tooltip": [
                hint("c", "cost"),
                hint("s", "network"),
                hint("x", "predicted", ".4~g"),
                hint("y", "measured", ".4~g"),
            ],
        },
    }
    line = {
        "data": {"name": "equal"},
        "mark": {"type": "line", "color": MUTED, "strokeDash": [4, 3]},
        "encoding": {"x": x, "y": y},
    }
    worst = max(abs(row[3] / row[2] - 1) for row in rows if row[2])
    return Chart(
        key="predicted",
        caption="Latency: predicted in the search against measured",
        description=f"{len(rows)} networks; the largest deviation is {100 * worst:.0f} % of what was predicted.",
        specs={"": {"layer": [line, points]}},
        data={"networks": Table(("c", "s", "x", "y"), rows), "equal": Table(("x", "y"), ends)},
        table=Table(
            ("cost", "network", "predicted", "measured"),
            [[*row[:2], quantity(row[2]), quantity(row[3])] for row in rows],
        ),
    )


def arch_text(arch: Any) -> str:
    """A text that is the same for equal archs."""
    return repr(sorted((str(name), repr(value)) for name, value in arch.items())) if isinstance(arch, Mapping) else ""


def _interval(rank: Document, name: str) -> str:
    found = part(rank, "ci95").get(name)
    if isinstance(found, list | tuple) and len(found) == 2 and all(map(is_number, found)):
        return f" ({found[0]:.3f} to {found[1]:.3f})"
    return ""


# ── training ──────────────────────────────────────────────────────────────────────────────────────


def training_charts(curves: Mapping[str, Any]) -> list[Chart]:
    """Loss against optimiser step: one chart for the retrained networks, and one for every other training."""
    usable = {str(name): line for name, curve in curves.items() if (line := _line(curve))}
    retrained = {name: line for name, line in usable.items() if name.startswith("retrain-")}
    charts = [_training_chart({name: line}) for name, line in usable.items() if name not in retrained][:MAX_CURVES]
    if retrained:
        charts.append(_training_chart(dict(list(retrained.items())[:MAX_CURVES])))
    return [Chart(**{**vars(chart), "key": f"training{i}"}) for i, chart in enumerate(charts)]


def _training_chart(lines: Mapping[str, list[list[float]]]) -> Chart:
    names = list(lines)
    rows = [[name, *point] for name, line in lines.items() for point in line]
    colors = [_curve_color(name, i) for i, name in enumerate(names)]
    encoding: Spec = {
        "x": quantitative("x", "step", ".3~s"),
        "y": quantitative("y", "training loss", ".3~g"),
        "tooltip": [hint("s", "training"), hint("x", "step", ","), hint("y", "loss", ".4~g")],
    }
    if len(names) > 1:
        encoding["color"] = nominal("s", names, colors)
        encoding["strokeDash"] = nominal("s", names, [_curve_dash(name, i) for i, name in enumerate(names)])
    mark = {"type": "line", "strokeWidth": 1.8, "color": SERIES[0]}
    what = names[0] if len(names) == 1 else "the retrained networks"
    whose = "" if what == "train" else f" of {what}"
    return Chart(
        key="training",
        caption=f"Training loss{whose}",
        description="; ".join(f"{name} from {line[0][1]:.3g} to {line[-1][1]:.3g}" for name, line in lines.items())
        + ".",
        specs={"": {"data": {"name": "curves"}, "mark": mark, "encoding": encoding}},
        data={"curves": Table(("s", "x", "y"), rows)},
        table=Table(
            ("training", "steps", "first loss", "last loss"),
            [[name, f"{line[-1][0]:,.0f}", f"{line[0][1]:.4g}", f"{line[-1][1]:.4g}"] for name, line in lines.items()],
        ),
    )


def _line(curve: Any) -> list[list[float]]:
    usable = [
        pair
        for pair in sequence(curve)
        if isinstance(pair, list | tuple) and len(pair) == 2 and all(map(is_number, pair))
    ]
    points = np.array(usable, dtype=np.float64).reshape(-1, 2)
    if len(points) > MAX_CURVE:
        points = np.array([stretch.mean(axis=0) for stretch in np.array_split(points, MAX_CURVE)])
    found: list[list[float]] = points.tolist()
    return found


def _curve_color(name: str, i: int) -> str:
    known = {"retrain-winner": SERIES[2], "retrain-baseline": SERIES[1], "retrain-plain": SERIES[3]}
    return known.get(name, SERIES[5] if name.startswith("retrain-draw") else SERIES[i % len(SERIES)])


def _curve_dash(name: str, i: int) -> list[int]:
    known = {"retrain-winner": [1, 0], "retrain-baseline": [7, 4], "retrain-plain": [9, 3, 2, 3]}
    return known.get(name, [2, 1 + i % 4])
