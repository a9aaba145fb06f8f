"""Recurrent cells against torch's own, what their sequences share, and the state a layer carries."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from archwright.core.errors import InvalidValueError
from archwright.nn import GRUCell, LSTMCell, Recurrent, RecurrentCell, Supernet, extract, selection_of
from archwright.nn.carrying import Stream
from archwright.nn.choice import Chooser
from archwright.nn.ops.recurrent import GatedCell

TORCH = {LSTMCell: nn.LSTMCell, GRUCell: nn.GRUCell}


def torch_cell(cell: GatedCell) -> nn.RNNCellBase:
    """torch's cell with the same weights."""
    other = TORCH[type(cell)](cell.n_in, cell.n_hidden)
    mapped = {"weight_ih": cell.input.weight, "bias_ih": cell.input.bias}
    mapped |= {"weight_hh": cell.hidden.weight, "bias_hh": cell.hidden.bias}
    other.load_state_dict(mapped)
    return other


@pytest.mark.parametrize("make", TORCH)
def test_cells_equal_torch_s(make: type[GatedCell]) -> None:
    """Three steps of LSTM and GRU, with mapped weights."""
    torch.manual_seed(0)
    cell, x = make(5, 7), torch.randn(3, 4, 5)
    other, state = torch_cell(cell), cell.begin(4, x.device)
    theirs = state if len(state) > 1 else state[0]
    for step in x:
        output, state = cell(step, state)
        theirs = other(step, theirs)
    expected = theirs if isinstance(theirs, Tensor) else theirs[0]
    assert torch.allclose(output, expected, atol=1e-6)


def test_layer_equals_torch_s_lstm() -> None:
    """The unrolled layer is torch.nn.LSTM over the whole sequence."""
    torch.manual_seed(0)
    cell, x = LSTMCell(5, 7), torch.randn(2, 6, 5)
    lstm = nn.LSTM(5, 7, batch_first=True)
    own = torch_cell(cell).state_dict()
    lstm.load_state_dict({f"{name}_l0": tensor for name, tensor in own.items()})
    assert torch.allclose(Recurrent(cell)(x), lstm(x)[0], atol=1e-6)


def test_weight_drop_is_one_mask_a_sequence() -> None:
    """All steps of a sequence see the same dropped weights; evaluation sees all of them."""
    torch.manual_seed(0)
    cell = LSTMCell(3, 16, weight_drop=0.5)
    cell.prepare(2, torch.device("cpu"))
    dropped = cell.shared["weight"]
    share = (dropped == 0).float().mean()
    assert 0.4 < share < 0.6
    kept = dropped != 0
    assert torch.allclose(dropped[kept], 2 * cell.hidden.weight[kept])
    h = torch.randn(2, 16)
    assert torch.equal(cell.of_hidden(h), cell.of_hidden(h))
    cell.release()
    cell.eval().prepare(2, torch.device("cpu"))
    assert not cell.shared


def test_a_layer_leaves_nothing_shared_behind() -> None:
    """So that it can be copied after training."""
    layer = Recurrent(LSTMCell(3, 4, weight_drop=0.5))
    layer(torch.randn(2, 5, 3))
    assert layer.cell.shared == {}


def test_a_rate_of_one_is_refused() -> None:
    """Nothing would be left."""
    with pytest.raises(InvalidValueError, match="weight_drop is 1"):
        LSTMCell(3, 4, weight_drop=1.0)


# ── carried state ─────────────────────────────────────────────────────────────────────────────────


def run(stream: Stream, network: nn.Module, x: Tensor, *, goes_on: bool = True) -> Tensor:
    """One batch of a stream."""
    with stream.batch(goes_on=goes_on):
        out: Tensor = network(x)
    return out


def test_a_stream_equals_one_long_sequence() -> None:
    """Two halves in a stream give what the whole gives."""
    torch.manual_seed(0)
    layer, x = Recurrent(LSTMCell(3, 4)), torch.randn(2, 8, 3)
    stream = Stream(layer)
    halves = [run(stream, layer, half) for half in x.chunk(2, dim=1)]
    assert torch.allclose(torch.cat(halves, dim=1), layer(x), atol=1e-6)


def test_outside_a_stream_every_batch_begins_anew() -> None:
    """Calling twice gives the same."""
    layer, x = Recurrent(LSTMCell(3, 4)), torch.randn(2, 8, 3)
    run(Stream(layer), layer, x)
    assert torch.equal(layer(x), layer(x))


