"""The few names of a first script: `import archwright as aw`."""

from __future__ import annotations

import importlib
import subprocess
from collections.abc import Callable

import pytest

import archwright

EXPECTED = {
    *("Arch", "DecisionSpace", "Space", "Trial", "Objective", "Goal", "Constraint"),
    *("Fixed", "Supernet", "search", "cost", "extract", "features_only", "load_weights"),
    *("nn", "spaces", "tasks", "recipes", "strategies", "evaluators", "costs", "runners", "__version__"),
}

RunPython = Callable[..., subprocess.CompletedProcess[str]]


def test_all_is_the_documented_list() -> None:
    """A name more or less is a decision, not an accident."""
    assert set(archwright.__all__) == EXPECTED
    assert len(archwright.__all__) == len(EXPECTED)


def test_dir_shows_all() -> None:
    """Completion at a prompt knows the lazy names too."""
    assert set(dir(archwright)) >= EXPECTED


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_name_resolves(name: str) -> None:
    """Each name loads its part; a part is the module itself."""
    value = getattr(archwright, name)
    if name in ("nn", "spaces", "tasks", "recipes", "strategies", "evaluators", "costs", "runners"):
        assert value is importlib.import_module(f"archwright.{name}")
    elif name == "__version__":
        assert value == "0.1.0"
    else:
        assert value.__name__ == name


def test_unknown_name_is_an_attribute_error() -> None:
    """`hasattr` and friends work as on any module."""
    with pytest.raises(AttributeError, match="no attribute 'serach'"):
        _ = archwright.serach


def test_import_takes_no_torch(run_python: RunPython) -> None:
    """Start-up stays fast: neither torch nor another heavy part is imported."""
    heavy = "{'torch', 'torchvision', 'sklearn', 'onnx', 'onnxruntime', 'sqlalchemy', 'typer', 'rich', 'numpy'}"
    done = run_python("-c", f"import archwright, sys; print({heavy} & set(sys.modules))")
    assert (done.stdout, done.stderr) == ("set()\n", "")


IMPORTS = (
    *("", "aw.search", "import archwright.finish"),
    *("import archwright.search", "from archwright.search import search"),
)

SEARCH = """
import importlib, os, sys
import torch  # every fork would import it

for before in sys.argv[1:]:
    if os.fork() == 0:
        import archwright as aw
        exec(before)
        os._exit(aw.search is not importlib.import_module("archwright.search").search)
    print(os.wait()[1], end=" ")
"""


def test_search_stays_callable(run_python: RunPython) -> None:
    """`aw.search` is the function, whoever imported the module of the same name, and when."""
    done = run_python("-c", SEARCH, *IMPORTS)
    assert (done.stdout.split(), done.stderr) == (["0"] * len(IMPORTS), "")
