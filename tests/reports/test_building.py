"""Pages of folders: where they go, what they replace, what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from archwright.core.arch import Arch
from archwright.core.errors import InvalidValueError
from archwright.core.trial import Candidate, Trial
from archwright.reports import building, page
from archwright.reports.building import build_report
from archwright.reports.vega import Drawn, Spec
from archwright.runs.run import open_run


@pytest.fixture(autouse=True)
def _sketched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures of nothing, at once."""

    def sketch(specs: Sequence[Spec]) -> Drawn:
        return Drawn(tuple("<svg></svg>" for _ in specs), "/* vega */")

    monkeypatch.setattr(building, "render_page", lambda document: page.render_page(document, draw=sketch))
    monkeypatch.setattr(building, "render", lambda template, view: page.render(template, view, sketch))


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    """Two finished runs that differ in their seed."""
    folders = [tmp_path / "a", tmp_path / "b"]
    for seed, folder in enumerate(folders):
        with open_run(folder, {"data": "digits"}, seed=seed, recipe="spos", threads=1) as run:
            trial = Trial(Candidate(0, Arch({"a": 1}), 0), metrics={"top1_accuracy": 0.9}, costs={"macs": 1e6})
            run.store("search").add([trial])
            record = {"recipe": "spos", "dataset": "digits", "metric": "top1_accuracy", "test": 0.9 + seed / 100}
            run.finish({**record, "arch": {"a": 1}})
    return folders


def test_a_runs_page_goes_into_its_folder(runs: list[Path]) -> None:
    """And replaces the one that is there, whatever wrote it."""
    (runs[0] / "report.html").write_text("old")
    assert build_report([runs[0]]) == runs[0] / "report.html"
    assert "spos on digits" in (runs[0] / "report.html").read_text("utf-8")


def test_a_comparison_goes_into_the_current_folder(
    runs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or where it is asked to go; it replaces another page of ours."""
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert build_report(runs) == Path("report.html")
    text = (tmp_path / "report.html").read_text("utf-8")
    assert "2 runs on digits" in text
    assert not (runs[0] / "report.html").exists()
    assert build_report(runs, tmp_path / "new" / "page.html").is_file()


def test_other_files_are_not_replaced(runs: list[Path], tmp_path: Path) -> None:
    """A page of someone else, a folder, a place where no file can be."""
    (tmp_path / "mine.html").write_text("<html>mine</html>")
    with pytest.raises(InvalidValueError, match="is no page of archwright; choose another file with -o"):
        build_report(runs, tmp_path / "mine.html")
    with pytest.raises(InvalidValueError, match="is a folder"):
        build_report(runs, tmp_path)
    with pytest.raises(InvalidValueError, match="choose another file with -o"):
        build_report(runs, tmp_path / "mine.html" / "page.html")
    assert (tmp_path / "mine.html").read_text() == "<html>mine</html>"


def test_folders_are_given_once(runs: list[Path]) -> None:
    """None, or one twice under two names."""
    with pytest.raises(InvalidValueError, match="no folder"):
        build_report([])
    with pytest.raises(InvalidValueError, match="given twice"):
        build_report([runs[0], runs[0] / ".." / "a"])


def test_names_are_as_short_as_they_tell_apart(runs: list[Path], tmp_path: Path) -> None:
    """Folders of one name are shown with their paths."""
    again = tmp_path / "other" / "a"
    again.parent.mkdir()
    runs[1].rename(again)
    text = build_report([runs[0], again], tmp_path / "page.html").read_text("utf-8")
    assert f">{again}</" in text
