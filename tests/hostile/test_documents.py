"""Texts and JSON files that nobody meant: only our errors come out."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import strategies as st

from archwright.core.arch import Arch
from archwright.core.config import from_json, parse_quantity, settings_of, to_json, with_settings
from archwright.core.errors import RunFolderError
from archwright.core.trial import Candidate, Trial
from archwright.costs.tables.latencies import LookupTable, SpaceTable
from archwright.finish.result import checked_record
from archwright.ranking import read_truth
from archwright.recipes import EvolutionSearchConfig, GridSearchConfig, RandomSearchConfig, SposConfig
from archwright.recipes.reopening import open_supernet
from archwright.recipes.train import TrainConfig
from archwright.runs.ledger import Ledger
from archwright.runs.record import make_record, read_record
from archwright.runs.status import read_status
from archwright.spaces import NasBench201, NasBench201Size, SposSpace
from archwright.spaces.opening import arch_document, open_architecture
from archwright.stores.rows import COLUMNS, checksum, from_row, to_row
from archwright.tasks import open_task
from archwright.testing.hostile import (
    N_QUICK,
    chosen_seed,
    json_values,
    mutated,
    mutated_bytes,
    mutated_json,
    only_our_errors,
    run_cases,
    texts,
)

Check = Callable[[Path, Any], None]

CELLS = NasBench201(channels=2, cells=1)
SPOS = SposSpace(input_shape=(1, 8, 8), n_classes=10)
SPACES = (CELLS, NasBench201Size(), SPOS)
KINDS: tuple[Any, ...] = (SposConfig, TrainConfig, RandomSearchConfig, GridSearchConfig, EvolutionSearchConfig)
CONFIGS = tuple(kind.preset("smoke", (1, 8, 8)) for kind in KINDS)

DIGITS = {"data": "digits", "data_sha256": open_task("digits", val_images=20).fingerprint}
RECORD = make_record(
    {"recipe": "spos", **DIGITS, "data_options": {"val_images": 20}, **to_json(CONFIGS[0])},
    recipe="spos",
    seed=0,
    threads=1,
    command=["archwright"],
)
STATUS = {
    **{"format": 1, "state": "running", "phase": "supernet", "done": 3, "total": 8, "best": 0.5, "pid": 1},
    **{"figures": {"loss": 1.5}, "time_left_s": 3.5, "elapsed_s": 7.0, "updated": "now", "result_sha256": None},
}
FINISHED = {
    **{**STATUS, "state": "finished", "result_sha256": "0" * 64, "n_trials": {"search": 8}},
    "files_sha256": {"report.html": "0" * 64, "best/model.py": "0" * 64, "../../etc/passwd": "0" * 64},
}
LEDGER = {"supernet": {"wall_s": 1.0, "cpu_s": 2.0, "peak_rss_mb": 3.0}}
RESULT = {
    **{"format": 1, "recipe": "spos", "metric": "top1_accuracy", "direction": "max", "test": 0.5, "validation": 0.5},
    **{"macs": 10, "params": 20, "code": "00", "n_evaluated": 3, "arch": {"block0": "shuffle3"}},
    "constraints": [{"cost": "macs", "limit": 20.0, "predicted": 10, "value": 10, "satisfied": True}],
    "latency_ms": {"torch": {"median": 1.0, "p90": 2.0}},
    "int8": {"test": 0.5, "agreement": 1.0, "agreement_on": "x", "latency_ms": {"onnxruntime": {"median": 1.0}}},
    "random_baseline": {"test": 0.4, "macs": 9, "n_evaluated": 3, "draws": [{"arch": {}, "test": 0.3, "macs": 8}]},
    "not_exported": {"model.py": "why"},
}
TABLE = SpaceTable(
    "table",
    {f"edge{edge}={op}": 0.5 for edge in ("01", "02") for op in CELLS.ops} | {"edge01=none,edge02=none": 1.0},
    1.0,
    space="nasbench201",
    space_args=CELLS.args(),
    decisions=CELLS.decisions.fingerprint,
    scopes=(("edge01",), ("edge02",), ("edge01", "edge02")),
    machine={"cpu": "x"},
    checked=({"arch": "x", "predicted": 1.0, "measured": 1.0, "fitted": True},),
).to_json()
OPERATORS: tuple[Any, ...] = (
    {"Conv-input:224x224x3-output:112x112x32": {"count": 3, "mean": 1.5}},
    [None, [1.0, 2.0, 3.0], [4, 5, 6, 7, 8, 9, 10, 11, 12]],
)
TRUTH = f"arch,accuracy\n{CELLS.code(CELLS.parse('7'))},0.5\n{CELLS.code(CELLS.parse('8'))},\n6111,0.25\n".encode()
CSV = b"key,mid_channels,latency_ms\nbase,0,1.5\nMBInvertedResBlock_7_192_384_320_k5_s1_swish,1536,2.5\n"


def _arch_json(folder: Path, content: bytes) -> None:
    """An arch.json is a member of its space, or refused."""
    path = folder / "arch.json"
    path.write_bytes(content)
    found = only_our_errors(lambda: open_architecture(str(path)))
    if found is not None:
        assert found.space.parse(found.space.code(found.arch)) == found.arch
        if found.space.decisions == SPOS.decisions:
            with torch.device("meta"):
                found.space.build(found.arch)


def _config(folder: Path, case: tuple[int, Any]) -> None:
    """What a config accepts, it writes and reads again the same."""
    kind = type(CONFIGS[case[0]])
    found: Any = only_our_errors(lambda: from_json(kind, case[1]))
    if found is not None:
        assert from_json(kind, json.loads(json.dumps(to_json(found), allow_nan=False))) == found


def _setting(folder: Path, case: tuple[int, dict[str, str]]) -> None:
    """So does `--set`."""
    found: Any = only_our_errors(lambda: with_settings(CONFIGS[case[0]], case[1]))
    if found is not None:
        assert from_json(type(found), json.loads(json.dumps(to_json(found), allow_nan=False))) == found


def _quantity(folder: Path, text: str) -> None:
    """A finite number, or refused."""
    found = only_our_errors(lambda: parse_quantity(text))
    assert found is None or abs(found) < float("inf")


def _code(folder: Path, case: tuple[int, str]) -> None:
    """A code is a member's, which has a code that is its own."""
    space = SPACES[case[0]]
    found = only_our_errors(lambda: space.parse(case[1]))
    if found is not None:
        assert space.parse(space.code(found)) == found
    only_our_errors(lambda: open_architecture(f"{space.name}:{case[1]}"))


