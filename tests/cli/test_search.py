"""`archwright search`, with a recipe that needs no torch."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import make_dataclass
from pathlib import Path
from typing import Any

import pytest

from archwright.core.errors import InfeasibleError, RunError

Cli = Callable[..., Any]


def test_defaults(cli: Cli, toy: Any) -> None:
    """Digits, the quick preset, seed 0, a new folder under runs/; the estimate comes first, then the result."""
    done = cli("search", "toy")
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == ["200 steps on digits", "test accuracy 0.98", "everything is in runs/toy-1"]
    assert [(call["data"], call["config"].seed, call["resume"]) for call in toy.calls] == [("digits", 0, False)]


def test_the_process_is_made_deterministic(cli: Cli, toy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """For the device of the config, before anything is computed."""
    devices: list[Any] = []
    monkeypatch.setattr("archwright.training.device.make_deterministic", devices.append)
    toy.act = lambda: devices.append("run")
    cli("search", "toy")
    assert [str(device) for device in devices] == ["cpu", "run"]


def test_next_run_gets_its_own_folder(cli: Cli, toy: Any) -> None:
    """Nothing of an earlier run is overwritten."""
    cli("search", "toy")
    cli("search", "toy")
    assert [str(call["out"]) for call in toy.calls] == ["runs/toy-1", "runs/toy-2"]


def test_options_reach_the_config(cli: Cli, toy: Any) -> None:
    """Each option fills the field of its name; sizes may be written for people."""
    options = ("--data", "npz:a.npz", "--space", "file.py:Mine", "--preset", "smoke", "--seed", 7, "--threads", 2)
    limits = ("--device", "auto", "--limit", "memory-access-bytes=1G", "--max-macs", "20M", "--max-params", "300k")
    cli("search", "toy", *options, *limits)
    config = toy.calls[0]["config"]
    assert (config.space, config.seed, config.threads, config.device) == ("file.py:Mine", 7, 2, "auto")
    assert config.limits == (("memory_access_bytes", 1e9), ("macs", 2e7), ("params", 3e5))
    assert (toy.calls[0]["data"], toy.calls[0]["task_seed"], config.training.steps) == ("npz:a.npz", 7, 2)


def test_options_of_the_data_reach_the_task(cli: Cli, toy: Any) -> None:
    """As `open_task` takes them; a resumed run has them too, and what is given again comes before."""
    cli("search", "toy", "--data", "folder:a", "--val-images", "50k", "--input", "3x64x64", "--out", "a")
    assert toy.calls[0]["data_options"] == {"val_images": 50_000, "input_shape": (3, 64, 64)}
    cli("search", "toy", "--out", "a", "--resume")
    cli("search", "toy", "--out", "a", "--resume", "--val-images", 7)
    assert [call["data_options"]["val_images"] for call in toy.calls] == [50_000, 50_000, 7]
    assert toy.calls[1]["data_options"]["input_shape"] == [3, 64, 64]


def test_set_changes_any_setting(cli: Cli, toy: Any) -> None:
    """By dotted name, after preset and options."""
    cli("search", "toy", "--set", "training.steps=5k", "--set", "training.rate=0.1")
    assert toy.calls[0]["config"].training == type(toy.calls[0]["config"].training)(5000, 0.1)


def test_dry_run_prints_only_the_estimate(cli: Cli, toy: Any, tmp_path: Path) -> None:
    """Nothing runs and nothing is written."""
    done = cli("search", "toy", "--preset", "paper", "--dry-run")
    assert (done.code, done.out, toy.calls) == (0, "150000 steps on digits\n", [])
    assert list(tmp_path.iterdir()) == []


def test_resumed_run_keeps_what_is_not_given(cli: Cli, toy: Any) -> None:
    """Data, limits, seed and settings are those of the run."""
    cli(
        "search",
        "toy",
        "--data",
        "mnist5k",
        "--seed",
        3,
        "--max-macs",
        "2M",
        "--set",
        "training.rate=0.25",
        "--out",
        "a",
    )
    cli("search", "toy", "--out", "a", "--resume")
    first, second = toy.calls
    assert {**first, "resume": True} == second


def test_resumed_run_with_its_preset_again_keeps_the_other_options(cli: Cli, toy: Any) -> None:
    """The same command line with one option less is the same run."""
    cli("search", "toy", "--preset", "smoke", "--seed", 3, "--max-macs", "2M", "--out", "a")
    cli("search", "toy", "--preset", "smoke", "--out", "a", "--resume")
    first, second = toy.calls
    assert second["config"] == first["config"]


@pytest.mark.parametrize("preset", [(), ("--preset", "smoke")])
def test_a_run_of_an_older_build_stays_without_a_later_setting(cli: Cli, toy: Any, preset: tuple[str, ...]) -> None:
    """Also where its command is given again, preset and all; `--set` asks for another run."""
    cli("search", "toy", "--preset", "smoke", "--out", "a")
    path = Path("a/run.json")
    record = json.loads(path.read_text())
    del record["config"]["later"]
    path.write_text(json.dumps(record))
    cli("search", "toy", *preset, "--out", "a", "--resume")
    path.write_text(json.dumps(record))
    cli("search", "toy", *preset, "--out", "a", "--resume", "--set", "later=true")
    assert [call["config"].later for call in toy.calls] == [True, False, True]


def test_resumed_run_is_told_what_differs(cli: Cli, toy: Any) -> None:
    """Given options reach the recipe, which refuses them where they differ from the run's."""
    cli("search", "toy", "--out", "a")
    cli("search", "toy", "--out", "a", "--resume", "--seed", 9)
    assert [call["config"].seed for call in toy.calls] == [0, 9]


