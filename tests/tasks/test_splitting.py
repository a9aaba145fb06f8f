"""Test and validation parts."""

from __future__ import annotations

import numpy as np
import pytest

from archwright.core.errors import InvalidValueError
from archwright.tasks.splitting import draw_shares, draw_validation, hold_out_test, share_bounds

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


def test_validation_images_are_shared_out_in_proportion() -> None:
    """Of 60, 30 and 10 images 20 are 12, 6 and 2; of 7 shares 4.2, 2.1 and 0.7 they are 4, 2 and 1."""
    labels = np.repeat([0, 1, 2], [60, 30, 10])
    for n, expected in ((20, [12, 6, 2]), (7, [4, 2, 1])):
        train, validation = draw_validation(labels, 0, n_images=n)
        assert np.bincount(labels[validation]).tolist() == expected
        assert sorted([*train, *validation]) == list(range(100))


@pytest.mark.parametrize("n", [1, 2, 3, 4, 50, 96, 97])
def test_each_class_keeps_an_image_and_gives_one_where_there_are_enough(n: int) -> None:
    """Classes of 2, 8 and 90 images, at every number that can be met."""
    labels = np.repeat([0, 1, 2], [2, 8, 90])
    train, validation = draw_validation(labels, 0, n_images=n)
    assert len(validation) == n
    assert np.bincount(labels[train], minlength=3).min() >= 1
    assert n < 3 or np.bincount(labels[validation], minlength=3).min() >= 1


@pytest.mark.parametrize("n", [0, -1, 98, 1000])
def test_more_validation_images_than_can_be_spared_are_refused(n: int) -> None:
    """100 images of 3 classes can give 97."""
    with pytest.raises(InvalidValueError, match=f"val_images is {n} of 100 training images; give 1 to 97"):
        draw_validation(np.repeat([0, 1, 2], [2, 8, 90]), 0, n_images=n)


@pytest.mark.parametrize("fractions", [(0.5, 0.5), (0.3, 0.3, 0.4), (0.1, 0.2), (1.0,), (0.7, 0.2)])
def test_shares_are_disjoint_and_of_exact_sizes(fractions: tuple[float, ...]) -> None:
    """The sums of fractions of 103, rounded, say where each begins; classes within one of their part."""
    shares = draw_shares(LABELS, fractions, 3, "it")
    ends = [round(sum(fractions[:i]) * 103) for i in range(len(fractions) + 1)]
    assert [len(share) for share in shares] == np.diff(ends).tolist()
    every = np.concatenate(shares)
    assert len(set(every.tolist())) == len(every)
    for share in shares:
        counts = np.bincount(LABELS[share], minlength=3)
        assert np.abs(counts - len(share) * np.array([50, 40, 13]) / 103).max() < 1.5


def test_halves_of_like_classes_are_halves_of_each() -> None:
    """Thirty of each of three."""
    labels = np.arange(90) % 3
    assert [np.bincount(labels[share]).tolist() for share in draw_shares(labels, (0.5, 0.5), 0, "it")] == [[15] * 3] * 2


def test_shares_of_rare_classes_take_turns() -> None:
    """Of 200 classes of one example each, a half of them."""
    shares = draw_shares(np.arange(200), (0.5, 0.5), 0, "it")
    assert [len(share) for share in shares] == [100, 100]
    assert 30 < (shares[0] < 100).sum() < 70


def test_shares_are_drawn_by_seed() -> None:
    """Same seed, same shares."""
    one, again, other = (draw_shares(LABELS, (0.5,), seed, "it")[0].tolist() for seed in (1, 1, 2))
    assert one == again != other


@pytest.mark.parametrize("fractions", [(), (0.0, 0.5), (-0.5,), (0.6, 0.5), (1.5,), (float("nan"),)])
def test_fractions_that_cannot_be_are_refused(fractions: tuple[float, ...]) -> None:
    """None, not positive, or more than there is."""
    with pytest.raises(InvalidValueError, match="give positive ones whose sum is at most 1"):
        share_bounds(100, fractions, "it")


def test_an_empty_share_is_refused() -> None:
    """A hundredth of 10 examples is none."""
    with pytest.raises(InvalidValueError, match=r"a share of 0\.01 of the train part of toy is empty: there are 10"):
        share_bounds(10, (0.5, 0.01), "the train part of toy")
