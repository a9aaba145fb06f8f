"""How a run's supernet ranks, beside tables and beside training; on a smoke run of a tiny space."""

from __future__ import annotations

import gzip
import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from archwright.core.correlation import kendall
from archwright.core.errors import DataError, InvalidValueError, RunFolderError, UsageError
from archwright.core.trial import Candidate
from archwright.ranking import rank_run, read_truth
from archwright.recipes.reopening import open_supernet
from archwright.recipes.spos import SposConfig, spos
from archwright.spaces import NasBench201
from archwright.tasks import digits

FULL = NasBench201()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Path:
    """A finished smoke run; what tests add to it is only `rank.sqlite` and `rank.json`."""
    space = f"{repository / 'tests' / 'recipes' / 'tiny_space.py'}:Tiny"
    config = replace(SposConfig.preset("smoke", (1, 8, 8)), space=space, threads=1, device="cpu", n_draws=0)
    out = tmp_path_factory.mktemp("ranking") / "run"
    spos(config, digits(seed=0), out=out)
    return out


@pytest.fixture
def truth(folder: Path, tmp_path: Path) -> Path:
    """A table with all archs of the space: the truth is a number made of the code."""
    space = open_supernet(folder).space
    codes = [space.code(arch) for arch in space.decisions.archs(space.decisions.enumerate_rows())]
    path = tmp_path / "truth.csv"
    path.write_text("arch,other,accuracy\n" + "".join(f"{code},0,{int(code, 3) / 100}\n" for code in codes))
    return path


def changed(folder: Path, tmp_path: Path, change: Callable[[Path], object]) -> Path:
    """A copy of the run in which something is different."""
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    change(copy)
    return copy


# ── the supernet ──────────────────────────────────────────────────────────────────────────────────


def test_the_supernet_scores_as_it_did_in_the_run(folder: Path) -> None:
    """Every trial of the search, to the bit."""
    from archwright.stores.opening import open_store

    with open_store(folder, "search") as store:
        trials = store.trials()
    evaluator = open_supernet(folder).evaluator
    candidates = [Candidate(trial.number, trial.arch, trial.candidate.seed) for trial in trials]
    assert [found["top1_accuracy"] for found in evaluator.evaluate(candidates)] == [
        trial.metrics["top1_accuracy"] for trial in trials
    ]


def test_opening_leaves_the_folder_alone(folder: Path) -> None:
    """No file is written or changed."""
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    open_supernet(folder)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def unfinish(copy: Path) -> None:
    """A change to a run that is not that far yet."""
    (copy / "checkpoints" / "supernet.safetensors").unlink()
    (copy / "result.json").unlink()


def set_record(key: str, value: object) -> Callable[[Path], object]:
    """A change of run.json, or with a dot of its config."""

    def change(copy: Path) -> None:
        record = json.loads((copy / "run.json").read_text())
        holder = record["config"] if key.startswith("config.") else record
        holder[key.removeprefix("config.")] = value
        del record["sha256"]
        (copy / "run.json").write_text(json.dumps(record))

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda copy: (copy / "run.json").unlink(), "holds no run (there is no run.json)"),
        (
            lambda copy: (copy / "checkpoints" / "supernet.safetensors").unlink(),
            "is gone, which holds the trained supernet",
        ),
        (unfinish, "is not trained yet; finish the run"),
        (lambda copy: (copy / "checkpoints" / "supernet.safetensors").write_bytes(b"x" * 100), "supernet.safetensors"),
        (set_record("recipe", "random"), "is a run of random; it leaves no supernet"),
        (set_record("config.data_sha256", "0" * 64), "the data digits are not those"),
        (set_record("config.space", "nasbench201"), "the checkpoint is of another network"),
        (set_record("config.data", None), "'config.data' is missing or malformed"),
    ],
)
def test_folders_without_a_usable_supernet(
    folder: Path, tmp_path: Path, change: Callable[[Path], object], message: str
) -> None:
    """One line that names what is wrong."""
    with pytest.raises(UsageError) as raised:
        open_supernet(changed(folder, tmp_path, change))
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_supernet_in_training_is_not_ranked(folder: Path, tmp_path: Path) -> None:
    """A checkpoint on the way is no trained supernet."""
    from archwright.runs.files import read_tensors, write_tensors

    def unfinish(copy: Path) -> None:
        path = copy / "checkpoints" / "supernet.safetensors"
        tensors, state = read_tensors(path)
        write_tensors(path, tensors, {**state, "is_done": False})

    with pytest.raises(RunFolderError, match="not trained yet"):
        rank_run(changed(folder, tmp_path, unfinish))


