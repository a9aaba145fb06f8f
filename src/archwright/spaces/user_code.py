"""Import the file or module of a user's space with its neighbours, and tell whether its code has changed.

A file may import what lies beside it, as a script may: by name, or relatively. A file in a package (its folder has an
`__init__.py`) is imported as the module of that package.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from types import ModuleType

from archwright.core.errors import InvalidValueError, SpaceError, error_text
from archwright.runs.files import is_file
from archwright.spaces.base import described

_neighbours: set[str] = set()
"""Names of modules that users' files imported from beside themselves; other files may have their own of that name."""


def import_module(name: str) -> ModuleType:
    """A module by its dotted name, also one below the present folder.

    Raises:
        SpaceError: If it cannot be imported; says what it raised.
    """
    try:
        # what a user's code prints is no result of a command
        with redirect_stdout(sys.stderr), _found_from(Path.cwd(), first=False):
            return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        raise SpaceError(
            f"module {name!r} cannot be imported: {error_text(error)}; give package.module:Class or file.py:Class"
        ) from error


def import_file(path: Path) -> ModuleType:
    """The module of a file, imported once.

    Raises:
        InvalidValueError: If there is no such file.
        SpaceError: If it raises; names the line.
    """
    if not is_file(path):
        raise InvalidValueError(f"there is no file {path}; give FILE.py:Class")
    path = path.resolve()
    root, parts = _package_of(path)
    try:
        with redirect_stdout(sys.stderr), _found_from(root, first=True):
            if len(parts) > 1:
                module = importlib.import_module(".".join(parts))
                if Path(str(module.__file__)).resolve() == path:
                    return module
                raise ImportError(f"package {parts[0]!r} is already loaded from {Path(str(module.__file__)).parent}")
            return _import_alone(path)
    except (Exception, SystemExit) as error:
        what = described(error, str(path))
        raise SpaceError(f"{path} raised while it was imported: {what}; mend it") from error


def _import_alone(path: Path) -> ModuleType:
    """A file that is in no package: the module of one that consists of its folder, so that `from . import` works."""
    folder = f"_archwright_{hashlib.sha256(str(path.parent).encode()).hexdigest()[:8]}"
    name = f"{folder}.{path.stem}"
    if name in sys.modules:
        return sys.modules[name]
    if folder not in sys.modules:
        package = ModuleType(folder)
        package.__path__ = [str(path.parent)]
        sys.modules[folder] = package
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _package_of(path: Path) -> tuple[Path, list[str]]:
    """The folder from which a file is imported, and the parts of its dotted name."""
    root, parts = path.parent, [path.stem]
    while (root / "__init__.py").is_file() and root.name.isidentifier():
        parts.insert(0, root.name)
        root = root.parent
    return root, parts


@contextmanager
def _found_from(folder: Path, *, first: bool) -> Iterator[None]:
    """A context in which modules are also looked for in a folder, which stays a last resort afterwards.

    What another user's file imported from beside itself under the name of one that lies here makes room.
    """
    entry = str(folder)
    is_put_in = first or not (entry in sys.path or (folder == Path.cwd() and "" in sys.path))
    for name in _neighbours:
        own = any((folder / candidate).exists() for candidate in (f"{name}.py", name))
        if own and name in sys.modules and not _lies_in(sys.modules[name], folder):
            del sys.modules[name]
    before = set(sys.modules)
    if is_put_in:
        sys.path.insert(0 if first else len(sys.path), entry)
    try:
        yield
    finally:
        if is_put_in:
            sys.path.remove(entry)  # the first of them
        if entry not in sys.path:
            sys.path.append(entry)  # for what is imported when it is called
        for name in sys.modules.keys() - before:
            if "." not in name and _lies_in(sys.modules[name], folder):
                _neighbours.add(name)


def _lies_in(module: ModuleType, folder: Path) -> bool:
    file = getattr(module, "__file__", None)
    return file is not None and Path(file).resolve().is_relative_to(folder)


# ── whether it has changed ────────────────────────────────────────────────────────────────────────


def code_digest(module: ModuleType) -> str:
    """SHA-256 (hex) over the syntax trees of a module's file and of the neighbours that it imports, and they in turn.

    Comments, layout and docstrings do not enter. Neighbours are files below the folder from which the module is
    imported; what is installed is not among them. Another version of Python may write another tree.
    """
    file = getattr(module, "__file__", None)
    if file is None or not file.endswith(".py"):
        return ""
    path = Path(file).resolve()
    root, _ = _package_of(path)
    trees: dict[Path, str] = {}
    _collect(path, root, trees)
    texts = [f"{os.path.relpath(one, root)}\0{trees[one]}" for one in sorted(trees)]
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


def _collect(path: Path, root: Path, trees: dict[Path, str]) -> None:
    if path in trees or "site-packages" in path.parts:
        return
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return  # it was imported a moment ago, or never will be
    for node in ast.walk(tree):
        _without_docstring(node)
    trees[path] = ast.dump(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                _follow(alias.name.split("."), [root, path.parent], root, trees)
        elif isinstance(node, ast.ImportFrom):
            places = [root, path.parent]
            if node.level:
                places = [path.parents[min(node.level - 1, len(path.parents) - 1)]]
            parts = node.module.split(".") if node.module else []
            for alias in node.names:
                _follow([*parts, alias.name], places, root, trees)


def _follow(parts: Sequence[str], places: Sequence[Path], root: Path, trees: dict[Path, str]) -> None:
    """Collect each file that an import of this dotted name executes, where it lies below the root."""
    for place in places:
        for n in range(1, len(parts) + 1):
            for candidate in (place.joinpath(*parts[:n]).with_suffix(".py"), place.joinpath(*parts[:n], "__init__.py")):
                if candidate.is_file() and candidate.resolve().is_relative_to(root):
                    _collect(candidate.resolve(), root, trees)


def _without_docstring(node: ast.AST) -> None:
    if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) or not node.body:
        return
    first = node.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        node.body = node.body[1:] or [ast.Pass()]
