"""The order of boxes within the layers of a graph, so that few arrows cross."""

from __future__ import annotations

import random
from bisect import bisect_right, insort
from collections.abc import Mapping, Sequence

Layers = list[list[int]]
"""Numbers of vertices, layer by layer, each in its order."""

_SWEEPS = 12
_STARTS, _SMALL = 8, 200
"""Orders to begin with, for a graph of up to so many vertices; larger ones begin with one."""


def fewest_crossings(layers: Sequence[Sequence[int]], below: Sequence[Sequence[int]]) -> Layers:
    """The layers, reordered so that few arrows cross; always the same for the same graph.

    It is the best of several descents. Finding the smallest number of crossings would take exponential time.

    Args:
        layers: The vertices of each layer.
        below: For each vertex, those of the next layer to which an arrow leads.
    """
    ordering = _Ordering(layers, below)
    rng = random.Random(0)
    found: list[tuple[int, Layers]] = []
    for start in range(_STARTS if len(below) <= _SMALL else 1):
        found.append(ordering.descend())
        if not found[-1][0]:
            break
        for layer in ordering.layers:
            layer.sort(reverse=True)
            if start:
                rng.shuffle(layer)
    return min(found, key=lambda one: one[0])[1]


def n_crossings(layers: Sequence[Sequence[int]], below: Sequence[Sequence[int]]) -> int:
    """How often arrows between neighbouring layers cross."""
    places = _places(layers)
    n = 0
    for layer in layers:
        seen: list[float] = []
        for place in (p for u in layer for p in sorted(places[v] for v in below[u])):
            n += len(seen) - bisect_right(seen, place)
            insort(seen, place)
    return n


def _places(layers: Sequence[Sequence[int]]) -> dict[int, float]:
    """Where each vertex stands in its layer, between 0 and 1."""
    return {v: (i + 0.5) / len(layer) for layer in layers for i, v in enumerate(layer)}


class _Ordering:
    """Layers while their order is improved."""

    def __init__(self, layers: Sequence[Sequence[int]], below: Sequence[Sequence[int]]) -> None:
        self.layers = [list(layer) for layer in layers]
        self.below = below
        self.above: list[list[int]] = [[] for _ in below]
        for u, targets in enumerate(below):
            for v in targets:
                self.above[v].append(u)

    def descend(self) -> tuple[int, Layers]:
        """Sweeps down and up, each vertex at the mean place of its neighbours: fewest crossings, and their order."""
        best, fewest = [list(layer) for layer in self.layers], n_crossings(self.layers, self.below)
        for sweep in range(_SWEEPS):
            if not fewest:
                break
            is_other = sweep % 4 > 1  # breaks ties the other way, to get out of an order that no single move improves
            for layer in self.layers[1:] if sweep % 2 == 0 else self.layers[-2::-1]:
                self._sort(layer, self.above if sweep % 2 == 0 else self.below, turns_ties=is_other)
            self._exchange(also_equal=is_other)
            if (n := n_crossings(self.layers, self.below)) < fewest:
                best, fewest = [list(layer) for layer in self.layers], n
        return fewest, best

    def _sort(self, layer: list[int], neighbours: Sequence[Sequence[int]], turns_ties: bool) -> None:
        places = _places(self.layers)
        own = {v: i for i, v in enumerate(layer)}

        def wish(v: int) -> float:
            around = neighbours[v]
            return sum(places[u] for u in around) / len(around) if around else places[v]

        layer.sort(key=lambda v: (round(wish(v), 9), -own[v] if turns_ties else own[v]))

    def _exchange(self, also_equal: bool) -> None:
        """Swaps neighbours whose arrows cross more often as they stand; sometimes, once, those that cross as often."""
        for _ in range(_SWEEPS):
            places, n_swaps = _places(self.layers), 0
            for layer in self.layers:
                for i in range(len(layer) - 1):
                    u, v = layer[i], layer[i + 1]
                    gain = self._crossings_of(u, v, places) - self._crossings_of(v, u, places)
                    if gain > 0 or (also_equal and gain == 0):
                        layer[i], layer[i + 1] = v, u
                        places[u], places[v] = places[v], places[u]
                        n_swaps += gain > 0
            also_equal = False
            if not n_swaps:
                return

    def _crossings_of(self, left: int, right: int, places: Mapping[int, float]) -> int:
        """Between the arrows of two neighbours in one layer."""
        return sum(
            places[a] > places[b] for around in (self.above, self.below) for a in around[left] for b in around[right]
        )
