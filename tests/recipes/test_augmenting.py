"""Augmentation of all trainings of a recipe."""

from __future__ import annotations

import re

import pytest

from archwright.core.errors import InvalidValueError
from archwright.recipes import RandomSearchConfig, SposConfig, TrainConfig
from archwright.recipes.augmenting import augment_lines, settled, with_augment
from archwright.tasks import digits, open_task


def texts(config: SposConfig) -> tuple[str, str, str]:
    return config.supernet.augment, config.calibration.augment, config.retrain.augment


def test_one_option_reaches_every_training() -> None:
    """Supernet, calibration images and retraining."""
    assert texts(with_augment(SposConfig(), "crop,auto")) == ("crop,auto",) * 3


def test_usual_is_settled_by_the_data() -> None:
    """A crop for images, nothing for texts; what is given stays."""
    assert texts(settled(SposConfig(), digits())) == ("crop",) * 3
    assert texts(settled(SposConfig(), open_task("pydoc"))) == ("none",) * 3
    assert texts(settled(with_augment(SposConfig(), "mirror"), digits())) == ("mirror",) * 3


def test_what_the_data_do_not_take_is_refused() -> None:
    """Before anything starts."""
    with pytest.raises(InvalidValueError, match="augment is crop, which changes images"):
        settled(with_augment(SposConfig(), "crop"), open_task("pydoc"))


@pytest.mark.parametrize(
    ("shape", "spos", "amoeba"),
    [
        ((3, 224, 224), "crop,mirror,jitter", "crop,mirror"),
        ((3, 32, 32), "crop,mirror", "crop,mirror"),
        ((1, 28, 28), "crop", "crop"),
        ((35,), "usual", "usual"),
    ],
)
def test_paper_has_the_papers(shape: tuple[int, ...], spos: str, amoeba: str) -> None:
    """Photos of SPOS are also jittered; of grey images nothing is mirrored."""
    assert SposConfig.preset("paper", shape).supernet.augment == spos
    assert TrainConfig.preset("paper", shape).training.augment == spos
    assert RandomSearchConfig.preset("paper", shape).training.augment == amoeba


def test_mirroring_is_told() -> None:
    """Where it is on, with the way to switch it off; where it is off, with the way to switch it on."""
    (without,) = augment_lines(TrainConfig(), digits())
    (with_it,) = augment_lines(with_augment(TrainConfig(), "crop,mirror"), digits())
    assert re.fullmatch(r"augment    crop: nothing is mirrored; .* --augment crop,mirror is better", without)
    assert re.fullmatch(r"augment    crop,mirror: left and right are changed .*, add --augment crop", with_it)
    assert augment_lines(TrainConfig(), open_task("pydoc")) == []
