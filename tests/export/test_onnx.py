"""The ONNX file computes what torch computes, says how to feed it, and stands alone."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxscript
import pytest
import torch
from torch import nn

from archwright.core.errors import ExportError, InvalidValueError, RunFolderError
from archwright.export import onnx as export
from archwright.export.onnx import (
    OnnxExport,
    export_onnx,
    onnx_metadata,
    onnx_session,
    predict_onnx,
    verify_onnx,
)
from archwright.export.preprocessing import input_metadata, preprocess

PREPROCESSING = {"layout": "CHW", "scale": 1 / 255, "mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.25]}
NAMES = ["cat", "dog", "ネコ"]


class Split(nn.Module):
    """Half of the channels through a block, shuffled as ShuffleNetV2 does: shapes hang on the batch size."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, groups=4, bias=False), nn.BatchNorm2d(4), nn.ReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, c, h, w = x.shape
        halves = x.reshape(n * c // 2, 2, h * w).permute(1, 0, 2).reshape(2, -1, c // 2, h, w)
        mixed = torch.cat([halves[0], self.block(halves[1])], 1)
        return torch.cat([mixed[:, 0::2], mixed[:, 1::2] + 1], 1)


def make_network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(8, 3))
    made = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), Split(), *head)
    for _ in range(3):
        made(torch.randn(8, 3, 8, 8) * 2 + 1)  # statistics that matter
    return made


@pytest.fixture(scope="module")
def network() -> nn.Sequential:
    return make_network().to(memory_format=torch.channels_last)


@pytest.fixture(scope="module")
def exported(network: nn.Sequential, tmp_path_factory: pytest.TempPathFactory) -> OnnxExport:
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    return export_onnx(network, (3, 8, 8), path, metadata=input_metadata(NAMES, PREPROCESSING))


def test_logits_agree_at_any_batch(exported: OnnxExport, network: nn.Sequential) -> None:
    """Batches of 1, 3 and 7, none of them the batch it was traced with."""
    assert verify_onnx(exported.path, network, (3, 8, 8), batches=(1, 3, 7)) < 1e-5


def test_raw_images_to_logits(exported: OnnxExport, network: nn.Sequential, rng: np.random.Generator) -> None:
    """A stranger with the file alone: uint8 images through its own preprocessing give torch's logits and names."""
    images = rng.integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
    session = onnx_session(exported.path)
    texts = onnx_metadata(session)
    logits = predict_onnx(session, preprocess(images, json.loads(texts["preprocessing"])), batch_size=2)
    inputs = torch.from_numpy(images).permute(0, 3, 1, 2).double() / 255
    mean, std = (torch.tensor(PREPROCESSING[key]).reshape(3, 1, 1) for key in ("mean", "std"))
    with torch.inference_mode():
        expected = make_network().eval()(((inputs - mean) / std).float()).numpy()
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-5)
    assert json.loads(texts["class_names"]) == NAMES


def test_file_is_valid_and_stands_alone(exported: OnnxExport) -> None:
    """The checker accepts it; one file, named input and output, free batch axis, weights inside."""
    model = onnx.load(exported.path, load_external_data=False)
    onnx.checker.check_model(model, full_check=True)
    assert [path.name for path in exported.path.parent.iterdir()] == ["model.onnx"]
    assert [value.name for value in model.graph.input] == ["images"]
    assert [value.name for value in model.graph.output] == ["logits"]
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert not any(tensor.external_data for tensor in model.graph.initializer)
    assert (exported.opset, exported.ir_version, exported.n_bytes) == (18, 10, exported.path.stat().st_size)
    assert exported.duration_s > 0


def test_file_holds_no_trace_of_the_machine(exported: OnnxExport) -> None:
    """The exporter's stack traces name source files; none is left."""
    data = exported.path.read_bytes()
    assert b".py" not in data
    assert b"stack_trace" not in data


def test_batch_norms_are_folded(exported: OnnxExport) -> None:
    """Convolutions carry them: the smaller graph is what runs on a device."""
    operators = {node.op_type for node in onnx.load(exported.path).graph.node}
    assert "Conv" in operators
    assert "BatchNormalization" not in operators


