"""Start-up: `--help`, `list`, and two trivial trials from an empty process, beside importing torch alone."""

from __future__ import annotations

import statistics
import sys

from common import archwright, command_seconds, machine, report

REPEATS = 7
TRIALS = """
import resource
import torch, torchvision
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
import archwright as aw
from archwright.evaluators.base import Evaluator

class Trivial(Evaluator):
    def evaluate(self, candidates):
        return [{"top1_accuracy": 0.5} for _ in candidates]
    def model(self, arch, seed):
        raise AssertionError

space = aw.spaces.SposSpace(input_shape=(1, 28, 28), n_classes=10)
result = aw.search(space, aw.strategies.Random(space, n_trials=2), Trivial(), aw.Objective((aw.Goal("top1_accuracy"),)))
assert len(result.trials) == 2 and result.best.costs["macs"] > 0
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print((after - before) / 1024)
"""


def main() -> None:
    print(machine())
    for name in ("--help", "list"):
        found = command_seconds(archwright(name), REPEATS)
        report(f"archwright {name}", f"{statistics.median(found):.2f} s", "under 0.4 s")
    torch_s = command_seconds([sys.executable, "-c", "import torch, torchvision"], REPEATS)
    trials_s = command_seconds([sys.executable, "-c", TRIALS], REPEATS)
    beyond = statistics.median(trials_s) - statistics.median(torch_s)
    report(
        "two trivial trials beyond importing torch",
        f"{beyond:.2f} s (torch {statistics.median(torch_s):.2f} s)",
        "under 3 s",
    )
    import subprocess

    grown = subprocess.run([sys.executable, "-c", TRIALS], check=True, capture_output=True, text=True).stdout
    report("memory of it beyond importing torch", f"{float(grown):.0f} MB", "under 500 MB")


if __name__ == "__main__":
    main()
