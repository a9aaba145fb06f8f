"""Files that a run was started with, found from another folder and after a move."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from archwright.runs.places import found_again, noted


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with data, a space and a run's folder, in which a run starts."""
    root = tmp_path / "project"
    (root / "runs" / "one").mkdir(parents=True)
    for name in ("data.npz", "spaces.py", "w.safetensors"):
        (root / name).write_text(name)
    monkeypatch.chdir(root)
    return root


CONFIG = {"data": "npz:data.npz", "space": "spaces.py:Mine", "weights": "w.safetensors", "seed": 0, "arch": "lenet:00"}


def test_nothing_changes_where_it_was_started(project: Path) -> None:
    """Texts stay as they were typed."""
    run = project / "runs" / "one"
    assert found_again(CONFIG, noted(CONFIG, run), run) == CONFIG


def test_another_folder(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The absolute path leads there, even where a file of that name lies here."""
    run = project / "runs" / "one"
    places = noted(CONFIG, run)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data.npz").write_text("another")
    assert found_again(CONFIG, places, run) == {
        **CONFIG,
        "data": f"npz:{project}/data.npz",
        "space": f"{project}/spaces.py:Mine",
        "weights": f"{project}/w.safetensors",
    }


def test_a_move_of_all(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The path from the run's folder leads there."""
    places = noted(CONFIG, project / "runs" / "one")
    monkeypatch.chdir(tmp_path)
    moved = shutil.move(project, tmp_path / "elsewhere")
    found = found_again(CONFIG, places, Path(moved) / "runs" / "one")
    assert found["data"] == f"npz:{moved}/data.npz"
    assert found["space"] == f"{moved}/spaces.py:Mine"


def test_what_is_gone_keeps_its_name(project: Path) -> None:
    """So that the message is about what the user typed."""
    run = project / "runs" / "one"
    places = noted(CONFIG, run)
    (project / "data.npz").unlink()
    assert found_again(CONFIG, places, run)["data"] == "npz:data.npz"


def test_names_that_are_no_files_have_no_place(project: Path) -> None:
    assert noted({"data": "digits", "space": "lenet", "arch": "lenet:00"}, project) == {}


@pytest.mark.parametrize("places", [None, 3, {"data": None}, {"data": {"absolute": 1}}, {"other": {}}])
def test_damaged_places_are_left_alone(project: Path, places: object) -> None:
    assert found_again(CONFIG, places, project) == CONFIG


def test_two_colons_in_front_of_a_path(project: Path) -> None:
    """As `torchvision:NAME:ROOT` has."""
    config = {"data": "torchvision:mnist:runs"}
    assert noted(config, project)["data"]["before"] == "torchvision:mnist:"
