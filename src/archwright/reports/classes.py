"""What a classifier gets right and wrong, class by class: counts, confusions, and pictures of the worst of them."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archwright.core.text import beginning
from archwright.reports.charts import (
    INK,
    SERIES,
    Chart,
    Spec,
    Table,
    hint,
    names_expression,
    quantitative,
    text_layers,
)
from archwright.reports.measures import Document, parts, sequence
from archwright.reports.text import is_number

MAX_MATRIX, MAX_NUMBERED = 30, 15
"""Most classes of a matrix, and most of one that has the counts in its cells."""

MAX_BARS, MAX_ROWS, MAX_LISTED, MAX_NAME = 40, 300, 40, 60
"""Most bars, rows of the table of classes, and confusions listed; most letters of a class's name."""

MAX_PICTURES, MAX_PICTURE = 20, 30_000
"""Most pictures, and most letters of one: a page stays small whatever the file says."""

SHOWN_SIDE = 96
"""Pixels of the page for a picture's longer side; small ones are shown a whole number of times as large."""

_PNG = re.compile(r"iVBORw0KGgo[A-Za-z0-9+/]{40,}={0,2}")


@dataclass(frozen=True)
class Classes:
    """Figures of a classifier's test, class by class.

    Attributes:
        names: Of the classes, short enough to be shown.
        parts: Examples of each class by part of the data, (n,); "test" is one of them.
        right: Test examples of each class that were classified as it, (n,).
        confusions: (class, taken for, test examples), the most frequent first.
    """

    names: Sequence[str]
    parts: dict[str, NDArray[np.int64]]
    right: NDArray[np.int64]
    confusions: Sequence[tuple[int, int, int]]

    @property
    def accuracy(self) -> NDArray[np.float64]:
        """Share of right ones, (n,); not a number where a class has no test example."""
        with np.errstate(invalid="ignore"):
            return self.right / self.parts["test"]

    def share(self, label: int, n: int) -> float:
        """The share that n test examples are of those of a class."""
        return n / max(1, int(self.parts["test"][label]))

    @property
    def worst_first(self) -> list[int]:
        """The classes that have test examples, the one of least accuracy first."""
        tested = np.flatnonzero(self.parts["test"])
        return [int(i) for i in tested[np.argsort(self.accuracy[tested], kind="stable")]]


def classes_of(document: Document) -> Classes | None:
    """The figures in a page's file; None where there are none, or the file was edited into something else."""
    names = [beginning(str(name), MAX_NAME) for name in sequence(document.get("names"))]
    counts = {name: _counts(document.get(name), len(names)) for name in ("train", "validation", "test", "right")}
    right, test = counts.pop("right"), counts["test"]
    if not names or right is None or test is None or (right > test).any():
        return None
    known = {name: column for name, column in counts.items() if column is not None}
    rows = [row for row in sequence(document.get("confusions")) if _is_confusion(row, len(names))]
    return Classes(names, known, right, [(row[0], row[1], row[2]) for row in rows])


def _counts(found: Any, n: int) -> NDArray[np.int64] | None:
    values = sequence(found)
    is_column = len(values) == n and all(type(value) is int and 0 <= value < 2**40 for value in values)
    return np.array(values, dtype=np.int64) if is_column else None


def _is_confusion(row: Any, n: int) -> bool:
    values = sequence(row)
    return len(values) == 3 and all(type(one) is int and one >= 0 for one in values) and max(values[:2]) < n


# ── texts and tables ──────────────────────────────────────────────────────────────────────────────


def counts_text(classes: Classes) -> str:
    """How many examples each part has."""
    words = {"train": "training", "validation": "validation", "test": "test"}
    said = [f"{int(column.sum()):,} {words[name]}" for name, column in classes.parts.items()]
    listed = " and ".join([", ".join(said[:-1]), said[-1]] if len(said) > 1 else said)
    wrong = int(classes.parts["test"].sum() - classes.right.sum())
    return (
        f"{listed} examples in {len(classes.names):,} classes. Of the test examples the network gets "
        f"{int(classes.right.sum()):,} right and {wrong:,} wrong."
    )


