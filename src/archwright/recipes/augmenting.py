"""The augmentation of a recipe's trainings: set in all of them at once, and settled by the data."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from archwright.core.config import C
from archwright.tasks.augmenting import USUAL, augment_text, parse_augment
from archwright.tasks.base import LARGE_SIDE, Task


def with_augment(config: C, text: str) -> C:
    """The config with this augmentation in each of its trainings.

    Args:
        config: Any config; its own field `augment` and those of configs inside are replaced.
        text: As `TrainingConfig.augment`.
    """
    changed: C = _each(config, lambda _: text)
    return changed


def settled(config: C, task: Task) -> C:
    """The config with the task's own augmentation where the "usual" one is asked for, so that a run says what it is.

    Raises:
        InvalidValueError: If the data take no such change.
    """

    def settle(text: str) -> str:
        task.split("train").augmented(parse_augment(text))
        return augment_text(task.default_augment) if text == USUAL else text

    changed: C = _each(config, settle)
    return changed


def as_published(config: C, input_shape: Sequence[int], *, jitter: bool = False) -> C:
    """The config with the augmentation of papers: crops and mirror images of photos and of small colour images.

    Args:
        config: A config with trainings.
        input_shape: (C, H, W) of images, (T,) of texts.
        jitter: Whether colours of photos change too.
    """
    if len(input_shape) != 3:
        return config
    is_colour, is_photo = input_shape[0] == 3, min(input_shape[1:]) >= LARGE_SIDE
    names = ("crop", *(("mirror",) if is_colour else ()), *(("jitter",) if jitter and is_photo and is_colour else ()))
    return with_augment(config, augment_text(names))


def augment_lines(config: Any, task: Task) -> list[str]:
    """What is told before a run on images: how training images are changed, and about mirror images."""
    found = list(dict.fromkeys(_texts(settled(config, task))))
    if not task.default_augment or not found:
        return []
    if any("mirror" in text for text in found):
        why = "left and right are changed in training images; if that makes another class, add --augment crop"
    else:
        why = "nothing is mirrored; where left and right mean the same, --augment crop,mirror is better"
    return [f"augment    {', '.join(found)}: {why}"]


def _texts(config: Any) -> Iterator[str]:
    """The texts of all fields `augment`, of configs inside too."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if field.name == "augment":
            yield value
        elif dataclasses.is_dataclass(value):
            yield from _texts(value)


def _each(config: Any, change: Callable[[str], str]) -> Any:
    """The config with the texts of all fields `augment` changed, in configs inside too."""
    changed: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if field.name == "augment":
            changed[field.name] = change(value)
        elif dataclasses.is_dataclass(value):
            changed[field.name] = _each(value, change)
    return dataclasses.replace(config, **changed) if changed else config
