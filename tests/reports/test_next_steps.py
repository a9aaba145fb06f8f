"""What to do with a finished run, as commands."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from archwright.reports.next_steps import data_arguments, next_steps

RESULT: dict[str, Any] = {"input_kind": "images", "n_classes": 10, "n_final_steps": 400, "dataset": "digits"}


def test_commands_of_an_image_classifier() -> None:
    """Use it, train it four times as long, fine-tune it gently, see it again."""
    assert next_steps(RESULT, "runs/a") == [
        ("predict", "python runs/a/best/model.py IMAGE"),
        ("longer", "archwright train runs/a/best --data digits --set training.steps=1600"),
        (
            "fine-tune",
            "archwright train runs/a/best --data NEW --weights runs/a/best/model.safetensors "
            "--set training.learning_rate=0.03",
        ),
        ("report", "archwright report runs/a"),
    ]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"input_kind": "text"}, "python a/best/model.py a/best/model.safetensors TEXT"),
        ({"input_kind": "tensors"}, "python a/best/model.py"),
        ({"n_classes": None}, "python a/best/model.py"),
        ({"not_exported": {"model.py": "why"}}, None),
    ],
)
def test_how_a_network_is_asked(changed: dict[str, Any], expected: str | None) -> None:
    """By what its inputs are; not at all without model.py."""
    assert dict(next_steps({**RESULT, **changed}, "a")).get("predict") == expected


def test_a_short_training_is_not_offered_shorter_than_a_warm_up() -> None:
    """100 steps at least; a network that was not trained gets the preset's own length."""
    assert "training.steps=100" in dict(next_steps({**RESULT, "n_final_steps": 2}, "a"))["longer"]
    assert "--set" not in dict(next_steps({**RESULT, "n_final_steps": 0}, "a"))["longer"]


@pytest.mark.parametrize(
    ("dataset", "options", "expected"),
    [
        ("npz:my images.npz", {}, "'npz:my images.npz'"),
        ("folder:x", {"input_shape": [3, 64, 64], "val_images": 20}, "folder:x --input 3x64x64 --val-images 20"),
        ("pydoc", {"tokens": 8, "level": "a b"}, "pydoc --set data.tokens=8 --set 'data.level=a b'"),
        ("toy", {}, "D"),
    ],
)
def test_data_are_named_as_the_command_line_takes_them(dataset: str, options: dict[str, Any], expected: str) -> None:
    """With their options; those that only Python can make have no name."""
    assert data_arguments({"dataset": dataset, "data_options": options}) == expected


def test_folders_stay_one_word() -> None:
    """Whatever they are called."""
    for what, command in next_steps(RESULT, "my runs/$(rm x)'"):
        assert [word for word in shlex.split(command) if word.startswith("my runs/$(rm x)'")], what


@pytest.mark.parametrize("result", [{}, {"input_kind": []}, {"input_kind": "sound"}])
def test_an_earlier_version_s_result_offers_nothing(result: dict[str, Any]) -> None:
    """It does not say what its inputs are."""
    assert next_steps(result, "a") == []
