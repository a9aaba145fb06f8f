"""Quantisers and the convolution that uses them, by hand."""

from __future__ import annotations

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from archwright.core.errors import InvalidValueError
from archwright.costs.counting.count import count
from archwright.nn import Supernet
from archwright.nn.ops.quantized import InputQuantizer, QuantizedConv2d, WeightQuantizer
from archwright.nn.sizes import current


def test_two_bit_weights() -> None:
    """tanh(w) by the largest, to the nearest of -1, -1/3, 1/3 and 1."""
    weight = torch.atanh(torch.tensor([0.9, 0.45, 0.1, -0.2, -0.7, -0.9])) * 1.0
    expected = [1.0, 1 / 3, 1 / 3, -1 / 3, -1.0, -1.0]
    assert WeightQuantizer(2)(weight).tolist() == pytest.approx(expected)


def test_one_bit_weights() -> None:
    """The sign times the mean size; zero counts as positive."""
    assert WeightQuantizer(1)(torch.tensor([0.5, -1.0, 0.0, 2.5])).tolist() == [1.0, -1.0, 1.0, 1.0]


def test_one_bit_weights_pass_the_gradient() -> None:
    """As it comes."""
    weight = torch.tensor([0.5, -1.0, 0.0], requires_grad=True)
    WeightQuantizer(1)(weight).backward(torch.tensor([1.0, 2.0, 3.0]))
    assert weight.grad is not None
    assert weight.grad.tolist() == [1.0, 2.0, 3.0]


def test_weights_of_more_bits_have_the_gradient_of_what_is_rounded() -> None:
    """That of tanh(w) / max|tanh(w)|, the largest held fixed."""
    weight = torch.tensor([0.3, -1.0, 0.8], requires_grad=True)
    WeightQuantizer(3)(weight).sum().backward()
    bent = torch.tanh(weight.detach())
    assert weight.grad is not None
    torch.testing.assert_close(weight.grad, (1 - bent**2) / bent.abs().max())


def test_weights_that_are_all_zero() -> None:
    """Have a value: the one above 0 nearest to it."""
    assert WeightQuantizer(4)(torch.zeros(3)).isfinite().all()


def test_inputs() -> None:
    """At 2 bits the clip begins at 2: steps of 2/3 from 0 to 2."""
    found = InputQuantizer(2)(torch.tensor([-1.0, 0.3, 0.4, 1.2, 1.9, 5.0]))
    assert found.tolist() == pytest.approx([0.0, 0.0, 2 / 3, 4 / 3, 2.0, 2.0])


def test_gradients_of_inputs() -> None:
    """Inputs between 0 and the clip pass it, the clip gets that of all above it (PACT, Eq. 3)."""
    quantizer, x = InputQuantizer(4), torch.tensor([-1.0, 0.5, 2.9, 3.5, 9.0], requires_grad=True)
    quantizer(x).backward(torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0]))
    assert x.grad is not None
    assert x.grad.tolist() == [0.0, 2.0, 3.0, 0.0, 0.0]
    assert quantizer.clip.grad is not None
    assert quantizer.clip.grad.item() == 9.0


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_first_clip_is_near_the_best(bits: int) -> None:
    """Of all clips in steps of a tenth, for the positive half of a normal distribution."""
    x = torch.randn(50_000, generator=torch.Generator().manual_seed(0)).abs()
    quantizer, errors = InputQuantizer(bits).requires_grad_(False), {}
    start = quantizer.clip.item()
    for tenth in range(5, 60):
        quantizer.clip.fill_(tenth / 10)
        errors[tenth] = (quantizer(x) - x).square().mean().item()
    assert min(errors, key=errors.__getitem__) == pytest.approx(10 * start, abs=1.5)


@pytest.mark.parametrize("clip", [0.0, -2.0, 1e-9])
def test_a_clip_that_went_astray_gives_numbers(clip: float) -> None:
    """Without its sign, 0.001 at least."""
    quantizer = InputQuantizer(2).requires_grad_(False)
    quantizer.clip.fill_(clip)
    assert quantizer(torch.tensor([5.0])).item() == pytest.approx(max(abs(clip), 0.001))


@pytest.mark.parametrize("bits", range(1, 9))
def test_number_of_values(bits: int) -> None:
    """2^bits of them, and the same with and without gradients."""
    x = torch.linspace(-7.0, 7.0, 5_000)
    for quantizer in (WeightQuantizer(bits), InputQuantizer(bits)):
        found = quantizer(x.clone().requires_grad_()).detach()
        assert len(found.unique()) == 2**bits
        with torch.no_grad():
            assert torch.equal(quantizer(x), found)


def test_full_precision_leaves_all_as_it_is() -> None:
    """No values rounded, no clip."""
    conv = QuantizedConv2d(2, 3, 3, stride=2, quantize_input=InputQuantizer(32), quantize_weight=WeightQuantizer(32))
    x = torch.randn(2, 2, 5, 5)
    assert torch.equal(conv(x), F.conv2d(x, conv.weight, None, 2, 1))
    assert [name for name, _ in conv.named_parameters()] == ["weight"]


def test_costs() -> None:
    """Multiply-accumulates times both bits; 3 x 2 x 9 weights at 3 bits are 162 bits, which takes 21 bytes."""
    conv = QuantizedConv2d(2, 3, 3, quantize_input=InputQuantizer(4), quantize_weight=WeightQuantizer(3))
    counted = count(conv, (2, 5, 5))
    assert counted.macs == 3 * 2 * 9 * 25
    assert counted.bit_ops == counted.macs * 3 * 4
    assert counted.model_size_bytes == 21 + 4
    assert (counted.params, counted.uncounted) == (3 * 2 * 9 + 1, [])


def test_bits_follow_the_decision() -> None:
    """In a supernet, where the quantisers are choices."""
    choose = Supernet()
    kinds = {"a": 2, "b": 4}
    inputs = choose.op("bits", {key: partial(InputQuantizer, bits) for key, bits in kinds.items()})
    weights = choose.op("bits", {key: partial(WeightQuantizer, bits - 1) for key, bits in kinds.items()})
    conv = QuantizedConv2d(2, 3, 3, quantize_input=inputs, quantize_weight=weights)
    for key, expected in (("a", (1, 2)), ("b", (3, 4))):
        choose.selection.activate({"bits": key})
        assert tuple(map(current, conv.operand_bits)) == expected
        assert count(conv, (2, 5, 5)).bit_ops == 1350 * expected[0] * expected[1]


@pytest.mark.parametrize("bits", [0, 9, -1, 16, True, 2.0, "2"])
def test_impossible_bits_are_refused(bits: object) -> None:
    """1 to 8, or 32."""
    with pytest.raises(InvalidValueError, match="give 1 to 8, or 32"):
        WeightQuantizer(bits)  # type: ignore[arg-type]


def test_what_is_no_quantiser_is_refused() -> None:
    """By its class."""
    with pytest.raises(InvalidValueError, match="got Identity; give a WeightQuantizer and an InputQuantizer"):
        QuantizedConv2d(2, 3, 3, quantize_input=nn.Identity(), quantize_weight=WeightQuantizer(2))
