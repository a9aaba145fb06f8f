"""The notebook of the documentation runs, and so does what keeps its outputs."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "docs" / "notebooks" / "first-search.ipynb"


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    """tools/notebook.py as a module."""
    spec = importlib.util.spec_from_file_location("notebook_tool", ROOT / "tools" / "notebook.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _code(*sources: str) -> dict[str, Any]:
    return {"cells": [{"cell_type": "code", "source": [source]} for source in sources]}


def test_the_notebook_runs(tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its cells in order, with outputs of the kinds that are kept in it."""
    monkeypatch.chdir(tmp_path)
    document = json.loads(NOTEBOOK.read_text("utf-8"))
    kept = [cell["outputs"] for cell in document["cells"] if cell["cell_type"] == "code"]
    found = tool.execute(document)
    assert [[_kind(output) for output in cell] for cell in found] == [[_kind(o) for o in cell] for cell in kept]


def test_the_notebook_is_small() -> None:
    """What it drew included."""
    assert NOTEBOOK.stat().st_size < 60_000


def test_cells_share_a_namespace(tool: ModuleType) -> None:
    """What is printed and the value of a last line are kept, nothing else."""
    printed, shown, silent = tool.execute(_code("a = 2\nprint(a)", "a + 1", "a = 4"))
    assert printed == [{"output_type": "stream", "name": "stdout", "text": ["2\n"]}]
    assert shown == [{"output_type": "display_data", "data": {"text/plain": ["3"]}, "metadata": {}}]
    assert silent == []


def test_a_value_with_a_picture_is_shown_as_one(tool: ModuleType) -> None:
    """As Jupyter asks for it."""
    source = "class Dot:\n    def _repr_svg_(self):\n        return '<svg/>'\nDot()"
    ((output,),) = tool.execute(_code(source))
    assert output["data"]["image/svg+xml"] == ["<svg/>"]


def test_an_error_of_a_cell_is_raised(tool: ModuleType) -> None:
    """With its line."""
    with pytest.raises(ZeroDivisionError):
        tool.execute(_code("1 / 0"))


def test_outputs_are_refreshed(tool: ModuleType, tmp_path: Path) -> None:
    """In the file, with their place in the order."""
    path = tmp_path / "a.ipynb"
    path.write_text(json.dumps(_code("print(1)")))
    assert tool.main([str(path)]) == 0
    (cell,) = json.loads(path.read_text())["cells"]
    assert cell["execution_count"] == 1
    assert cell["outputs"][0]["text"] == ["1\n"]


def _kind(output: dict[str, Any]) -> str:
    return " ".join(sorted(output.get("data", {"text": ""})))
