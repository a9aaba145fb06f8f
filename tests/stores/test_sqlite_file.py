"""Damaged, foreign and incomplete SQLite files: refused by name or read right, never other trials."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import threading
from contextlib import closing, suppress
from pathlib import Path

import pytest

from archwright.core.arch import Arch
from archwright.core.errors import InvalidValueError, RunError, RunFolderError
from archwright.core.trial import Candidate, Trial
from archwright.stores.sql import SqlStore


def make_trial(number: int) -> Trial:
    return Trial(Candidate(number, Arch({"op": "conv"}), number), metrics={"top1_accuracy": 0.5})


def fill(path: Path, n: int, study: str = "search") -> None:
    with SqlStore(path, study) as store:
        store.add([make_trial(number) for number in range(n)])


def change(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(statement)
        connection.commit()


def flipped(data: bytes, bit: int) -> bytes:
    return data[: bit // 8] + bytes([data[bit // 8] ^ (1 << bit % 8)]) + data[bit // 8 + 1 :]


def read(path: Path) -> list[Trial] | str:
    """What the store reads, or how it refuses; any other exception is a failure of the test."""
    try:
        with SqlStore(path) as store:
            return store.trials()
    except RunFolderError as error:
        message = str(error)
    assert path.name in message
    assert "\n" not in message
    return message


def use(path: Path) -> None:
    """Add to what may be damaged; only our errors may come out."""
    with suppress(RunError, RunFolderError, InvalidValueError), SqlStore(path) as store:
        store.add([make_trial(10_000)])
        store.get(3)
        len(store)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "t.sqlite"


@pytest.fixture
def unclean(path: Path) -> Path:
    """As a killed process leaves it: 100 trials in the file, 100 more in the write-ahead log."""
    fill(path, 100)
    with SqlStore(path) as store:
        for number in range(100, 200):
            store.add([make_trial(number)])
        for name in (path, wal_of(path)):
            shutil.copy(name, f"{name}.copy")
    for name in (path, wal_of(path)):
        os.replace(f"{name}.copy", name)
    return path


def wal_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def test_a_killed_process_leaves_nothing_behind(unclean: Path) -> None:
    """What follows damages a state that is read whole."""
    assert read(unclean) == [make_trial(number) for number in range(200)]


# --- not ours ----------------------------------------------------------------------------------------------------


def test_a_file_that_is_no_database_is_refused_and_kept(path: Path) -> None:
    """The message names the file, whose bytes stay."""
    for content in (b"my notes, " * 1000, b"a", b"SQLite format 3\x00", b"SQLite format 3\x00" + bytes(5000)):
        path.write_bytes(content)
        assert isinstance(read(path), str)
        assert path.read_bytes() == content


def test_a_database_of_something_else_is_refused_and_kept(path: Path) -> None:
    """No table of ours is put into it; neither into one that has no table at all."""
    for statement, message in [
        ("CREATE TABLE recipes (name TEXT)", r"t.sqlite is a database of something else (table 'recipes')"),
        ("DROP TABLE recipes", "t.sqlite is a database without any table"),
    ]:
        change(path, statement)
        before = path.read_bytes()
        assert message in str(read(path))
        assert path.read_bytes() == before


def test_a_table_of_ours_with_other_columns(path: Path) -> None:
    """Whoever made it, it cannot be used."""
    change(path, "CREATE TABLE archwright_schema (version INTEGER)")
    change(path, "INSERT INTO archwright_schema VALUES (2)")
    assert "no such table: trials" in str(read(path))
    change(path, "CREATE TABLE trials (study TEXT, number INTEGER)")
    assert "no such column: trials.arch" in str(read(path))


def test_what_is_no_file(path: Path) -> None:
    """A folder, a link to nowhere and a pipe, none of which is opened."""
    path.mkdir()
    assert "is no file; choose another path" in str(read(path))
    path.rmdir()
    path.symlink_to("nowhere")
    assert "is no file" in str(read(path))
    path.unlink()
    os.mkfifo(path)
    assert "is no file" in str(read(path))


def test_what_the_system_does_not_let_us_read(path: Path) -> None:
    """One clear error."""
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    fill(path, 1)
    path.chmod(0)
    assert "cannot be used" in str(read(path))
    path.chmod(0o600)
    path.parent.chmod(0)
    try:
        assert isinstance(read(path), str)
    finally:
        path.parent.chmod(0o700)


# --- incomplete --------------------------------------------------------------------------------------------------


def test_an_emptied_file_is_refused(unclean: Path) -> None:
    """With and without its log, and it stays empty."""
    unclean.write_bytes(b"")
    assert "t.sqlite is empty; restore it from a copy" in str(read(unclean))
    assert wal_of(unclean).stat().st_size > 0
    wal_of(unclean).unlink()
    assert "is empty" in str(read(unclean))
    assert unclean.read_bytes() == b""


def test_a_log_without_its_file_is_refused_and_kept(unclean: Path) -> None:
    """SQLite would delete it, and the trials in it."""
    before = wal_of(unclean).read_bytes()
    unclean.unlink()
    assert "is missing, but its companion t.sqlite-wal is there" in str(read(unclean))
    assert wal_of(unclean).read_bytes() == before
    assert not unclean.exists()


def test_a_file_without_its_log_lacks_the_last_trials(unclean: Path) -> None:
    """What was moved into the file is read; a search would evaluate the rest again."""
    wal_of(unclean).unlink()
    assert read(unclean) == [make_trial(number) for number in range(100)]


@pytest.mark.parametrize("left", [1, 50, 99, 100, 1000, 4095, 4096, 5000, 8192, -8192, -4096, -4095, -1])
def test_a_truncated_file(path: Path, left: int) -> None:
    """Refused at whatever length."""
    fill(path, 300)
    path.write_bytes(path.read_bytes()[:left])
    assert isinstance(read(path), str)


@pytest.mark.parametrize("left", [1, 31, 32, 33, 1000, 4200, 0.5, -4096, -1])
def test_a_truncated_log(unclean: Path, left: float) -> None:
    """Reads as after the death of the machine: the first trials, each of them whole."""
    data = wal_of(unclean).read_bytes()
    wal_of(unclean).write_bytes(data[: int(left * len(data)) if isinstance(left, float) else int(left)])
    found = read(unclean)
    assert isinstance(found, list)
    assert 100 <= len(found) < 200
    assert found == [make_trial(number) for number in range(len(found))]


# --- damaged -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [80, pytest.param(2000, marks=pytest.mark.slow)])
def test_flipped_bits(path: Path, n: int) -> None:
    """Anywhere in the file: refused by name, or without effect on what is read; adding gives our errors only."""
    fill(path, 200)
    good = path.read_bytes()
    expected = [make_trial(number) for number in range(200)]
    draw = random.Random(n)
    refused = 0
    for bit in [*range(0, 8 * 100, 8 * 100 // (n // 8)), *(draw.randrange(8 * len(good)) for _ in range(n))]:
        path.write_bytes(flipped(good, bit))
        found = read(path)
        refused += isinstance(found, str)
        assert isinstance(found, str) or found == expected, f"bit {bit}"
        path.write_bytes(flipped(good, bit))
        use(path)
        wal_of(path).unlink(missing_ok=True)
    assert refused > n // 2


@pytest.mark.parametrize("n", [40, pytest.param(1000, marks=pytest.mark.slow)])
def test_flipped_bits_of_the_log(unclean: Path, n: int) -> None:
    """Refused by name, or the first trials as they were; a log ends where its checksums do."""
    file, log = unclean.read_bytes(), wal_of(unclean).read_bytes()
    draw = random.Random(n)
    for bit in [*range(0, 8 * 56, 8 * 56 // (n // 8)), *(draw.randrange(8 * len(log)) for _ in range(n))]:
        unclean.write_bytes(file)
        wal_of(unclean).write_bytes(flipped(log, bit))
        found = read(unclean)
        assert isinstance(found, str) or found == [make_trial(number) for number in range(len(found))], f"bit {bit}"
        assert isinstance(found, str) or len(found) >= 100


@pytest.mark.slow
def test_overwritten_stretches(path: Path) -> None:
    """Noise, zeros and pages in each other's place, 300 times: as with single bits."""
    fill(path, 200)
    good = path.read_bytes()
    expected = [make_trial(number) for number in range(200)]
    draw = random.Random(0)
    for turn in range(300):
        length = draw.choice([2, 16, 512, 4096])
        start, other = (draw.randrange(0, len(good) - length) // length * length for _ in range(2))
        new = [draw.randbytes(length), bytes(length), good[other : other + length]][turn % 3]
        path.write_bytes(good[:start] + new + good[start + length :])
        found = read(path)
        assert isinstance(found, str) or found == expected, f"turn {turn}"


@pytest.mark.parametrize(
    ("statement", "damaged"),
    [
        ("UPDATE trials SET metrics = '{\"top1_accuracy\":0.9}' WHERE number = 1 AND study = 'search'", 1),
        ("UPDATE trials SET number = 9 WHERE number = 1 AND study = 'search'", 9),
        ("UPDATE trials SET study = 'search', number = 9 WHERE number = 1 AND study = 'baseline'", 9),
        ("UPDATE trials SET study = iif(study = 'search', 'baseline', 'search') || '+'", None),
        ("UPDATE trials SET arch = x'00ff' WHERE number = 2 AND study = 'search'", 2),
        ("UPDATE trials SET checksum = 'none' WHERE number = 2 AND study = 'search'", 2),
    ],
)
def test_rows_changed_with_sql(path: Path, statement: str, damaged: int | None) -> None:
    """A row that has changed, or stands under another number or in another study, is refused with its trial."""
    fill(path, 3)
    fill(path, 3, "baseline")
    change(path, statement)
    if damaged is None:  # both studies under each other's name
        change(path, "UPDATE trials SET study = rtrim(study, '+')")
        damaged = 0
    assert f"trial {damaged} of study 'search' in" in str(read(path))
    assert "is damaged" in str(read(path))


def test_rows_deleted_with_sql(path: Path) -> None:
    """Not noticed, as the store says; the others are read, and the number is free."""
    fill(path, 3)
    change(path, "DELETE FROM trials WHERE number = 1")
    assert read(path) == [make_trial(0), make_trial(2)]
    with SqlStore(path) as store:
        store.add([make_trial(1)])
        assert len(store) == 3


# --- made --------------------------------------------------------------------------------------------------------


def test_several_make_the_same_file(path: Path) -> None:
    """All use the one that came first, and nothing else is left."""
    together = threading.Barrier(16)
    errors: list[Exception] = []

    def open_and_add(number: int) -> None:
        try:
            together.wait()
            with SqlStore(path) as store:
                store.add([make_trial(number)])
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=open_and_add, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert read(path) == [make_trial(number) for number in range(16)]
    assert [left.name for left in path.parent.iterdir()] == ["t.sqlite"]


def test_a_file_system_without_links(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is made there too."""

    def refuse(source: object, target: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.link", refuse)
    fill(path, 2)
    assert read(path) == [make_trial(0), make_trial(1)]
    assert [left.name for left in path.parent.iterdir()] == ["t.sqlite"]


def test_a_full_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No half of a database stays."""

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    assert read(path).endswith("t.sqlite cannot be made: No space left on device")  # type: ignore[union-attr]
    assert list(path.parent.iterdir()) == []