def classes_table(classes: Classes) -> Table:
    """A row a class, the one of least accuracy first: its examples by part, and how many were right."""
    untested = np.flatnonzero(classes.parts["test"] == 0).tolist()
    rows = [
        [
            classes.names[i],
            *(f"{int(column[i]):,}" for column in classes.parts.values()),
            f"{int(classes.right[i]):,}" if classes.parts["test"][i] else "–",
            f"{100 * classes.accuracy[i]:.1f} %" if classes.parts["test"][i] else "not tested",
        ]
        for i in [*classes.worst_first, *untested][:MAX_ROWS]
    ]
    return Table(("class", *classes.parts, "right", "test accuracy"), rows)


def mistakes_view(classes: Classes, document: Document) -> list[dict[str, Any]]:
    """The pairs of which there are pictures, in the order of the file: what was taken for what, how often, pictures."""
    counts = {pair[:2]: pair[2] for pair in classes.confusions}
    pairs: dict[Any, list[dict[str, Any]]] = {}
    for one in parts(document, "mistakes")[:MAX_PICTURES]:
        pair, png = (one.get("label"), one.get("predicted")), one.get("png")
        if not _is_confusion([*pair, 0], len(classes.names)) or not isinstance(png, str):
            continue
        if len(png) <= MAX_PICTURE and _PNG.fullmatch(png):
            number, confidence = one.get("number"), one.get("confidence")
            said = f"{100 * confidence:.0f} %" if is_number(confidence) else ""
            shown = {"png": png, "number": number if type(number) is int else "", "confidence": said}
            pairs.setdefault(pair, []).append({**shown, **_size(png)})
    return [
        {
            "label": classes.names[label],
            "predicted": classes.names[predicted],
            "n": counts.get((label, predicted), len(pictures)),
            "of": int(classes.parts["test"][label]),
            "pictures": pictures,
        }
        for (label, predicted), pictures in pairs.items()
    ]


def _size(png: str) -> dict[str, int]:
    """Width and height at which a picture is shown; those of the picture stand in bytes 16 to 23 of its file."""
    data = base64.b64decode(png[:32])
    width, height = (min(max(1, int.from_bytes(data[i : i + 4])), SHOWN_SIDE) for i in (16, 20))
    times = SHOWN_SIDE // max(width, height)
    return {"width": times * width, "height": times * height}


# ── charts ────────────────────────────────────────────────────────────────────────────────────────


def accuracy_chart(classes: Classes) -> Chart | None:
    """Test accuracy of each class, or of the worst of many, as bars with the least at the top."""
    shown = classes.worst_first[:MAX_BARS]
    if not shown:
        return None
    columns = ("k", "c", "x", "r", "n", "t")
    trained = classes.parts.get("train")
    rows = [
        [
            *(f"k{i}", classes.names[i], float(classes.accuracy[i]), int(classes.right[i])),
            *(int(classes.parts["test"][i]), None if trained is None else int(trained[i])),
        ]
        for i in shown
    ]
    order = [f"k{i}" for i in shown]
    expression = names_expression({f"k{i}": classes.names[i] for i in shown})
    axis = {"labelExpr": expression, "labelLimit": 170, "ticks": False}
    hints = [hint("c", "class"), hint("x", "test accuracy", ".1%"), hint("r", "right", ","), hint("n", "of", ",")]
    hints += [] if trained is None else [hint("t", "training examples", ",")]
    y = {"field": "k", "type": "nominal", "sort": order, "title": None, "axis": axis}
    scale = {"zero": True, "domain": [0, 1], "padding": 0}
    spec: Spec = {
        "data": {"name": "classes"},
        "mark": {"type": "bar", "color": SERIES[0], "height": {"band": 0.7}},
        "encoding": {"x": quantitative("x", "test accuracy", ".0%", scale=scale), "y": y, "tooltip": hints},
        "height": 40 + 18 * len(shown),
    }
    worst, best = shown[0], classes.worst_first[-1]
    n = len(classes.worst_first)
    left_out = f" The {MAX_BARS} worst of {n:,}." if len(shown) < n else ""
    return Chart(
        key="class-accuracy",
        caption="Test accuracy of each class",
        description=f"From {100 * classes.accuracy[worst]:.1f} % of {classes.names[worst]} to "
        f"{100 * classes.accuracy[best]:.1f} % of {classes.names[best]}.{left_out}",
        specs={"": spec},
        data={"classes": Table(columns, rows)},
    )


