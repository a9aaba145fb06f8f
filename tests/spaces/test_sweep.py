"""Shapes are checked when a space is defined; the decision and the layer that break are named."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from archwright.core.errors import SpaceError
from archwright.nn import BatchNorm2d, Chooser, Classifier, Conv2d, Linear
from archwright.nn.meta import ShapesOnly
from archwright.nn.sizes import current
from archwright.spaces.base import Space


def space_of(network: Callable[[Chooser], nn.Module], **attributes: Any) -> Space:
    """A user's space of one method."""
    body = {"network": lambda self, choose: network(choose), "input_shape": (3, 8, 8), "n_classes": 4, **attributes}
    cls: type[Space] = type("MySpace", (Space,), body)
    return cls()


def refused(network: Callable[[Chooser], nn.Module], **attributes: Any) -> str:
    with pytest.raises(SpaceError) as caught:
        space_of(network, **attributes).size()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_plain_size_behind_a_decision_is_found() -> None:
    """The convolution of 8 channels runs behind width 8 and fails behind 16."""

    def network(choose: Chooser) -> nn.Module:
        width = choose.number("width", [8, 16])
        stem = nn.Sequential(Conv2d(3, width, choose.number("kernel", [1, 3])), nn.Conv2d(8, 8, 3))
        return Classifier(stem, n_classes=4)

    message = refused(network)
    assert "decision 'width' = 8" in message or "decision 'width' = 16" in message
    assert "layer '0.1' (Conv2d)" in message
    assert "'kernel'" not in message


def test_a_candidate_of_another_width_is_found() -> None:
    """One of three operations gives 5 channels where 4 go on."""

    def network(choose: Chooser) -> nn.Module:
        widths = {"good": 4, "fine": 4, "bad": 5}
        ops = {key: lambda n=n: nn.Conv2d(3, n, 1) for key, n in widths.items()}
        return nn.Sequential(choose.op("op", ops), BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten())

    assert re.search(r"decision 'op' = 'bad' breaks layer '1' \(BatchNorm2d\) \('good' does not\)", refused(network))


def test_a_value_that_only_one_context_reaches_is_tried() -> None:
    """The stride that is too long exists in one candidate only."""

    def network(choose: Chooser) -> nn.Module:
        def pooled() -> nn.Module:
            size = choose.number("pool", [2, 4])
            return choose.op("kind", {"max": lambda: nn.MaxPool2d(2), "lazy": lambda: _Shrunk(size)})

        body = choose.op("body", {"none": nn.Identity, "pooled": pooled, "last": nn.ReLU})
        return Classifier(nn.Sequential(nn.Conv2d(3, 4, 1), body), n_classes=4)

    assert "decision 'pool' = 4 breaks layer '0.1.pooled.lazy'" in refused(network)


def test_what_fails_always_names_no_decision() -> None:
    """A network that ignores the channels of its input."""

    def network(choose: Chooser) -> nn.Module:
        return Classifier(nn.Conv2d(3, 4, 3), choose.op("act", {"relu": nn.ReLU, "silu": nn.SiLU}), n_classes=4)

    message = refused(network, input_shape=(1, 8, 8))
    assert "layer '0' (Conv2d) fails whatever is chosen" in message
    assert "(1, 8, 8)" in message


def test_outputs_are_one_row_of_logits_an_input() -> None:
    """Three outputs where four classes are."""

    def network(choose: Chooser) -> nn.Module:
        return Classifier(Conv2d(3, choose.number("width", [2, 4]), 3), n_classes=3)

    assert "2 inputs give (2, 3), not (2, 4)" in refused(network)


def test_a_width_of_zero_everywhere_is_refused() -> None:
    """Named where the layer is made."""

    def network(choose: Chooser) -> nn.Module:
        width = choose.number("width", [4, 8])
        return nn.Sequential(Conv2d(3, choose.map(lambda n: n * 0, width), 3))

    assert "size is 0 at most (decisions width); give it a value of at least 1" in refused(network)


def test_a_width_of_zero_somewhere_is_found() -> None:
    """A layer of no channels for one of the values."""

    def network(choose: Chooser) -> nn.Module:
        width = choose.number("width", [0, 8])
        return nn.Sequential(
            Conv2d(3, width, 3), BatchNorm2d(width), nn.AdaptiveAvgPool2d(1), nn.Flatten(), Linear(width, 4)
        )

    assert "decision 'width' = 0 breaks layer '0' (ElasticConv2d) (8 does not): it has a size of 0" in refused(network)


def test_an_error_in_network_is_one_line_that_says_where() -> None:
    """With the line of the user's file."""

    def network(choose: Chooser) -> nn.Module:
        return nn.Linear(choose.nothing, 3)  # type: ignore[attr-defined]

    assert re.search(
        r"network of space .* cannot be built: AttributeError: .*test_sweep\.py, line \d+\)", refused(network)
    )


def test_branching_on_a_lazy_value_is_refused() -> None:
    """The commonest mistake: an if on a searched number."""

    def network(choose: Chooser) -> nn.Module:
        width = choose.number("width", [4, 8])
        return nn.Conv2d(3, 4, 3 if width > 4 else 1)

    assert "depends on decision 'width'" in refused(network)
    assert "use choose.op, choose.repeat or choose.map" in refused(network)


def test_a_batch_norm_on_the_meta_device_still_checks_its_channels() -> None:
    """The quick way must not hide what the sweep looks for."""
    x = torch.empty(2, 5, 3, 3, device="meta")
    with torch.device("meta"):
        norm = nn.BatchNorm2d(4)
    with ShapesOnly(), pytest.raises(RuntimeError, match="5 elements not 4"):
        norm(x)


class _Shrunk(nn.Module):
    """Asserts that the image is large enough for its size."""

    def __init__(self, size: Any) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        size = current(self.size)
        if size > 2:
            raise ValueError("too small an image")
        return x


def test_what_broke_is_said_with_what_it_was_given() -> None:
    """An assertion without words has its name; sizes other than the class's own are hinted at."""

    def network(choose: Chooser) -> nn.Module:
        return Classifier(nn.Conv2d(3, 4, 3), _Asserting(), choose.op("act", {"relu": nn.ReLU}), n_classes=4)

    message = refused(network)
    assert message.endswith("layer '1' (_Asserting) fails whatever is chosen: AssertionError (its input: (2, 4, 6, 6))")
    space = space_of(network)
    with pytest.raises(SpaceError, match=r"by itself the class takes \(3, 8, 8\) and 4 classes; let its network take"):
        space.with_args(n_classes=5).size()


class _Asserting(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise AssertionError