# ── beside a table ────────────────────────────────────────────────────────────────────────────────


def test_against_a_table(folder: Path, truth: Path) -> None:
    """The keys of the document, and correlations that follow from the pairs it lists."""
    found = rank_run(folder, truth=truth, n=12, seed=3)
    assert list(found)[:5] == ["n", "kendall", "spearman", "pearson", "ci95"]
    assert found["n"] == len(found["archs"]) == len({line["arch"] for line in found["archs"]}) == 12
    assert found["column"] == "accuracy"
    scores, true, macs = zip(*((line["score"], line["truth"], line["macs"]) for line in found["archs"]), strict=True)
    assert found["kendall"] == kendall(scores, true)
    assert found["baselines"] == {"macs": kendall(macs, true)}
    assert all(line["truth"] == int(line["arch"], 3) / 100 for line in found["archs"])


def test_the_last_ranking_is_kept_for_the_page(folder: Path, truth: Path) -> None:
    """`rank.json` holds what was returned."""
    found = rank_run(folder, truth=truth, n=10)
    assert json.loads((folder / "rank.json").read_text()) == found


def test_scores_are_of_the_validation_part(folder: Path, truth: Path) -> None:
    """And of the test part where that is asked for in Python."""
    found = rank_run(folder, truth=truth, n=4)
    again = rank_run(folder, truth=truth, n=4, part="test")
    space = open_supernet(folder).space
    candidates = [Candidate(i, space.parse(line["arch"]), 0) for i, line in enumerate(found["archs"])]
    for part, document in (("validation", found), ("test", again)):
        expected = open_supernet(folder, part=part).evaluator.evaluate(candidates)  # type: ignore[arg-type]
        assert [line["score"] for line in document["archs"]] == [metrics["top1_accuracy"] for metrics in expected]
        assert document["part"] == part


def test_the_seed_draws_the_archs(folder: Path, truth: Path) -> None:
    """The same again, others with another; more with the same seed begin alike."""
    drawn = {
        (n, seed, i): [line["arch"] for line in rank_run(folder, truth=truth, n=n, seed=seed)["archs"]]
        for n, seed, i in ((5, 0, 0), (5, 0, 1), (5, 1, 0), (8, 0, 0))
    }
    assert drawn[5, 0, 0] == drawn[5, 0, 1] == drawn[8, 0, 0][:5]
    assert drawn[5, 0, 0] != drawn[5, 1, 0]


def test_more_archs_than_the_space_has(folder: Path, truth: Path) -> None:
    """All of them: 3^4."""
    assert rank_run(folder, truth=truth, n=100)["n"] == 81


def test_archs_that_the_table_lacks_are_named(folder: Path, truth: Path) -> None:
    """Some of them, and how many."""
    lines = truth.read_text().splitlines()
    truth.write_text("\n".join(lines[:41]))
    with pytest.raises(DataError, match=r"has no accuracy for \d+ of 30 drawn architectures: \d{4}, \d{4}, \d{4}, …"):
        rank_run(folder, truth=truth, n=30)


def test_too_few_to_rank() -> None:
    """Said before anything is opened."""
    with pytest.raises(InvalidValueError, match="needs at least 2"):
        rank_run("nowhere", n=1)


# ── tables ────────────────────────────────────────────────────────────────────────────────────────


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "table.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_table_names_archs_by_text_or_index(tmp_path: Path) -> None:
    """As the space parses them; empty lines and cells are passed over."""
    path = written(tmp_path, f'arch,test\n{FULL.code(FULL.parse("0"))},85.5\n\n11,91\n284,\n"1"\n')
    found, column = read_truth(path, FULL)
    assert found == {FULL.parse("0"): 85.5, FULL.parse("11"): 91.0}
    assert column == "test"


def test_a_table_of_a_larger_space(tmp_path: Path) -> None:
    """Lines that are no members are passed over."""
    path = written(tmp_path, "arch,accuracy\n1,0.5\n6111,0.75\n")
    assert set(read_truth(path, NasBench201(reduce=1))[0].values()) == {0.5}


