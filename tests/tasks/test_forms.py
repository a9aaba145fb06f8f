"""A task and a space that do not fit: one line before anything is trained."""

from __future__ import annotations

import pytest

from archwright.core.errors import InvalidValueError
from archwright.spaces import SposSpace
from archwright.tasks import digits
from archwright.testing import PictureSpace, PictureTask, SequenceSpace


def test_a_space_of_other_inputs_is_refused() -> None:
    """Images for a space of token sequences."""
    with pytest.raises(InvalidValueError, match="the data 'digits'"):
        digits().check_taken_by(SequenceSpace())


def test_a_space_that_gives_what_has_no_loss_is_refused() -> None:
    """Scores of classes where pictures are asked for: both shapes are said."""
    task = PictureTask()
    with pytest.raises(InvalidValueError, match="networks of space 'spos' give 10, from which"):
        task.check_taken_by(SposSpace(input_shape=task.input_shape, n_classes=10))


def test_what_fits_is_taken() -> None:
    """Images and classes, pictures and pictures."""
    digits().check_taken_by(SposSpace(input_shape=(1, 8, 8), n_classes=10))
    PictureTask().check_taken_by(PictureSpace())
