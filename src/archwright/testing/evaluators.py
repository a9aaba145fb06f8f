"""An evaluator that misbehaves for chosen candidates, for the tests of runners and of the search."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from archwright.core.arch import Arch
from archwright.core.blueprint import Blueprint
from archwright.core.errors import DataError
from archwright.core.trial import Candidate, Metrics, derive_seed
from archwright.evaluators.base import Evaluator
from archwright.runs import nondeterminism


class Scripted(Evaluator):
    """Scores candidates by a hash of arch and seed, but misbehaves for some of them.

    Args:
        script: What to do, by the candidate's number: "raise", "nan", "text", "nothing", "kill" (SIGKILL to its own
            process, always), "kill once", "exhaust" (take memory without end), "hang", "data" (meet a damaged file).
        folder: Folder in which "kill once" leaves its mark and each evaluation is noted.
        chunk: Candidates to evaluate in one call.
        wait_s: Seconds to wait for a candidate, multiplied by its number modulo 3.
    """

    def __init__(
        self, script: Mapping[int, str] | None = None, folder: str = "", *, chunk: int = 1, wait_s: float = 0.0
    ) -> None:
        self.script, self.folder, self.wait_s = dict(script or {}), folder, wait_s
        self.chunk = chunk  # type: ignore[misc]

    def evaluate(self, candidates: Sequence[Candidate]) -> list[Metrics]:
        return [self._evaluate(candidate) for candidate in candidates]

    def model(self, arch: Arch, seed: int) -> nn.Module:
        return nn.Identity()

    def blueprint(self, folder: Path) -> Blueprint:
        script = {str(number): action for number, action in self.script.items()}
        options = {"folder": self.folder, "chunk": self.chunk, "wait_s": self.wait_s}
        return Blueprint(f"{__name__}:rebuild", {"script": script, "options": options})

    def noted(self) -> list[int]:
        """Numbers of the candidates whose evaluation began, once for each time."""
        return sorted(int(name.partition("-")[0]) for name in os.listdir(self.folder) if "-begun-" in name)

    def _evaluate(self, candidate: Candidate) -> Any:
        action = self.script.get(candidate.number, "")
        if self.folder:
            Path(self.folder, f"{candidate.number}-begun-{time.monotonic_ns()}").touch()
        time.sleep(self.wait_s * (candidate.number % 3))
        if action == "raise":
            raise ArithmeticError("no\n number")
        if action == "data":
            raise DataError("photo.jpg is damaged; replace it")
        if action == "put":
            nondeterminism.note("put_")
        if action == "hang":
            time.sleep(3600)
        if action == "exhaust":
            kept = []
            while True:
                kept.append(bytearray(64 * 1024 * 1024))
        if action == "kill" or (action == "kill once" and self._is_first(candidate.number)):
            print("about to go", file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        nonsense = {"nan": {"top1_accuracy": float("nan")}, "text": {"top1_accuracy": "high"}, "nothing": None}
        return nonsense.get(action, score(candidate)) if action else score(candidate)

    def _is_first(self, number: int) -> bool:
        mark = Path(self.folder, f"{number}-was-killed")
        if mark.exists():
            return False
        mark.touch()
        return True


def score(candidate: Candidate) -> dict[str, float]:
    """The figures of a candidate that is not in the script."""
    return {"top1_accuracy": derive_seed(candidate.arch.key, candidate.seed) % 1000 / 1000}


def rebuild(script: Mapping[str, str], options: Mapping[str, Any]) -> Scripted:
    """The evaluator of a `Scripted.blueprint`."""
    return Scripted({int(number): action for number, action in script.items()}, **options)