def _run_json(folder: Path, content: bytes) -> None:
    """What is read of run.json can be worked with: config, data, supernet."""
    (folder / "run.json").write_bytes(content)
    record = only_our_errors(lambda: read_record(folder))
    only_our_errors(lambda: open_supernet(folder))
    if record is not None and "folder" not in record["config"].get("data", "digits"):
        stored = record["config"]
        options = stored.get("data_options", {})
        only_our_errors(lambda: open_task(stored.get("data", "digits"), seed=stored.get("seed", 0), **options))


def _status(folder: Path, case: tuple[bytes, bytes]) -> None:
    """A status is shown, whatever its file holds."""
    (folder / "run.json").write_text(json.dumps(RECORD))
    (folder / "status.json").write_bytes(case[0])
    (folder / "ledger.json").write_bytes(case[1])
    json.dumps(read_status(folder), allow_nan=False)
    Ledger(folder).entries()


def _result(folder: Path, case: Any) -> None:
    """A result is one that can be shown, or refused."""
    found = only_our_errors(lambda: checked_record(case, folder))
    assert found is None or found is case


def _table(folder: Path, case: tuple[str, bytes]) -> None:
    """A latency table can be looked up, or says what is missing."""
    path = folder / case[0]
    path.write_bytes(case[1])
    found = only_our_errors(lambda: LookupTable.open(path))
    if isinstance(found, SpaceTable):
        rows = CELLS.decisions.enumerate_rows()[:3]
        only_our_errors(lambda: found.cost_rows(CELLS, rows))
    elif found is not None:
        only_our_errors(lambda: found.total(["nothing"]))


