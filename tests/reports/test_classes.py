"""What a classifier gets right and wrong, class by class."""

from __future__ import annotations

import base64
import copy
import io
import re
from typing import Any

import numpy as np
import pytest
from PIL import Image

from archwright.reports.classes import (
    MAX_BARS,
    MAX_MATRIX,
    accuracy_chart,
    classes_of,
    classes_table,
    confusion_chart,
    counts_text,
    mistakes_view,
)
from archwright.reports.page import render_page
from archwright.reports.vega import Drawn
from archwright.tasks.recording import MAX_SIDE, N_EACH, N_PAIRS


def png(side: int = 4) -> str:
    file = io.BytesIO()
    Image.fromarray(np.full((side, side), 9, dtype=np.uint8)).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


# of 10 cats 8 are right, one is taken for a dog and one for a cow; of 5 dogs one is taken for a cat; no cow is tested
DOCUMENT: dict[str, Any] = {
    "names": ["cat", "dog", "cow"],
    "train": [80, 40, 8],
    "validation": [9, 4, 1],
    "test": [10, 5, 0],
    "right": [8, 4, 0],
    "confusions": [[0, 1, 1], [0, 2, 1], [1, 0, 1]],
    "mistakes": [
        {"number": 3, "label": 0, "predicted": 1, "confidence": 0.98, "png": png()},
        {"number": 7, "label": 1, "predicted": 0, "confidence": 0.5, "png": png()},
    ],
}


def known(**changed: Any) -> Any:
    found = classes_of({**DOCUMENT, **changed})
    assert found is not None
    return found


def test_counts_in_words() -> None:
    """Sums by hand."""
    assert counts_text(known()) == (
        "128 training, 14 validation and 15 test examples in 3 classes. "
        "Of the test examples the network gets 12 right and 3 wrong."
    )
    only_test = counts_text(known(train=[], validation=None))
    assert only_test.startswith("15 test examples in 3 classes. ")


def test_table_has_the_worst_class_first() -> None:
    """Each with its examples; one that was not tested says so, at the end."""
    table = classes_table(known())
    assert table.columns == ("class", "train", "validation", "test", "right", "test accuracy")
    assert table.rows == [
        ["cat", "80", "9", "10", "8", "80.0 %"],
        ["dog", "40", "4", "5", "4", "80.0 %"],
        ["cow", "8", "1", "0", "–", "not tested"],
    ]


def test_accuracies_as_bars() -> None:
    """Only of tested classes; each says its counts."""
    chart = accuracy_chart(known(right=[8, 5, 0], confusions=[]))
    assert chart is not None
    assert chart.description == "From 80.0 % of cat to 100.0 % of dog."
    assert chart.data["classes"].records() == [
        {"k": "k0", "c": "cat", "x": 0.8, "r": 8, "n": 10, "t": 80},
        {"k": "k1", "c": "dog", "x": 1.0, "r": 5, "n": 5, "t": 40},
    ]
    (spec,) = chart.specs.values()
    assert [line["title"] for line in spec["encoding"]["tooltip"]] == [
        *("class", "test accuracy", "right", "of", "training examples")
    ]


def test_matrix_holds_what_was_taken_for_what() -> None:
    """Each cell with its share of the true class; empty ones are left out."""
    chart = confusion_chart(known())
    assert chart is not None
    cells = {(row["tn"], row["pn"]): (row["n"], row["f"]) for row in chart.data["cells"].records()}
    assert cells == {
        ("cat", "cat"): (8, 0.8),
        ("dog", "dog"): (4, 0.8),
        ("cat", "dog"): (1, 0.1),
        ("cat", "cow"): (1, 0.1),
        ("dog", "cat"): (1, 0.2),
    }
    assert "3 test examples are wrong" in chart.description
    assert chart.table.rows[2] == ["dog", "cat", "1", "20.0 %"]