def confusion_chart(classes: Classes) -> Chart | None:
    """What was taken for what, as a matrix; of many classes, those that are confused most."""
    shown = _in_matrix(classes)
    if len(shown) < 2:
        return None
    places = set(shown)
    columns = ("t", "p", "tn", "pn", "n", "f")
    right = [(i, i, int(classes.right[i])) for i in shown if classes.right[i]]
    wrong = [cell for cell in classes.confusions if {cell[0], cell[1]} <= places]
    rows = [
        [f"k{i}", f"k{j}", classes.names[i], classes.names[j], n, classes.share(i, n)] for i, j, n in [*right, *wrong]
    ]
    n_classes, n_wrong = len(classes.names), int(classes.parts["test"].sum() - classes.right.sum())
    some = f" The {len(shown)} of {n_classes:,} classes that are confused most." if len(shown) < n_classes else ""
    top = [
        [classes.names[i], classes.names[j], f"{n:,}", f"{100 * classes.share(i, n):.1f} %"]
        for i, j, n in classes.confusions[:MAX_LISTED]
    ]
    return Chart(
        key="confusion",
        caption="What was taken for what: test examples by class and prediction",
        description=f"Rows are true classes, columns predictions; {n_wrong:,} test examples are wrong, beside "
        f"the diagonal, in a stronger colour where they are a larger share of the class.{some}",
        specs={"": _matrix_spec(shown, classes, max((classes.share(i, n) for i, _, n in wrong), default=1.0))},
        data={"cells": Table(columns, rows)},
        table=Table(("class", "taken for", "test examples", "share of the class"), top),
        is_wide=len(shown) > MAX_NUMBERED,
    )


def _in_matrix(classes: Classes) -> list[int]:
    """All classes, or of many those with most confusions, in the order of the classes."""
    if len(classes.names) <= MAX_MATRIX:
        return list(range(len(classes.names)))
    involved = np.zeros(len(classes.names), dtype=np.int64)
    for i, j, n in classes.confusions:
        involved[[i, j]] += n
    order = np.argsort(-involved, kind="stable")[:MAX_MATRIX]
    return sorted(int(i) for i in order if involved[i])


def _matrix_spec(shown: Sequence[int], classes: Classes, largest: float) -> Spec:
    fields = [f"k{i}" for i in shown]
    expression = names_expression({f"k{i}": classes.names[i] for i in shown})
    axis = {"labelExpr": expression, "labelLimit": 110, "labelOverlap": False}
    axis |= {"ticks": False, "domain": False, "grid": False}
    place: Spec = {"type": "nominal", "sort": fields, "scale": {"domain": fields, "padding": 0.04}}
    x = {"field": "p", "title": "taken for", **place, "axis": {**axis, "orient": "top", "labelAngle": -40}}
    y = {"field": "t", "title": "class", **place, "axis": axis}
    hints = [hint("tn", "class"), hint("pn", "taken for"), hint("n", "test examples", ",")]
    hints.append(hint("f", "share of the class", ".1%"))
    layers: list[Spec] = []
    # opacity, not a scale of colours: the page maps each colour to its dark form
    for test, color, most in (("datum.t === datum.p", SERIES[2], 1.0), ("datum.t !== datum.p", SERIES[1], largest)):
        opacity = {"type": "sqrt", "domain": [0, most], "range": [0.08, 0.95]}
        layers.append(
            {
                "transform": [{"filter": test}],
                "mark": {"type": "rect", "color": color},
                "encoding": {
                    **{"x": x, "y": y, "tooltip": hints},
                    "opacity": {"field": "f", "type": "quantitative", "scale": opacity, "legend": None},
                },
            }
        )
    if len(shown) <= MAX_NUMBERED:
        text = {"field": "n", "type": "quantitative", "format": ","}
        # the number lies over the cell, so that the pointer meets it first
        layers += text_layers({"encoding": {"x": x, "y": y, "text": text, "tooltip": hints}}, color=INK)
    independent = {"scale": {"opacity": "independent"}}
    return {"data": {"name": "cells"}, "layer": layers, "resolve": independent, "height": 110 + 22 * len(shown)}
