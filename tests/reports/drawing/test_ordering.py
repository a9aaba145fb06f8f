"""Few arrows cross."""

from __future__ import annotations

import itertools
import random

import pytest

from archwright.reports.drawing.ordering import fewest_crossings, n_crossings


def crossings_by_pairs(layers: list[list[int]], below: list[list[int]]) -> int:
    """Every pair of arrows between the same layers, looked at by itself."""
    place = {v: i for layer in layers for i, v in enumerate(layer)}
    arrows = [[(place[u], place[v]) for u in layer for v in below[u]] for layer in layers]
    pairs = (pair for layer in arrows for pair in itertools.combinations(layer, 2))
    return sum((a - c) * (b - d) < 0 for (a, b), (c, d) in pairs)


def random_layers(seed: int) -> tuple[list[list[int]], list[list[int]]]:
    rng = random.Random(seed)
    layers = [[3 * i, 3 * i + 1, 3 * i + 2] for i in range(4)]
    below: list[list[int]] = [[] for _ in range(12)]
    for upper, lower in itertools.pairwise(layers):
        for u, v in itertools.product(upper, lower):
            if rng.random() < 0.5:
                below[u].append(v)
    return layers, below


@pytest.mark.parametrize("seed", range(10))
def test_crossings_agree_with_looking_at_every_pair(seed: int) -> None:
    """Arrows that share an end do not cross."""
    layers, below = random_layers(seed)
    assert n_crossings(layers, below) == crossings_by_pairs(layers, below)


@pytest.mark.parametrize("seed", range(10))
def test_no_order_of_a_small_graph_has_fewer(seed: int) -> None:
    """6^4 orders tried out."""
    layers, below = random_layers(seed)
    orders = itertools.product(*map(itertools.permutations, layers))
    fewest = min(n_crossings(order, below) for order in orders)
    assert n_crossings(fewest_crossings(layers, below), below) == fewest


def test_layers_keep_their_vertices() -> None:
    """Only the order changes, the argument not at all."""
    layers, below = random_layers(3)
    found = fewest_crossings(layers, below)
    assert [sorted(layer) for layer in found] == layers == random_layers(3)[0]


def test_nothing_to_order() -> None:
    """No layer, and one layer."""
    assert fewest_crossings([], []) == []
    assert fewest_crossings([[0, 1]], [[], []]) == [[0, 1]]
