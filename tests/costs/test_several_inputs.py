"""Costs of networks that take several tensors, and of networks that are run several times for an answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from archwright.core.errors import InvalidValueError, SpaceError
from archwright.costs import ActivationPeak, Cost, Macs, OnnxLatency, ProfileConfig, TorchLatency, count, profile
from archwright.costs import cost as cost_of
from archwright.costs import describe as describe_space
from archwright.costs.latency import Latency, measure_latency
from archwright.costs.profiling.parts import form_of
from archwright.nn.choice import Chooser
from archwright.nn.inputs import Inputs, Signature, TensorSpec
from archwright.spaces import Space
from archwright.testing import CostContract, SequenceSpace

SPACE = SequenceSpace(length=4, n_tokens=5)


class TestMacsOfSequences(CostContract):
    def make(self) -> Cost:
        return Macs()

    def make_space(self) -> Space:
        return SPACE


class TestPeakOfSequences(CostContract):
    def make(self) -> Cost:
        return ActivationPeak()

    def make_space(self) -> Space:
        return SPACE


class Gated(nn.Module):
    """The product of a layer's result and a gate, where a mask is true."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 4)

    def forward(self, x: Tensor, gate: Tensor, mask: Tensor) -> Tensor:
        found: Tensor = self.layer(x) * gate * mask
        return found


THREE = Signature((TensorSpec((6,), name="x"), TensorSpec((4,), name="gate"), TensorSpec((4,), "bool", name="mask")))


def test_a_network_of_three_inputs_by_hand() -> None:
    """24 products; the layer reads 6 + 28 and writes 4 numbers, the products read 4 + 4 + 4 and write 4."""
    found = count(Gated(), THREE)
    assert (found.macs, found.params, found.uncounted) == (24, 28, [])
    assert found.memory_access_bytes == 4 * ((6 + 28 + 4) + (4 + 4 + 4 + 4))
    # the layer: x and its result, beside the gate (4 numbers) and the mask (4 bytes) that are still to be read
    assert found.activation_peak_bytes == 4 * (6 + 4 + 4) + 4


def test_sequences_by_hand() -> None:
    """Width 8, 4 places: layers of 64, 64 and 64 and a head of 40 a place; attention twice 4 x 4 x 8."""
    arch = SPACE.decisions.archs(SPACE.decisions.rows([{"width": 8, "encoder": "linear", "decoder": "linear"}]))[0]
    document = cost_of(SPACE, arch)
    assert document["macs"] == 4 * (64 + 64 + 64 + 40) + 2 * 4 * 4 * 8
    assert document["uncounted"] == []
    assert document["input"] == {"source": [4], "source_mask": [4], "target": [4]}
    assert describe_space(SPACE)["inputs"] == ["source 4, source_mask 4, target 4 (shown here)"]


def test_other_sizes_are_refused_where_a_space_has_none() -> None:
    """In one line that says what it has."""
    with pytest.raises(InvalidValueError, match=r"has no input_shape; .* its settings are length, n_tokens"):
        cost_of(SPACE, SPACE.parse("000"), input_shape=(3, 8, 8))


def test_a_layer_that_does_not_fit_is_named() -> None:
    """Its shapes are found out with all inputs, and what is asked for is told."""

    class Broken(SequenceSpace):
        def network(self, choose: Chooser) -> nn.Module:
            network = super().network(choose)
            network.get_submodule("decoder").query = nn.Linear(16, 16)  # a plain size behind one that is searched
            return network

    with pytest.raises(SpaceError) as caught:
        _ = Space.declare(Broken())
    assert "of source 6 (tokens below 8), source_mask 6 (bool), target 6 (tokens below 8): " in str(caught.value)
    assert "decision 'width' = 8 breaks layer 'decoder.query'" in str(caught.value)


# ── latency of a use ──────────────────────────────────────────────────────────────────────────────


