"""The page says what the documents say, says what is absent, stays small, and trusts no text."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from archwright.reports.page import GENERATOR, holds_page, render_page, write_page
from archwright.reports.vega import Drawn, Spec


def make_trials(n: int, seed: int = 0) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    return [
        {
            "number": i,
            "metrics": {"top1_accuracy": float(rng.uniform(0.8, 0.99))},
            "costs": {"macs": float(rng.uniform(1e6, 3e6))},
            "status": "complete",
            "failure": "",
            "arch": {"block0": f"v{i}"},
        }
        for i in range(n)
    ]


DOCUMENT: dict[str, Any] = {
    "result": {
        "recipe": "spos",
        "space": "spos-small",
        "dataset": "mnist5k",
        "arch": {"block0": "v3"},
        "metric": "top1_accuracy",
        "direction": "max",
        "test": 0.978,
        "params": 123_456,
        "macs": 1_964_032,
        "latency_ms": {"onnxruntime": {"median": 1.234, "p90": 1.5}},
        "n_evaluated": 20,
        "constraints": [
            {"cost": "macs", "limit": 2e6, "predicted": 1_964_032, "value": 1_964_032, "satisfied": True},
            {"cost": "params", "limit": 1e5, "predicted": 123_456, "value": 123_456, "satisfied": False},
        ],
        "random_baseline": {"test": 0.972, "macs": 1.8e6, "n_evaluated": 20, "draws": [{"test": 0.96}, {"test": 0.98}]},
        "ledger": {
            "supernet": {"wall_s": 90.0, "cpu_s": 180.0, "peak_rss_mb": 900.4},
            "search": {"wall_s": 30.0, "cpu_s": 60.0, "peak_rss_mb": 1100.0},
        },
    },
    "run": {
        "seed": 7,
        "threads": 2,
        "versions": {"torch": "2.6.0"},
        "host": {"machine": "x86_64"},
        "command": ["archwright", "search", "spos", "--out", "my runs/a"],
        "started": "2026-01-01T00:00:00Z",
        "config": {"training": {"steps": 3000}},
    },
    "trials": {"search": make_trials(20), "baseline": make_trials(20, seed=1)},
    "architecture": [{"name": "block0", "value": "shuffle3"}],
    "layers": [{"layer": "stem", "macs": 55_296}],
    "training": {"supernet": [(0, 2.3), (100, 1.1)]},
}


def sketch(specs: Sequence[Spec]) -> Drawn:
    """Pictures of nothing, at once; `test_vega.py` and `test_browser.py` look at real ones."""
    return Drawn(tuple('<svg class="sketch"></svg>' for _ in specs), "/* vega */")


class Outline(HTMLParser):
    """Tags seen, attributes that load something, and the text outside style and script."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.handlers: list[str] = []
        self.words: list[str] = []
        self.labels: list[str] = []
        self.inside = ""
        self.feed(page)
        self.text = re.sub(r"\s+", " ", " ".join(self.words))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.inside = tag
        self.loads += [f"{name}={value}" for name, value in attrs if name in ("src", "xlink:href", "srcset")]
        self.loads += [
            f"{name}={value}" for name, value in attrs if name == "href" and not (value or "").startswith("#")
        ]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        self.labels += [value or "" for name, value in attrs if name == "aria-label"]

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside not in ("script", "style"):
            self.words.append(data)


def draw(document: dict[str, Any]) -> str:
    return render_page(document, draw=sketch)


