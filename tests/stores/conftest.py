"""What tests of stores share: a PostgreSQL server of their own, and a database as version 1 wrote it."""

from __future__ import annotations

import importlib.util
import math
import os
import pwd
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar

import pytest

from archwright.core.arch import Arch
from archwright.core.trial import Candidate, Trial


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


_VERSION_1 = r"""
CREATE TABLE archwright_schema (id INTEGER NOT NULL, version INTEGER NOT NULL, PRIMARY KEY (id));
INSERT INTO archwright_schema VALUES (1, 1);
CREATE TABLE trials (
    study VARCHAR(200) NOT NULL, number BIGINT NOT NULL, arch TEXT NOT NULL, "key" TEXT NOT NULL, seed BIGINT NOT NULL,
    budget BIGINT, parent BIGINT, origin TEXT NOT NULL, status VARCHAR(20) NOT NULL, metrics TEXT NOT NULL,
    costs TEXT NOT NULL, duration_s DOUBLE, failure TEXT NOT NULL, checksum BIGINT NOT NULL,
    PRIMARY KEY (study, number)
);
INSERT INTO trials VALUES ('search', 0, '{"op":"3\u00d73","in":[0,2],"width":16}', '{"in":[0,2],"op":"3×3","width":16}',
    9223372036854775807, 7, NULL, 'mutation', 'complete', '{"top1_accuracy":0.3333333333333333}', '{"macs":1000000.0}',
    0.25, '', 2096323620);
INSERT INTO trials VALUES ('search', 1, '{}', '{}', 5, NULL, 0, 'random', 'failed', '{"loss":"inf"}', '{}', NULL,
    'a\x00b ü', 2140296183);
INSERT INTO trials VALUES ('baseline', 0, '{"op":"a"}', '{"op":"a"}', 6, NULL, NULL, 'random', 'complete',
    '{"top1_accuracy":0.5}', '{}', 1.0, '<01>json:', 503348358);
"""


class Version1:
    """What archwright wrote when its schema had version 1, statement by statement, and the trials in it."""

    trials: ClassVar[dict[str, list[Trial]]] = {
        "search": [
            Trial(
                Candidate(0, Arch({"op": "3×3", "in": (0, 2), "width": 16}), 2**63 - 1, budget=7, origin="mutation"),
                metrics={"top1_accuracy": 1 / 3},
                costs={"macs": 1e6},
                duration_s=0.25,
            ),
            Trial(
                Candidate(1, Arch({}), 5, parent=0),
                "failed",
                metrics={"loss": math.inf},
                duration_s=math.nan,
                failure="a\\x00b ü",
            ),
        ],
        "baseline": [
            Trial(
                Candidate(0, Arch({"op": "a"}), 6),
                metrics={"top1_accuracy": 0.5},
                duration_s=1.0,
                failure="\x01json:",
            )
        ],
    }

    def statements(self, double: str = "DOUBLE") -> list[str]:
        """The statements that write it; what a fraction is called differs between databases."""
        return [
            part.replace("DOUBLE", double) for part in _VERSION_1.replace("<01>", "\x01").split(";\n") if part.strip()
        ]

    def write(self, path: Path) -> None:
        """Make a SQLite file of it."""
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            for statement in self.statements():
                connection.execute(statement)
            connection.commit()


@pytest.fixture
def version_1() -> Version1:
    return Version1()
