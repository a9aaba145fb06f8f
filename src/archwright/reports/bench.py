"""The page of a comparison of strategies on a tabular benchmark: curves with intervals, and the figures as a table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from archwright.core.errors import InvalidValueError, RunError
from archwright.reports.building import check_output
from archwright.reports.charts import DASHES, SERIES, Chart, Spec, Table, hint, nominal, quantitative
from archwright.reports.page import render
from archwright.runs.files import write_text

FORMAT = ".4~g"
BEST = (
    "The best true score within the limits is {:.6g}. A score is the true score of the best architecture so far by the "
    "signal"
)
VOLUME = (
    "A score is the hypervolume, by true scores, of the architectures that are best by the signal, as a share of that "
    "of all members within the limits"
)


def write_bench_page(path: Path, document: Mapping[str, Any]) -> None:
    """Write the page atomically.

    Args:
        path: A new file, or a page of ours.
        document: What `tabular.bench.Comparison.to_json` gives.

    Raises:
        InvalidValueError: If the file is something else, or cannot be written.
    """
    check_output(path)
    try:
        write_text(path, render("bench.html", bench_view(document)))
    except RunError as error:
        raise InvalidValueError(f"{error}; choose another file with -o") from None


def bench_view(document: Mapping[str, Any]) -> dict[str, Any]:
    """Everything the template `bench.html` reads.

    Args:
        document: What `tabular.bench.Comparison.to_json` gives.
    """
    data = f" on {document['dataset']}" if document["dataset"] else ""
    limits = ", ".join(f"{name} at most {limit:g}" for name, limit in document["limits"].items())
    chart = _curves(document)
    return {
        "title": f"{document['benchmark']}{data}: {len(document['curves'])} strategies",
        "metric": document["metric"],
        "text": (
            f"{document['seeds']} seeds of {document['evaluations']} evaluations each"
            + (f", {limits}" if limits else "")
            + ". "
            + (VOLUME if document["goals"] else BEST.format(document["optimum"]))
            + "; strategies never see true scores."
        ),
        "scores": _scores(document),
        "paired": _paired(document),
        "charts": {chart.key: chart},
    }


def _scores(document: Mapping[str, Any]) -> Table:
    points = [point for curve in document["curves"].values() for point in curve]
    points = list(dict.fromkeys(points))
    rows = []
    for name, curve in document["curves"].items():
        rows.append([name, *(_cell(curve[point]) for point in points)])
    return Table(("strategy", *points), rows)


def _cell(found: Mapping[str, Any]) -> str:
    if found["mean"] is None:
        return "none yet"
    low, high = found["ci95"]
    said = f"{found['mean']:.4g} ({low:.4g} to {high:.4g}), median {found['median']:.4g}"
    return f"{said}, optimum {found['share_of_optimum']:.0%}" if found["share_of_optimum"] else said


def _paired(document: Mapping[str, Any]) -> Table:
    last = str(document["evaluations"])
    rows = []
    for name, by_point in document["against_random"].items():
        one = by_point[last]
        if one["mean"] is not None:
            low, high = one["ci95"]
            rows.append([name, f"{one['mean']:+.3g}", f"{low:+.3g} to {high:+.3g}", f"{one['p']:.2g}"])
    return Table(("strategy", f"difference after {last}", "95 % interval", "p"), rows)


def _curves(document: Mapping[str, Any]) -> Chart:
    rows: list[list[Any]] = []
    names = list(document["curves"])
    for k, (name, curve) in enumerate(document["curves"].items()):
        for point, found in curve.items():
            if found["mean"] is not None:
                rows.append([name, k, int(point), found["mean"], *found["ci95"]])
    x = quantitative("x", "architectures evaluated", ",", scale={"nice": False})
    what = "share of the true front's" if document["goals"] else "true"
    of = "" if document["goals"] else " of the best so far"
    y = quantitative("y", f"{what} {document['metric']}{of}", FORMAT)
    color = nominal("s", names, [SERIES[k % len(SERIES)] for k in range(len(names))])
    shown = [hint("s", "strategy"), hint("x", "evaluations", ","), hint("y", "mean", ".5~g")]
    band = {"x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}, "color": color}
    layers: list[Spec] = [{"data": {"name": "bench"}, "mark": {"type": "area", "opacity": 0.16}, "encoding": band}]
    layers += [
        {
            "data": {"name": "bench"},
            "transform": [{"filter": f"datum.k === {k}"}],
            "mark": {"type": "line", "strokeWidth": 2, "strokeDash": DASHES[k % len(DASHES)], "point": True},
            "encoding": {"x": x, "y": y, "color": color, "tooltip": shown},
        }
        for k in range(len(names))
    ]
    return Chart(
        key="bench",
        caption="What was found, by evaluations",
        description="Means over seeds with the 95 % interval of the mean, by a bootstrap.",
        specs={"": {"layer": layers}},
        data={"bench": Table(("s", "k", "x", "y", "low", "high"), rows)},
        is_wide=True,
    )