def chart_data(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="chart-data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    data: dict[str, Any] = json.loads(found[1])
    return data


@pytest.fixture(scope="module")
def outline() -> Outline:
    return Outline(draw(DOCUMENT))


@pytest.mark.parametrize(
    "words",
    [
        "spos on mnist5k",
        "97.80 %",
        "97.20 %",
        "The winner misses the limit on params.",
        "the winner is 0.60 points better than the best of a random search",
        "(20 architectures scored by each)",
        "It beats 1 of 2 architectures drawn at random",
        "2 random architectures within the limits, trained alike: mean 97.00 %, range 96.00 % to 98.00 %.",
        "1.96 M limit 2 M: met",
        "123 k limit 100 k: missed",
        "1.23 ms onnxruntime, batch 1, median",
        "block0 shuffle3",
        "stem 55.3 k",
        "supernet 1 min 30 s 3 min 0 s 900 MB",
        "all phases 2 min 0 s",
        "archwright search spos --out 'my runs/a'",
        "seed 7",
        "training.steps 3000",
        "limit 2 M",
    ],
)
def test_page_says(outline: Outline, words: str) -> None:
    """Each figure of the documents, read and rounded by hand."""
    assert words in outline.text


def test_page_loads_nothing(outline: Outline) -> None:
    """No link, no image, no frame, no handler; a policy under which nothing is fetched."""
    assert not {"link", "img", "iframe", "object", "base", "form"} & set(outline.tags)
    assert outline.loads == []
    assert outline.handlers == []
    assert "default-src &#39;none&#39;" in draw(DOCUMENT)


def test_policy_allows_exactly_the_pages_own_scripts() -> None:
    """By their digests, as a browser takes them from between the tags."""
    page = draw(DOCUMENT)
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts]
    assert len(scripts) == 2
    assert re.findall(r"sha256-([^&]*)&#39;", page) == digests


def test_script_cannot_end_early() -> None:
    """What would close the element or open a comment in it is escaped, in any case; patterns with `</` stay."""
    drawn = Drawn((), "a = '</SCRIPT><!--'; b = /</g")
    page = render_page({}, draw=lambda specs: drawn)
    assert "a = '<\\/SCRIPT><\\!--'; b = /</g" in page


def test_without_pictures_the_page_says_so_and_keeps_its_tables() -> None:
    """Drawing failed: no script, no empty data, the reason, and the figures in tables."""
    page = render_page(DOCUMENT, draw=lambda specs: Drawn(failure="no room"))
    outline = Outline(page)
    assert "The charts of this page could not be drawn (no room); their figures are in the tables." in outline.text
    assert "script" not in outline.tags
    assert "script-src &#39;none&#39;" in page
    assert "trial on the front top1_accuracy macs" in outline.text


def test_charts_are_drawn(outline: Outline) -> None:
    """Test scores, trade-off, best so far, parallel coordinates, one training curve; nothing to estimate by."""
    assert outline.tags.count("svg") == outline.tags.count("figure") == 5


def test_each_chart_has_a_text_and_a_table(outline: Outline) -> None:
    """A caption, a description for those who do not see it, the figures behind `<details>`."""
    assert outline.tags.count("figcaption") == 5
    assert "Test scores of networks trained alike. winner 97.80 %; best of random search 97.20 %" in " ".join(
        outline.labels
    )
    assert "network test winner 97.80 % best of random search 97.20 % drawn at random 96.00 %" in outline.text


def test_drawing_is_an_image() -> None:
    """The SVG text of a document is shown as an image, in which nothing runs."""
    svg = '<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
    page = draw({**DOCUMENT, "drawing": svg})
    assert "alert" not in page
    assert f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}" in page
    assert "img-src data:;" in page


def test_unfinished_run_says_so() -> None:
    """What it was doing, how far it is, that nothing was tested; no winner is spoken of."""
    status = {"state": "dead", "phase": "search", "done": 12, "total": 80, "updated": "2026-01-01T00:00:00Z"}
    document = {"run": DOCUMENT["run"], "trials": DOCUMENT["trials"], "status": status}
    text = Outline(draw(document)).text
    assert "This run has stopped before its end in phase search, 12 of 80 as of 2026-01-01T00:00:00Z." in text
    assert "20 trials so far, 0 of them failed. Nothing was tested yet" in text
    assert "It goes on with --resume." in text
    assert "winner" not in text
    assert "Best score within the limits" in text


def test_failed_trials_are_listed_with_their_messages() -> None:
    """How many, and what each said."""
    document = copy.deepcopy(DOCUMENT)
    document["trials"]["search"][4] |= {"status": "failed", "metrics": {}, "failure": "RunError: loss is nan"}
    text = Outline(draw(document)).text
    assert "1 of 40 trials failed." in text
    assert "search 4 RunError: loss is nan" in text


