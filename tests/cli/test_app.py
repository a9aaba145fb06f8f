"""The command as a whole: help, version, start-up."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Any

import pytest

import archwright
from archwright.cli.app import COMMANDS

Cli = Callable[..., Any]
RunPython = Callable[..., subprocess.CompletedProcess[str]]


def test_help_names_every_command(cli: Cli) -> None:
    """Alone, or asked for; no summary is cut off."""
    for arguments in ((), ("--help",), ("-h",)):
        done = cli(*arguments)
        assert done.code == 0
        assert [name for name in COMMANDS if f"\n  {name} " not in done.out] == []
        assert "..." not in done.out.split("Commands:")[1]


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_each_command_has_help(cli: Cli, name: str) -> None:
    """Usage names the command."""
    done = cli(name, "--help")
    assert done.code == 0
    assert f"Usage: archwright {name} " in done.out


def test_version(cli: Cli) -> None:
    """The package's own."""
    assert cli("--version").out == f"archwright {archwright.__version__}\n"


def test_unknown_command_offers_the_nearest(cli: Cli) -> None:
    """In one line, with exit code 2."""
    done = cli("serach")
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert "'search'" in done.err


@pytest.mark.parametrize("arguments", [("--help",), ("list",), ("search", "--help"), ("list", "--json")])
def test_start_up_takes_no_torch(run_python: RunPython, arguments: tuple[str, ...]) -> None:
    """What is asked often must answer at once."""
    run = f"import sys, archwright.cli; archwright.cli.main({list(arguments)!r})"
    code = f"{run}; print({{'torch', 'numpy', 'rich'}} & {{*sys.modules}})"
    done = run_python("-c", code)
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == "set()"


def test_module_runs_as_the_command(run_python: RunPython) -> None:
    """`python -m archwright` returns the exit code too."""
    done = run_python("-m", "archwright", "list", "nonsense")
    assert (done.returncode, done.stdout) == (2, "")
