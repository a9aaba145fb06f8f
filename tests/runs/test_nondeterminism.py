"""Operations without a deterministic form take the promise of the same bits back."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from archwright.core.errors import RunError, RunFolderError
from archwright.runs import files, nondeterminism
from archwright.runs.nondeterminism import operation_of, withdrawal
from archwright.runs.record import read_record
from archwright.runs.run import Run, open_run

PUT = (
    "put_ does not have a deterministic implementation, but you set 'torch.use_deterministic_algorithms(True, warn_only"
)
CUBLAS = (
    "Deterministic behavior was enabled with either `torch.use_deterministic_algorithms(True)` or `at::Context::"
    "setDeterministicAlgorithms(true)`, but this operation is not deterministic because it uses CuBLAS and you have"
)


@pytest.fixture
def _warning_torch() -> Iterator[None]:
    """Torch with its switch on, and a process that listens."""
    filled = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    torch.set_deterministic_debug_mode("warn")
    nondeterminism.listen()
    yield
    torch.set_deterministic_debug_mode("default")
    torch.utils.deterministic.fill_uninitialized_memory = filled  # type: ignore[attr-defined]


def put() -> None:
    """An operation that has no deterministic form, on a CPU either."""
    torch.zeros(4).put_(torch.tensor([0, 0]), torch.ones(2))


def begin(folder: Path | None, *, resume: bool = False) -> Run:
    return open_run(folder, {}, seed=0, resume=resume, recipe="toy", threads=1)


@pytest.mark.parametrize(
    ("warning", "operation"),
    [
        (PUT, "put_"),
        ("scatter_add_cuda_kernel does not have a deterministic implementation, but", "scatter_add_cuda_kernel"),
        ("Memory Efficient attention defaults to a non-deterministic algorithm. To", "Memory Efficient attention"),
        (CUBLAS, "CuBLAS"),
        ("index_reduce() is in beta and the API may change at any time.", None),
    ],
)
def test_operation_of_a_warning(warning: str, operation: str | None) -> None:
    """Torch's own words."""
    assert operation_of(warning) == operation


@pytest.mark.usefixtures("_warning_torch")
def test_what_torch_warns_of_is_entered_at_once(tmp_path: Path) -> None:
    """In run.json and the log, each operation once, and shown nowhere; before the run ends."""
    with begin(tmp_path) as run, warnings.catch_warnings():
        for _ in range(2):
            put()
        assert read_record(tmp_path)["nondeterministic"] == ["put_"]
        assert run.nondeterministic == ["put_"]
        said = [line for line in (tmp_path / "log.txt").read_text().splitlines() if "put_" in line]
        assert [line.partition(" ")[2] for line in said] == [withdrawal(["put_"])]


@pytest.mark.usefixtures("_warning_torch")
def test_each_run_of_a_process_has_its_own(tmp_path: Path) -> None:
    """The same operation at the same place in two runs; none where there was none, nor after the end."""
    for name in ("a", "b"):
        with begin(tmp_path / name):
            put()
    with begin(tmp_path / "c"):
        pass
    put()
    found = [read_record(tmp_path / name).get("nondeterministic") for name in "abc"]
    assert found == [["put_"], ["put_"], None]


@pytest.mark.usefixtures("_warning_torch")
def test_other_warnings_pass() -> None:
    """They go where they went before."""
    with pytest.raises(UserWarning, match="something else"):
        warnings.warn("something else", stacklevel=1)


def test_resumed_run_remembers(tmp_path: Path) -> None:
    """A run is what all of its processes met."""
    with begin(tmp_path):
        nondeterminism.note("put_")
    with begin(tmp_path, resume=True) as run:
        nondeterminism.note("histc")
        assert run.nondeterministic == ["put_", "histc"]
        run.finish({})
    assert read_record(tmp_path)["nondeterministic"] == ["put_", "histc"]


def test_a_full_disk_fails_no_trial_but_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Noting happens amid an operation, which is not to blame; without the note there is no result."""
    with begin(tmp_path) as run:

        def full(*arguments: object, **more: object) -> None:
            raise RunError("run.json cannot be written: No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr(files, "write_sealed_json", full)
            nondeterminism.note("put_")
            with pytest.raises(RunError, match="No space left"):
                run.finish({})
        assert not (tmp_path / "result.json").exists()
        run.finish({})
    assert read_record(tmp_path)["nondeterministic"] == ["put_"]


def test_in_memory() -> None:
    """Without a folder the run knows all the same."""
    with begin(None) as run:
        nondeterminism.note("put_")
        assert run.nondeterministic == ["put_"]


@pytest.mark.parametrize("harm", [["put_", 3], "put_", None])
def test_malformed_names_are_refused(tmp_path: Path, harm: object) -> None:
    """As any other part of run.json."""
    with begin(tmp_path) as run:
        record = run.record
    files.write_sealed_json(tmp_path / "run.json", json.loads(json.dumps(record)) | {"nondeterministic": harm})
    with pytest.raises(RunFolderError, match="'nondeterministic' is missing or malformed"):
        read_record(tmp_path)


def test_words_of_the_withdrawal() -> None:
    """One line; nothing where nothing is withdrawn."""
    assert withdrawal([]) == ""
    assert withdrawal(["a", "b"]) == "the same seed may give other bits: a, b have no deterministic form here"
