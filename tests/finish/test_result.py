"""What a run's record says to people."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from archwright.finish.result import summary_lines
from archwright.reports.next_steps import next_steps


def test_summary_says_what_was_found() -> None:
    """From the record alone; figures by hand."""
    record: dict[str, Any] = {
        "metric": "top1_accuracy",
        "test": 0.98125,
        "validation": 0.975,
        "macs": 1_999_000,
        "params": 51_234,
        "code": "0123",
        "constraints": [
            {"cost": "macs", "limit": 2e6, "value": 1_999_000, "satisfied": True},
            {"cost": "params", "limit": 5e4, "value": 51_234, "satisfied": False},
        ],
        "random_baseline": {"test": 0.97, "n_evaluated": 120, "draws": [{"test": 0.96}, {"test": 0.98}]},
    }
    assert summary_lines(record, Path("runs/a")) == [
        "winner     top1_accuracy 0.9812 on the test part (seen once), 0.9750 in the search",
        "           1,999,000 multiply-accumulates, 51,234 parameters, code 0123",
        "limit      macs <= 2,000,000: kept with 1,999,000",
        "limit      params <= 50,000: MISSED with 51,234",
        "baseline   0.9700 by random search with as many evaluations (120)",
        "           0.9700 mean of 2 random networks (0.9600 to 0.9800)",
        "files      runs/a/best: arch.json, model.onnx, model.py, model.safetensors; runs/a/report.html",
    ]
    reason = "body is a Squeeze, which has no source template"
    assert summary_lines({**record, "not_exported": {"model.py": reason}}, Path("runs/a"))[-2:] == [
        f"missing    model.py: {reason}",
        "files      runs/a/best: arch.json, model.onnx, model.safetensors; runs/a/report.html",
    ]
    noted = summary_lines({**record, "nondeterministic": ["put_"]}, None)
    assert noted[-1] == "no promise the same seed may give other bits: put_ has no deterministic form here"
    record["random_baseline"]["draws"] = []
    assert len(summary_lines(record, None)) == 5


def test_summary_ends_with_what_to_do_next() -> None:
    """Where a run is in a folder: the commands of `next_steps`, each behind what it is for."""
    record = {"metric": "top1_accuracy", "test": 0.98, "macs": 1, "params": 1, "code": "0", "constraints": []}
    record |= {"input_kind": "images", "n_classes": 10, "n_final_steps": 50, "dataset": "digits"}
    files, *following = summary_lines(record, Path("runs/a"))[-5:]
    assert files.startswith("files      runs/a/best: README.md, arch.json, ")
    assert following == [f"{what:<11}{command}" for what, command in next_steps(record, "runs/a")]
    assert summary_lines(record, None) == summary_lines(record, Path("runs/a"))[:-5]


def test_summary_says_what_a_training_began_with() -> None:
    """The file, and the layers that began anew."""
    record = {"metric": "top1_accuracy", "test": 0.98, "macs": 1, "params": 1, "code": "0", "constraints": []}
    weights = {"file": "a.safetensors", "sha256": "0", "fresh": ["head", "auxiliary"]}
    assert summary_lines({**record, "weights": weights}, None)[2:] == [
        "began with a.safetensors; begun anew: head, auxiliary"
    ]
    assert summary_lines({**record, "weights": {**weights, "fresh": []}}, None)[2:] == ["began with a.safetensors"]


def test_summary_does_not_call_unequal_budgets_equal() -> None:
    """A search that tries archs again may have more evaluations than there are archs to draw."""
    baseline = {"test": 0.97, "n_evaluated": 17, "draws": []}
    record = {"metric": "top1_accuracy", "test": 0.98, "validation": 0.97, "macs": 1, "params": 1, "code": "0"}
    record |= {"constraints": [], "random_baseline": baseline, "n_evaluated": 24}
    assert summary_lines(record, None)[-1] == "baseline   0.9700 by random search with 17 evaluations against 24"
