"""Let one process draw the charts of many pages: starting its engine takes longer than drawing a page."""

from __future__ import annotations

import functools
import json
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from archwright.reports import vega

_CLIP = re.compile(r"\bclip([0-9]+)\b")

SERVER = """
import json, os, runpy, socketserver, sys, threading

answer = runpy.run_path(sys.argv[1])["answer"]

class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(json.dumps(answer(json.loads(self.rfile.readline()))).encode())

def end():
    sys.stdin.read()
    os._exit(0)

server = socketserver.UnixStreamServer(sys.argv[2], Handler)
threading.Thread(target=end, daemon=True).start()
print("ready", flush=True)
server.serve_forever()
"""
"""Ends with the process that began it."""


@contextmanager
def one_drawing_process() -> Iterator[None]:
    """A context in which pages, also those of forks, are drawn by one process, begun with the first page.

    What it refuses is drawn again as always, by a process of its own, so that failures are the same.
    """
    original = vega._work
    with tempfile.TemporaryDirectory() as folder:
        address = str(Path(folder, "socket"))

        @functools.cache
        def begun() -> subprocess.Popen[str]:
            command = [sys.executable, "-P", "-c", SERVER, str(vega.WORKER), address]
            pipe = subprocess.PIPE
            server = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True)
            assert server.stdout is not None
            assert server.stdout.readline() == "ready\n"
            return server

        @functools.wraps(original)
        def work(asked: Mapping[str, Any]) -> Any:
            begun()
            with socket.socket(socket.AF_UNIX) as line:
                line.connect(address)
                line.sendall((json.dumps(asked) + "\n").encode())
                said = b"".join(iter(functools.partial(line.recv, 1 << 20), b""))
            return _renumbered(json.loads(said)) if said else original(asked)

        vega._work = work
        try:
            yield
        finally:
            vega._work = original
            if begun.cache_info().currsize:
                begun().kill()
                begun().communicate()


def _renumbered(made: dict[str, Any]) -> dict[str, Any]:
    """The same pictures with the numbers of their clip paths as a new process gives them: from 1 on."""
    numbers = sorted({int(n) for svg in made["svgs"] for n in _CLIP.findall(svg)})
    new = {str(n): f"clip{i}" for i, n in enumerate(numbers, start=1)}
    return {**made, "svgs": [_CLIP.sub(lambda found: new[found[1]], svg) for svg in made["svgs"]]}
