"""Texts that name augmentations."""

from __future__ import annotations

import pytest

from archwright.core.errors import InvalidValueError
from archwright.tasks import open_task
from archwright.tasks.augmenting import AUGMENTS, augment_text, parse_augment


@pytest.mark.parametrize("names", [(), ("mirror",), AUGMENTS])
def test_text_is_read_back(names: tuple[str, ...]) -> None:
    """Names, their order, and no name at all."""
    assert parse_augment(augment_text(names)) == names


@pytest.mark.parametrize("text", ["", "flip", "crop,", "crop,none", "crop,crop", "Crop", "usual,crop"])
def test_other_texts_are_refused(text: str) -> None:
    """One line with what was given and what is accepted."""
    with pytest.raises(InvalidValueError, match=r"--augment is .*; accepted: none, usual, or one or several of crop"):
        parse_augment(text, "--augment")


def test_texts_are_not_augmented() -> None:
    """Of a text no image changes: the usual is nothing, and a name is refused."""
    split = open_task("pydoc").split("train")
    assert split.augmented(None) is split.augmented(()) is split
    with pytest.raises(InvalidValueError, match="augment is crop, which changes images; leave it out for these data"):
        split.augmented(("crop",))
