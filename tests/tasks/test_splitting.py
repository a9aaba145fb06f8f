"""Test and validation parts."""

from __future__ import annotations

import numpy as np

from archwright.tasks.splitting import draw_validation, hold_out_test

LABELS = np.repeat(np.arange(3), [50, 40, 13])


def test_test_part_is_a_fifth_of_each_class() -> None:
    """Of 50, 40 and 13 examples: 10, 8 and round(2.6) = 3."""
    train, test = hold_out_test(LABELS)
    assert np.bincount(LABELS[test]).tolist() == [10, 8, 3]
    assert sorted([*train, *test]) == list(range(103))


def test_test_part_is_the_tail_of_one_permutation() -> None:
    """Checked against a loop over the permutation."""
    order = np.random.RandomState(20_190).permutation(103)
    expected = [i for c, n in ((0, 10), (1, 8), (2, 3)) for i in [i for i in order if LABELS[i] == c][-n:]]
    assert hold_out_test(LABELS)[1].tolist() == sorted(expected)


def test_validation_is_a_tenth_of_each_class() -> None:
    """Of 50, 40 and 13 examples: 5, 4 and 1."""
    train, validation = draw_validation(LABELS, seed=3)
    assert np.bincount(LABELS[validation]).tolist() == [5, 4, 1]
    assert sorted([*train, *validation]) == list(range(103))


def test_validation_is_drawn_by_seed() -> None:
    """Same seed, same part; another seed, another part."""
    assert draw_validation(LABELS, 0)[1].tolist() == draw_validation(LABELS, 0)[1].tolist()
    assert draw_validation(LABELS, 0)[1].tolist() != draw_validation(LABELS, 1)[1].tolist()


def test_two_examples_of_a_class_go_to_either_side() -> None:
    """The smallest class that can be validated: one example each."""
    labels = np.array([0, 0, 1, 1])
    train, validation = draw_validation(labels, 0)
    assert labels[train].tolist() == labels[validation].tolist() == [0, 1]