def test_missing_figures_are_not_measured() -> None:
    """A page of nothing: no zero, no comparison, no chart, and no error."""
    outline = Outline(draw({}))
    assert "latency not measured" in outline.text
    assert "test score not measured" in outline.text
    assert "A comparison with random search is not available in this run." in outline.text
    assert "The search had no limit to keep." in outline.text
    assert "svg" not in outline.tags


def test_who_was_passed_over_is_said() -> None:
    """With what was predicted and what was measured, as a limit's row has both."""
    document = copy.deepcopy(DOCUMENT)
    document["result"]["passed_over"] = [{"cost": "latency_ms", "predicted": 1.9, "value": 2.25, "limit": 2.0}]
    row = {"cost": "latency_ms", "limit": 2.0, "predicted": 1.875, "value": 1.75, "satisfied": True}
    document["result"]["constraints"] = [row]
    text = Outline(draw(document)).text
    assert "were passed over: latency_ms 2.25 where 1.9 was predicted." in text
    assert "latency_ms 2 1.875 1.75 -6.7 % met" in text


def test_worse_than_random_is_said() -> None:
    """The page is not kinder to the method than its figures."""
    document = copy.deepcopy(DOCUMENT)
    document["result"]["test"] = 0.95
    document["result"]["random_baseline"]["n_evaluated"] = 30
    text = Outline(draw(document)).text
    assert "the winner is 2.20 points worse than" in text
    assert "(30 architectures scored against 20)" in text
    assert "It beats 0 of 2 architectures" in text


def test_minimised_metrics_are_compared_the_other_way() -> None:
    """A lower perplexity is better, and is not a percentage."""
    document = copy.deepcopy(DOCUMENT)
    document["result"] |= {"metric": "perplexity", "direction": "min", "test": 20.0}
    document["result"]["random_baseline"] |= {"test": 22.5, "draws": [21.0, 19.0]}
    text = Outline(draw(document)).text
    assert "the winner is 2.5 better than" in text
    assert "It beats 1 of 2 architectures" in text
    assert "mean 20, range 19 to 21" in text


EVIL = "<script>alert(1)</script>\"'>\x1b[31m\u202e{{ 7*7 }}"


