"""A smoke run of SPOS on the digits, on disk and in memory, made once for all tests of recipes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from archwright.finish.result import Result
from archwright.recipes import SposConfig, spos
from archwright.tasks import ImageTask, Part, digits
from archwright.tasks.images.in_memory import ImageSplit

LIMIT = 3_600_000
ARGUMENTS = (
    *("search", "spos", "--data", "digits", "--preset", "smoke", "--max-macs", str(LIMIT)),
    *("--seed", "0", "--threads", "1", "--device", "cpu"),
)


class WatchedTask(ImageTask):
    """The digits, with a list of the parts that were asked for."""

    asked: list[Part]

    def _split(self, part: Part) -> ImageSplit:
        self.asked.append(part)
        return super()._split(part)


def _watched(seed: int) -> WatchedTask:
    task = digits(seed=seed)
    task.__class__ = WatchedTask
    assert isinstance(task, WatchedTask)
    task.asked = []
    return task


def _config(seed: int) -> SposConfig:
    smoke = SposConfig.preset("smoke", (1, 8, 8))
    return replace(smoke, limits=(("macs", float(LIMIT)),), seed=seed, threads=1, device="cpu")


@dataclass(frozen=True)
class Finished:
    """A run and what it was made from."""

    result: Result
    task: WatchedTask
    config: SposConfig

    @property
    def folder(self) -> Path:
        assert self.result.folder is not None
        return self.result.folder


@pytest.fixture(scope="session")
def arguments() -> tuple[str, ...]:
    """The command line of the run, without its folder."""
    return ARGUMENTS


@pytest.fixture(scope="session")
def smoke_config() -> Callable[[int], SposConfig]:
    """The config of that command line, for a seed."""
    return _config


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The run on disk; tests do not change its folder."""
    config, task = _config(0), _watched(0)
    return Finished(spos(config, task, out=tmp_path_factory.mktemp("finished") / "run"), task, config)


@pytest.fixture(scope="session")
def in_memory() -> Finished:
    """The same run without a folder."""
    config, task = _config(0), _watched(0)
    return Finished(spos(config, task), task, config)