def test_network_is_left_as_it_was(exported: OnnxExport, network: nn.Sequential) -> None:
    """Training mode, batch norms, channels-last, gradients and every tensor."""
    assert network.training
    assert network[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert all(parameter.requires_grad for parameter in network.parameters())
    for name, tensor in make_network().state_dict().items():
        assert torch.equal(tensor, network.state_dict()[name]), name


def test_export_is_silent_and_repeatable(
    exported: OnnxExport, network: nn.Sequential, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """No warning, nothing on either stream; the same network gives the same bytes."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        export_onnx(network, (3, 8, 8), tmp_path / "m.onnx", metadata=input_metadata(NAMES, PREPROCESSING))
    assert capfd.readouterr() == ("", "")
    assert (tmp_path / "m.onnx").read_bytes() == exported.path.read_bytes()


def test_operators_are_read_once(exported: OnnxExport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The exporter parses their sources at the first export of a process, and at no other."""

    def parse(function: object) -> None:
        raise AssertionError(f"{function} was parsed again")

    monkeypatch.setattr(onnxscript.values.TracedOnnxFunction, "function_ir", property(parse))
    export_onnx(nn.Linear(2, 3), (2,), tmp_path / "m.onnx")


def test_other_weights_are_found_out(exported: OnnxExport) -> None:
    """A network with other weights is not what the file computes; the error names both."""
    with pytest.raises(
        ExportError, match=r"model\.onnx in ONNX Runtime and of Sequential in torch differ by .* at batch 1"
    ):
        verify_onnx(exported.path, make_network(seed=1), (3, 8, 8))


def test_no_images_give_no_logits(exported: OnnxExport) -> None:
    """An empty batch keeps the number of classes."""
    assert predict_onnx(onnx_session(exported.path), np.empty((0, 3, 8, 8), dtype=np.float32)).shape == (0, 3)


@pytest.mark.parametrize("content", [None, b"", b"not a model"])
def test_unusable_file_is_named(tmp_path: Path, content: bytes | None) -> None:
    """Missing, empty or foreign: one line with the path."""
    path = tmp_path / "broken.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RunFolderError, match=r"broken\.onnx cannot be loaded") as caught:
        onnx_session(path)
    assert "\n" not in str(caught.value)


def test_what_onnx_cannot_express_is_named(tmp_path: Path) -> None:
    """Python that branches on a tensor's value, with the network's class in the error; no file is left."""

    class Branching(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + 1 if x.sum() > 0 else x

    with pytest.raises(ExportError, match=r"Branching with inputs \(N, 2\) cannot be exported") as caught:
        export_onnx(Branching(), (2,), tmp_path / "m.onnx")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_too_large_for_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused before any work, with the size."""
    monkeypatch.setattr(export, "MAX_BYTES", 1000)
    with pytest.raises(InvalidValueError, match="GB of weights"):
        export_onnx(nn.Linear(20, 20), (20,), tmp_path / "m.onnx")


class Complex(nn.Module):
    """A filter of complex weights."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 6, 4, dtype=torch.complex64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.fft.irfft2(torch.fft.rfft2(x) * self.weight, s=(6, 6))


def test_complex_weights_keep_their_imaginary_part(tmp_path: Path) -> None:
    """The file computes what the network does, or there is none."""
    torch.manual_seed(0)
    network, x = Complex().eval(), torch.randn(2, 3, 6, 6)
    try:
        path = export_onnx(network, (3, 6, 6), tmp_path / "m.onnx").path
    except ExportError:
        assert list(tmp_path.iterdir()) == []
        return
    with torch.inference_mode():
        np.testing.assert_allclose(predict_onnx(onnx_session(path), x.numpy()), network(x).numpy(), atol=1e-4)


class Noisy(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.rand_like(x)


def test_a_failed_export_leaves_the_file_before(tmp_path: Path) -> None:
    """And names the file that was asked for."""
    path = tmp_path / "m.onnx"
    export_onnx(nn.Linear(4, 2), (4,), path)
    before = path.read_bytes()
    with pytest.raises(ExportError, match=r"logits of \S+/m\.onnx in"):
        export_onnx(Noisy(), (4,), path)
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["m.onnx"]


class Signs(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x > 0


def test_truth_values_are_compared(tmp_path: Path) -> None:
    assert export_onnx(Signs(), (5,), tmp_path / "m.onnx").difference == 0


class Between(nn.Module):
    """Reads a convolution's output before the batch norm behind it in a sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
        nn.init.normal_(self.parts[1].weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        given = self.parts[0](x)
        found: torch.Tensor = given + self.parts[1](given)
        return found


def test_norms_stay_where_somebody_reads_before_them(tmp_path: Path) -> None:
    """Folding would be wrong; the file is written without."""
    torch.manual_seed(0)
    exported = export_onnx(Between().eval(), (3, 6, 6), tmp_path / "m.onnx")
    assert exported.difference is not None
    assert exported.difference < 1e-5
    assert "BatchNormalization" in {node.op_type for node in onnx.load(exported.path).graph.node}


@pytest.mark.parametrize("opset", ["13", True, 13.0, 10, 24])
def test_operator_sets_are_numbers(tmp_path: Path, opset: object) -> None:
    with pytest.raises(ValueError, match=r"opset is .*; give 11 to 23"):
        export_onnx(nn.Linear(2, 2), (2,), tmp_path / "m.onnx", opset=opset)  # type: ignore[arg-type]
