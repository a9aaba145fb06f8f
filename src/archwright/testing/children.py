"""Run commands in separate processes that are stopped at exact moments; starting one takes milliseconds.

One process imports torch and archwright and then waits; each command is a fork of it. A fork dies like any process:
after SIGKILL only its files are left.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib
import io
import json
import os
import signal as signals
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from archwright.reports.vega import draw
from archwright.testing.drawing import one_drawing_process
from archwright.testing.moments import Moment, eager, watched
from archwright.training import timing

PATIENCE_S = 300
IMPORTED = ("archwright.cli", "archwright.recipes", "archwright.ranking", "archwright.stores.sql", "sklearn.datasets")


@dataclass(frozen=True)
class Job:
    """A command, and the signal or limits it gets.

    Attributes:
        arguments: Arguments of `archwright`.
        until: The moment at which the signal is sent; None sends none.
        signal: The signal.
        delay_s: Seconds between that moment and the signal; 0 sends it before anything else happens.
        file_bytes: Largest size of a file in bytes; None sets no limit.
        is_plain_user: Whether the superuser's right to open any file is given up (on Linux).
        clock_step_s: Seconds by which the wall clock moves at each reading; None leaves the clock alone.
    """

    arguments: tuple[str, ...]
    until: Moment | None = None
    signal: int = signals.SIGKILL
    delay_s: float = 0.0
    file_bytes: int | None = None
    is_plain_user: bool = False
    clock_step_s: float | None = None


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        code: Its exit code; the negative number of the signal if a signal killed it.
        out: What it wrote to standard output.
        err: What it wrote to standard error.
        moments: The moments that it went through.
    """

    code: int
    out: str
    err: str
    moments: tuple[Moment, ...] = field(repr=False, default=())

    @property
    def errors(self) -> list[str]:
        """Lines on standard error that report an error."""
        return [line for line in self.err.splitlines() if line.startswith(("error:", "Traceback"))]


def run_child(job: Job) -> Ended:
    """Run a command until it ends or its signal kills it; it writes a checkpoint whenever it could.

    Raises:
        TimeoutError: If it takes longer than five minutes.
    """
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    with tempfile.TemporaryDirectory() as folder:
        server.stdin.write(json.dumps({"job": asdict(job), "folder": folder}) + "\n")
        server.stdin.flush()
        answer = server.stdout.readline()
        if not answer:
            raise RuntimeError("the process that starts commands is gone")
        code = json.loads(answer)
        if code == -signals.SIGALRM:
            raise TimeoutError(f"{job} took longer than {PATIENCE_S} s")
        out, err = (Path(folder, name).read_text("utf-8", "replace") for name in ("out", "err"))
        lines = Path(folder, "moments").read_text("utf-8").splitlines()
    return Ended(code, out, err, tuple(Moment(*json.loads(line)) for line in lines))


@functools.cache
def _server() -> subprocess.Popen[str]:
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    server = subprocess.Popen(
        [sys.executable, "-c", "from archwright.testing.children import serve; serve()"],
        env={**os.environ, **threads, "PYTHONPATH": os.pathsep.join(sys.path), "COLUMNS": "100"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    atexit.register(_stop, server)
    return server


def _stop(server: subprocess.Popen[str]) -> None:
    server.kill()
    server.communicate()


# ── in the waiting process ────────────────────────────────────────────────────────────────────────


def serve() -> None:
    """Read one job from each line of standard input, run it, and write its exit code as a line."""
    with one_drawing_process():
        _warm_up()
        for line in sys.stdin:
            asked = json.loads(line)
            child = os.fork()
            if child == 0:
                _be_command(asked["job"], Path(asked["folder"]))
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _warm_up() -> None:
    """Import what commands need, also what they import on their way; torch gets no threads: forks lack them."""
    import torch
    from torch import nn

    from archwright.cli import main
    from archwright.export.onnx import export_onnx, verify_onnx

    for name in IMPORTED:
        importlib.import_module(name)
    timing.GLANCE_S = 0.0  # how long a run will take is of no interest here
    with contextlib.redirect_stdout(io.StringIO()):
        main(["list", "recipes"])
    draw([{"mark": "point"}])
    torch.set_num_threads(1)
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    with tempfile.TemporaryDirectory() as folder:
        export_onnx(network, (1, 4, 4), Path(folder, "model.onnx"))
        verify_onnx(Path(folder, "model.onnx"), network, (1, 4, 4))
    gc.freeze()  # a fork that looks through all this for garbage would copy it, too


def _be_command(asked: dict[str, Any], folder: Path) -> None:
    """Never returns."""
    until = asked.pop("until")
    job = Job(**{**asked, "until": until and Moment(**until)})
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(folder / name, os.O_CREAT | os.O_WRONLY, 0o666), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    signals.signal(signals.SIGINT, signals.default_int_handler)
    signals.alarm(PATIENCE_S)
    code = 70
    try:
        from archwright.cli import main

        sys.argv = ["archwright", *job.arguments]
        moments = os.open(folder / "moments", os.O_CREAT | os.O_WRONLY, 0o666)
        with _surroundings(job), eager(), watched(functools.partial(_notice, job, moments)):
            code = main(list(job.arguments))
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _notice(job: Job, moments: int, now: Moment) -> None:
    os.write(moments, (json.dumps([now.phase, now.event, now.n]) + "\n").encode())
    if now == job.until:
        if job.delay_s == 0:
            os.kill(os.getpid(), job.signal)
        elif os.fork() == 0:
            time.sleep(job.delay_s)
            if os.getppid() != 1:
                os.kill(os.getppid(), job.signal)
            os._exit(0)


@contextlib.contextmanager
def _surroundings(job: Job) -> Iterator[None]:
    if job.file_bytes is not None:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (job.file_bytes, resource.RLIM_INFINITY))
    if job.is_plain_user and sys.platform == "linux":
        give_up_override()
    if job.clock_step_s is not None:
        _move_the_clock(job.clock_step_s)
    yield


def give_up_override() -> None:
    """Make this process obey file modes from now on, even if it runs as the superuser (Linux)."""
    import ctypes

    override, read_search, header, n_words = 1, 2, (ctypes.c_uint32 * 2)(0x20080522, 0), 6
    words = (ctypes.c_uint32 * n_words)()  # effective, permitted, inheritable; then the same for the upper 32
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.capget(header, words):
        raise OSError(ctypes.get_errno(), "capget")
    for i in range(3):
        words[i] &= ~(1 << override | 1 << read_search)
    if libc.capset(header, words):
        raise OSError(ctypes.get_errno(), "capset")


def _move_the_clock(step_s: float) -> None:
    """Each look at the wall clock sees it moved further; nothing is done to the clock that only measures."""
    from archwright.runs import record

    began, looks = time.time(), iter(range(1, sys.maxsize))

    class Moved(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.fromtimestamp(time.time(), UTC if tz is None else tz)

    time.time = lambda: began + step_s * next(looks)
    vars(record)["datetime"] = Moved


def as_arguments(arguments: Sequence[object]) -> tuple[str, ...]:
    """The arguments as texts, as a command line has them."""
    return tuple(map(str, arguments))
