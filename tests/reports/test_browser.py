"""A page in a real browser, from file:// with the network off: it runs, it is drawn, it answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from archwright.reports.page import render_page

DRAWING = '<svg xmlns="http://www.w3.org/2000/svg" width="20" height="20"><rect width="9" height="9"/></svg>'
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
CLASSES = {
    **{"names": ["<b>cat</b>", "\\u0022dog'", "cow"], "train": [80, 40, 8], "validation": [9, 4, 1]},
    **{"test": [10, 5, 0], "right": [8, 4, 0], "confusions": [[0, 1, 2], [1, 0, 1]]},
    "mistakes": [{"number": 3, "label": 0, "predicted": 1, "confidence": 0.9, "png": PNG}],
}
LIVE = "[...document.querySelectorAll('figure[data-chart]')].every(one => one.dataset.state === 'live')"


def make_trials(n: int, seed: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    return [
        {
            "number": i,
            "code": f"code{i}",
            "metrics": {"top1_accuracy": float(rng.uniform(0.8, 0.99))},
            "costs": {"macs": float(rng.uniform(1e6, 3e6)), "params": float(rng.uniform(1e4, 3e4))},
            "status": "complete",
            "arch": {f"block{k}": f"<b>op{rng.integers(3)}</b>" for k in range(4)},
        }
        for i in range(n)
    ]


def make_document() -> dict[str, Any]:
    search = make_trials(40, 0)
    result = {
        **{"recipe": "spos", "dataset": "</script><script>alert(1)</script>", "metric": "top1_accuracy", "test": 0.95},
        **{"arch": search[3]["arch"], "validation": 0.9, "macs": 1e6, "params": 1e4},
        "constraints": [{"cost": "macs", "limit": 2.5e6, "predicted": 1e6, "value": 1e6, "satisfied": True}],
        "random_baseline": {"test": 0.94, "validation": 0.88, "draws": [{"test": 0.9}, {"test": 0.93}]},
        "ledger": {"search": {"wall_s": 3.0, "cpu_s": 5.0, "peak_rss_mb": 100.0}},
    }
    archs = [{"arch": f"{i}", "score": i / 10, "truth": i / 10} for i in range(8)]
    return {
        **{"result": result, "trials": {"search": search, "baseline": make_trials(40, 1)}},
        **{"training": {"supernet": [[0, 2.0], [9, 1.0]], "retrain-winner": [[0, 2.0], [9, 1.0]]}},
        **{"rank": {"metric": "top1_accuracy", "archs": archs, "kendall": 1.0}},
        **{"drawing": DRAWING, "classes": CLASSES},
    }


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with every chart but that of latencies."""
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(render_page(make_document()), "utf-8")
    return path


@pytest.fixture
def opened(browser: Any, page: Path) -> Any:
    """The page in a window so tall that all charts come to life."""
    browser.open(page, height=6000)
    browser.wait(LIVE)
    return browser


def middle(browser: Any, expression: str) -> tuple[float, float]:
    """The middle of an element, in the window."""
    box = browser.value(f"(({expression}).getBoundingClientRect().toJSON())")
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_nothing_is_complained_of_and_nothing_fetched(opened: Any, page: Path) -> None:
    """No error or warning in the console, no request but for the page and the drawing inside it, no foreign script."""
    assert opened.complaints == []
    assert [url for url in opened.requests if not url.startswith("data:")] == [page.as_uri()]
    assert opened.value("document.querySelectorAll('script').length") == 3


def test_every_chart_is_drawn(opened: Any) -> None:
    """Ten of them, each with marks, in place of the still picture."""
    figures = "[...document.querySelectorAll('figure[data-chart]')]"
    assert opened.value(f"{figures}.length") == 10
    marks = opened.value(f"{figures}.map(one => one.querySelectorAll('.live svg .role-mark path').length)")
    assert all(count > 0 for count in marks)
    assert opened.value(f"{figures}.every(one => one.querySelectorAll('.plot > svg').length === 0)")
    assert opened.value("document.querySelector('img.drawing').naturalWidth") == 20


def test_a_mark_says_what_it_is(opened: Any) -> None:
    """Pointing at the winner shows its trial and its scores, as text."""
    star = "[...document.querySelectorAll('figure[data-chart=trade-off] .mark-symbol.role-mark path')].at(-1)"
    opened.point_at(*middle(opened, star))
    opened.wait("document.querySelector('#vg-tooltip-element')?.classList.contains('visible')")
    said = opened.value("document.querySelector('#vg-tooltip-element').innerText")
    assert "winner" in said
    assert "trial" in said
    assert {"3", "code3"} <= set(said.split())


