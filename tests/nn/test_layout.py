"""Layout-keeping operations against the plain ones of torch."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from archwright.nn.layout import keep_layout, layout_of, split_even_odd

LAYOUTS = [torch.contiguous_format, torch.channels_last]


def _images(layout: torch.memory_format, *, grad: bool = True) -> Tensor:
    x = torch.randn(2, 6, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return x.contiguous(memory_format=layout).requires_grad_(grad)


def _plain_split(x: Tensor) -> tuple[Tensor, Tensor]:
    return x[:, 0::2], x[:, 1::2]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_split_gives_even_and_odd_channels(layout: torch.memory_format) -> None:
    """With and without gradients; halves keep the layout where they are made for training."""
    for grad in (True, False):
        x = _images(layout, grad=grad)
        even, odd = split_even_odd(x)
        assert torch.equal(even, x[:, [0, 2, 4]])
        assert torch.equal(odd, x[:, [1, 3, 5]])
    even, odd = split_even_odd(_images(layout))
    assert even.is_contiguous(memory_format=layout)
    assert odd.is_contiguous(memory_format=layout)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("function", [keep_layout, lambda x: split_even_odd(x)[0], split_even_odd])
def test_gradients_meet_finite_differences(layout: torch.memory_format, function: Callable[[Tensor], Tensor]) -> None:
    """In float64, first order."""
    assert torch.autograd.gradcheck(function, (_images(layout),))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_gradient_of_a_split_equals_that_of_slices(layout: torch.memory_format) -> None:
    """To the bit, and in the layout of the input."""
    x, y = _images(layout), _images(layout)
    for tensor, split in ((x, split_even_odd), (y, _plain_split)):
        even, odd = split(tensor)
        torch.autograd.backward((even.sin() * 3 + odd.cos()).sum())
    assert x.grad is not None
    assert y.grad is not None
    assert torch.equal(x.grad, y.grad)
    assert x.grad.is_contiguous(memory_format=layout)


def test_one_half_alone_has_a_gradient() -> None:
    """The other half's channels get zero."""
    x = _images(torch.channels_last)
    torch.autograd.backward(split_even_odd(x)[1].sum())
    assert x.grad is not None
    assert x.grad[:, 1::2].unique().tolist() == [1]
    assert x.grad[:, 0::2].unique().tolist() == [0]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_kept_layout_reaches_what_comes_before(layout: torch.memory_format) -> None:
    """A gradient that arrives in the other layout leaves in that of the input; its values stay."""
    x = _images(layout)
    other = LAYOUTS[1 - LAYOUTS.index(layout)]
    seen: list[Tensor] = []
    before = x * 1
    before.register_hook(seen.append)
    kept = keep_layout(before)
    assert torch.equal(kept, x)
    gradient = torch.randn(2, 6, 4, 5, dtype=torch.float64).contiguous(memory_format=other)
    kept.backward(gradient)
    assert torch.equal(seen[0], gradient)
    assert seen[0].is_contiguous(memory_format=layout)


def test_nothing_happens_without_gradients() -> None:
    """The very tensor, and views of it."""
    x = _images(torch.channels_last, grad=False)
    assert keep_layout(x) is x
    assert split_even_odd(x)[0].data_ptr() == x.data_ptr()
    with torch.no_grad():
        assert keep_layout(_images(torch.channels_last)).grad_fn is None


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        (torch.zeros(2, 3, 4, 4), torch.contiguous_format),
        (torch.zeros(2, 3, 4, 4).contiguous(memory_format=torch.channels_last), torch.channels_last),
        (torch.zeros(2, 3), torch.contiguous_format),
        (torch.zeros(2, 8, 4, 4)[:, 0::2], torch.contiguous_format),
        # one channel is stored alike in both
        (torch.zeros(2, 1, 4, 4).contiguous(memory_format=torch.channels_last), torch.contiguous_format),
    ],
)
def test_layout_of(x: Tensor, expected: torch.memory_format) -> None:
    """Channels-last only where it differs from the default."""
    assert layout_of(x) == expected


def test_they_can_be_exported() -> None:
    """`torch.export` takes them like the plain operations."""

    class Halves(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            even, odd = split_even_odd(keep_layout(x))
            return torch.cat((odd, even), dim=1)

    x = _images(torch.contiguous_format, grad=False)
    exported = torch.export.export(Halves(), (x,))
    assert torch.equal(exported.module()(x), torch.cat((x[:, 1::2], x[:, 0::2]), dim=1))
