"""Time and memory of phases."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from archwright.runs.ledger import Ledger


def test_wall_and_cpu_time_are_told_apart(tmp_path: Path) -> None:
    """Sleeping costs wall time alone; computing costs both."""
    ledger = Ledger(None)
    ledger.begin("sleep")
    time.sleep(0.2)
    ledger.end("sleep")
    ledger.begin("work")
    start = time.process_time()
    while time.process_time() - start < 0.2:
        pass
    ledger.end("work")
    entries = ledger.entries()
    assert 0.2 <= entries["sleep"]["wall_s"] < 2
    assert entries["sleep"]["cpu_s"] < 0.15
    assert entries["work"]["cpu_s"] == pytest.approx(0.2, abs=0.1)


def test_peak_memory_is_in_megabytes() -> None:
    """An interpreter with pytest takes between 10 MB and 10 GB; a wrong unit is a factor of 1024 off."""
    ledger = Ledger(None)
    ledger.begin("a")
    ledger.end("a")
    assert 10 < ledger.entries()["a"]["peak_rss_mb"] < 10_000


def test_times_add_up_over_resumptions(tmp_path: Path) -> None:
    """A later process goes on from what the file says."""
    (tmp_path / "ledger.json").write_text(json.dumps({"a": {"wall_s": 100.0, "cpu_s": 50.0, "peak_rss_mb": 1e6}}))
    ledger = Ledger(tmp_path)
    ledger.begin("a")
    time.sleep(0.02)
    ledger.end("a")
    ledger.save()
    entry = Ledger(tmp_path).entries()["a"]
    assert 100.02 <= entry["wall_s"] < 101
    assert entry["peak_rss_mb"] == 1e6


def test_a_running_phase_counts_up_to_now(tmp_path: Path) -> None:
    """Reading does not stop the clock."""
    ledger = Ledger(None)
    ledger.begin("a")
    time.sleep(0.02)
    first = ledger.entries()["a"]["wall_s"]
    time.sleep(0.02)
    assert ledger.entries()["a"]["wall_s"] >= first + 0.019
    assert first >= 0.019


@pytest.mark.parametrize("text", ["", "[1]", '{"a": 3}', '{"a": {"wall_s": -1, "cpu_s": 0, "peak_rss_mb": 0}}'])
def test_a_damaged_file_is_rebuilt_from_checkpoints(tmp_path: Path, text: str) -> None:
    """What a checkpoint knows is taken over; what is ahead of it is kept."""
    (tmp_path / "ledger.json").write_text(text)
    ledger = Ledger(tmp_path)
    assert ledger.was_damaged
    ledger.recall("a", {"wall_s": 5.0, "cpu_s": 4.0, "peak_rss_mb": 3.0})
    ledger.recall("a", {"wall_s": 2.0, "cpu_s": 1.0, "peak_rss_mb": 1.0})
    ledger.recall("b", "nonsense")  # type: ignore[arg-type]
    assert ledger.entries() == {"a": {"wall_s": 5.0, "cpu_s": 4.0, "peak_rss_mb": 3.0}}


def test_a_changed_figure_is_noticed(tmp_path: Path) -> None:
    """The ledger counts as damaged, and is rebuilt from the checkpoints."""
    ledger = Ledger(tmp_path)
    ledger.begin("a")
    ledger.end("a")
    ledger.save()
    path = tmp_path / "ledger.json"
    path.write_text(path.read_text().replace('"wall_s": 0.0', '"wall_s": 8.0'))
    assert Ledger(tmp_path).was_damaged
    assert Ledger(tmp_path).entries() == {}
