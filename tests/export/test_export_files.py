"""One network, three files; what a format cannot hold is a reason, what a disk cannot hold an error."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from archwright.core.errors import ExportError, InvalidValueError, RunError
from archwright.export import onnx
from archwright.export.files import EXPORT_FORMATS, attempt_export, write_export
from archwright.export.preprocessing import input_metadata

METADATA = input_metadata(["a", "b"], {"layout": "CHW", "scale": 1.0, "mean": [0.0], "std": [1.0]})
NETWORK = nn.Sequential(nn.Conv2d(1, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())


class Branching(nn.Module):
    """Neither format can express a branch on values in a class it does not know."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if x.sum() > 0 else -x


@pytest.mark.parametrize("format", EXPORT_FORMATS)
def test_each_format_is_written(tmp_path: Path, format: str) -> None:
    """One file, and no reason why not."""
    path = tmp_path / EXPORT_FORMATS[format]
    assert attempt_export(NETWORK, format, path, input_shape=(1, 4, 4), metadata=METADATA, log=print) is None
    assert [found.name for found in tmp_path.iterdir()] == [path.name]


def test_unknown_format_is_refused(tmp_path: Path) -> None:
    """The line names those there are."""
    with pytest.raises(InvalidValueError, match="export format is 'tflite'; choose one of onnx, python, safetensors"):
        write_export(NETWORK, "tflite", tmp_path / "x", input_shape=(1, 4, 4), metadata=METADATA)


@pytest.mark.parametrize(("format", "reason"), [("onnx", "cannot be exported"), ("python", "has no source template")])
def test_what_a_format_cannot_hold_is_a_reason(tmp_path: Path, format: str, reason: str) -> None:
    """And no file is left."""
    found = attempt_export(Branching(), format, tmp_path / "x", input_shape=(2,), metadata=METADATA, log=print)
    assert found is not None
    assert reason in found
    assert list(tmp_path.iterdir()) == []


def test_file_that_computes_something_else_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody should come upon it later."""

    def differ(path: Path, network: nn.Module, input_shape: tuple[int, ...]) -> float:
        assert path.exists()
        raise ExportError("logits differ")

    monkeypatch.setattr(onnx, "verify_onnx", differ)
    reason = attempt_export(NETWORK, "onnx", tmp_path / "x", input_shape=(1, 4, 4), metadata=METADATA, log=print)
    assert reason == "logits differ"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("format", EXPORT_FORMATS)
def test_a_place_that_cannot_be_written_is_an_error(tmp_path: Path, format: str) -> None:
    """It says nothing about the network, so the run must not go on without the file."""
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="cannot be written") as caught:
        attempt_export(NETWORK, format, tmp_path / "file" / "x", input_shape=(1, 4, 4), metadata=METADATA, log=print)
    assert not isinstance(caught.value, ExportError)


class Rounding(nn.Module):
    """Gives whole numbers."""

    rounds = True

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.round()


def test_what_engines_may_differ_in_is_logged(tmp_path: Path) -> None:
    """With the name of the file."""
    said: list[str] = []
    path = tmp_path / "model.onnx"
    assert attempt_export(Rounding(), "onnx", path, input_shape=(4,), metadata=METADATA, log=said.append) is None
    (line,) = said
    assert line.startswith("model.onnx: it rounds inside")


class Projected(nn.Module):
    """torch's exporter writes it as an LSTM that ONNX Runtime loads and cannot run."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(4, 6, proj_size=2, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.lstm(x)[0]
        return found


def test_file_that_does_not_run_is_a_reason(tmp_path: Path) -> None:
    """And is removed."""
    found = attempt_export(
        Projected(), "onnx", tmp_path / "model.onnx", input_shape=(3, 4), metadata=METADATA, log=print
    )
    assert found is not None
    assert "model.onnx cannot be run by ONNX Runtime" in found
    assert "\n" not in found
    assert list(tmp_path.iterdir()) == []
