"""Derive cells from the architecture parameters of a search, as each paper does it.

A matrix has one row for each edge (edges into node 2 from states 0, 1; into node 3 from 0, 1, 2; …) and one column for
each operation, in the order of `genotypes.PRIMITIVES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from archwright.core.errors import InvalidValueError
from archwright.spaces.darts.genotypes import CELLS, FIRST_NODE, OPS, PRIMITIVES, Cell, Edges


def derive_darts(parameters: Mapping[str, ArrayLike], n_nodes: int = 4) -> dict[str, Cell]:
    """The strongest two inputs of every node, each with its strongest operation; `none` is never chosen (Sec. 2.4).

    The strength of an edge is the largest softmax weight among its operations except `none`, whose weight lowers the
    others. Of equal ones the earlier state and the earlier operation are kept. The edges of a node are returned by
    decreasing strength, as in the released code.

    Args:
        parameters: Matrix (edges, 8) before the softmax, by kind of cell.
        n_nodes: Nodes of a cell.

    Raises:
        InvalidValueError: If a matrix is missing, has another shape, or holds a number that is not finite.
    """
    return {kind: _derived(matrix, _strongest_two) for kind, matrix in _checked(parameters, n_nodes).items()}


def derive_snas(parameters: Mapping[str, ArrayLike], n_nodes: int = 4) -> dict[str, Cell]:
    """The most probable operation of every edge; edges where that is `none` are left out (Xie et al., 2019).

    Arguments and errors are those of `derive_darts`.
    """
    return {kind: _derived(matrix, _likeliest) for kind, matrix in _checked(parameters, n_nodes).items()}


def _checked(parameters: Mapping[str, ArrayLike], n_nodes: int) -> dict[str, NDArray[np.float64]]:
    shape = (sum(range(FIRST_NODE, FIRST_NODE + n_nodes)), len(PRIMITIVES))
    found = {}
    for kind in CELLS:
        what = f"architecture parameters of the {kind} cell"
        if kind not in parameters:
            raise InvalidValueError(f"{what} are missing; give {' and '.join(CELLS)}")
        matrix = np.asarray(parameters[kind], dtype=np.float64)
        if matrix.shape != shape:
            raise InvalidValueError(f"{what} have shape {matrix.shape}; give {shape}")
        if not np.isfinite(matrix).all():
            raise InvalidValueError(f"{what} hold a number that is not finite")
        found[kind] = matrix
    return found


def _derived(matrix: NDArray[np.float64], choose: Callable[[NDArray[np.float64]], Edges]) -> Cell:
    weights = np.exp(matrix - matrix.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    nodes: list[Edges] = []
    start = 0
    while start < len(weights):
        n_states = FIRST_NODE + len(nodes)
        nodes.append(choose(weights[start : start + n_states]))
        start += n_states
    return tuple(nodes)


def _strongest_two(weights: NDArray[np.float64]) -> Edges:
    real = weights[:, 1:]
    order = sorted(range(len(real)), key=lambda source: (-real[source].max(), source))
    return tuple((OPS[int(real[source].argmax())], source) for source in order[:2])


def _likeliest(weights: NDArray[np.float64]) -> Edges:
    chosen = ((PRIMITIVES[int(line.argmax())], source) for source, line in enumerate(weights))
    return tuple((op, source) for op, source in chosen if op != "none")
