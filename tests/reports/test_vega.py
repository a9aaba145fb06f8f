"""Pictures and script come from a process of its own; nothing that goes wrong there goes further."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from archwright.reports import vega
from archwright.reports.charts import Chart, Table, hint, quantitative
from archwright.reports.vega import Drawn, cache_file, draw

SPEC = Chart(
    key="points",
    caption="",
    description="",
    specs={
        "": {
            "data": {"name": "points"},
            "mark": "point",
            "encoding": {
                **{"x": quantitative("x", "a <b>", ".2f"), "y": quantitative("y", "b", ".2f")},
                "tooltip": [hint("x", "x", ".2f")],
            },
        }
    },
    data={"points": Table(("x", "y"), [[1, 2], [3, 4], [5, 6]])},
).still_spec()


@pytest.fixture(scope="module", autouse=True)
def own_process() -> Iterator[None]:
    """Each call of `draw` begins its process, as in a run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vega, "_work", inspect.unwrap(vega._work))
        yield


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Drawn, Path]:
    """Two pictures drawn with an empty cache folder, and that folder."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        return draw([SPEC, SPEC]), folder


def test_pictures_are_svg(drawn: tuple[Drawn, Path]) -> None:
    """Equal ones for equal specifications: a mark a point, texts escaped."""
    first, second = drawn[0].svgs
    assert first == second
    root = ElementTree.fromstring(first)
    texts = [node.text for node in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "a <b>" in texts
    assert first.count('stroke="#4c78a8"') == 3


def test_script_is_kept(drawn: tuple[Drawn, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """The second page reads it from the cache folder; a damaged copy is made anew."""
    made, folder = drawn
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    asked = []

    def work(document: object) -> object:
        asked.append(document)
        return {"svgs": ["<svg/>"], "script": "new"}

    monkeypatch.setattr(vega, "_work", work)
    assert "vegaEmbed" in made.script
    assert draw([SPEC]) == Drawn(("<svg/>",), made.script)
    path = cache_file()
    assert path is not None
    path.write_text(path.read_text("utf-8")[:-1], "utf-8")
    assert draw([SPEC]).script == "new"
    assert [document["with_script"] for document in asked] == [False, True]  # type: ignore[index]


def test_failure_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that cannot start, ends badly or says nothing sensible: no pictures, one line why."""
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    assert draw([SPEC]).failure.startswith("FileNotFoundError: ")
    monkeypatch.undo()
    assert draw([{"mark": "no such mark"}]).failure.startswith("a chart was refused: ")
    monkeypatch.setattr(vega, "WORKER", Path(__file__).with_name("no_such_file.py"))
    failed = draw([SPEC])
    assert "can't open file" in failed.failure
    assert (failed.svgs, failed.script) == ((), "")


def test_nothing_to_draw_starts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page without charts needs no script."""
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    assert draw([]) == Drawn()


def test_an_unwritable_cache_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page only takes longer."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(vega, "_work", lambda asked: {"svgs": ["<svg/>"], "script": "made"})
    assert draw([SPEC]) == Drawn(("<svg/>",), "made")
