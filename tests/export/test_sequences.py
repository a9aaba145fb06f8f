"""Exported files of networks that take sequences of any length."""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from archwright.core.errors import ExportError, InvalidValueError
from archwright.export import sequences
from archwright.export.files import write_export
from archwright.export.onnx import export_onnx, onnx_session, predict_onnx
from archwright.export.sequences import length_names, scan_recurrent
from archwright.nn.inputs import Signature, TensorSpec, tensors_of
from archwright.nn.ops.language_model import LanguageModel
from archwright.nn.ops.recurrent import GRUCell, LSTMCell, Recurrent

N_TOKENS = 20
TEXTS = Signature((TensorSpec((6,), "int64", N_TOKENS, "tokens"),))


def language_model() -> LanguageModel:
    torch.manual_seed(0)
    return LanguageModel([LSTMCell(8, 8), GRUCell(8, 4)], n_tokens=N_TOKENS, n_embedding=8).eval()


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sequences") / "model.onnx"
    return export_onnx(language_model(), TEXTS, path, any_length=True).path


@pytest.mark.parametrize("shape", [(1, 1), (3, 6), (2, 40)])
def test_any_length_gives_torchs_numbers(exported: Path, shape: tuple[int, int]) -> None:
    """One step, the captured length, a longer one."""
    tokens = torch.randint(N_TOKENS, shape, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = language_model()(tokens).numpy()
    found = predict_onnx(onnx_session(exported), tokens.numpy())
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_free_axes_have_names(exported: Path) -> None:
    """Of the input and the output."""
    session = onnx_session(exported)
    assert session.get_inputs()[0].shape == ["batch", "length"]
    assert session.get_outputs()[0].shape == ["batch", "length", N_TOKENS]


def test_loops_hold_no_trace_of_the_machine(exported: Path) -> None:
    """The exporter's stack traces name source files, in the bodies of loops too."""
    data = exported.read_bytes()
    assert b".py" not in data
    assert b"stack_trace" not in data


def test_file_does_not_grow_with_the_length(exported: Path, tmp_path: Path) -> None:
    """The loop's body stands in it once: the same bytes from sequences three times as long."""
    longer = Signature((TensorSpec((18,), "int64", N_TOKENS, "tokens"),))
    path = export_onnx(language_model(), longer, tmp_path / "model.onnx", any_length=True).path
    assert path.read_bytes() == exported.read_bytes()


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
@pytest.mark.parametrize(
    "settings",
    [{}, {"num_layers": 2, "batch_first": True}, {"num_layers": 2, "bidirectional": True}, {"bias": False}],
    ids=["plain", "two layers", "both directions", "no bias"],
)
def test_torchs_own_layers_are_what_torch_computes(kind: type[nn.LSTM | nn.GRU], settings: dict[str, Any]) -> None:
    """Outputs and last states, from zeros and from given states."""
    torch.manual_seed(0)
    layers = kind(5, 4, **settings).eval()
    loops = scan_recurrent(copy.deepcopy(layers)).eval()
    x = torch.randn(3, 3, 5)
    state = torch.randn(layers.num_layers * (1 + layers.bidirectional), 3, 4)
    for given in ((x,), (x, (state, 2 * state) if kind is nn.LSTM else state)):
        with torch.inference_mode():
            expected, found = _flat(layers(*given)), _flat(loops(*given))
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


def _flat(outputs: Any) -> tuple[torch.Tensor, ...]:
    output, states = outputs
    return (output, *tensors_of(states))


def test_two_networks_with_torchs_lstm_from_one_process(tmp_path: Path) -> None:
    """Of other widths; each of the files takes any length."""
    for width in (4, 6):
        torch.manual_seed(width)
        network = Tagger(width).eval()
        path = export_onnx(network, (7, 3), tmp_path / f"{width}.onnx", any_length=True).path
        x = torch.randn(2, 11, 3)
        with torch.inference_mode():
            expected = network(x).numpy()
        np.testing.assert_allclose(predict_onnx(onnx_session(path), x.numpy()), expected, rtol=0, atol=1e-6)


class Tagger(nn.Module):
    """Features (N, T, 3) → two scores of each step."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers, self.head = nn.LSTM(3, width, batch_first=True), nn.Linear(width, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.head(self.layers(x)[0])
        return found


def test_network_is_left_as_it_was(tmp_path: Path) -> None:
    """Its layers are still those of training."""
    network = language_model()
    export_onnx(network, TEXTS, tmp_path / "model.onnx", any_length=True)
    assert all(isinstance(layer, Recurrent) for layer in network.layers)


def test_images_are_no_sequences(tmp_path: Path) -> None:
    with pytest.raises(InvalidValueError, match=r"any_length is for sequences.*images is 3x8x8"):
        export_onnx(nn.Flatten(), (3, 8, 8), tmp_path / "model.onnx", any_length=True)


def test_inputs_of_one_length_share_its_name() -> None:
    one, other = TensorSpec((6,), "int64", 9, "source"), TensorSpec((4,), "int64", 9, "target")
    assert length_names(Signature((one, TensorSpec((6,), "bool", name="mask")))) == ["length", "length"]
    assert length_names(Signature((one, other))) == ["of_source_length", "of_target_length"]


def test_text_model_is_written_for_any_length(tmp_path: Path) -> None:
    """By the exports of a run and of the command."""
    notes = write_export(language_model(), "onnx", tmp_path / "model.onnx", input_shape=TEXTS, metadata={})
    assert notes == ()
    assert onnx_session(tmp_path / "model.onnx").get_inputs()[0].shape == ["batch", "length"]


def test_text_model_of_one_length_is_written_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch without loops in captured networks."""

    def missing() -> None:
        raise ExportError("torch 2.6 has no operator for loops")

    monkeypatch.setattr(sequences, "_scan", missing)
    (note,) = write_export(language_model(), "onnx", tmp_path / "model.onnx", input_shape=TEXTS, metadata={})
    assert note == "takes texts of 6 tokens only: torch 2.6 has no operator for loops"
    assert onnx_session(tmp_path / "model.onnx").get_inputs()[0].shape == ["batch", 6]


def test_loops_need_a_torch_that_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch._higher_order_ops.scan", None)
    with pytest.raises(ExportError, match="has no operator for loops of any length"):
        scan_recurrent(language_model())


class Stated(nn.Module):
    """Makes its own first state, calls by name, and has its layer under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = self.same = nn.LSTM(3, 4, num_layers=2, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.rnn.flatten_parameters()
        zeros = torch.ones(self.rnn.num_layers, x.shape[0], self.rnn.hidden_size)
        found: torch.Tensor = self.same(input=x, hx=(zeros, zeros))[0]
        return found


def test_layers_are_called_as_torchs_are(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network, x = Stated().eval(), torch.randn(2, 9, 3)
    path = export_onnx(network, (5, 3), tmp_path / "model.onnx", any_length=True).path
    with torch.inference_mode():
        np.testing.assert_allclose(predict_onnx(onnx_session(path), x.numpy()), network(x).numpy(), atol=1e-6)


def test_subclasses_of_torchs_layers_stay() -> None:
    """They may compute something else."""

    class Own(nn.GRU):
        pass

    network = nn.Sequential(Own(3, 4))
    assert scan_recurrent(network)[0] is network[0]  # type: ignore[index]
