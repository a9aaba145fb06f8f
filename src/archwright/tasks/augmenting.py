"""The ways in which training examples are changed at random: their names, and texts that join them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from archwright.core.errors import InvalidValueError

AugmentName = Literal["crop", "mirror", "jitter", "auto"]
"""`crop`: another part of the image; `mirror`: left and right changed half of the time; `jitter`: other brightness,
contrast and colour; `auto`: one random change of torchvision's TrivialAugmentWide."""

AUGMENTS: tuple[AugmentName, ...] = get_args(AugmentName)

Augment = tuple[AugmentName, ...]

NONE, USUAL = "none", "usual"


def parse_augment(text: str, field: str = "augment") -> Augment | None:
    """The names that a text joins by commas; of "none" no name, of "usual" None: what data of a form usually get.

    Args:
        text: See above.
        field: What an error calls it.

    Raises:
        InvalidValueError: If a name is unknown or given twice.

    >>> parse_augment("crop,mirror"), parse_augment("none"), parse_augment("usual")
    (('crop', 'mirror'), (), None)
    """
    if text in (NONE, USUAL):
        return () if text == NONE else None
    names = [part.strip() for part in text.split(",")]
    for name in names:
        if name not in AUGMENTS or names.count(name) > 1:
            raise InvalidValueError(
                f"{field} is {text!r}; accepted: {NONE}, {USUAL}, or one or several of {', '.join(AUGMENTS)}, "
                "comma-joined, each once"
            )
    return tuple(names)  # type: ignore[arg-type]  # just checked


def augment_text(names: Sequence[str]) -> str:
    """The text that `parse_augment` reads.

    >>> augment_text(("crop", "mirror")), augment_text(())
    ('crop,mirror', 'none')
    """
    return ",".join(names) or NONE
