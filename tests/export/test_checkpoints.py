"""Torch files as trainings leave them, written by torch here, and read without running code."""

from __future__ import annotations

import argparse
import pathlib
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from archwright.core.errors import InvalidValueError, RunFolderError
from archwright.export.checkpoints import AVERAGED, RAW, read_checkpoint
from archwright.export.weights import load_weights


def _network(value: float = 7.0) -> nn.Sequential:
    network = nn.Sequential(OrderedDict(body=nn.Conv2d(1, 3, 3), norm=nn.BatchNorm2d(3), head=nn.Linear(3, 2)))
    for tensor in network.state_dict().values():
        tensor.fill_(value)
    return network


def _state(value: float = 7.0, prefix: str = "") -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in _network(value).state_dict().items()}


def _saved(folder: Path, content: Any) -> Path:
    torch.save(content, folder / "c.pth")
    return folder / "c.pth"


def _values(network: nn.Module) -> set[float]:
    return {float(value) for tensor in network.state_dict().values() for value in tensor.unique()}


def _silent(line: str) -> None:
    raise AssertionError(line)


# ── where the weights are ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("key", RAW)
def test_weights_are_found_below_the_usual_keys(tmp_path: Path, key: str) -> None:
    """Beside what trainings keep: command lines, numbers of numpy, paths, the optimizer."""
    kept = {
        **{"args": argparse.Namespace(lr=0.1, out=pathlib.Path("runs"), names=["a"]), "epoch": 3},
        **{"best": np.float64(0.5), "steps": np.int64(4), "lr": np.float32(0.1), "is_best": np.bool_(True)},
        "optimizer": {"state": {0: {"momentum_buffer": torch.ones(3)}}, "param_groups": [{"lr": 0.1}]},
    }
    network = _network(0.0)
    load_weights(network, _saved(tmp_path, {**kept, key: _state()}), log=_silent)
    assert _values(network) == {7.0}


@pytest.mark.parametrize("key", AVERAGED)
def test_the_average_is_a_choice(tmp_path: Path, key: str) -> None:
    """The weights of the training are taken unless it is asked for."""
    path = _saved(tmp_path, {"model": _state(1.0), key: _state(2.0)})
    for averaged, expected in ((False, 1.0), (True, 2.0)):
        network = _network(0.0)
        load_weights(network, path, averaged=averaged, log=_silent)
        assert _values(network) == {expected}


def test_a_file_with_the_average_alone_needs_no_choice(tmp_path: Path) -> None:
    network = _network(0.0)
    load_weights(network, _saved(tmp_path, {"model_ema": _state(2.0), "epoch": 1}), log=_silent)
    assert _values(network) == {2.0}


def test_keys_below_keys(tmp_path: Path) -> None:
    """As of several networks in one file."""
    path = _saved(tmp_path, {"net": {"model": _state(1.0), "ema": {"state_dict": _state(2.0)}}})
    assert {float(t.flatten()[0]) for t in read_checkpoint(path).values()} == {1.0}
    assert {float(t.flatten()[0]) for t in read_checkpoint(path, averaged=True).values()} == {2.0}


def test_an_average_that_is_not_there(tmp_path: Path) -> None:
    """Says what is in the file."""
    with pytest.raises(
        RunFolderError, match=r"no averaged weights below .*: it holds model \(dict of \d+\), epoch \(int\)"
    ):
        read_checkpoint(_saved(tmp_path, {"model": _state(), "epoch": 1}), averaged=True)


def test_a_file_without_weights_says_what_it_holds(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"but epoch \(int\), names \(list of 2\); save the weights alone"):
        read_checkpoint(_saved(tmp_path, {"epoch": 1, "names": ["a", "b"]}))


def test_a_whole_module_is_not_loaded(tmp_path: Path) -> None:
    """The message names its classes, and the line that saves the weights."""
    with pytest.raises(RunFolderError, match=r"holds objects of .*Sequential.*torch.save\(model.state_dict\(\)"):
        load_weights(_network(), _saved(tmp_path, _network()))


# ── under which names ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "model.", "net.", "module._orig_mod.", "_orig_mod.module.", "model.net.module."]
)
def test_names_of_wrappers_are_taken_away(tmp_path: Path, prefix: str) -> None:
    network = _network(0.0)
    load_weights(network, _saved(tmp_path, _state(prefix=prefix)), log=_silent)
    assert _values(network) == {7.0}


def test_real_wrappers(tmp_path: Path) -> None:
    """Torch's parallel, averaged and compiled modules, a compiled part, and the buffers of counters."""
    wrappers: list[Callable[[nn.Sequential], nn.Module]] = [
        nn.DataParallel,
        torch.optim.swa_utils.AveragedModel,
        lambda network: torch.compile(network),
    ]
    for wrap in wrappers:
        network = _network(0.0)
        load_weights(network, _saved(tmp_path, wrap(_network()).state_dict()), log=_silent)
        assert _values(network) == {7.0}
    part = _network()
    part.body = torch.compile(part.body)
    tallied = part.state_dict() | {"total_ops": torch.zeros(1), "head.total_params": torch.zeros(1)}
    network = _network(0.0)
    load_weights(network, _saved(tmp_path, tallied), log=_silent)
    assert _values(network) == {7.0}


def test_a_network_whose_own_names_begin_so_keeps_them(tmp_path: Path) -> None:
    """Nothing is taken away that the network has too."""
    network = nn.ModuleDict({"model": _network(0.0)})
    load_weights(network, _saved(tmp_path, _state(prefix="model.")), log=_silent)
    assert _values(network) == {7.0}


# ── what is left out ──────────────────────────────────────────────────────────────────────────────


def test_another_head_can_be_left_out(tmp_path: Path) -> None:
    """On both sides; what stays as it was is told."""
    state = _state() | {"head.weight": torch.ones(9, 3), "head.bias": torch.ones(9), "extra": torch.ones(1)}
    network, told = _network(0.0), list[str]()
    path = _saved(tmp_path, state)
    load_weights(network, path, ignore=("head", "extra"), log=told.append)
    assert told == [f"{path}: kept as they were: head.weight, head.bias; not used: head.weight, head.bias, extra"]
    assert _values(network.body) == {7.0}
    assert _values(network.head) == {0.0}


def test_partial_loading_lists_what_was_left(tmp_path: Path) -> None:
    """What fits is loaded."""
    state = {name: tensor for name, tensor in _state().items() if not name.startswith("norm.")}
    network, told = _network(0.0), list[str]()
    path = _saved(tmp_path, state | {"head.weight": torch.ones(9, 3), "other": torch.ones(1)})
    load_weights(network, path, partial=True, log=told.append)
    names = "norm.weight, norm.bias, norm.running_mean, norm.running_var, head.weight"
    assert told == [f"{path}: kept as they were: {names}; not used: head.weight, other"]
    assert network.head.bias.unique().tolist() == [7.0]


def test_nothing_that_fits_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidValueError, match="none of its 1 tensors has a place"):
        load_weights(_network(), _saved(tmp_path, {"a": torch.ones(1)}), partial=True)


def test_a_name_that_nothing_has(tmp_path: Path) -> None:
    """Says what the network has."""
    with pytest.raises(
        InvalidValueError, match="ignore names 'haed', and nothing is called so; the network has body, norm"
    ):
        load_weights(_network(), _saved(tmp_path, _state()), ignore=("haed",))
