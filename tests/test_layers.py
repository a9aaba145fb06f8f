"""The order of the parts: a file imports only from parts above its own."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parent.parent / "src" / "archwright"
ORDER = (
    "core",
    "stores",
    "runs",
    "nn",
    "spaces",
    "tasks",
    "export",
    "costs",
    "training",
    "predictors",
    "policies",
    "strategies",
    "weight_sharing",
    "evaluators",
    "runners",
    "reports",
    "search",
    "tabular",
    "finish",
    "recipes",
    "ranking",
    "cli",
    "testing",
)
"""Import order; `testing` comes last: it may import every part, and no part may import it."""

TOP_LEVEL = {"__version__"}
"""What a part may take from `archwright` itself; its lazy names belong to users' scripts."""

IO_MODULES = {"io", "os", "pathlib", "shutil", "socket", "sqlite3", "subprocess", "tempfile", "urllib"}


def imports(tree: ast.AST, package: str) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of every import, also inside functions and under TYPE_CHECKING.

    `package` is the dotted package of the file, against which relative imports are resolved. `from a import b` yields
    "a.b": b may be a submodule, and if it is a name the longer path still begins with the right module.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *filter(None, [base])])
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def violations(text: str, package: str, part: str) -> list[str]:
    """Imports in one file's text that break the order, as "line: name"."""
    found = []
    for line, name in imports(ast.parse(text), package):
        root, _, rest = name.partition(".")
        target = rest.partition(".")[0]
        if root != "archwright" or target in TOP_LEVEL:
            continue
        if target not in ORDER or ORDER.index(target) > ORDER.index(part):
            found.append(f"{line}: {name}")
    return found


def part_files() -> list[Path]:
    """Every file that belongs to a part: all but the package's own __init__ and __main__."""
    return [path for path in sorted(SOURCE.rglob("*.py")) if path.parent != SOURCE or not path.stem.startswith("__")]


def part_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def package_of(path: Path) -> str:
    return ".".join(["archwright", *path.relative_to(SOURCE).parts[:-1]])


def test_every_file_belongs_to_a_known_part() -> None:
    """A new folder or module at the top needs a place in the order first."""
    assert {part_of(path) for path in part_files()} <= set(ORDER)


def test_files_import_only_from_parts_above() -> None:
    """No part knows the parts that use it."""
    found = {
        str(path.relative_to(SOURCE)): faults
        for path in part_files()
        if (faults := violations(path.read_text("utf-8"), package_of(path), part_of(path)))
    }
    assert found == {}


@pytest.mark.parametrize(
    ("text", "part", "faulty"),
    [
        ("from archwright.core import arch", "nn", False),
        ("from archwright.nn.choice import Fixed", "nn", False),
        ("from archwright import __version__", "runs", False),
        ("import archwright.spaces.base", "nn", True),
        ("def f():\n    from archwright.cli import main", "core", True),
        ("if TYPE_CHECKING:\n    from archwright.search import search", "nn", True),
        ("from archwright import Arch", "recipes", True),
        ("import archwright", "recipes", True),
        ("from .. import finish", "nn", True),
        ("from ..core import arch", "nn", False),
        ("from archwright.testing import toys", "cli", True),
    ],
)
def test_a_forbidden_import_is_found(text: str, part: str, faulty: bool) -> None:
    """Where the import stands and how it is spelled does not matter."""
    assert bool(violations(text, f"archwright.{part}", part)) is faulty


def test_core_needs_nothing_but_numpy_and_scipy() -> None:
    """The vocabulary is plain data and arithmetic: no torch, no other library."""
    allowed = {*sys.stdlib_module_names, "numpy", "scipy", "archwright"}
    for path in sorted((SOURCE / "core").rglob("*.py")):
        roots = {name.partition(".")[0] for _, name in imports(ast.parse(path.read_text("utf-8")), package_of(path))}
        assert roots <= allowed, path.name


def test_core_reads_no_file_but_the_catalogue() -> None:
    """Neither `open` nor a module for files, processes or the network appears outside catalog.py."""
    for path in sorted((SOURCE / "core").rglob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        roots = {name.partition(".")[0] for _, name in imports(tree, package_of(path))}
        opened = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == "open"]
        assert not roots & IO_MODULES, path.name
        assert not opened, path.name
