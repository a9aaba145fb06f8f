"""Whether a space is meant for data."""

from __future__ import annotations

import pytest

from archwright.core.errors import InvalidValueError
from archwright.nn.inputs import Signature, TensorSpec
from archwright.spaces.auto_use import AutoUse

IMAGES, PHOTOS, TEXTS = AutoUse(({},), sides=(8, 63)), AutoUse(({},), sides=(64, None)), AutoUse(({},))


def _images(*shape: int) -> Signature:
    return Signature((TensorSpec(shape, "float32", name="input"),))


@pytest.mark.parametrize(
    ("use", "shape", "reason"),
    [
        (IMAGES, (1, 8, 100), None),
        (IMAGES, (3, 63, 63), None),
        (IMAGES, (1, 7, 9), "meant for images of 8 to 63 pixels a side"),
        (IMAGES, (3, 64, 64), "meant for images of 8 to 63 pixels a side"),
        (PHOTOS, (3, 224, 300), None),
        (PHOTOS, (3, 63, 300), "meant for images of 64 pixels a side and more"),
        (PHOTOS, (16,), "meant for images of 64 pixels a side and more"),
        (TEXTS, (3, 64, 64), "meant for texts"),
    ],
)
def test_the_smaller_side_decides(use: AutoUse, shape: tuple[int, ...], reason: str | None) -> None:
    """Both ends belong to what a space is meant for."""
    assert use.unsuited(_images(*shape)) == reason


def test_texts_are_read_token_by_token() -> None:
    """Whole numbers on one axis are tokens; images are none."""
    tokens = Signature((TensorSpec((35,), "int64", name="input"),))
    assert TEXTS.unsuited(tokens) is None
    assert IMAGES.unsuited(tokens) == "meant for images of 8 to 63 pixels a side"


def test_several_inputs_are_neither() -> None:
    """No space here says that it is meant for two images."""
    one, other = (TensorSpec((3, 32, 32), "float32", name=name) for name in "ab")
    assert IMAGES.unsuited(Signature((one, other))) == "meant for images of 8 to 63 pixels a side"


@pytest.mark.parametrize(("settings", "sides"), [((), None), (({},), (0, 5)), (({},), (9, 8))])
def test_a_declaration_that_says_nothing_is_refused(
    settings: tuple[dict[str, int], ...], sides: tuple[int, int]
) -> None:
    """At the class, where it is written."""
    with pytest.raises(InvalidValueError, match="give"):
        AutoUse(settings, sides)
