"""The generated catalogue: up to date, and every name in it leads to its object."""

from __future__ import annotations

import importlib.util
import json
from importlib import resources
from pathlib import Path
from types import ModuleType

import pytest

from archwright.core import catalog


@pytest.fixture(scope="module")
def tool(repository: Path) -> ModuleType:
    """tools/catalog.py as a module."""
    spec = importlib.util.spec_from_file_location("catalog_tool", repository / "tools" / "catalog.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_file_is_up_to_date(tool: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    """`make catalog` would change nothing; the difference is shown otherwise."""
    assert tool.main(["--check"]) == 0, capsys.readouterr().out


def test_every_entry_leads_to_its_object(repository: Path) -> None:
    """A target is a module's attribute that carries the same entry, or a data file that holds the name."""
    for entry in catalog.entries():
        if entry.kind == "architecture":
            document = json.loads((repository / "src" / "archwright" / entry.target).read_text("utf-8"))
            assert entry.name in document["architectures"]
        else:
            assert catalog.load(entry.kind, entry.name).__listing__ == entry


def test_check_shows_the_line_that_differs(
    tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An entry that is missing from the file makes the check fail and is named."""
    wanted = catalog.Entry("toy", "strategy", "a toy", "", "archwright.toys:Toy")
    path = tmp_path / "catalog.json"
    path.write_text(catalog.dump([]), "utf-8")
    monkeypatch.setattr(tool, "CATALOG", path)
    monkeypatch.setattr(tool, "collect", lambda: [wanted])
    assert tool.main(["--check"]) == 1
    assert '+  "name": "toy",' in capsys.readouterr().out


def test_listed_object_is_found_once_and_only_where_it_is_defined(tool: ModuleType) -> None:
    """Another module that imports it, and a subclass that inherits the mark, list nothing."""
    home, user = ModuleType("home"), ModuleType("user")
    toy = type("Toy", (), {"__module__": "home"})
    catalog.listed("space", "toy", summary="a toy")(toy)
    home.__dict__["Toy"] = user.__dict__["Toy"] = toy
    home.__dict__["Smaller"] = type("Smaller", (toy,), {"__module__": "home"})
    assert [entry.target for entry in tool.listings(home)] == ["home:Toy"]
    assert list(tool.listings(user)) == []


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([("Toy", "space")], "lower case"),
        ([("toy", "spaec")], "unknown kind"),
        ([("toy", "space"), ("toy", "space")], "taken"),
    ],
)
def test_bad_names_are_refused(
    tool: ModuleType, monkeypatch: pytest.MonkeyPatch, entries: list[tuple[str, str]], message: str
) -> None:
    """Spelling, kind and uniqueness are checked when the file is written."""
    made = [catalog.Entry(name, kind, "", "", f"m:{i}") for i, (name, kind) in enumerate(entries)]  # type: ignore[arg-type]
    monkeypatch.setattr(tool, "modules", lambda: [None])
    monkeypatch.setattr(tool, "listings", lambda module: made)
    monkeypatch.setattr(tool, "published", lambda: [])
    with pytest.raises(SystemExit, match=message):
        tool.collect()


def test_package_holds_the_file() -> None:
    """The installed package reads it as a resource."""
    assert isinstance(catalog.entries(), tuple)
    assert resources.files("archwright").joinpath("catalog.json").is_file()