def test_a_cell_says_what_was_taken_for_what(opened: Any) -> None:
    """Class and prediction by name, whatever is in the names, and how many; pictures are drawn."""
    orange = "document.querySelector('figure[data-chart=confusion] .live path[fill=\"#c75000\"]')"
    opened.point_at(*middle(opened, orange))
    opened.wait("document.querySelector('#vg-tooltip-element')?.classList.contains('visible')")
    said = opened.value("document.querySelector('#vg-tooltip-element').innerText")
    assert "<b>cat</b>" in said
    assert "\\u0022dog'" in said
    assert "20.0%" in said
    labels = opened.value(
        "[...document.querySelectorAll('figure[data-chart=confusion] .role-axis-label text')].map(t => t.textContent)"
    )
    assert labels.count("\\u0022dog'") == 2
    assert opened.value("document.querySelector('.pictures img').naturalWidth") == 1


def test_the_reader_chooses_the_cost(opened: Any) -> None:
    """With the keyboard: the picker changes the axis."""
    picker = "document.querySelector('figure[data-chart=trade-off] select')"
    titles = (
        "[...document.querySelectorAll('figure[data-chart=trade-off] .role-axis-title text')].map(t => t.textContent)"
    )
    assert "macs" in opened.value(titles)
    opened.value(f"{picker}.focus()")
    opened.press("ArrowDown", 40)
    opened.wait(f"({titles}).includes('params')")


def test_a_box_over_an_axis_follows_lines(opened: Any) -> None:
    """Dragging over the upper end of the first axis leaves the lines through it bright, the others faint."""
    lines = "[...document.querySelectorAll('figure[data-chart=parallel] .mark-line.role-mark path')]"
    faint = f"{lines}.filter(one => Number(one.getAttribute('opacity') ?? 1) < 0.1).length"
    n = opened.value(f"{lines}.length")
    assert (n, opened.value(faint)) == (40, 0)
    box = opened.value(
        "document.querySelector('figure[data-chart=parallel] .background').getBoundingClientRect().toJSON()"
    )
    opened.drag((box["x"] + 1, box["y"] + 2), (box["x"] + 130, box["y"] + box["height"] / 4))
    opened.wait(f"{faint} > 0")
    assert 0 < opened.value(faint) < n


def test_a_least_score_can_be_set_without_a_mouse(opened: Any) -> None:
    """The slider at its end leaves the best trial only."""
    slider = "document.querySelector('figure[data-chart=parallel] input[type=range]')"
    opened.value(f"{slider}.focus()")
    opened.press("End", 35)
    lines = "[...document.querySelectorAll('figure[data-chart=parallel] .mark-line.role-mark path')]"
    opened.wait(f"{lines}.filter(one => Number(one.getAttribute('opacity') ?? 1) > 0.1).length === 1")


def test_without_scripts_pictures_are_there(browser: Any, page: Path) -> None:
    """Ten still pictures, and no picker that would do nothing."""
    browser.open(page, script=False)
    assert len(browser.picture()) > 10_000
    text = page.read_text("utf-8")
    assert text.count('<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink') == 10
    assert '<label class="picker" hidden>' in text


def test_dark_page_has_dark_charts(browser: Any, page: Path) -> None:
    """Marks of the search take the dark form of their colour; on light paper they keep it."""
    color = "getComputedStyle(document.querySelector('figure[data-chart=trade-off] [fill=\"#0072b2\"]')).fill"
    for dark, expected in ((True, "rgb(86, 180, 233)"), (False, "rgb(0, 114, 178)")):
        browser.open(page, height=6000, dark=dark)
        browser.wait(LIVE)
        assert browser.value(color) == expected
    assert browser.complaints == []


def test_narrow_window_needs_no_sideways_scrolling(browser: Any, page: Path) -> None:
    """At 400 pixels the page is 400 wide; what is wider scrolls in its own frame."""
    browser.open(page, width=400, height=9000)
    browser.wait(LIVE)
    assert browser.value("document.documentElement.scrollWidth") == 400


def test_page_prints(opened: Any) -> None:
    """A document of some pages."""
    printed = opened.pdf()
    assert printed.startswith(b"%PDF")
    assert 2 <= printed.count(b"/Type /Page\n") <= 12