def test_streams_take_turns_on_a_network() -> None:
    """Each goes on where it was itself."""
    torch.manual_seed(0)
    layer, one, other = Recurrent(LSTMCell(3, 4)), torch.randn(2, 8, 3), torch.randn(2, 8, 3)
    streams = Stream(layer), Stream(layer)
    found = [
        [run(*pair) for pair in zip(streams, (layer, layer), halves, strict=True)]
        for halves in zip(one.chunk(2, dim=1), other.chunk(2, dim=1), strict=True)
    ]
    assert torch.allclose(torch.cat([first for first, _ in found], dim=1), layer(one), atol=1e-6)
    assert torch.allclose(torch.cat([second for _, second in found], dim=1), layer(other), atol=1e-6)


def test_no_gradient_reaches_the_batch_before() -> None:
    """Truncated back-propagation."""
    layer, x = Recurrent(GRUCell(3, 4)), torch.randn(2, 4, 3, requires_grad=True)
    stream = Stream(layer)
    run(stream, layer, x)
    run(stream, layer, torch.randn(2, 4, 3)).sum().backward()
    assert x.grad is None


def test_a_new_pass_begins_anew() -> None:
    """The same batch after `goes_on=False` gives the same output."""
    layer, x = Recurrent(LSTMCell(3, 4)), torch.randn(2, 8, 3)
    stream = Stream(layer)
    first = run(stream, layer, x)
    assert torch.equal(run(stream, layer, x, goes_on=False), first)


def test_another_batch_size_begins_anew() -> None:
    """A state of other sequences is of no use."""
    layer, x = Recurrent(LSTMCell(3, 4)), torch.randn(2, 8, 3)
    stream = Stream(layer)
    run(stream, layer, torch.randn(5, 8, 3))
    assert torch.equal(run(stream, layer, x), layer(x))


def test_a_path_that_sat_out_begins_anew() -> None:
    """Its state is of an earlier place in the text."""
    layer, x = Recurrent(LSTMCell(3, 4)), torch.randn(2, 8, 3)
    stream = Stream(layer)
    run(stream, layer, torch.randn(2, 8, 3))
    run(stream, nn.Identity(), x)  # another path runs
    assert torch.equal(run(stream, layer, x), layer(x))


def test_a_failed_batch_leaves_no_state() -> None:
    """Neither in the stream nor in the layer."""
    layer, x = Recurrent(LSTMCell(3, 4)), torch.randn(2, 8, 3)
    stream = Stream(layer)
    with pytest.raises(RuntimeError), stream.batch(goes_on=True):
        layer(torch.randn(2, 8, 5))
    assert stream.tensors() == {}
    assert torch.equal(run(stream, layer, x), layer(x))


def test_carried_state_goes_through_a_checkpoint() -> None:
    """Another process goes on bit for bit."""
    torch.manual_seed(0)
    layer, x = nn.Sequential(Recurrent(LSTMCell(3, 4)), Recurrent(GRUCell(4, 4))), torch.randn(2, 8, 3)
    stream, other = Stream(layer), Stream(layer)
    run(stream, layer, x)
    other.load(stream.tensors())
    assert sorted(stream.tensors()) == ["0/0", "0/1", "1/0"]
    assert torch.equal(run(stream, layer, x), run(other, layer, x))


def test_weights_hold_no_state() -> None:
    """Neither inside nor outside a stream."""
    layer = Recurrent(LSTMCell(3, 4))
    before = set(layer.state_dict())
    with Stream(layer).batch(goes_on=True):
        layer(torch.randn(2, 8, 3))
        assert set(layer.state_dict()) == before
        assert not list(layer.buffers())


# ── searched ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("make", TORCH)
def test_an_elastic_width_keeps_gates_apart(make: type[GatedCell]) -> None:
    """A narrower cell in a supernet is the cell extracted from it: each gate is cut by itself."""

    def network(choose: Chooser) -> nn.Module:
        return Recurrent(make(3, choose.number("width", [2, 4])))

    supernet, x = network(Supernet()), torch.randn(2, 5, 3)
    for width in (2, 4):
        selection_of(supernet).activate({"width": width})
        found = extract(network, supernet, {"width": width})
        assert torch.allclose(supernet(x), found(x), atol=1e-6)


def test_a_cell_of_one_s_own_needs_forward_alone() -> None:
    """`begin` gives zeros in the type of its parameters."""

    class Mean(RecurrentCell):
        def forward(self, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
            h = (x + state[0]) / 2
            return h, (h,)

    out = Recurrent(Mean(2, 2))(torch.ones(1, 3, 2))
    assert out[0, :, 0].tolist() == [0.5, 0.75, 0.875]
