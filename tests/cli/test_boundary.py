"""Exit codes, one-line errors and signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from archwright.cli.boundary import SIGTERM_CODE, Terminated, guarded, quoted
from archwright.core.errors import ArchwrightError, UsageError

# a run that says when it has started and then waits for a signal
WAITING_RUN = """
import sys, time
from pathlib import Path
from archwright.cli.boundary import guarded, run_errors

def work():
    with run_errors(Path("run"), "search toy --out run --resume"):
        Path("run").mkdir()
        if "early" not in sys.argv:
            Path("run/run.json").write_text("{}")
        print("started", flush=True)
        time.sleep(60)

sys.exit(guarded(work))
"""


def _raise(error: BaseException) -> Callable[[], object]:
    def call() -> object:
        raise error

    return call


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("x"), 2),
        (ArchwrightError("x"), 1),
        (ValueError("x"), 1),
        (MemoryError(), 1),
        (KeyboardInterrupt(), 130),
        (Terminated(), 143),
        (SystemExit(5), 5),
    ],
)
def test_exit_codes(error: BaseException, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    """As design and shell convention have them, and never more than one line."""
    assert guarded(_raise(error)) == code
    assert capsys.readouterr().err.count("\n") <= 1


def test_success_is_0() -> None:
    """Whatever a command returns that is no code."""
    assert guarded(lambda: None) == 0
    assert guarded(lambda: "text") == 0


def test_message_stays_on_one_line_and_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Names in messages come from files and may hold anything."""
    guarded(_raise(UsageError("bad\nname \x1b[31mred\r")))
    assert capsys.readouterr().err == "error: bad name \\x1b[31mred\n"


def test_sigterm_handler_is_put_back() -> None:
    """A program that calls `main` keeps its own handler."""
    before = signal.getsignal(signal.SIGTERM)
    inside = []
    guarded(lambda: inside.append(signal.getsignal(signal.SIGTERM)))
    assert inside[0] != before
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize(
    ("number", "stage", "code", "line"),
    [
        (signal.SIGINT, "late", 130, "interrupted; continue with: archwright search toy --out run --resume\n"),
        (signal.SIGTERM, "late", 143, "terminated; continue with: archwright search toy --out run --resume\n"),
        (signal.SIGTERM, "early", 143, "terminated; nothing had started\n"),
    ],
)
def test_signal_ends_a_run_with_one_line(
    child_environment: Mapping[str, str], tmp_path: Path, number: signal.Signals, stage: str, code: int, line: str
) -> None:
    """A real signal to a real process: its code, and how to go on where there is something to go on with."""
    command = [sys.executable, "-c", WAITING_RUN, stage]
    environment = dict(child_environment)
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (code, line)


def test_closed_pipe_is_no_error(child_environment: Mapping[str, str], tmp_path: Path) -> None:
    """`archwright list | head -1` leaves nothing on stderr."""
    command = [sys.executable, "-m", "archwright", "list", "--json"]
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        command, cwd=tmp_path, env=dict(child_environment), stdout=writer, stderr=subprocess.PIPE, check=False
    )
    os.close(writer)
    assert done.stderr == b""


def test_quoted_arguments_survive_a_shell(tmp_path: Path) -> None:
    """The line that tells how to resume can be pasted."""
    name = "it's $HOME; rm -rf"
    shown = subprocess.run(["sh", "-c", f"printf %s {quoted(name)}"], capture_output=True, text=True, check=True)
    assert shown.stdout == name


def test_codes_are_those_of_the_shell() -> None:
    """128 plus the signal's number."""
    assert json.dumps(SIGTERM_CODE) == "143"
