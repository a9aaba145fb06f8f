"""The small programs under tools/."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import tomllib
from collections.abc import Callable
from importlib import metadata
from itertools import chain
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement

Load = Callable[[str], ModuleType]


@pytest.fixture
def load(repository: Path) -> Load:
    """A tool as a module, by its file's name."""

    def load(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(f"{name}_tool", repository / "tools" / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


def test_links_of_this_repository_resolve(load: Load, capsys: pytest.CaptureFixture[str]) -> None:
    """README, CONTRIBUTING, docs and changes."""
    assert load("check_links").main() == 0, capsys.readouterr().out


def test_broken_links_are_named(load: Load, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A missing file and a missing heading; web links, code and good links are left alone."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "b.md").write_text("# Two words, `code`\n")
    good = "[web](https://example.org) `[no](link.md)` [ok](docs/b.md#two-words-code) [self](#top)"
    fence = "```\n[no](gone.md)\n# no heading\n```"
    (tmp_path / "a.md").write_text(f"# Top\n{good}\n{fence}\n[x](docs/gone.md) ![y](docs/b.md#three)\n")
    assert load("check_links").main(tmp_path) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["a.md: docs/gone.md: no such file", "a.md: docs/b.md#three: no such heading"]
    assert lines[2] == "2 Markdown files, 2 broken links"


def test_borrowed_closure_follows_requirements(load: Load) -> None:
    """Jinja2 needs MarkupSafe and nothing else; its extra `i18n` is not asked for."""
    names = {each.metadata["Name"].lower() for each in load("bare_install").closure(["jinja2"])}
    assert names == {"jinja2", "markupsafe"}


def test_borrowed_files_import_elsewhere(load: Load, tmp_path: Path) -> None:
    """Links to a distribution's files and its metadata are enough for another environment."""
    n_links = load("bare_install").lend(metadata.distribution("markupsafe"), tmp_path)
    assert n_links >= 5
    assert (tmp_path / "markupsafe" / "__init__.py").is_symlink()
    found = [each.metadata["Name"].lower() for each in metadata.distributions(path=[str(tmp_path)])]
    assert found == ["markupsafe"]


def test_scripts_parse(repository: Path) -> None:
    """The script that CI runs is valid bash, and executable."""
    script = repository / ".ci" / "run"
    assert script.stat().st_mode & 0o100
    subprocess.run(["bash", "-n", str(script)], check=True)


def test_every_dependency_is_pinned(repository: Path) -> None:
    """What pyproject.toml asks for has an exact version in constraints.txt."""
    pins = (repository / "constraints.txt").read_text("utf-8").splitlines()
    pinned = {line.partition("==")[0].lower().replace("_", "-") for line in pins if "==" in line}
    project = tomllib.loads((repository / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = chain(project["dependencies"], *project["optional-dependencies"].values())
    named = {Requirement(text).name.lower().replace("_", "-") for text in wanted}
    assert {"torch", "mkdocs-material", "psycopg"} <= named
    assert named <= pinned
    assert [
        line for line in pins if line and not re.fullmatch(r"[\w.-]+==[\w.+]+", line) and not line.startswith("#")
    ] == []
