"""Run a notebook's code cells in order and keep what they print and draw in it.

usage: notebook.py FILE.ipynb

Cells run in one plain namespace of this process, in a temporary folder, so no Jupyter is needed. The value of a last
line is shown as a notebook shows it: as its picture where it has one, else as text.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import sys
import tempfile
from pathlib import Path
from typing import Any


def execute(document: dict[str, Any]) -> list[list[dict[str, Any]]]:
    """The outputs of each code cell; an error of a cell is raised as it is."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    cells = [cell for cell in document["cells"] if cell["cell_type"] == "code"]
    return [_outputs("".join(cell["source"]), f"cell {i}", namespace) for i, cell in enumerate(cells)]


def _outputs(source: str, name: str, namespace: dict[str, Any]) -> list[dict[str, Any]]:
    tree = ast.parse(source, name)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(tree, name, "exec"), namespace)
        value = eval(compile(ast.Expression(last.value), name, "eval"), namespace) if last is not None else None
    found = []
    if out.getvalue():
        found.append({"output_type": "stream", "name": "stdout", "text": _lines(out.getvalue())})
    if value is not None:
        data = {"text/plain": _lines(repr(value))}
        if hasattr(value, "_repr_svg_"):
            data = {"image/svg+xml": _lines(value._repr_svg_()), "text/plain": ["a picture"]}
        found.append({"output_type": "display_data", "data": data, "metadata": {}})
    return found


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def main(arguments: list[str] | None = None) -> int:
    """Refresh the outputs in a file; returns the exit code."""
    (name,) = sys.argv[1:] if arguments is None else arguments
    path = Path(name).resolve()
    document = json.loads(path.read_text("utf-8"))
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        outputs = execute(document)
    code = [cell for cell in document["cells"] if cell["cell_type"] == "code"]
    for number, (cell, found) in enumerate(zip(code, outputs, strict=True), start=1):
        cell["execution_count"], cell["outputs"] = number, found
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