def test_resume_where_nothing_is_yet_starts(cli: Cli, toy: Any) -> None:
    """One command line serves the first call and each later one, as in `make demo`."""
    given = ("search", "toy", "--data", "digits", "--out", "new", "--resume")
    assert cli(*given).out.startswith("200 steps on digits\n")
    assert cli("search", "toy", "--out", "new", "--resume").out == "test accuracy 0.98\neverything is in new\n"


def test_workers_become_a_pool(cli: Cli, toy: Any) -> None:
    """Of as many processes, each with the threads of the run; one worker without a time limit is this process."""
    assert cli("search", "toy", "--workers", "3", "--threads", "2", "--trial-timeout", "90").code == 0
    pool = toy.calls[0]["runner"]
    assert (pool.n_workers, pool.threads, pool.trial_timeout_s) == (3, 2, 90.0)
    cli("search", "toy", "--workers", "1")
    assert toy.calls[1]["runner"] is None


def test_too_many_workers_are_noted(cli: Cli, toy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """They share the cores, which is slower; on standard error, and the run goes on."""
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    said = cli("search", "toy", "--workers", "3", "--threads", "2").err
    assert said.startswith("note: 3 workers of 2 threads each share 4 cores; fewer are faster")
    assert cli("search", "toy", "--workers", "2", "--threads", "2").err == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("tyo",), "unknown recipe 'tyo'; did you mean toy?"),
        (("toy", "--max-macs", "many"), "the limit on macs is 'many'; give a positive number like 20M"),
        (("toy", "--max-macs", "0"), "the limit on macs is '0'"),
        (("toy", "--max-macs", "-5M"), "the limit on macs is '-5M'"),
        (("toy", "--max-macs", "2M,5M", "--max-params", "1k,2k"), "the limits on macs and params are lists"),
        (("toy", "--goal", "mcas"), "unknown cost 'mcas'"),
        (("toy", "--limit", "macs"), "--limit is 'macs'; write it as NAME=VALUE"),
        (("toy", "--limit", "macs=1M", "--max-macs", "2M"), "macs is limited twice, by --limit and by --max-macs"),
        (("toy", "--limit", "macs=1M", "--limit", "macs=2M"), "--limit names 'macs' twice"),
        (("toy", "--set", "training.steps"), "--set is 'training.steps'; write it as NAME=VALUE"),
        (("toy", "--set", "training.stesp=3"), "unknown setting 'training.stesp'; did you mean training.steps"),
        (("toy", "--set", "training.steps=x"), "training.steps is 'x'; give an integer"),
        (("toy", "--val-images", "0"), "--val-images is '0'; give a positive whole number like 500 or 50k"),
        (("toy", "--val-images", "1.5"), "--val-images is '1.5'"),
        (("toy", "--input", "224"), "--input is '224'; give channels x height x width, like 3x224x224"),
        (("toy", "--preset", "fast"), "preset is 'fast'; choose one of smoke, quick, paper"),
        (("toy", "--seed", "-1"), "--seed is -1; give a number from 0"),
        (("toy", "--seed", "x"), "Invalid value for '--seed': "),
        (("toy", "--threads", "0"), "--threads is 0; give at least 1"),
        (("toy", "--set", "seed=3"), "--set names 'seed'; use --seed"),
        (("toy", "--workers", "0"), "--workers is 0; give at least 1"),
        (("toy", "--trial-timeout", "0"), "--trial-timeout is 0; give positive seconds"),
        (("toy", "--trial-timeout", "nan"), "--trial-timeout is nan"),
        (("toy", "--resume"), "--resume does not say which run; add --out DIR"),
        (("toy", "--out", "a" * 5000), "cannot be looked up: File name too long"),
        (("toy", "--lmit", "macs=1"), "No such option: --lmit"),
        ((), "Missing argument 'RECIPE'"),
    ],
)
def test_what_the_user_can_mend_ends_with_2_and_one_line(
    cli: Cli, toy: Any, arguments: tuple[str, ...], message: str
) -> None:
    """Nothing has started, nothing is on stdout, no traceback."""
    done = cli("search", *arguments)
    assert (done.code, done.out, toy.calls) == (2, "", [])
    assert message in done.err
    assert done.err.startswith("error: ")
    assert done.err.count("\n") == 1