def many(n: int) -> dict[str, Any]:
    """n classes of ten test examples each; the later ones are confused with their neighbours, ever more."""
    confusions = [[i, i - 1, i // 10] for i in range(n - 1, 9, -1)]
    right = [10 - (i // 10 if i > 9 else 0) for i in range(n)]
    return {"names": [f"c{i}" for i in range(n)], "test": [10] * n, "right": right, "confusions": confusions}


def test_of_many_classes_the_most_confused_are_shown() -> None:
    """Thirty in the matrix, forty bars, in the order of the classes and of accuracy."""
    figures = classes_of(many(90))
    assert figures is not None
    matrix, bars = confusion_chart(figures), accuracy_chart(figures)
    assert matrix is not None
    assert bars is not None
    fields = matrix.specs[""]["layer"][0]["encoding"]["x"]["scale"]["domain"]
    assert fields == sorted(fields, key=lambda field: int(field[1:]))
    assert len(fields) == MAX_MATRIX
    assert fields[-1] == "k88"  # its neighbours on both sides; 89 has one
    assert f"The {MAX_MATRIX} of 90 classes that are confused most." in matrix.description
    assert len(bars.data["classes"].rows) == MAX_BARS
    assert bars.data["classes"].rows[0][2] == 0.2
    assert "The 40 worst of 90." in bars.description


def test_without_a_mistake_many_classes_need_no_matrix() -> None:
    """Nothing is confused."""
    figures = classes_of({**many(90), "right": [10] * 90, "confusions": []})
    assert figures is not None
    assert confusion_chart(figures) is None


def test_pairs_with_their_pictures() -> None:
    """How often, of how many; only pictures, and only of classes there are."""
    document = copy.deepcopy(DOCUMENT)
    document["mistakes"] += [
        {"label": 0, "predicted": 9, "png": png()},
        {"label": 0, "predicted": 1, "png": '"><script>'},
        {"label": 0, "predicted": 1, "png": "A" * 100_000},
        {"label": 0, "predicted": 1, "png": png()[:20]},
        {"label": "0", "predicted": 1, "png": png()},
    ]
    first, second = mistakes_view(known(), document)
    assert (first["label"], first["predicted"], first["n"], first["of"]) == ("cat", "dog", 1, 10)
    assert [one["confidence"] for one in first["pictures"]] == ["98 %"]
    assert (first["pictures"][0]["width"], first["pictures"][0]["height"]) == (96, 96)  # 24 times 4
    assert (second["label"], second["of"]) == ("dog", 5)


@pytest.mark.parametrize(
    "changed",
    [
        {"names": None},
        {"names": ["cat"]},
        {"test": [1, 2, "x"]},
        {"right": [11, 0, 0]},
        {"right": [-1, 0, 0]},
        {"right": None},
    ],
)
def test_edited_figures_are_no_figures(changed: dict[str, Any]) -> None:
    """The page then says nothing of classes."""
    assert classes_of({**DOCUMENT, **changed}) is None


def test_odd_confusions_are_passed_over() -> None:
    """Of classes there are not, or of no number."""
    assert known(confusions=[[0, 1, 1], [0, 9, 1], [0, 1], "x", [0, 1, 1.5]]).confusions == [(0, 1, 1)]


EVIL = "<script>alert(1)</script>\"'>\x1b[31m\u202e{{ 7*7 }}\\u0022"


def sketch(specs: Any) -> Drawn:
    return Drawn(tuple('<svg class="sketch"></svg>' for _ in specs), "/* vega */")


def test_names_of_classes_are_text_wherever_they_stand() -> None:
    """In the table, captions, texts of pictures and the charts' data: no tag, no control character, one template."""
    page = render_page({"result": {"test": 0.8}, "classes": {**DOCUMENT, "names": [EVIL, "dog", "cow"]}}, draw=sketch)
    assert "alert(1)</script>" not in page
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert not re.search("[\x1b\u202e]", page)
    assert "{{ 7*7 }}" in page
    assert page.count('src="data:image/png;base64,') == 2


def test_page_of_a_test_of_classes() -> None:
    """Counts, the matrix and the bars, pictures with a text for those who do not see them."""
    page = render_page({"result": {"test": 0.8}, "classes": DOCUMENT}, draw=sketch)
    assert "128 training, 14 validation and 15 test examples in 3 classes." in page
    assert 'data-chart="confusion"' in page
    assert 'data-chart="class-accuracy"' in page
    assert 'alt="Test example 3 of class cat, taken for dog"' in page
    assert "cat taken for dog: 1 of 10" in page
    assert "Use it, train it on" not in page  # a result of an earlier version


def test_a_page_without_classes_has_no_such_section() -> None:
    """As of a text."""
    page = render_page({"result": {"test": 0.8}, "classes": {}}, draw=sketch)
    assert 'id="classes"' not in page


@pytest.mark.parametrize(("side", "shown"), [(8, 96), (28, 84), (32, 96), (50, 50), (72, 72), (400, 96)])
def test_pictures_are_shown_a_whole_number_of_times_as_large(side: int, shown: int) -> None:
    """So that every pixel is a square of one size."""
    (pair,) = mistakes_view(known(), {"mistakes": [{"label": 0, "predicted": 1, "png": png(side)}]})
    assert (pair["pictures"][0]["width"], pair["pictures"][0]["height"]) == (shown, shown)


def test_many_classes_make_no_large_page(rng: np.random.Generator) -> None:
    """A thousand with long names, and pictures of noise, which does not compress: well below a megabyte."""
    file = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (MAX_SIDE, MAX_SIDE, 3), dtype=np.uint8)).save(file, "PNG")
    noise = base64.b64encode(file.getvalue()).decode()
    document = many(1000) | {"right": [5] * 1000, "names": ["n" * 500 + str(i) for i in range(1000)]}
    document["mistakes"] = [
        {"number": i, "label": i // 3, "predicted": 9, "confidence": 0.5, "png": noise} for i in range(N_PAIRS * N_EACH)
    ]
    page = render_page({"result": {"test": 0.8}, "classes": document}, draw=sketch)
    assert page.count("data:image/png") == N_PAIRS * N_EACH
    assert len(page.encode()) < 600_000
