"""Networks of Zoph & Le's spaces are trained and exported like any other."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from archwright.core.arch import Arch
from archwright.spaces import NasRl, NasRlRnn, Space, open_architecture

Check = Callable[[Space, Arch], None]
STRIDED = NasRl(input_shape=(3, 9, 12), n_classes=5, layers=4, strides=True, filters=[4, 6], pool_after=[2])
NETWORKS: dict[str, tuple[Space, str]] = {
    "nas-rl": (STRIDED, "7x5-4s2x1/3x3-6s1x3:1/5x1-4s1x2:00/3x3-6s1x1:101"),
    "nas-rl-rnn": (
        NasRlRnn(input_shape=(5,), n_classes=12, hidden=16, base=2, bias=True, more_functions=True),
        "max-sin,elem_mult-relu,add-sigmoid/add-tanh/1,0",
    ),
    "nascell": (NasRlRnn(input_shape=(5,), n_classes=12, hidden=16), ""),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_source_computes_the_same(check_source: Check, name: str) -> None:
    """The network that `model.py` builds takes the same weights and gives the same logits."""
    space, code = NETWORKS[name]
    check_source(space, space.parse(code) if code else open_architecture(name).arch)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_onnx_computes_the_same(check_onnx: Check, name: str) -> None:
    """At batches it was not traced with."""
    space, code = NETWORKS[name]
    check_onnx(space, space.parse(code) if code else open_architecture(name).arch)


def test_train_from_the_command_line(check_train: Check) -> None:
    """Four layers with strides and a pooling: every file is written."""
    space = STRIDED.with_args(input_shape=(1, 8, 8), n_classes=10)
    check_train(space, space.parse(NETWORKS["nas-rl"][1]))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "data"), [("nas-rl-v1", "digits"), ("nascell", "pydoc")])
def test_train_of_published_names(check_published_train: Callable[[str, str], None], name: str, data: str) -> None:
    """Two steps of each network in full, at the size of the data."""
    check_published_train(name, data)
