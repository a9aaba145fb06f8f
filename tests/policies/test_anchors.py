"""Skip connections by attention: the contract, the arithmetic by hand, and what the policy refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from archwright.core.errors import InvalidValueError, UnknownNameError
from archwright.policies.anchors import AnchorController, Link
from archwright.spaces import EnasMacro, NasRl, Space
from archwright.testing import BranchSpace, LearnedPolicyContract


def small() -> NasRl:
    """Two layers of 4 x 4 kernels and one count, one skip connection: 512 archs."""
    return NasRl(input_shape=(3, 8, 8), n_classes=4, layers=2, filters=(8,))


class TestAnchors(LearnedPolicyContract):
    def make(self, space: Space) -> AnchorController:
        return AnchorController(space, hidden=6, layers=2)

    def make_space(self) -> Space:
        return small()

    def make_other_space(self) -> Space:
        return NasRl(input_shape=(3, 8, 8), n_classes=4, layers=3, filters=(8,))


class TestEnas(LearnedPolicyContract):
    def make(self, space: Space) -> AnchorController:
        return AnchorController(space, hidden=6, tanh_constant=5.0, link="softmax")

    def make_space(self) -> Space:
        return EnasMacro(input_shape=(3, 8, 8), n_classes=4, layers=3)

    def make_other_space(self) -> Space:
        return EnasMacro(input_shape=(3, 8, 8), n_classes=4, layers=4)


@pytest.mark.parametrize("link", ["sigmoid", "softmax"])
def test_log_probability_by_hand(link: Link) -> None:
    """Three layers: tokens and anchor steps through one LSTM, skip connections from the anchors."""
    space = NasRl(input_shape=(3, 8, 8), n_classes=4, layers=3, filters=(8, 12))
    policy = AnchorController(space, hidden=5, spread=0.9, link=link).double()
    rows = space.decisions.sample(8, np.random.default_rng(0))
    expected = torch.stack([_by_hand(policy, row, link) for row in rows.tolist()])
    assert torch.allclose(policy.log_prob(rows), expected, rtol=1e-10)


def _by_hand(policy: AnchorController, row: list[int], link: Link) -> Tensor:
    cell = policy.cells[0]
    assert isinstance(cell, nn.LSTMCell)
    first = [0, *np.cumsum(policy.decisions.n_values).tolist()]
    begin = policy.embedding.weight[first[-1]]
    state, x, total = None, begin, torch.zeros((), dtype=torch.float64)
    anchors: list[Tensor] = []
    place = 0
    for layer in range(3):
        for _ in ("height", "width", "count"):
            state = cell(x[None], state)
            logits = policy.heads(state[0])[0, first[place] : first[place + 1]]
            total = total + logits.log_softmax(0)[row[place]]
            x = policy.embedding.weight[first[place] + row[place]]
            place += 1
        state = cell(x[None], state)
        here, read = state[0][0], []
        x = begin
        for source in range(layer):
            q = policy.weigh(torch.tanh(policy.before(anchors[source]) + policy.here(here)))[0]
            chance = torch.sigmoid(q if link == "sigmoid" else 2 * q)
            total = total + (chance if row[place] else 1 - chance).log()
            read += [anchors[source]] * row[place]
            x = sum(read, torch.zeros_like(here)) / (1 + len(read))
            place += 1
        anchors.append(here)
    return total


def test_the_chances_of_skip_connections() -> None:
    """Those that the archs were drawn by: over many draws of one policy their share is their mean."""
    space = NasRl(input_shape=(3, 8, 8), n_classes=4, layers=3, filters=(8,))
    policy = AnchorController(space, hidden=5, spread=2.0)
    rows = policy.draw(4000, np.random.default_rng(1))
    links = [i for i, name in enumerate(space.decisions.names) if "skip" in name]
    with torch.no_grad():
        chances = policy.skip_chances(rows)
    assert chances.shape == (4000, 3)
    error = (chances.mean(0) - torch.from_numpy(rows[:, links].astype(np.float32)).mean(0)).abs()
    assert float(error.max()) < 4 * 0.5 / 4000**0.5


def test_what_has_no_anchors() -> None:
    with pytest.raises(InvalidValueError, match="has no skip connections that a controller could draw by attention"):
        AnchorController(BranchSpace())
    with pytest.raises(UnknownNameError, match="unknown link 'both'"):
        AnchorController(small(), link="both")  # type: ignore[arg-type]
