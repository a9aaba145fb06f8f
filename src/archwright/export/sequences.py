"""Networks for sequences of any length in an exported file: recurrent layers become a loop of the file.

A recurrent layer's own loop over the steps is gone once a network is captured: the file would have the cell once for
every step of the captured length. torch has an operator for loops over one axis (`scan`), which its exporter writes as
ONNX's `Scan`; the bodies are captured once.
"""

from __future__ import annotations

import importlib
import re
from typing import Any, cast

import torch
from torch import Tensor, nn

from archwright.core.errors import ExportError, InvalidValueError
from archwright.nn.inputs import Signature, TensorSpec
from archwright.nn.ops.recurrent import GRUCell, LSTMCell, Recurrent, RecurrentCell

LENGTH = "length"
"""What exported files call the free axis of sequences."""


class Scanned(nn.Module):
    """A cell along a sequence of any length, as `Recurrent` computes it in eval mode: (N, T, n_in) → (N, T, n_hidden).

    Args:
        cell: Of the layer.
    """

    def __init__(self, cell: RecurrentCell) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, x: Tensor) -> Tensor:
        return scanned(self.cell, x, self.cell.begin(x.shape[0], x.device))[0]


class ScannedLayers(nn.Module):
    """torch's own LSTM or GRU on sequences of any length, in eval mode: called like it, with the same weights.

    Args:
        layers: Whose place it takes; one without projections.
    """

    def __init__(self, layers: nn.LSTM | nn.GRU) -> None:
        super().__init__()
        self.is_lstm, self.batch_first, self.bidirectional = (
            isinstance(layers, nn.LSTM),
            layers.batch_first,
            layers.bidirectional,
        )
        self.input_size, self.hidden_size, self.num_layers = layers.input_size, layers.hidden_size, layers.num_layers
        self.n_directions = 2 if layers.bidirectional else 1
        self.cells = nn.ModuleList(
            _cell_of(layers, f"l{i}{suffix}")
            for i in range(layers.num_layers)
            for suffix in ("", "_reverse")[: self.n_directions]
        )

    def flatten_parameters(self) -> None:
        """Do nothing: torch's layers have it for GPUs."""

    def forward(self, input: Tensor, hx: Any = None) -> tuple[Tensor, Any]:
        """(N, T, n_in), or (T, N, n_in), and the states before → the outputs and the states behind the last step.

        Args:
            input: The sequences.
            hx: (layers x directions, N, n_hidden), of an LSTM a pair of those; None for zeros.
        """
        x = input if self.batch_first else input.transpose(0, 1)
        given = (hx if self.is_lstm else (hx,)) if hx is not None else None
        ends = list[tuple[Tensor, ...]]()
        for first in range(0, len(self.cells), self.n_directions):
            outputs = []
            for direction in range(self.n_directions):
                cell: Any = self.cells[first + direction]
                begin = cell.begin(x.shape[0], x.device) if given is None else tuple(s[len(ends)] for s in given)
                steps = x.flip(1) if direction else x
                output, end = scanned(cell, steps, begin)
                outputs.append(output.flip(1) if direction else output)
                ends.append(end)
            x = torch.cat(outputs, dim=-1) if len(outputs) > 1 else outputs[0]
        states = tuple(torch.stack(parts) for parts in zip(*ends, strict=True))
        return x if self.batch_first else x.transpose(0, 1), states if self.is_lstm else states[0]


def scanned(cell: RecurrentCell, x: Tensor, begin: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
    """What a cell gives along a sequence (N, T, n_in), (N, T, n_hidden), and its last state.

    Args:
        cell: In eval mode.
        x: The sequence.
        begin: The state before it.
    """

    def step(state: tuple[Tensor, ...], x: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
        output, after = cell(x, state)
        # the operator refuses outputs that are one tensor, and the output of most cells is their state
        return tuple(each.clone() for each in after), output.clone()

    # it refuses states that share memory, too
    end, outputs = _scan()(step, tuple(each.clone() for each in begin), x, dim=1)
    return outputs, end


def scan_recurrent(network: nn.Module) -> nn.Module:
    """The network with a loop of its own in the place of each recurrent layer; changed in place.

    Args:
        network: A stand-alone network, in eval mode.

    Raises:
        ExportError: If it has a recurrent layer and this torch has no operator for such loops.
    """
    return _scanning(network, {})


def _scanning(network: nn.Module, made: dict[int, nn.Module]) -> nn.Module:
    """As `scan_recurrent`; a module that has several names stays one."""
    if id(network) not in made:
        if isinstance(network, Recurrent):
            _scan()
            made[id(network)] = Scanned(network.cell)
        elif type(network) in (nn.LSTM, nn.GRU) and not network.proj_size:  # a subclass may compute something else
            _scan()
            made[id(network)] = ScannedLayers(cast(nn.LSTM | nn.GRU, network))
        else:
            made[id(network)] = network
            for name, child in list(network._modules.items()):  # `named_children` lists a shared module once
                if child is not None:
                    setattr(network, name, _scanning(child, made))
    return made[id(network)]


def _cell_of(layers: nn.LSTM | nn.GRU, suffix: str) -> RecurrentCell:
    kind = LSTMCell if isinstance(layers, nn.LSTM) else GRUCell
    cell = kind(getattr(layers, f"weight_ih_{suffix}").shape[1], layers.hidden_size)
    with torch.no_grad():
        for part, name in ((cell.input, "ih"), (cell.hidden, "hh")):
            part.weight.copy_(getattr(layers, f"weight_{name}_{suffix}"))  # also of a parametrised layer
            assert part.bias is not None
            if layers.bias:
                part.bias.copy_(getattr(layers, f"bias_{name}_{suffix}"))
            else:
                part.bias.zero_()
    return cell


def takes_text(signature: Signature) -> bool:
    """Whether every input is a sequence of tokens.

    Args:
        signature: Of the network.
    """
    return all(len(spec.shape) == 1 and spec.dtype == "int64" for spec in signature.inputs)


def check_sequences(signature: Signature) -> None:
    """Refuse a signature with an input that is no sequence.

    Args:
        signature: Of the network.

    Raises:
        InvalidValueError: If an input is neither (T,) nor (T, features).
    """
    for spec in signature.inputs:
        if len(spec.shape) not in (1, 2):
            raise InvalidValueError(
                f"any_length is for sequences, (T,) or (T, features); {spec.name} is {'x'.join(map(str, spec.shape))}"
            )


def length_names(signature: Signature) -> list[str]:
    """The name of each input's free axis: inputs of one length share it.

    Args:
        signature: Of sequences.
    """
    lengths = list(dict.fromkeys(spec.shape[0] for spec in signature.inputs))
    if len(lengths) == 1:
        return [LENGTH] * len(signature.inputs)
    return [re.sub(r"\W", "_", f"of_{spec.name}_{LENGTH}") for spec in signature.inputs]


def of_length(signature: Signature, change: int) -> Signature:
    """The signature of sequences that are that many steps longer.

    Args:
        signature: Of sequences.
        change: Steps more.
    """
    inputs = tuple(
        TensorSpec((spec.shape[0] + change, *spec.shape[1:]), spec.dtype, spec.n_tokens, spec.name)
        for spec in signature.inputs
    )
    return Signature(inputs, signature.outputs)


def _scan() -> Any:
    try:
        return importlib.import_module("torch._higher_order_ops.scan").scan
    except (ImportError, AttributeError):
        raise ExportError(
            f"torch {torch.__version__} has no operator for loops of any length; a newer one has"
        ) from None
