"""Trade-offs between several minimised numbers: dominance, fronts, crowding, hypervolume.

Every array of values has the shape (n, m): n points, m numbers each, smaller is better. A point with a
number that is not finite (a failed trial) is on no front, dominates nothing and adds no volume.

All methods start from the distinct points in lexicographic order. A point can only be dominated by an
earlier one there, and by one that is nowhere larger, so neither ties nor duplicates need more care.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right

import numpy as np
from numpy.typing import ArrayLike, NDArray

from archwright.core.errors import InvalidValueError

Floats = NDArray[np.float64]

_BLOCK = 256


def dominates(a: ArrayLike, b: ArrayLike) -> bool:
    """Whether point `a` (m,) is nowhere worse than `b` (m,) and somewhere better.

    >>> dominates([1, 2], [1, 3]), dominates([1, 3], [1, 3])
    (True, False)
    """
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    return bool(np.all(first <= second) and np.any(first < second))


def front(values: ArrayLike) -> NDArray[np.bool_]:
    """Which points no other point dominates, as a mask (n,); equal points are kept together.

    Raises:
        InvalidValueError: If `values` is no (n, m) array with m of at least 1.
    """
    checked = _checked(values)
    mask = np.zeros(len(checked), dtype=bool)
    finite = np.flatnonzero(np.isfinite(checked).all(axis=1))
    distinct, group = _distinct(checked[finite])
    mask[finite] = _front_of_distinct(distinct)[group]
    return mask


def fronts(values: ArrayLike) -> NDArray[np.int64]:
    """Rank of each point by non-dominated sorting, shape (n,): 0 for the front, 1 for the front of the rest, …

    Points with a number that is not finite share one rank behind all others.

    Raises:
        InvalidValueError: If `values` is no (n, m) array with m of at least 1.
    """
    checked = _checked(values)
    finite = np.flatnonzero(np.isfinite(checked).all(axis=1))
    distinct, group = _distinct(checked[finite])
    ranks = _ranks_by_staircase(distinct) if distinct.shape[1] <= 3 else _ranks_by_peeling(distinct)
    every = np.full(len(checked), ranks.max(initial=-1) + 1, dtype=np.int64)
    every[finite] = ranks[group]
    return every


def crowding_distance(values: ArrayLike) -> Floats:
    """How far each point of one front is from its neighbours, shape (n,); infinite for the points at either end.

    The sum over the m numbers of the gap between a point's two neighbours, divided by the range of that number
    (Deb et al., 2002, NSGA-II, Sec. III-B). Differs from the paper: a number that is the same for all points
    is left out, so its arbitrary order makes no point an end. Points with a number that is not finite get 0.

    Raises:
        InvalidValueError: If `values` is no (n, m) array with m of at least 1.
    """
    checked = _checked(values)
    finite = np.flatnonzero(np.isfinite(checked).all(axis=1))
    distance = np.zeros(len(checked))
    if len(finite) <= 2:
        distance[finite] = math.inf
        return distance
    for column in checked[finite].T:
        order = np.argsort(column, kind="stable")
        ordered = column[order]
        if ordered[0] < ordered[-1]:
            # halved first: the range of two huge finite numbers would overflow
            gaps = (ordered[2:] / 2 - ordered[:-2] / 2) / (ordered[-1] / 2 - ordered[0] / 2)
            distance[finite[order[1:-1]]] += gaps
            distance[finite[order[[0, -1]]]] = math.inf
    return distance


def hypervolume(values: ArrayLike, reference: ArrayLike) -> float:
    """Exact volume of what the points (n, m) dominate below the reference point (m,).

    Points that are not smaller than the reference in every number add nothing. Two numbers take a sort; each
    further one multiplies the work by the size of the front (exclusive volumes as in While et al., 2012, WFG,
    taken in an order in which every limited set loses one dimension).

    >>> hypervolume([[1, 2], [2, 1]], [3, 3])
    3.0

    Raises:
        InvalidValueError: If the shapes do not fit or the reference is not finite.
    """
    checked = _checked(values)
    corner = np.asarray(reference, dtype=np.float64)
    if corner.shape != checked.shape[1:] or not np.isfinite(corner).all():
        raise InvalidValueError(
            f"the reference point {reference!r} does not fit values of shape {checked.shape}; "
            f"give {checked.shape[1]} finite numbers"
        )
    inside = np.isfinite(checked).all(axis=1) & (checked < corner).all(axis=1)
    return _volume(corner - checked[inside])


def _volume(extents: Floats) -> float:
    """Volume of the union of boxes [0, extent], extents (n, m) positive; larger is better here."""
    if len(extents) == 0:
        return 0.0
    if extents.shape[1] == 1:
        return float(extents.max())
    boxes, _ = _distinct(-extents)
    boxes = -boxes[_front_of_distinct(boxes)]
    if boxes.shape[1] == 2:
        # the first extent falls, so the second rises from box to box
        return float(np.sum(boxes[:, 0] * np.diff(boxes[:, 1], prepend=0.0)))
    boxes = boxes[np.argsort(boxes[:, -1], kind="stable")]
    # boxes after k reach at least as far in the last number: inside box k they differ in the others only
    exclusive = (
        box[-1] * (math.prod(box[:-1]) - _volume(np.minimum(boxes[k + 1 :, :-1], box[:-1])))
        for k, box in enumerate(boxes)
    )
    return math.fsum(exclusive)


def _checked(values: ArrayLike) -> Floats:
    checked = np.asarray(values, dtype=np.float64)
    if checked.ndim != 2 or checked.shape[1] == 0:
        raise InvalidValueError(f"values have the shape {checked.shape}; give (n, m): n points of m numbers")
    return checked


def _distinct(points: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """The distinct finite points in lexicographic order, and for each given point its place there."""
    order = np.lexsort(points.T[::-1])
    ordered = points[order]
    is_new = np.ones(len(points), dtype=bool)
    is_new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    group = np.empty(len(points), dtype=np.int64)
    group[order] = np.cumsum(is_new) - 1
    return ordered[is_new], group


def _front_of_distinct(points: Floats) -> NDArray[np.bool_]:
    """Mask of the non-dominated among distinct, lexicographically ordered points."""
    n, m = points.shape
    if m == 1:
        return np.asarray(np.arange(n) == 0)
    if m == 2:
        lowest_before = np.minimum.accumulate(np.concatenate(([math.inf], points[:, 1])))[:-1]
        return np.asarray(points[:, 1] < lowest_before)
    if m == 3:
        stairs = _Staircase()
        return np.array([stairs.add(y, z) for y, z in points[:, 1:].tolist()], dtype=bool)
    return _front_by_blocks(points)


def _front_by_blocks(points: Floats) -> NDArray[np.bool_]:
    """As `_front_of_distinct`, any m: each block is compared with the front so far, then within itself."""
    mask = np.zeros(len(points), dtype=bool)
    for start in range(0, len(points), _BLOCK):
        block = points[start : start + _BLOCK]
        alive = np.flatnonzero(~_covered(points[:start][mask[:start]], block))
        within = _nowhere_larger(block[alive], block[alive])
        np.fill_diagonal(within, False)
        mask[start + alive] = ~within.any(axis=0)
    return mask


def _covered(kept: Floats, block: Floats) -> NDArray[np.bool_]:
    """Which points of the block some kept point covers, a bounded number of kept points at a time."""
    covered = np.zeros(len(block), dtype=bool)
    for start in range(0, len(kept), 8 * _BLOCK):
        covered |= _nowhere_larger(kept[start : start + 8 * _BLOCK], block).any(axis=0)
    return covered


def _nowhere_larger(a: Floats, b: Floats) -> NDArray[np.bool_]:
    """Whether a[i] <= b[j] in every number, shape (len(a), len(b))."""
    result = np.ones((len(a), len(b)), dtype=bool)
    for column in range(a.shape[1]):
        result &= a[:, None, column] <= b[None, :, column]
    return result


def _ranks_by_staircase(points: Floats) -> NDArray[np.int64]:
    """Ranks of distinct, ordered points with m <= 3: one staircase a front, the right one by bisection."""
    n, m = points.shape
    if m == 1:
        return np.arange(n, dtype=np.int64)
    padded = np.zeros((n, 3))
    padded[:, :m] = points
    stairs: list[_Staircase] = []
    ranks = np.empty(n, dtype=np.int64)
    for i, (y, z) in enumerate(padded[:, 1:].tolist()):
        rank = _first_open(stairs, y, z)
        if rank == len(stairs):
            stairs.append(_Staircase())
        stairs[rank].add(y, z)
        ranks[i] = rank
    return ranks


def _first_open(stairs: list[_Staircase], y: float, z: float) -> int:
    """Number of the first front that does not cover (y, z); all fronts before that one do."""
    return bisect_left(stairs, True, key=lambda staircase: not staircase.covers(y, z))


def _ranks_by_peeling(points: Floats) -> NDArray[np.int64]:
    ranks = np.zeros(len(points), dtype=np.int64)
    left = np.arange(len(points))
    while len(left):
        mask = _front_of_distinct(points[left])
        left = left[~mask]
        ranks[left] += 1
    return ranks


class _Staircase:
    """The non-dominated (y, z) among those added so far: y rises, z falls."""

    __slots__ = ("_ys", "_zs")

    def __init__(self) -> None:
        self._ys: list[float] = []
        self._zs: list[float] = []

    def covers(self, y: float, z: float) -> bool:
        """Whether a member is nowhere larger than (y, z)."""
        last = bisect_right(self._ys, y) - 1
        return last >= 0 and self._zs[last] <= z

    def add(self, y: float, z: float) -> bool:
        """Add (y, z) unless a member covers it; whether it was added."""
        if self.covers(y, z):
            return False
        start = end = bisect_left(self._ys, y)
        while end < len(self._zs) and self._zs[end] >= z:
            end += 1
        self._ys[start:end] = [y]
        self._zs[start:end] = [z]
        return True