def test_what_is_timed_in_torch_is_the_use() -> None:
    """As often as passes are asked for, with the inputs of the signature."""
    seen: list[tuple[torch.Size, ...]] = []

    def use(network: nn.Module, inputs: Inputs) -> Any:
        assert isinstance(inputs, tuple)
        seen.append(tuple(x.shape for x in inputs))
        return SPACE.use(network, inputs)

    network = SPACE.build(SPACE.parse("000"))
    found = measure_latency(network, SPACE.signature, backend="torch", batch=2, warmup=1, repeats=3, use=use)
    assert found.median > 0
    assert seen == [((2, 4), (2, 4), (2, 4))] * 4


def test_one_pass_of_several_inputs_is_timed_in_onnx_runtime() -> None:
    """Of a network that is used at once."""
    assert measure_latency(Gated(), THREE, warmup=0, repeats=2).median > 0


@pytest.fixture
def by_use(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A clock that counts how often a decoder's head runs."""
    heads: list[int] = []

    def measure(network: nn.Module, form: Any, **how: Any) -> Latency:
        ran: list[int] = []
        layers = [part for part in network.modules() if isinstance(part, nn.Linear)]
        handles = [layer.register_forward_hook(lambda *_: ran.append(1)) for layer in layers]
        with torch.inference_mode():
            how["use"](network, form.example(1) if isinstance(form, Signature) else torch.zeros(1, *form))
        for handle in handles:
            handle.remove()
        heads.append(len(ran))
        milliseconds = 1.0 + len(ran)
        return Latency(milliseconds, milliseconds, 1, 1, how["backend"])

    monkeypatch.setattr("archwright.costs.profiling.profile.measure_latency", measure)
    return heads


TORCH = ProfileConfig("torch", warmup=0, repeats=1, n_fitted=3, n_checked=2)


def test_a_table_is_of_whole_decodings(by_use: list[int]) -> None:
    """Four tokens: the head and the query run four times, layers of the decoder as often, those of the encoder once."""
    table = profile(SPACE, TORCH)
    arch = {"width": 8, "encoder": "linear", "decoder": "linear"}
    rows = SPACE.decisions.rows([SPACE.decisions.archs(SPACE.decisions.rows([arch]))[0]])
    assert table.cost_rows(SPACE, rows)[0] == pytest.approx(1.0 + 1 + 4 * 3)
    assert TorchLatency(table).cost_rows(SPACE, rows).dtype == np.float64
    assert by_use


@pytest.mark.parametrize(
    "ask",
    [
        lambda: profile(SPACE, ProfileConfig("onnxruntime")),
        lambda: OnnxLatency().cost_rows(SPACE, SPACE.decisions.enumerate_rows()),
        lambda: OnnxLatency().check_fits(SPACE),
    ],
)
def test_onnx_runtime_is_refused_where_a_use_is_no_pass(ask: Callable[[], object]) -> None:
    """The latency that can be measured is named."""
    with pytest.raises(InvalidValueError, match=r"use latency_ms\.torch \(backend torch\)"):
        ask()


def test_parts_take_what_they_were_given() -> None:
    """Numbers in one piece; tokens and masks each on their own."""
    one = form_of(nn.Linear(6, 4), (torch.zeros(1, 6),))
    assert one.form == (6,)
    three = form_of(Gated(), (torch.zeros(1, 6), torch.zeros(1, 4), torch.zeros(1, 4, dtype=torch.bool)))
    assert isinstance(three.form, Signature)
    assert [(spec.shape, spec.dtype) for spec in three.form.inputs] == [
        ((6,), "float32"),
        ((4,), "float32"),
        ((4,), "bool"),
    ]
    assert three.use(three.module, three.form.example(2)).shape == (2, 4)  # type: ignore[attr-defined]
    tokens = form_of(SPACE.build(SPACE.parse("000")).get_submodule("encoder"), (torch.tensor([[4, 2, 0, 1]]),))
    assert tokens.use(tokens.module, tokens.form.example(2)).shape == (2, 4, 8)  # type: ignore[union-attr]
