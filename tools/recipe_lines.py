"""Count the lines of its own that each recipe takes; a method that shares its parts with others is short.

usage: recipe_lines.py [--check]

Counted is the module a recipe is defined in, its settings and presets included, without imports, blank lines, comments
and docstrings. With --check the exit code is 1 where one is longer than its kind may be: 40 lines for a search that
trains each candidate on its own, 120 for one with shared weights.
"""

from __future__ import annotations

import argparse
import ast
import io
import sys
import tokenize
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "src" / "archwright" / "recipes"
BLACK_BOX, SHARED = 40, 120


def own_lines(text: str) -> int:
    """Lines of code in a module's text: no imports, blank lines, comments or docstrings."""
    tree = ast.parse(text)
    skipped: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            skipped |= _lines(node)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            skipped |= _lines(node.body[0])
    layout = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    code = {line for token in tokens if token.type not in layout for line in range(token.start[0], token.end[0] + 1)}
    return len(code - skipped)


def _lines(node: ast.stmt) -> set[int]:
    return set(range(node.lineno, (node.end_lineno or node.lineno) + 1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    too_long = False
    options = parser.parse_args()
    for path in sorted(FOLDER.glob("*.py")):
        text = path.read_text("utf-8")
        if "\n@recipe(" not in text:
            continue
        n, most = own_lines(text), SHARED if "search.train(" in text else BLACK_BOX
        print(f"{n:5}  of at most {most:3}  {path.stem}")
        too_long |= n > most
    sys.exit(options.check and too_long)


if __name__ == "__main__":
    main()
