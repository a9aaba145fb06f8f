"""A PostgreSQL server passes the contract, and what only a server can get wrong."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from archwright.core.errors import InvalidValueError, RunError, RunFolderError
from archwright.stores import Store, open_store
from archwright.stores.sql import SqlStore
from archwright.testing import StoreContract
from archwright.testing.contracts.store import make_trial


class TestPostgresqlStore(StoreContract):
    @pytest.fixture(autouse=True)
    def _server(self, postgresql: Any) -> None:
        self.server = postgresql

    def make(self, folder: Path, study: str) -> Store:
        return open_store(self.server.database(folder), study)

    def write_future_format(self, folder: Path) -> None:
        name = self.server.database(folder).rpartition("/")[2]
        self.server.run("UPDATE archwright_schema SET version = 99", name)


def test_a_cut_connection_fails_one_call(postgresql: Any, tmp_path: Path) -> None:
    """RunError in one line, nothing half stored; the next call connects again."""
    with SqlStore(postgresql.database(tmp_path)) as store:
        store.add([make_trial(0)])
        postgresql.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
        with pytest.raises(RunError, match=r"^trial 1 could not be written to postgresql://.*: [^\n]*$"):
            store.add([make_trial(1), make_trial(2)])
        assert len(store) == 1
        store.add([make_trial(1)])
        assert store.trials() == [make_trial(0), make_trial(1)]


def test_a_server_that_goes_away_and_comes_back(postgresql: Any, tmp_path: Path) -> None:
    """While it is away writing and reading fail by name, opening is refused; what was stored is there again."""
    url = postgresql.database(tmp_path)
    with SqlStore(url) as store:
        store.add([make_trial(0)])
        postgresql.stop()
        try:
            for _ in range(2):
                with pytest.raises(RunError, match=r"^trial 1 could not be written to postgresql://[^\n]*$"):
                    store.add([make_trial(1)])
                with pytest.raises(RunError, match=r"^postgresql://\S* cannot be read: [^\n]*$"):
                    store.trials()
            with pytest.raises(RunFolderError, match=r"^postgresql://\S* is not a database that can be used[^\n]*$"):
                SqlStore(url)
        finally:
            postgresql.start()
        store.add([make_trial(1)])
        assert store.trials() == [make_trial(0), make_trial(1)]


def test_a_password_is_in_no_message(postgresql: Any, tmp_path: Path) -> None:
    """Neither that of the URL nor one among its options; not in the store's name either."""
    url = postgresql.database(tmp_path).replace("archwright@", "archwright:s3cret@")
    with SqlStore(url) as store:
        assert "s3cret" not in store.name
        with pytest.raises(InvalidValueError) as caught:
            store.add([make_trial(0)]) or store.add([make_trial(0)])
        assert "s3cret" not in str(caught.value)
    for wrong in (url + "nowhere", url.replace(str(postgresql.port), "1"), url + "?password=s3cret&sslmode=s3cret"):
        with pytest.raises(RunFolderError) as refused:
            SqlStore(wrong)
        assert "s3cret" not in str(refused.value)
        assert "\n" not in str(refused.value)


def test_sixteen_make_the_tables_at_once(postgresql: Any, tmp_path: Path) -> None:
    """Each opens the empty database and adds its trial."""
    url = postgresql.database(tmp_path)
    together = threading.Barrier(16)
    errors: list[Exception] = []

    def open_and_add(number: int) -> None:
        try:
            together.wait()
            with SqlStore(url) as store:
                store.add([make_trial(number)])
        except Exception as error:
            errors.append(error)

    _run_together(open_and_add)
    assert errors == []
    with SqlStore(url) as store:
        assert store.trials() == [make_trial(number) for number in range(16)]


def test_batches_in_opposite_orders_do_not_wait_for_each_other(postgresql: Any, tmp_path: Path) -> None:
    """Two processes that add the same numbers: each number is taken by one, without a deadlock."""
    url = postgresql.database(tmp_path)
    taken: list[str] = []

    def add(number: int) -> None:
        trials = [make_trial(n) for n in range(40)]
        with SqlStore(url) as store:
            try:
                store.add(trials if number % 2 else trials[::-1])
            except InvalidValueError as error:
                taken.append(str(error))

    _run_together(add)
    assert len(taken) == 15
    with SqlStore(url) as store:
        assert len(store) == 40


def test_tables_of_something_else(postgresql: Any, tmp_path: Path) -> None:
    """Other tables beside ours are fine; a table `trials` of another program is refused and kept."""
    url = postgresql.database(tmp_path)
    name = url.rpartition("/")[2]
    postgresql.run("CREATE TABLE recipes (name TEXT)", name)
    postgresql.run("CREATE TABLE trials (trial_id INTEGER)", name)
    with pytest.raises(RunFolderError, match="has a table 'trials' of something else; choose another database"):
        SqlStore(url)
    postgresql.run("DROP TABLE trials", name)
    with SqlStore(url) as store:
        store.add([make_trial(0)])
    assert postgresql.run("SELECT count(*) FROM recipes", name) == [(0,)]


def test_a_changed_row_is_refused_by_name(postgresql: Any, tmp_path: Path) -> None:
    """The checksum speaks for a server too."""
    url = postgresql.database(tmp_path)
    with SqlStore(url) as store:
        store.add([make_trial(0), make_trial(1)])
        postgresql.run("UPDATE trials SET seed = 1 WHERE number = 1", url.rpartition("/")[2])
        assert store.get(0) == make_trial(0)
        with pytest.raises(RunFolderError, match=r"trial 1 of study 'search' in postgresql://.* is damaged"):
            store.trials()


def _run_together(work: Callable[[int], None], n: int = 16) -> None:
    threads = [threading.Thread(target=work, args=(number,)) for number in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