def _with_every_text_replaced(value: Any) -> Any:
    if isinstance(value, dict):
        return {f"{key}": _with_every_text_replaced(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_with_every_text_replaced(one) for one in value]
    return EVIL if isinstance(value, str) else value


def test_hostile_texts_stay_text(outline: Outline) -> None:
    """Every text of the documents replaced, and keys that are shown as well: same tags, nothing more runs."""
    document = _with_every_text_replaced(DOCUMENT)
    document["result"]["metric"] = EVIL
    document["result"]["ledger"] = {EVIL: {"wall_s": 1.0}}
    document["result"]["latency_ms"] = {EVIL: {"median": 1.0}}
    document["training"] = {EVIL: [(0, 1.0), (1, 0.5)]}
    document["layers"] = [{EVIL: EVIL}]
    document["run"]["config"] = {EVIL: {EVIL: EVIL}}
    document["rank"] = {"metric": EVIL, "archs": [{"arch": EVIL, "score": i, "truth": i} for i in range(3)]}
    for i, trial in enumerate(document["trials"]["search"]):
        trial |= {"status": "complete", "metrics": {EVIL: 0.5 + i}, "costs": {EVIL: 1e4 + i}, "number": EVIL}
        trial["arch"] = {EVIL: f"{EVIL}{i}"}
    page = draw(document)
    hostile = Outline(page)
    assert set(hostile.tags) <= {*outline.tags, "label", "select", "option"}
    assert hostile.tags.count("script") == 3
    assert hostile.handlers == []
    assert "\x1b" not in page
    assert "\u202e" not in page
    assert "<script>alert" not in page
    assert "{{ 7*7 }}" in page
    data = chart_data(page)
    assert {"trade-off", "best-so-far", "parallel", "rank"} <= data.keys()
    assert "\\x1b" in data["rank"]["data"]["archs"]["rows"][0][0]


def test_broken_figures_do_not_break_the_page() -> None:
    """NaN, infinities, failed trials, texts for numbers: left out of charts, not measured in tables."""
    document = copy.deepcopy(DOCUMENT)
    nan = float("nan")
    document["result"] |= {"test": nan, "macs": "many", "latency_ms": {"torch": {"median": None}}}
    document["result"]["ledger"]["supernet"] = {"wall_s": nan}
    document["trials"]["search"][0]["metrics"] = {"top1_accuracy": nan}
    document["trials"]["search"][1] |= {"status": "failed", "metrics": {}, "costs": {}}
    document["trials"]["baseline"] = []
    document["training"] = {"supernet": [(0, nan), (1, float("inf"))], "retrain": [(0, 1.0)]}
    page = draw(document)
    chart_data(page)
    assert "latency not measured" in Outline(page).text


def test_large_runs_stay_small_and_keep_the_front() -> None:
    """Of 5,000 trials and two curves of 20,000 steps come under 400 kB, pictures aside, and the whole front."""
    document = copy.deepcopy(DOCUMENT)
    search = make_trials(5000)
    document["trials"] = {"search": search, "baseline": make_trials(5000, seed=1)}
    curve = [(i, 1 / (i + 1)) for i in range(20_000)]
    document["training"] = {"supernet": curve, "retrain-winner": curve}
    document["layers"] = [{"layer": f"block{i}", "macs": i} for i in range(100)]
    page = draw(document)
    assert len(page.encode()) < 400_000
    shown = {row[1] for row in chart_data(page)["trade-off"]["data"]["cloud"]["rows"] if row[0] == "search"}
    best, cheapest_first = 0.0, sorted(search, key=lambda trial: trial["costs"]["macs"])
    for trial in cheapest_first:
        if trial["metrics"]["top1_accuracy"] > best:
            best = trial["metrics"]["top1_accuracy"]
            assert trial["number"] in shown


def test_write_page_writes_one_whole_page(tmp_path: Path) -> None:
    """One UTF-8 file with real pictures and the real script, nothing beside it."""
    write_page(tmp_path / "report.html", DOCUMENT)
    page = (tmp_path / "report.html").read_text("utf-8")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    assert page.startswith("<!doctype html>")
    assert GENERATOR in page[:200]
    assert holds_page(tmp_path / "report.html")
    (tmp_path / "half.html").write_text(page[: len(page) // 2], "utf-8")
    assert not holds_page(tmp_path / "half.html")
    assert not holds_page(tmp_path / "none.html")
    assert page.count('<svg xmlns="http://www.w3.org/2000/svg"') == 5
    assert "window.vegaEmbed=" in page
    assert len(page.encode()) < 1_200_000


@pytest.mark.parametrize("value", [None, 7, [1, "x", float("nan"), {}], {"a": {"b": []}}])
def test_figures_of_any_form_make_a_page(value: Any) -> None:
    """Files may have been edited: each entry in turn, at three depths, is something else, and a page comes out."""
    full = {
        **copy.deepcopy(DOCUMENT),
        **{"rank": {"archs": [{"arch": "0", "score": 1, "truth": 1}]}, "latencies": {"latency_ms": {"checked": [{}]}}},
        **{"status": {"state": "dead", "done": 1, "total": 2}, "drawing": "<svg/>", "ledger": {"a": {"wall_s": 1}}},
    }
    full["result"]["int8"] = {"test": 0.5, "agreement": 1.0, "latency_ms": {"onnxruntime": {"median": 1.0}}}
    full["trials"] = {study: trials[:2] for study, trials in full["trials"].items()}
    for path in _paths(full, depth=3):
        document = copy.deepcopy(full)
        *before, last = path
        place: Any = document
        for key in before:
            place = place[key]
        place[last] = value
        assert draw(document).startswith("<!doctype html>")


def _paths(value: Any, depth: int) -> list[tuple[Any, ...]]:
    keys = list(value) if isinstance(value, dict) else range(min(1, len(value))) if isinstance(value, list) else ()
    below = [(key, *path) for key in keys for path in (_paths(value[key], depth - 1) if depth > 1 else [])]
    return [*((key,) for key in keys), *below]
