"""The order in which training sees examples."""

from __future__ import annotations

import numpy as np
import pytest

from archwright.core.errors import InvalidValueError
from archwright.tasks.batching import stored_order, training_order


def _order(n: int, batch_size: int, *, seed: int = 0, first_step: int = 0, n_steps: int) -> list[list[int]]:
    steps = training_order(n, batch_size, seed=seed, first_step=first_step, n_steps=n_steps)
    return [positions.tolist() for _, positions in steps]


def test_epoch_shows_no_example_twice() -> None:
    """Three batches of 4 from 14 examples are 12 different ones; two are dropped."""
    seen = [position for batch in _order(14, 4, n_steps=3) for position in batch]
    assert len(seen) == len(set(seen)) == 12
    assert set(seen) < set(range(14))


def test_each_epoch_has_its_own_order() -> None:
    """Batches 0-2 are one epoch, 3-5 the next, and they differ."""
    batches = _order(12, 4, n_steps=6)
    first, second = np.concatenate(batches[:3]), np.concatenate(batches[3:])
    assert sorted(first) == sorted(second) == list(range(12))
    assert first.tolist() != second.tolist()


def test_split_smaller_than_a_batch_is_one_batch() -> None:
    """Five examples at batch size 8: every step has all five."""
    assert [sorted(batch) for batch in _order(5, 8, n_steps=2)] == [[0, 1, 2, 3, 4]] * 2


@pytest.mark.parametrize("first_step", [1, 2, 3, 5, 8])
def test_starting_later_gives_the_same_batches(first_step: int) -> None:
    """Steps k, k+1, … are those of an order that began at 0, also inside an epoch."""
    assert _order(14, 4, first_step=first_step, n_steps=10 - first_step) == _order(14, 4, n_steps=10)[first_step:]


def test_seeds_give_different_orders() -> None:
    """Two seeds shuffle 100 examples differently."""
    assert _order(100, 100, seed=0, n_steps=1) != _order(100, 100, seed=1, n_steps=1)


def test_stored_order_covers_all_once() -> None:
    """10 in slices of 4: 4, 4, 2."""
    assert [list(range(10))[part] for part in stored_order(10, 4)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_batch_size_zero_is_refused() -> None:
    """The message names the field and what was received."""
    with pytest.raises(InvalidValueError, match="batch_size is 0"):
        next(training_order(4, 0, seed=0, first_step=0, n_steps=1))
    with pytest.raises(InvalidValueError, match="batch_size is 0"):
        stored_order(4, 0)


def test_positions_are_integers_numpy_can_index_with() -> None:
    """A batch of positions selects rows."""
    _, positions = next(training_order(4, 2, seed=0, first_step=0, n_steps=1))
    assert np.arange(4)[positions].tolist() == positions.tolist()
