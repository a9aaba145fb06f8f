"""Every public name has a docstring, which explains each of three or more parameters; the linter does not ask."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

SOURCE = Path(__file__).resolve().parent.parent / "src" / "archwright"

PENDING = (
    *("training", "tasks", "policies", "weight_sharing", "evaluators", "finish", "recipes", "search.py"),
    *("nn/inputs.py", "nn/choice", "nn/source.py", "spaces/base.py", "costs/counting", "costs/latency.py"),
    *("export/onnx.py", "stores/schema.py", "runners/worker.py", "cli/search.py", "cli/options.py"),
)
"""Folders and files that are checked later, because their docstrings are being rewritten."""

FROM = 3
"""With this many parameters or more, each has to be explained."""

OF_TORCH = {"forward", "extra_repr"}
"""Methods of `torch.nn.Module`; the docstring of the class says what goes in and out."""

ENTRY = re.compile(r"(\*{0,2}\w+(?:, \*{0,2}\w+)*)(?: \([^)]*\))?:\s")

Function = ast.FunctionDef | ast.AsyncFunctionDef


# ── what a file says ──────────────────────────────────────────────────────────────────────────────


def section(text: str, title: str) -> list[str] | None:
    """Names that a Google section explains, in order; None where there is no such section.

    An entry stands four spaces inside its title; what is deeper continues it.
    """
    lines = text.splitlines()
    if f"{title}:" not in lines:
        return None
    names: list[str] = []
    for line in lines[lines.index(f"{title}:") + 1 :]:
        if line and not line.startswith("    "):
            break
        if entry := ENTRY.match(f"{line[4:]} "):
            names += [name.lstrip("*") for name in entry[1].split(", ")]
    return names


def parameters(function: Function, *, is_method: bool = False) -> list[str]:
    """Names of what a caller passes; `self` and `cls` are none of them."""
    given = function.args
    names = [each.arg for each in (*given.posonlyargs, *given.args)]
    if is_method and not _is_marked(function, "staticmethod"):
        names = names[1:]
    names += [each.arg for each in (given.vararg, *given.kwonlyargs, given.kwarg) if each is not None]
    return [name for name in names if not name.startswith("_")]


def fields(node: ast.ClassDef) -> list[str]:
    """Names of a dataclass's or named tuple's public fields."""
    found = [each for each in node.body if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)]
    plain = [each for each in found if "ClassVar" not in ast.unparse(each.annotation)]
    names = [each.target.id for each in plain if isinstance(each.target, ast.Name)]
    return [name for name in names if not name.startswith("_")]


def _is_marked(node: Function | ast.ClassDef, *names: str) -> bool:
    marks = (ast.unparse(mark).partition("(")[0].rpartition(".")[2] for mark in node.decorator_list)
    return any(mark in names for mark in marks)


def _is_record(node: ast.ClassDef) -> bool:
    return _is_marked(node, "dataclass") or any(ast.unparse(base).endswith("NamedTuple") for base in node.bases)


def _methods(node: ast.ClassDef) -> list[Function]:
    return [each for each in node.body if isinstance(each, Function)]


# ── faults ────────────────────────────────────────────────────────────────────────────────────────


class Bases:
    """Which methods a class takes the docstring of from a base class; classes are known by their plain name."""

    def __init__(self, trees: dict[str, ast.Module]) -> None:
        self._classes = defaultdict(list)
        for tree in trees.values():
            for node in tree.body:
                if isinstance(node, ast.ClassDef):
                    self._classes[node.name].append(node)

    def above(self, node: ast.ClassDef) -> Iterator[ast.ClassDef]:
        """Every base of a class that these trees define."""
        for base in node.bases:
            name = ast.unparse(base).partition("[")[0].rpartition(".")[2]
            for found in self._classes[name]:
                if found is not node:
                    yield found
                    yield from self.above(found)

    def explain(self, node: ast.ClassDef, method: str) -> bool:
        """Whether a base class documents this method."""
        return any(
            each.name == method and ast.get_docstring(each) is not None
            for base in self.above(node)
            for each in _methods(base)
        )


def faults(path: str, tree: ast.Module, bases: Bases) -> Iterator[str]:
    """What is missing in one file, a line each."""
    if ast.get_docstring(tree) is None:
        yield f"{path}: the module has no docstring"
    for node in tree.body:
        if isinstance(node, Function):
            yield from _function_faults(path, node, "")
        elif isinstance(node, ast.ClassDef):
            yield from _class_faults(path, node, bases)


def _class_faults(path: str, node: ast.ClassDef, bases: Bases) -> Iterator[str]:
    if node.name.startswith("_"):
        return
    where, text = f"{path}:{node.lineno}: {node.name}", ast.get_docstring(node)
    if text is None:
        yield f"{where} has no docstring"
    for method in _methods(node):
        if method.name == "__init__" and not _is_record(node):
            names = parameters(method, is_method=True)
            yield from _section_faults(where, text or "", "Args", names, set(names))
        elif not bases.explain(node, method.name):
            yield from _function_faults(path, method, f"{node.name}.")
    if _is_record(node):
        names = fields(node)
        inherited = {name for base in bases.above(node) for name in fields(base)}
        named = {each.name for each in _methods(node)} | inherited | set(names)
        yield from _section_faults(where, text or "", "Attributes", names, named)
    for inner in node.body:
        if isinstance(inner, ast.ClassDef):
            yield from _class_faults(path, inner, bases)


def _function_faults(path: str, node: Function, owner: str) -> Iterator[str]:
    is_test = node.name.startswith("test_") and path.startswith("testing/contracts")
    # a command's options document themselves; shared ones are types of `cli.options`
    is_command = path.startswith("cli/") and (node.name == Path(path).stem or "typer." in ast.unparse(node.args))
    if node.name.startswith("_") or is_test or _is_marked(node, "overload", "setter"):
        return
    where, text = f"{path}:{node.lineno}: {owner}{node.name}", ast.get_docstring(node)
    names = parameters(node, is_method=bool(owner))
    if text is None and (node.name not in OF_TORCH or len(names) >= FROM):
        yield f"{where} has no docstring"
    if not is_command:
        yield from _section_faults(where, text or "", "Args", names, set(names))


def _section_faults(where: str, text: str, title: str, names: list[str], allowed: set[str]) -> Iterator[str]:
    told = section(text, title)
    if told is None:
        if len(names) >= FROM:
            yield f"{where} has no {title} section; it needs {', '.join(names)}"
        return
    if missing := [name for name in names if name not in told]:
        yield f"{where}: {title} lacks {', '.join(missing)}"
    if unknown := [name for name in told if name not in allowed]:
        yield f"{where}: {title} names {', '.join(unknown)}, which it does not have"


# ── tests ─────────────────────────────────────────────────────────────────────────────────────────


def trees() -> dict[str, ast.Module]:
    """Every public module of the package by its path inside of it."""
    paths = {path.relative_to(SOURCE).as_posix(): path for path in sorted(SOURCE.rglob("*.py"))}
    public = {
        name: path
        for name, path in paths.items()
        if not any(part.startswith("_") and not part.startswith("__") for part in name.split("/"))
    }
    return {name: ast.parse(path.read_text("utf-8")) for name, path in public.items()}


def _is_pending(path: str) -> bool:
    return any(path == each or path.startswith(f"{each}/") for each in PENDING)


def test_every_public_name_is_explained() -> None:
    """All faults at once, file by file."""
    every = trees()
    bases = Bases(every)
    found = [line for path, tree in every.items() if not _is_pending(path) for line in faults(path, tree, bases)]
    assert not found, f"{len(found)} docstrings are incomplete:\n" + "\n".join(found)


def faults_of(text: str) -> list[str]:
    """Faults of a module with this text, without their places."""
    tree = ast.parse(f'"""M."""\n{dedent(text)}')
    return [line.partition(": ")[2] for line in faults("part.py", tree, Bases({"part.py": tree}))]


CASES = {
    "f has no docstring": """
        def f(a): ...
        """,
    "f has no Args section; it needs a, b, c": """
        def f(a, b, c):
            'F.'
        """,
    "f: Args lacks c": """
        def f(a, *b, c):
            '''F.

            Args:
                a: A.
                b: B, in more
                    than one line: of text.
            '''
        """,
    "f: Args names d, which it does not have": """
        def f(a):
            '''F.

            Args:
                a, d: Both.

            Raises:
                ValueError: Never.
            '''
        """,
    "A.f has no Args section; it needs a, b, c": """
        class A:
            'A.'

            def f(self, a, b, **c):
                'F.'
        """,
    "A has no Args section; it needs a, b, c": """
        class A:
            'A.'

            def __init__(self, a, b, c): ...
        """,
    "A: Attributes lacks b": """
        @dataclass(frozen=True)
        class A:
            '''A.

            Attributes:
                a: A.
            '''

            a: int
            b: int = 0
        """,
}
"""One module for each kind of fault."""


@pytest.mark.parametrize(("fault", "text"), CASES.items(), ids=range(len(CASES)))
def test_a_fault_is_found(fault: str, text: str) -> None:
    """This one, and nothing else."""
    assert faults_of(text) == [fault]


def test_private_names_and_overrides_need_no_docstring() -> None:
    """A name with an underscore, and a method that a base class documents."""
    text = """
        def _f(a, b, c): ...

        class A:
            'A.'

            def f(self, a, b, c):
                '''F.

                Args:
                    a, b: Both.
                    c: C.
                '''

        class B(A):
            'B.'

            def f(self, a, b, c): ...
        """
    assert faults_of(text) == []
