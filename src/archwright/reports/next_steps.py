"""What to do with a finished run: the commands that use its network, train it on, and show it again."""

from __future__ import annotations

import shlex
from typing import Any

from archwright.core import catalog
from archwright.reports.measures import Document, part, sequence
from archwright.reports.text import is_number

LONGER = 4
"""How many times as long the training is that is offered as a longer one."""

MIN_STEPS = 100
TUNING_RATES = {"images": 0.03, "numbers": 0.03, "tensors": 0.03, "text": 0.0003}
"""Learning rates to fine-tune with, by kind of inputs: about a third of those that training begins with.

At the full rate a LeNet of five digits, tuned to the five others, lost everything with two seeds of three; at a tenth
it learned more slowly than from fresh weights.
"""


def next_steps(result: Document, folder: str) -> list[tuple[str, str]]:
    """(what for, command) for a shell; empty for a result of a version that did not say what its inputs are.

    Args:
        result: The run's result.
        folder: The run's folder, as in the shell that is to run them.
    """
    kind = result.get("input_kind")
    if not isinstance(kind, str) or kind not in TUNING_RATES:
        return []
    best = f"{folder}/best"
    train = f"archwright train {shlex.quote(best)}"
    steps = [("longer", f"{train} --data {data_arguments(result)}{longer(result)}")]
    weights = shlex.quote(f"{best}/model.safetensors")
    steps.append(("fine-tune", f"{train} --data NEW --weights {weights}{tuning(result)}"))
    steps.append(("report", f"archwright report {shlex.quote(folder)}"))
    use = predict(result, f"{best}/")
    return [("predict", use), *steps] if use else steps


def predict(result: Document, best: str) -> str:
    """The command that asks a run's network for an answer; empty where there is no model.py.

    Args:
        result: The run's result.
        best: What comes before the names of the winner's files.
    """
    if "model.py" in part(result, "not_exported"):
        return ""
    script = f"python {shlex.quote(f'{best}model.py')}"
    if result.get("input_kind") == "text":
        return f"{script} {shlex.quote(f'{best}model.safetensors')} TEXT"
    return f"{script} IMAGE" if result.get("input_kind") == "images" and result.get("n_classes") else script


def longer(result: Document) -> str:
    """The setting that makes a training longer than the run's was; empty where that trained nothing."""
    n = result.get("n_final_steps")
    return f" --set training.steps={max(LONGER * int(n), MIN_STEPS)}" if is_number(n) and n > 0 else ""


def tuning(result: Document) -> str:
    """The setting that a training from given weights needs: a rate that does not throw them away."""
    return f" --set training.learning_rate={TUNING_RATES[str(result.get('input_kind'))]}"


def data_arguments(result: Document) -> str:
    """The run's data as behind `--data`, with their options; D where they were made in Python and have no such name."""
    name = str(result.get("dataset"))
    if not catalog.is_known("dataset", name.partition(":")[0]):
        return "D"
    options = [_option(str(key), value) for key, value in part(result, "data_options").items()]
    return " ".join([shlex.quote(name), *options])


def _option(name: str, value: Any) -> str:
    if name == "val_images":
        return f"--val-images {value}"
    if name == "input_shape":
        return f"--input {'x'.join(map(str, sequence(value)))}"
    return f"--set {shlex.quote(f'data.{name}={value}')}"
