"""The documentation site: what is inserted into its pages, and that it needs no network."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from archwright.cli.app import COMMANDS
from archwright.core import catalog

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def site() -> ModuleType:
    """tools/site_pages.py as a module."""
    spec = importlib.util.spec_from_file_location("site_pages_tool", ROOT / "tools" / "site_pages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_commands_are_those_of_the_command_line(site: ModuleType) -> None:
    """A heading each, in their order, with the help that `--help` prints."""
    text = site.on_page_markdown("before\n\n<!-- insert: commands -->\n\nafter")
    assert re.findall(r"^## archwright (\w+)$", text, re.MULTILINE) == list(COMMANDS)
    assert "Usage: archwright export [OPTIONS] {DIR}" in text
    assert text.startswith("before\n")
    assert text.endswith("\nafter")


@pytest.mark.parametrize("kind", ["recipe", "space", "cost"])
def test_catalogue_has_every_name(site: ModuleType, kind: catalog.Kind) -> None:
    """One line each."""
    text = site.on_page_markdown(f"<!-- insert: catalogue {kind} -->")
    assert re.findall(r"^\| `(.*?)` \|", text, re.MULTILINE) == [entry.name for entry in catalog.entries(kind)]


def test_links_of_an_inserted_file_become_text(site: ModuleType) -> None:
    """What they lead to is no page of the site; links into the web stay."""
    text = site.on_page_markdown("<!-- insert: file CONTRIBUTING.md -->")
    assert "(README.md" not in text
    assert "- **Names.**" in text


def test_notebook_cells_and_outputs(site: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Text as it is, code and what it printed as blocks, pictures inline."""
    printed = {"output_type": "stream", "name": "stdout", "text": ["2\n"]}
    drawn = {"output_type": "display_data", "data": {"image/svg+xml": ["<svg/>"]}, "metadata": {}}
    cells = [
        {"cell_type": "markdown", "source": ["# One\n", "two"]},
        {"cell_type": "code", "source": ["print(1 + 1)"], "outputs": [printed, drawn]},
    ]
    (tmp_path / "docs/notebooks").mkdir(parents=True)
    (tmp_path / "docs/notebooks/a.ipynb").write_text(json.dumps({"cells": cells}))
    monkeypatch.setattr(site, "ROOT", tmp_path)
    text = site.on_page_markdown("<!-- insert: notebook a.ipynb -->")
    blocks = ["# One\ntwo", "```python\nprint(1 + 1)\n```", "```text\n2\n```"]
    assert text == "\n\n".join([*blocks, '<div class="notebook-picture"><svg/></div>'])


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built strictly (with --quiet, mkdocs does not count warnings)."""
    pytest.importorskip("mkdocs", reason="mkdocs comes with the extra docs")
    pytest.importorskip("mkdocstrings", reason="mkdocstrings comes with the extra docs")
    folder = tmp_path_factory.mktemp("site") / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def test_site_needs_no_network(built: Path) -> None:
    """No page takes a script, a style or a picture from elsewhere; the search index lies beside them."""
    pages = sorted(built.rglob("*.html"))
    assert len(pages) > 20
    loaded = re.compile(r'<(?:script|img|iframe|source)[^>]*\bsrc="(?:https?:)?//|<link[^>]*\bhref="(?:https?:)?//')
    assert [page.name for page in pages if loaded.search(page.read_text("utf-8"))] == []
    assert (built / "search/search_index.js").stat().st_size > 100_000


def test_search_works_in_pages_opened_as_files(built: Path, tmp_path: Path) -> None:
    """A browser finds the page that explains the ledger."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("there is no chromium here")
    quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic"]
    shown = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", f"--user-data-dir={tmp_path / 'browser'}"]
    wanted = ["--virtual-time-budget=10000", "--dump-dom", f"{(built / 'index.html').as_uri()}?q=ledger"]
    done = subprocess.run([browser, *quiet, *shown, *wanted], capture_output=True, text=True, timeout=120, check=False)
    assert re.search(r"\d+ matching documents", done.stdout), done.stderr
    assert 'concepts.html?h=ledger#store-run-ledger"' in done.stdout
