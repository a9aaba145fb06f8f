"""Weights to begin a training with: all that fit, while a classifier for other classes begins anew."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from archwright.core.errors import UsageError
from archwright.export.weights import fit_weights, in_form_of, read_weights
from archwright.nn.meta import for_shapes
from archwright.nn.training_only import training_only_names


@dataclass(frozen=True)
class WarmStart:
    """Weights of a file that a network begins with.

    Attributes:
        tensors: By the network's names.
        fresh: Names of the layers that keep their fresh weights.
    """

    tensors: Mapping[str, Tensor]
    fresh: tuple[str, ...]

    def give(self, network: nn.Module) -> None:
        """Load them into a network of the form they were checked against, in place."""
        network.load_state_dict(network.state_dict() | dict(self.tensors), strict=True)


def open_warm_start(
    path: Path | str,
    build: Callable[[int | None], nn.Module],
    n_classes: int | None,
    class_names: Sequence[str],
    *,
    ignore: Sequence[str] = (),
    averaged: bool = False,
) -> WarmStart:
    """The weights of a file for a network, checked before anything is trained.

    Layers whose shapes depend on the number of classes begin anew where they do not fit, or where the file says that it
    is for other classes. So do parts that only training needs. All else has to fit.

    Args:
        path: As of `load_weights`.
        build: Makes the network for so many classes; for None, where there are none.
        n_classes: Of the data to train on.
        class_names: Their names.
        ignore: Names of tensors, or of modules with all below them, that begin anew whatever the file has.
        averaged: Take a torch file's moving average of the weights.

    Raises:
        RunFolderError: If the file cannot be read.
        InvalidValueError: If the weights are those of another network.
    """
    tensors, texts = read_weights(Path(path), averaged=averaged)
    network = for_shapes(lambda: build(n_classes))
    expected, training_only = network.state_dict(), training_only_names(network)
    tensors, origin = in_form_of(expected, tensors)
    by_classes = [name for name in _of_classes(expected, build, n_classes) if name not in training_only]
    fits = all(name in tensors and tensors[name].shape == expected[name].shape for name in by_classes)
    if not fits or _says_others(texts, class_names):
        tensors = {name: tensor for name, tensor in tensors.items() if name not in by_classes}
    may_miss = {*by_classes, *training_only}
    fitted = fit_weights(
        expected,
        tensors,
        f"{path}{origin} does not fit this architecture and these data",
        ignore=ignore,
        optional=may_miss,
        advice="give weights of this architecture for such inputs; only the number of classes may differ, and what "
        "--ignore names",
    )
    return WarmStart(fitted.tensors, tuple(dict.fromkeys(name.rpartition(".")[0] or name for name in fitted.fresh)))


def _of_classes(
    expected: Mapping[str, Tensor], build: Callable[[int | None], nn.Module], n_classes: int | None
) -> list[str]:
    """Names of the tensors whose shape changes with the number of classes."""
    if n_classes is None:
        return []
    try:
        larger = for_shapes(lambda: build(n_classes + 1)).state_dict()
    except UsageError:  # a network for these classes alone
        return []
    return [name for name, tensor in expected.items() if name in larger and larger[name].shape != tensor.shape]


def _says_others(texts: Mapping[str, str], class_names: Sequence[str]) -> bool:
    """Whether a file names its classes, and they are not these."""
    try:
        named = json.loads(texts.get("class_names", "[]"))
    except (ValueError, RecursionError):
        return False
    return bool(named) and bool(class_names) and named != list(class_names)
