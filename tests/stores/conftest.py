"""What tests of stores share: a PostgreSQL server of their own."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


class Server:
    """A PostgreSQL server that trusts everyone who reaches it; the user is `archwright`."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs, self._folder = programs, folder
        self._process: subprocess.Popen[bytes] | None = None
        self._made: set[str] = set()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        # it refuses to run as root
        root = os.geteuid() == 0
        self._user: dict[str, Any] = {"user": _unprivileged(), "group": None, "extra_groups": []} if root else {}
        if root:
            entry = pwd.getpwnam(self._user["user"])
            self._user["group"] = entry.pw_gid
            os.chown(folder, entry.pw_uid, entry.pw_gid)
        command = [programs / "initdb", "-D", folder / "data", "-A", "trust", "-U", "archwright", "-E", "UTF8"]
        options = ["--locale=C", "--no-sync"]
        subprocess.run([*command, *options], check=True, capture_output=True, cwd=folder, **self._user)
        self.start()

    def start(self) -> None:
        """Begin, and wait until it answers."""
        settings = {"port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": self._folder}
        settings |= {"fsync": "off", "max_connections": 50}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with open(self._folder / "log.txt", "ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self._folder / "data", *options],
                stdout=log,
                stderr=log,
                cwd=self._folder,
                **self._user,
            )
        deadline = time.monotonic() + 60
        while True:
            try:
                self.run("SELECT 1")
                return
            except Exception:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise
                time.sleep(0.05)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End at once, throwing out whoever is connected; what was committed stays.

        SIGQUIT tidies nothing up, which saves the seconds of writing out what is deleted next.
        """
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(60)
            self._process = None

    def run(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run SQL as another client would; the rows, if it gives any."""
        import psycopg

        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def url(self, database: str) -> str:
        return f"postgresql://archwright@127.0.0.1:{self.port}/{database}"

    def database(self, folder: Path) -> str:
        """URL of the database that belongs to this folder, empty at first."""
        name = "t" + "".join(character for character in str(folder).lower() if character.isalnum())[-60:]
        if name not in self._made:
            self.run(f"CREATE DATABASE {name} TEMPLATE template0")
            self._made.add(name)
        return self.url(name)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """The server; the test is skipped where PostgreSQL or its driver is not installed."""
    if importlib.util.find_spec("psycopg") is None:
        pytest.skip("psycopg is not installed: pip install 'archwright[postgresql]'")
    programs = _programs()
    if programs is None:
        pytest.skip("no PostgreSQL server is installed: apt-get install postgresql")
    folder = Path(tempfile.mkdtemp(prefix="archwright-postgresql-"))
    server = None
    try:
        server = Server(programs, folder)
        yield server
    finally:
        if server is not None:
            server.stop(signal.SIGQUIT)
        shutil.rmtree(folder, ignore_errors=True)


def _programs() -> Path | None:
    """Where initdb and postgres are; Debian keeps them out of the PATH."""
    found = shutil.which("initdb")
    candidates = [Path(found).resolve().parent] if found else []
    candidates += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in candidates if (folder / "postgres").exists()), None)


def _unprivileged() -> str:
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in ("postgres", "nobody", "daemon") if name in names)