def test_recipe_without_a_field_refuses_the_option(cli: Cli, toy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """An option never vanishes silently."""

    plain = make_dataclass(
        "Plain", [("seed", int, 0)], frozen=True, namespace={"preset": classmethod(lambda c, *_: c())}
    )
    monkeypatch.setattr(toy, "config", plain)
    done = cli("search", "toy", "--space", "spos")
    assert (done.code, done.err) == (2, "error: recipe 'toy' has no space; leave that option out\n")


@pytest.mark.parametrize(("error", "code"), [(InfeasibleError("at least 3 M"), 2), (RunError("loss is NaN"), 1)])
def test_error_of_ours_has_its_own_exit_code(cli: Cli, toy: Any, error: Exception, code: int) -> None:
    """2 for what the user can mend, 1 for what failed later; the message is the whole line."""

    def fail() -> None:
        raise error

    toy.act = fail
    done = cli("search", "toy")
    assert (done.code, done.err) == (code, f"error: {error}\n")


def test_unexpected_error_goes_to_the_log(cli: Cli, toy: Any) -> None:
    """One line on the terminal; the traceback is in the run's log, where the line says."""

    def fail() -> None:
        raise ZeroDivisionError("by\nzero")

    toy.act = fail
    done = cli("search", "toy", "--out", "a")
    expected = "error: unexpected ZeroDivisionError: by zero; the traceback is in a/log.txt\n"
    assert (done.code, done.err) == (1, expected)
    assert "Traceback (most recent call last)" in Path("a/log.txt").read_text()


def test_debug_shows_the_traceback(cli: Cli, toy: Any) -> None:
    """Wherever --debug stands on the line."""

    def fail() -> None:
        raise ZeroDivisionError

    toy.act = fail
    for line in (("--debug", "search", "toy"), ("search", "toy", "--debug")):
        done = cli(*line)
        assert done.code == 1
        assert "Traceback (most recent call last)" in done.err


def test_interrupt_tells_how_to_continue(cli: Cli, toy: Any) -> None:
    """Ctrl-C: 130 and the command that goes on, with the folder quoted for a shell."""

    def stop() -> None:
        raise KeyboardInterrupt

    toy.act = stop
    done = cli("search", "toy", "--out", "my run")
    assert done.code == 130
    assert done.err == "interrupted; continue with: archwright search toy --out 'my run' --resume\n"
