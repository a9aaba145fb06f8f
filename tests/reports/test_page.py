"""The page says what the documents say, says what is absent, stays small, and trusts no text."""

from __future__ import annotations

import copy
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from archwright.reports.page import render_page, write_page


def make_trials(n: int, seed: int = 0) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    return [
        {
            "number": i,
            "metrics": {"top1_accuracy": float(rng.uniform(0.8, 0.99))},
            "costs": {"macs": float(rng.uniform(1e6, 3e6))},
            "status": "complete",
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


class Outline(HTMLParser):
    """Tags seen, attributes that load something, and the text outside style and svg."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.handlers: list[str] = []
        self.words: list[str] = []
        self.feed(page)
        self.text = re.sub(r"\s+", " ", " ".join(self.words))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [f"{name}={value}" for name, value in attrs if name in ("src", "href", "xlink:href", "srcset")]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.fixture(scope="module")
def outline() -> Outline:
    return Outline(render_page(DOCUMENT))


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


def test_page_loads_and_runs_nothing(outline: Outline) -> None:
    """No script, no link, no image, no handler; a policy that forbids them."""
    assert not {"script", "link", "img", "iframe", "object", "base", "form"} & set(outline.tags)
    assert outline.loads == []
    assert outline.handlers == []
    assert "default-src 'none'" in render_page(DOCUMENT)


def test_charts_are_drawn(outline: Outline) -> None:
    """Best so far, trade-off, and one training curve."""
    assert outline.tags.count("svg") == 3


def test_winner_is_marked() -> None:
    """The trial of the winning arch carries the star."""
    assert "<title>winner: trial 3, " in render_page(DOCUMENT)


def test_missing_figures_are_not_measured() -> None:
    """A page of nothing: no zero, no comparison, no chart, and no error."""
    outline = Outline(render_page({}))
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
    text = Outline(render_page(document)).text
    assert "were passed over: latency_ms 2.25 where 1.9 was predicted." in text
    assert "latency_ms 2 1.875 1.75 met" in text


def test_worse_than_random_is_said() -> None:
    """The page is not kinder to the method than its figures."""
    document = copy.deepcopy(DOCUMENT)
    document["result"]["test"] = 0.95
    document["result"]["random_baseline"]["n_evaluated"] = 30
    text = Outline(render_page(document)).text
    assert "the winner is 2.20 points worse than" in text
    assert "(30 architectures scored against 20)" in text
    assert "It beats 0 of 2 architectures" in text


def test_minimised_metrics_are_compared_the_other_way() -> None:
    """A lower perplexity is better, and is not a percentage."""
    document = copy.deepcopy(DOCUMENT)
    document["result"] |= {"metric": "perplexity", "direction": "min", "test": 20.0}
    document["result"]["random_baseline"] |= {"test": 22.5, "draws": [21.0, 19.0]}
    text = Outline(render_page(document)).text
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
    """Every text of the documents replaced, and keys that are shown as well: same tags, nothing runs."""
    document = _with_every_text_replaced(DOCUMENT)
    document["result"]["metric"] = EVIL
    document["result"]["ledger"] = {EVIL: {"wall_s": 1.0}}
    document["result"]["latency_ms"] = {EVIL: {"median": 1.0}}
    document["training"] = {EVIL: [(0, 1.0), (1, 0.5)]}
    document["layers"] = [{EVIL: EVIL}]
    document["run"]["config"] = {EVIL: {EVIL: EVIL}}
    for trial in document["trials"]["search"]:
        trial |= {"status": "complete", "metrics": {EVIL: 0.5}, "costs": {EVIL: 1e6}, "number": EVIL}
    page = render_page(document)
    hostile = Outline(page)
    assert set(hostile.tags) <= set(outline.tags)
    assert hostile.handlers == []
    assert "\x1b" not in page
    assert "\u202e" not in page
    assert "<script" not in page
    assert "{{ 7*7 }}" in page


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
    page = render_page(document)
    assert not re.search(r'd="[^"]*nan', page)
    assert "latency not measured" in Outline(page).text


def test_large_runs_stay_small_and_keep_the_front() -> None:
    """2,000 trials and two curves of 20,000 steps stay under 200 kB; every trial on the front is there."""
    document = copy.deepcopy(DOCUMENT)
    search = make_trials(2000)
    document["trials"] = {"search": search, "baseline": make_trials(2000, seed=1)}
    curve = [(i, 1 / (i + 1)) for i in range(20_000)]
    document["training"] = {"supernet": curve, "retrain": curve}
    document["layers"] = [{"layer": f"block{i}", "macs": i} for i in range(100)]
    page = render_page(document)
    assert len(page.encode()) < 200_000
    best, cheapest_first = 0.0, sorted(search, key=lambda trial: trial["costs"]["macs"])
    for trial in cheapest_first:
        if trial["metrics"]["top1_accuracy"] > best:
            best = trial["metrics"]["top1_accuracy"]
            assert f"<title>trial {trial['number']}, " in page


def test_best_so_far_respects_the_limit() -> None:
    """A better score beyond the limit is no best; the curve has the two that count and its end."""
    document = copy.deepcopy(DOCUMENT)
    rows = [(0.90, 1.5e6), (0.99, 2.5e6), (0.95, 2.0e6), (0.94, 1.0e6)]
    document["trials"] = {
        "search": [
            {"number": i, "metrics": {"top1_accuracy": a}, "costs": {"macs": c}, "status": "complete", "arch": {}}
            for i, (a, c) in enumerate(rows)
        ]
    }
    first_chart = render_page(document).split("<svg")[1].split("</svg>")[0]
    assert re.findall(r"<title>([^<]*)</title>", first_chart) == [
        "trial 0, 90.00 %, 1.5 M macs",
        "trial 2, 95.00 %, 2 M macs",
        "after 4 evaluations: 95.00 %",
    ]


def test_write_page_writes_the_rendered_page(tmp_path: Path) -> None:
    """One UTF-8 file, nothing beside it."""
    write_page(tmp_path / "report.html", DOCUMENT)
    assert (tmp_path / "report.html").read_text("utf-8") == render_page(DOCUMENT)
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
