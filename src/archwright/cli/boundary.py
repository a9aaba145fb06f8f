"""Handle all exceptions and signals of a command: exit codes, and one line on standard error.

0    done                      2    the user can correct it before starting (UsageError, wrong options)
1    anything after the start  130  SIGINT      143  SIGTERM
"""

from __future__ import annotations

import os
import shlex
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

from archwright.cli.text import one_line, shortened
from archwright.core.errors import ArchwrightError

SIGINT_CODE = 128 + signal.SIGINT
SIGTERM_CODE = 128 + signal.SIGTERM


class Terminated(BaseException):
    """Raised by SIGTERM; it is no Exception, so that no part of a run handles it as an ordinary failure."""


def guarded(call: Callable[[], Any], *, debug: bool = False) -> int:
    """Call a function and give the exit code for its result or exception; an error writes one line to stderr.

    Args:
        call: Does the work; an integer that it returns is the exit code.
        debug: Whether to show the traceback of an unexpected error.
    """
    _print_what_the_terminal_cannot()
    # what an image file has wrong with it is an error of ours or does not matter; threads cannot catch a warning
    warnings.filterwarnings("ignore", module=r"PIL\.")
    try:
        with _sigterm_raises():
            returned = call()
            sys.stdout.flush()
        return returned if isinstance(returned, int) else 0
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 1
    except KeyboardInterrupt:
        return _complain("interrupted", SIGINT_CODE)
    except Terminated:
        return _complain("terminated", SIGTERM_CODE)
    except BrokenPipeError:
        # whoever read our output went away, e.g. `archwright list | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        return _report(error, debug)


@contextmanager
def run_errors(out: Path, resume: str) -> Iterator[None]:
    """A context for a run: after a signal it prints how to resume, and it logs an unexpected error in the run's folder.

    Args:
        out: The run's folder, which may not exist yet.
        resume: Arguments of `archwright` that continue the run.
    """
    try:
        yield
    except (KeyboardInterrupt, Terminated) as stop:
        what, code = (
            ("interrupted", SIGINT_CODE) if isinstance(stop, KeyboardInterrupt) else ("terminated", SIGTERM_CODE)
        )
        hint = f"continue with: archwright {resume}" if _is_run(out) else "nothing had started"
        raise SystemExit(_complain(f"{what}; {hint}", code)) from None
    except ArchwrightError:
        raise
    except Exception as error:
        if _is_run(out):
            _append_traceback(out / "log.txt", error)
        raise


def quoted(*arguments: str | Path) -> str:
    """Arguments as typed in a shell, on one line; unprintable characters are written in the way of bash and zsh."""
    return " ".join(map(_quoted, map(str, arguments)))


def _quoted(text: str) -> str:
    if text.isprintable():
        return shlex.quote(text)
    kept = (
        "\\" + chr(byte) if chr(byte) in "\\'" else chr(byte) if 32 <= byte < 127 else f"\\x{byte:02x}"
        for byte in os.fsencode(text)
    )
    return f"$'{''.join(kept)}'"


def resume_command(recipe: str, out: Path) -> str:
    """Arguments of `archwright` that resume the run of a recipe in a folder; the recipe `train` has its own command."""
    command = ("train",) if recipe == "train" else ("search", recipe)
    return quoted(*command, "--out", out, "--resume")


def _report(error: Exception, debug: bool) -> int:
    if isinstance(error, ArchwrightError):
        return _complain(f"error: {shortened(one_line(error))}", error.exit_code)
    if hasattr(error, "format_message"):
        # what typer raises for wrong options; its class moved between versions, its methods did not
        context = getattr(error, "ctx", None)
        where = f"; see {context.command_path if context is not None else 'archwright'} --help"
        return _complain(f"error: {shortened(one_line(error.format_message()).rstrip('.'))}{where}", 2)
    if debug:
        traceback.print_exception(error)
    notes = getattr(error, "__notes__", ["add --debug to see the traceback"])
    said = shortened(one_line(error))
    return _complain(f"error: unexpected {type(error).__name__}{': ' if said else ''}{said}; {one_line(notes[-1])}", 1)


def _complain(line: str, code: int) -> int:
    print(line, file=sys.stderr, flush=True)
    return code


def _is_run(out: Path) -> bool:
    return (out / "run.json").is_file()


def _append_traceback(log: Path, error: Exception) -> None:
    """Put the traceback into a run's log; where that fails too, the error itself is what matters."""
    try:
        with log.open("a", encoding="utf-8") as stream:
            stream.write(f"{datetime.now(UTC).isoformat(timespec='seconds')} unexpected error\n")
            traceback.print_exception(error, file=stream)
    except OSError:
        return
    error.add_note(f"the traceback is in {log}")


def _print_what_the_terminal_cannot() -> None:
    """Names of files and datasets may hold characters the terminal's encoding lacks: escape, do not fail."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


@contextmanager
def _sigterm_raises() -> Iterator[None]:
    """SIGTERM raises `Terminated` in here, so that files are closed and the terminal is put in order."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Terminated

    try:
        before = signal.signal(signal.SIGTERM, stop)
    except ValueError:
        # only the main thread of a process may set handlers; elsewhere signals are the caller's affair
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
