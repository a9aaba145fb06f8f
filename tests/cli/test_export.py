"""`archwright export`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from archwright.core.errors import RunFolderError

Cli = Callable[..., Any]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Path, str, Path | None]]:
    """What `export_run` was called with; a folder named "broken" is refused."""
    made: list[tuple[Path, str, Path | None]] = []
    result = ModuleType("archwright.finish.result")

    def export_run(
        folder: Path, format: str, output: Path | None, *, opset: int | None, log: Callable[[str], object]
    ) -> Path:
        if folder.name == "rounding":
            log("model.onnx: it rounds inside")
        if folder.name == "broken":
            raise RunFolderError("broken is no finished run")
        made.append((folder, format, output))
        return output or folder / "best" / f"model.{format}"

    result.__dict__["export_run"] = export_run
    monkeypatch.setitem(sys.modules, "archwright.finish.result", result)
    return made


def test_defaults(cli: Cli, calls: list[Any]) -> None:
    """ONNX, to where the run keeps it; the path is printed."""
    assert cli("export", "run").out == "wrote run/best/model.onnx\n"
    assert calls == [(Path("run"), "onnx", None)]


def test_format_and_output(cli: Cli, calls: list[Any]) -> None:
    """Both as given."""
    assert cli("export", "run", "--format", "safetensors", "-o", "x.safetensors").out == "wrote x.safetensors\n"
    assert calls == [(Path("run"), "safetensors", Path("x.safetensors"))]


def test_what_other_engines_may_differ_in(cli: Cli, calls: list[Any]) -> None:
    """Behind the path."""
    assert cli("export", "rounding").out == "wrote rounding/best/model.onnx\nmodel.onnx: it rounds inside\n"


def test_refusal(cli: Cli, calls: list[Any]) -> None:
    """Exit code 2 and the function's own line."""
    done = cli("export", "broken")
    assert (done.code, done.out, done.err) == (2, "", "error: broken is no finished run\n")