def test_the_published_table(shared_data: Callable[[str], Path]) -> None:
    """All cells, gzipped, with the usual column and with another."""
    path = shared_data("nasbench201/nb201.csv.gz")
    found, column = read_truth(path, FULL)
    assert (len(found), column) == (15_625, "test200_c10")
    assert found[FULL.parse("6111")] == max(found.values()) == 94.3733
    assert read_truth(path, FULL, "test200_in16")[0][FULL.parse("857")] == 47.3111


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("", None, "has no column 'arch'; its columns: none"),
        ("cell,accuracy\n1,2\n", None, "has no column 'arch'; its columns: cell, accuracy"),
        (
            "arch,mean\n1,2\n",
            None,
            "none of the columns test200_c10, mean_acc, accuracy, test, top1_accuracy, perplexity; name one",
        ),
        ("arch,mean\n1,2\n", "men", "has no column 'men'; name one with --column: arch, mean"),
        ("arch,test\n1,good\n", None, "line 2: test is 'good'; give a finite number"),
        ("arch,test\n1,nan\n", None, "line 2: test is 'nan'; give a finite number"),
        ("arch,test\n1,2\n1,3\n", None, "line 3: 1 stands there twice"),
        ("arch,test\nx,2\n", None, "no architecture of space 'nasbench201' with a value; the first line that is none"),
        ('arch,test\n"1,2\n', None, "no architecture of space 'nasbench201'"),
    ],
)
def test_tables_that_cannot_be_used(tmp_path: Path, text: str, column: str | None, message: str) -> None:
    """Where and why, in one line."""
    with pytest.raises(DataError) as raised:
        read_truth(written(tmp_path, text), FULL, column)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_files_that_are_no_tables(tmp_path: Path) -> None:
    """Missing, a folder, not gzip, truncated gzip, no text."""
    (tmp_path / "plain.csv.gz").write_text("arch,test\n1,2\n")
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress(b"arch,test\n1,2\n" * 1000)[:40])
    (tmp_path / "bytes.csv").write_bytes(bytes(range(128, 256)))
    for name in ("missing.csv", ".", "plain.csv.gz", "cut.csv.gz", "bytes.csv"):
        with pytest.raises(DataError, match=r"there is no such file|cannot be read as CSV"):
            read_truth(tmp_path / name, FULL)


# ── beside training ───────────────────────────────────────────────────────────────────────────────


def test_against_training(folder: Path, tmp_path: Path) -> None:
    """Truths are those of training each arch with the run's retraining; again they are taken from the store."""
    from archwright.evaluators.from_scratch import FromScratch
    from archwright.stores.opening import open_store

    copy = changed(folder, tmp_path, lambda copy: None)
    found = rank_run(copy, n=3)
    opened = open_supernet(copy)
    with open_store(copy / "rank.sqlite", "truth-0") as store:
        candidates = [trial.candidate for trial in store.trials()]
    expected = FromScratch(opened.space, opened.task, opened.config.retrain).evaluate(candidates)
    assert [line["truth"] for line in found["archs"]] == [metrics["top1_accuracy"] for metrics in expected]
    assert rank_run(copy, n=3) == found


def test_an_interrupted_ranking_goes_on(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of four trained, then a stop: only the other two are trained, and the end is the same."""
    from archwright.evaluators.from_scratch import FromScratch

    once, again = tmp_path / "once", tmp_path / "again"
    for copy in (once, again):
        shutil.copytree(folder, copy)
    expected = rank_run(once, n=4)
    original, trained = FromScratch._evaluate, []

    def stopping(self: FromScratch, candidate: Candidate) -> Any:
        if len(trained) == 2:
            raise KeyboardInterrupt
        trained.append(candidate.number)
        return original(self, candidate)

    monkeypatch.setattr(FromScratch, "_evaluate", stopping)
    with pytest.raises(KeyboardInterrupt):
        rank_run(again, n=4)
    monkeypatch.setattr(FromScratch, "_evaluate", lambda self, c: trained.append(c.number) or original(self, c))
    assert rank_run(again, n=4) == expected
    assert trained == [0, 1, 2, 3]


# ── the command ───────────────────────────────────────────────────────────────────────────────────


def test_the_command_prints_the_document(cli: Callable[..., Any], folder: Path, truth: Path) -> None:
    """Strict JSON; the same figures as from Python."""
    done = cli("rank", folder, "--truth", truth, "--n", 6, "--json")
    assert done.code == 0
    document = json.loads(done.out)
    expected = rank_run(folder, truth=truth, n=6)
    for key in ("n", "kendall", "spearman", "pearson", "baselines"):
        assert document[key] == pytest.approx(expected[key], nan_ok=True) or math.isnan(expected[key])


def test_a_folder_that_is_no_run(cli: Callable[..., Any], tmp_path: Path) -> None:
    """Exit code 2 and one line; also for a name no system takes."""
    for name, message in ((tmp_path, "holds no run"), ("x" * 5000, "cannot be looked up: File name too long")):
        done = cli("rank", name)
        assert (done.code, done.out) == (2, "")
        assert message in done.err
        assert done.err.count("\n") == 1
