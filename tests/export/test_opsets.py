"""Models in older operator sets compute the same, or are refused with the operator's name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import Tensor, nn

from archwright.core.errors import ExportError
from archwright.export.onnx import NEWEST_OPSET, OLDEST_OPSET, export_onnx
from archwright.export.opsets import graphs_of, lower, version_of
from archwright.nn.inputs import Signature, TensorSpec
from archwright.nn.ops.language_model import LanguageModel
from archwright.nn.ops.recurrent import LSTMCell

IR_VERSIONS = {11: 6, 12: 7, 13: 7, 14: 7, 15: 8, 17: 8, 18: 10, 21: 10, 23: 10}
"""Of the file format: the oldest one for the operator set below 18, so that the engines that want it can read it."""


def mobile() -> nn.Sequential:
    """Activations, pooling, reshapes and a mean as in the networks of the mobile spaces."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1),
        nn.BatchNorm2d(8),
        nn.Hardswish(),
        nn.MaxPool2d(2),
        nn.ReLU6(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 4),
        nn.Softmax(-1),
    ).eval()


@pytest.mark.parametrize("opset", IR_VERSIONS)
def test_every_operator_set(tmp_path: Path, opset: int) -> None:
    """The file says it is of that one, and ONNX Runtime computes from it what torch does."""
    exported = export_onnx(mobile(), (3, 16, 16), tmp_path / "model.onnx", opset=opset)
    model = onnx.load(exported.path)
    assert (exported.opset, version_of(model)) == (opset, opset)
    assert (exported.ir_version, model.ir_version) == (IR_VERSIONS[opset], IR_VERSIONS[opset])
    assert exported.difference is not None
    assert exported.difference < 1e-6


def test_the_ends_are_tested() -> None:
    assert (min(IR_VERSIONS), max(IR_VERSIONS)) == (OLDEST_OPSET, NEWEST_OPSET)


@pytest.mark.parametrize("opset", [11, 17])
def test_bodies_of_loops(tmp_path: Path, opset: int) -> None:
    """A cell splits its gates: the number of parts is an attribute since operator set 18."""
    torch.manual_seed(0)
    network = LanguageModel(LSTMCell(6, 6), n_tokens=9, n_embedding=6).eval()
    form = Signature((TensorSpec((4,), "int64", 9, "tokens"),))
    path = export_onnx(network, form, tmp_path / "model.onnx", opset=opset, any_length=True).path
    bodies = list(graphs_of(onnx.load(path).graph))[1:]
    splits = [node for body in bodies for node in body.node if node.op_type == "Split"]
    assert len(splits) == 1
    assert all(attribute.name != "num_outputs" for attribute in splits[0].attribute)


class Normalised(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.layer_norm(x, (8,))


def test_an_operator_of_a_newer_set_is_named(tmp_path: Path) -> None:
    """Layer normalisation is an operator since 17; the file is not written."""
    with pytest.raises(ExportError, match=r"operator set 13 has no LayerNormalization.*give 17 or newer"):
        export_onnx(Normalised(), (8,), tmp_path / "model.onnx", opset=13)
    assert list(tmp_path.iterdir()) == []


def model_of(make: Callable[[], list[onnx.NodeProto]], *, opset: int = 18) -> onnx.ModelProto:
    """x (N, 2, 3) and a computed list of axes → y."""
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2, 3]),
        helper.make_tensor_value_info("axes", TensorProto.INT64, [1]),
    ]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    return helper.make_model(
        helper.make_graph(make(), "g", inputs, outputs), opset_imports=[helper.make_opsetid("", opset)]
    )


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: helper.make_node("ReduceMean", ["x", "axes"], ["y"]), "does not take axes that are computed"),
        (lambda: helper.make_node("Softmax", ["x"], ["y"], axis=1), "does not take an axis that is not the last one"),
        (
            lambda: helper.make_node("BatchNormalization", ["x"] * 5, ["y"], training_mode=1),
            "does not take the attribute training_mode",
        ),
    ],
    ids=["axes", "softmax", "attribute"],
)
def test_what_an_older_version_lacks_is_named(make: Callable[[], onnx.NodeProto], said: str) -> None:
    with pytest.raises(ExportError, match=rf"of operator set 12 {said}; give a newer one"):
        lower(model_of(lambda: [make()]), 12)


def test_defaults_are_dropped() -> None:
    """What an older version means without being told."""
    model = model_of(lambda: [helper.make_node("BatchNormalization", ["x"] * 5, ["y"], training_mode=0)])
    lower(model, 13)
    assert [attribute.name for attribute in model.graph.node[0].attribute] == []


class Resized(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.interpolate(x, scale_factor=2, mode="nearest")


@pytest.mark.parametrize("network", [nn.Softmax(dim=1), nn.LogSoftmax(dim=1)])
def test_softmax_over_the_last_axis_by_its_number(tmp_path: Path, network: nn.Module) -> None:
    """Of (N, 6) axis 1 is the last: before operator set 13 that means the same."""
    assert export_onnx(network, (6,), tmp_path / "model.onnx", opset=11).opset == 11


@pytest.mark.parametrize("opset", [11, 13])
def test_resizes(tmp_path: Path, opset: int) -> None:
    """Their region may not be left out before operator set 13."""
    exported = export_onnx(Resized(), (2, 4, 4), tmp_path / "model.onnx", opset=opset)
    assert exported.difference == 0
