"""Running what a page of the documentation shows, as its reader would: block after block, in one folder."""

from __future__ import annotations

import contextlib
import io
import json
import re
import runpy
import shlex
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from archwright.core import catalog

Blocks = Callable[[Path], list[Any]]
TRAINING_COMMANDS = ("search", "train")


@dataclass
class Page:
    """A page, and what running its blocks needs.

    Attributes:
        path: The page.
        run_long: Whether blocks marked `long` are run, or only parsed.
    """

    path: Path
    blocks: list[Any]
    run_long: bool = False
    namespace: dict[str, Any] = field(default_factory=lambda: {"__name__": "page"})
    printed: str | None = ""  # by the last block that was run; None where it was only parsed

    def run(self) -> None:
        """Every block in order; an error names page and line."""
        for block in self.blocks:
            try:
                self._run(block)
            except BaseException as error:
                error.add_note(f"{self.path.name}, block at line {block.line}")
                raise

    def _run(self, block: Any) -> None:
        if block.marker.startswith("not run: "):
            return
        act = {"python": self._python, "bash": self._bash, "text": self._text, "json": self._json}[block.language]
        act(block)

    def _python(self, block: Any) -> None:
        if block.title:
            Path(block.title).write_text(block.text, "utf-8")
        # as in a file of the reader's: without the future statement of this one
        code = compile("\n" * (block.line - 1) + block.text, str(self.path), "exec", dont_inherit=True)
        if self._is_only_parsed(block):
            self.printed = None
            return
        with _captured() as out:
            exec(code, self.namespace)
        self.printed = out.getvalue()

    def _bash(self, block: Any) -> None:
        is_parsed, printed = self._is_only_parsed(block), ""
        for line in block.text.replace("\\\n", " ").splitlines():
            program, *arguments = shlex.split(line, comments=True) or [""]
            if program == "pytest":
                for name in arguments:
                    _pytest(name)
            elif program == "python":
                printed += "" if is_parsed else _python(arguments)
            elif program == "archwright":
                parse(arguments)
                printed += "" if is_parsed else self._archwright(arguments)
            else:
                assert not program, f"{program!r} cannot be run here; mark its block `<!-- not run: REASON -->`"
        self.printed = None if is_parsed else printed

    def _archwright(self, arguments: list[str]) -> str:
        from archwright.cli import main

        if arguments[0] in TRAINING_COMMANDS and "--preset" not in arguments:
            arguments = [*arguments, "--preset", "smoke"]  # the same command in seconds
        with _captured() as out:
            code = main(arguments)
        assert code == 0, f"archwright {shlex.join(arguments)}: exit code {code}\n{out.getvalue()}"
        return out.getvalue()

    def _is_only_parsed(self, block: Any) -> bool:
        return block.marker == "long" and not self.run_long

    def _text(self, block: Any) -> None:
        if block.marker == "output" and self.printed is not None:
            shown, printed = _masked(block.text), iter(_masked(self.printed))
            missing = next((line for line in shown if line != "…" and line not in printed), None)
            assert missing is None, f"{missing!r} is not printed, or not in this order:\n{self.printed}"

    def _json(self, block: Any) -> None:
        json.loads(block.text)


@contextlib.contextmanager
def _captured() -> Iterator[io.StringIO]:
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        yield out


def parse(arguments: list[str]) -> None:
    """Parse a command line as `archwright` does, without running it; a recipe must be a known one."""
    group: Any = get_command(_app())
    with group.make_context("archwright", list(arguments)) as context:
        name, command, rest = group.resolve_command(context, [*context._protected_args, *context.args])
        with command.make_context(name, rest, parent=context) as inner:
            if "recipe" in inner.params:
                catalog.find("recipe", inner.params["recipe"])


def _app() -> Any:
    from archwright.cli.app import app

    return app


def _masked(text: str) -> list[str]:
    """Lines without figures, which differ from run to run and from preset to preset, and without extra spaces."""
    figures = re.sub(r"\d[\d,.]*(e-?\d+)?", "0", text)
    spans = re.sub(r"\b0 (s|min|h|days)( 0 (s|min))?(?!\w)", "0 s", figures)
    return [" ".join(line.split()) for line in spans.splitlines() if line.strip()]


def _python(arguments: list[str]) -> str:
    """What `python FILE ARGUMENTS` prints; it may end by an exit with code 0."""
    code = None
    with pytest.MonkeyPatch.context() as patch, _captured() as out:
        patch.setattr(sys, "argv", arguments)
        try:
            runpy.run_path(arguments[0], run_name="__main__")
        except SystemExit as stop:
            code = stop.code
    assert not code, f"python {shlex.join(arguments)}: exit code {code}\n{out.getvalue()}"
    return out.getvalue()


def _pytest(name: str) -> None:
    """What pytest does with a file of contracts: call every test; one that skips is passed over."""
    classes = [c for c in runpy.run_path(name).values() if isinstance(c, type) and c.__module__ == "<run_path>"]
    tests = [getattr(cls(), name) for cls in classes for name in dir(cls) if name.startswith("test_")]
    assert tests, f"{name} holds no tests"
    for test in tests:
        with contextlib.suppress(pytest.skip.Exception):
            test()


@pytest.fixture
def open_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, markdown_blocks: Blocks
) -> Iterator[Callable[..., Page]]:
    """A page in a folder of its own, which is the working folder and is imported from; its modules are forgotten."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("COLUMNS", "100")
    yield lambda path, run_long=False: Page(path, markdown_blocks(path), run_long)
    for path in tmp_path.rglob("*.py"):
        sys.modules.pop(path.stem, None)