def _truth(folder: Path, case: tuple[str, bytes]) -> None:
    """A table of true scores: finite numbers of members, or refused."""
    path = folder / case[0]
    path.write_bytes(case[1])
    found = only_our_errors(lambda: read_truth(path, CELLS))
    assert found is None or all(abs(value) < float("inf") for value in found[0].values())


def _row(folder: Path, values: tuple[Any, ...]) -> None:
    """A row of a database whose checksum is right is a trial, or a ValueError, which the store makes an error of."""
    with suppress(ValueError):
        assert from_row((*values, checksum(values))).status in ("complete", "failed")


def _named_settings() -> st.SearchStrategy[tuple[int, dict[str, str]]]:
    def of(i: int) -> st.SearchStrategy[tuple[int, dict[str, str]]]:
        names = st.sampled_from(sorted(settings_of(CONFIGS[i]))) | texts()
        numbers = st.sampled_from(("0", "-1", "1", "2.5", "1e300", "9" * 30, "20M", "1,2", "a:1,b:2", "none", "true"))
        return st.tuples(st.just(i), st.dictionaries(names, texts() | numbers, min_size=1, max_size=3))

    return st.integers(0, len(CONFIGS) - 1).flatmap(of)


def _rows() -> st.SearchStrategy[tuple[Any, ...]]:
    trial = Trial(Candidate(3, Arch({"op": "a"}), 5), "complete", {"x": 0.5}, {"macs": 3.0}, 1.0)
    good = to_row(trial, "search")[:-1]
    assert from_row((*good, checksum(good))) == trial
    other = json_values().map(json.dumps) | texts() | st.none() | st.integers(-(2**63), 2**63 - 1) | st.floats()

    def of(place: int) -> st.SearchStrategy[tuple[Any, ...]]:
        return other.map(lambda value: (*good[:place], value, *good[place + 1 :]))

    return st.integers(0, len(COLUMNS) - 2).flatmap(of)


def _statuses() -> st.SearchStrategy[bytes]:
    return st.sampled_from((STATUS, FINISHED)).flatmap(mutated_json)


def _statuses() -> st.SearchStrategy[bytes]:
    return st.sampled_from((STATUS, FINISHED)).flatmap(mutated_json)


def _configs() -> st.SearchStrategy[tuple[int, Any]]:
    def of(i: int) -> st.SearchStrategy[tuple[int, Any]]:
        document = to_json(CONFIGS[i])
        return st.tuples(st.just(i), mutated(document) | mutated(document, 8) | json_values())

    return st.integers(0, len(CONFIGS) - 1).flatmap(of)


def _codes() -> st.SearchStrategy[tuple[int, str]]:
    def of(i: int) -> st.SearchStrategy[tuple[int, str]]:
        good = SPACES[i].code(SPACES[i].decisions.arch(SPACES[i].decisions.enumerate_rows()[7])) if i < 2 else "0" * 10
        damaged = mutated_bytes(good.encode()).map(lambda data: data.decode("utf-8", "surrogateescape"))
        return st.tuples(st.just(i), texts() | st.integers().map(str) | damaged)

    return st.integers(0, 2).flatmap(of)


ARCHS = [arch_document(space, space.decisions.arch(space.decisions.enumerate_rows()[5])) for space in SPACES[:2]]
ARCHS.append(arch_document(SPOS, SPOS.parse("0123012301")))

