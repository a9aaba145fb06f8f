"""Weights to begin a training with: all that fit, while a classifier for other classes begins anew."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

from archwright.core.errors import InvalidValueError, RunFolderError
from archwright.export.warm_start import open_warm_start
from archwright.export.weights import save_weights


class Auxiliary(nn.Linear):
    """Only for training."""

    is_training_only = True


def builder(channels: int = 1, *, auxiliary: bool = False) -> Callable[[int | None], nn.Module]:
    """Makes a network for so many classes: a convolution, a batch norm, a classifier."""

    def build(n_classes: int | None) -> nn.Module:
        extra = {"auxiliary": Auxiliary(3, n_classes or 1)} if auxiliary else {}
        body = nn.Sequential(nn.Conv2d(channels, 3, 3), nn.BatchNorm2d(3))
        return nn.ModuleDict({"body": body, "head": nn.Linear(3, n_classes or 1), **extra})

    return build


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """Weights for the classes "a", "b", "c", all of them sevens."""
    network = builder()(3)
    for tensor in network.state_dict().values():
        tensor.fill_(7)
    save_weights(network, tmp_path / "w.safetensors", metadata={"class_names": json.dumps(["a", "b", "c"])})
    return tmp_path / "w.safetensors"


def sevens(network: nn.Module) -> set[str]:
    return {name for name, tensor in network.state_dict().items() if bool((tensor == 7).all())}


def test_same_classes_take_every_weight(saved: Path) -> None:
    """Nothing is fresh."""
    start, network = open_warm_start(saved, builder(), 3, ["a", "b", "c"]), builder()(3)
    start.give(network)
    assert start.fresh == ()
    assert sevens(network) == network.state_dict().keys()


@pytest.mark.parametrize(("n", "names"), [(5, list("abcde")), (2, list("ab")), (3, list("bca"))])
def test_a_classifier_for_other_classes_begins_anew(saved: Path, n: int, names: list[str]) -> None:
    """Of more, of fewer, of as many others; the rest is taken."""
    start, network = open_warm_start(saved, builder(), n, names), builder()(n)
    start.give(network)
    assert start.fresh == ("head",)
    assert sevens(network) == {name for name in network.state_dict() if name.startswith("body.")}


def test_a_file_without_names_is_taken_where_it_fits(tmp_path: Path) -> None:
    """As other programs write it."""
    safetensors.torch.save_file(builder()(3).state_dict(), tmp_path / "w.safetensors")
    assert open_warm_start(tmp_path / "w.safetensors", builder(), 3, ["x", "y", "z"]).fresh == ()
    assert open_warm_start(tmp_path / "w.safetensors", builder(), 4, []).fresh == ("head",)


def test_what_only_training_needs_may_be_missing(saved: Path) -> None:
    """Exported weights lack it; the classifier stays."""
    start = open_warm_start(saved, builder(auxiliary=True), 3, ["a", "b", "c"])
    assert start.fresh == ("auxiliary",)
    start.give(builder(auxiliary=True)(3))


def test_other_networks_are_refused(saved: Path, tmp_path: Path) -> None:
    """Another number of channels, another layer, a file that is none: one line."""
    with pytest.raises(
        InvalidValueError, match=r"wrongly shaped: body\.0\.weight \(3, 1, 3, 3\) instead of \(3, 3, 3, 3"
    ):
        open_warm_start(saved, builder(3), 3, ["a", "b", "c"])
    other = tmp_path / "other.safetensors"
    safetensors.torch.save_file({"head.weight": torch.zeros(3, 3), "stem": torch.zeros(1)}, other)
    with pytest.raises(
        InvalidValueError, match=r"missing: body\.0\.weight.*unexpected: stem; give weights of this arch"
    ):
        open_warm_start(other, builder(), 3, [])
    with pytest.raises(RunFolderError, match="there is no such file"):
        open_warm_start(tmp_path / "none", builder(), 3, [])


def test_a_network_without_classes_takes_all_or_nothing(saved: Path) -> None:
    """There is no classifier that could differ."""
    with pytest.raises(InvalidValueError, match=r"wrongly shaped: head\.weight"):
        open_warm_start(saved, builder(), None, [])