CASES: dict[str, tuple[Check, st.SearchStrategy[Any], int]] = {
    "arch.json": (_arch_json, st.sampled_from(ARCHS).flatmap(mutated_json), 10_000),
    "config": (_config, _configs(), 10_000),
    "--set": (_setting, _named_settings(), 10_000),
    "quantity": (_quantity, texts() | mutated_bytes(b"1_0.5e3M").map(lambda data: data.decode("latin-1")), 3_000),
    "code": (_code, _codes(), 5_000),
    "run.json": (_run_json, mutated_json(RECORD), 2_000),
    "status.json": (_status, st.tuples(_statuses(), mutated_json(LEDGER)), 5_000),
    "result.json": (_result, mutated(RESULT) | json_values(), 5_000),
    "table of scores": (
        _truth,
        st.tuples(st.sampled_from(("t.csv", "t.csv.gz")), mutated_bytes(TRUTH) | st.binary(max_size=200)),
        2_000,
    ),
    "row": (_row, _rows(), 3_000),
    "latency table": (
        _table,
        st.tuples(st.just("t.json"), mutated_json(TABLE) | st.sampled_from(OPERATORS).flatmap(mutated_json))
        | st.tuples(st.sampled_from(("t.csv", "t.csv.gz", "t.json.gz")), mutated_bytes(CSV)),
        5_000,
    ),
}
"""By name: the check, the values, and how many of them in the long run."""


@pytest.mark.parametrize("name", CASES)
def test_only_our_errors_come_out(tmp_path: Path, name: str) -> None:
    """A few, the same each time."""
    check, values, _ = CASES[name]
    run_cases(lambda value: check(tmp_path, value), values, n=N_QUICK)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", CASES)
def test_only_our_errors_come_out_of_many(tmp_path: Path, name: str) -> None:
    """60,000 here, others each time unless the environment names the seed."""
    check, values, n = CASES[name]
    run_cases(lambda value: check(tmp_path, value), values, n=n, seed=chosen_seed())


def test_good_documents_are_accepted(tmp_path: Path) -> None:
    """What is changed above is right before: otherwise nothing but the first check would be tried."""
    for document in ARCHS:
        (tmp_path / "arch.json").write_text(json.dumps(document))
        assert open_architecture(str(tmp_path / "arch.json")).arch
    (tmp_path / "run.json").write_text(json.dumps(RECORD))
    with pytest.raises(RunFolderError, match="is not trained yet"):
        open_supernet(tmp_path)
    assert checked_record(RESULT, tmp_path) == RESULT
    (tmp_path / "t.json").write_text(json.dumps(TABLE))
    table = LookupTable.open(tmp_path / "t.json")
    assert isinstance(table, SpaceTable)
    table.check_fits(CELLS)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": True},
        {"seed": -1},
        {"threads": 0},
        {"config": {"seed": "1"}},
        {"config": {"data": 5}},
        {"config": {"data_options": [1]}},
        {"config": {"data_options": {"path": "/"}}},
        {"config": {"data_options": {"input_shape": "388"}}},
    ],
)
def test_record_with_a_value_of_another_kind_is_damaged(tmp_path: Path, change: dict[str, Any]) -> None:
    """The line names file and key."""
    (tmp_path / "run.json").write_text(json.dumps({**RECORD, **change}))
    with pytest.raises(RunFolderError, match=r"run\.json is damaged, '(config\.)?\w+' is missing or malformed"):
        read_record(tmp_path)


def test_equal_numbers_of_an_arch_are_one_arch(tmp_path: Path) -> None:
    """8.0 in a file is the width 8, in the code as well."""
    document = json.loads(json.dumps(ARCHS[1]))
    document["arch"] = {name: float(value) for name, value in document["arch"].items()}
    (tmp_path / "arch.json").write_text(json.dumps(document))
    found = open_architecture(str(tmp_path / "arch.json"))
    assert "." not in found.space.code(found.arch)
