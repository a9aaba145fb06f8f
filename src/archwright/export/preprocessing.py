"""How images become the inputs of an exported network, as texts that travel inside the file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from archwright.core.errors import InvalidValueError
from archwright.tasks.images.framing import Framing

MAX_VALUE = 1e30
_KEYS = ("layout", "scale", "mean", "std")
_FRAMING_KEYS = ("resize", "crop", "interpolation")
TRAINED_WITH = "trained_with"
"""Key of what changed training images at random (`crop,mirror`); inputs are not changed by it."""


def input_metadata(class_names: Sequence[str], preprocessing: Mapping[str, Any]) -> dict[str, str]:
    """The texts inside an exported file: "class_names" and "preprocessing", each a JSON document."""
    return {
        "class_names": json.dumps(list(class_names), ensure_ascii=False),
        "preprocessing": json.dumps(dict(preprocessing), ensure_ascii=False, allow_nan=False),
    }


def read_metadata(metadata: Mapping[str, str], n_classes: int | None) -> tuple[list[str], dict[str, Any]]:
    """Class names and preprocessing, read from the texts that `input_metadata` wrote, and checked.

    Both are empty where a network has no classes and its inputs are no images.

    Args:
        metadata: The texts.
        n_classes: Of the network; None where it has none.

    Raises:
        InvalidValueError: If a text is missing, no JSON, or not for a network of `n_classes` classes.
    """
    missing = [key for key in ("class_names", "preprocessing") if key not in metadata]
    if missing:
        raise InvalidValueError(f"nothing tells the network's {missing[0]}; export a finished run")
    try:
        names, document = (json.loads(metadata[key]) for key in ("class_names", "preprocessing"))
    except (ValueError, RecursionError) as error:
        raise InvalidValueError(f"class_names or preprocessing is no JSON ({error}); export a finished run") from None
    if names == [] and document == {}:
        return [], {}
    if not isinstance(names, list) or len(names) != n_classes or not all(isinstance(name, str) for name in names):
        raise InvalidValueError(f"class_names are not {n_classes} texts; export a finished run")
    if isinstance(document, dict) and document.get("layout") == "T" and all(map(_is_said, document.values())):
        return names, document  # of texts, which `preprocess` leaves alone
    if not isinstance(document, dict) or not all(_is_plain(key, value) for key, value in document.items()):
        raise InvalidValueError(f"preprocessing is {document!r}, which says nothing; export a finished run")
    _read(document)
    return names, document


def _is_said(value: Any) -> bool:
    return value is None or isinstance(value, str | bool)


def _is_plain(key: str, value: Any) -> bool:
    """Whether a value of a preprocessing document is of its kind: numbers that float32 holds, sizes, or text."""
    if key in ("mean", "std"):
        return isinstance(value, list) and len(value) > 0 and all(_is_plain("scale", one) for one in value)
    if key in ("resize", "crop"):
        return (
            isinstance(value, list) and len(value) == 2 and all(type(one) is int and 0 < one < 2**20 for one in value)
        )
    if key == "scale":
        return type(value) in (int, float) and abs(value) < MAX_VALUE
    return isinstance(value, str)


def preprocess(
    images: NDArray[np.uint8], preprocessing: Mapping[str, Any], *, images_layout: Literal["HWC", "CHW"] = "HWC"
) -> NDArray[np.float32]:
    """The network's inputs (N, C, H, W) from raw images: (image * scale - mean) / std, channel by channel.

    If the document says so, images are first scaled until they just cover a size, and their middle is cut out.

    Args:
        images: uint8, (N, H, W) for one channel, (N, H, W, C), or (N, C, H, W) with `images_layout="CHW"`.
        preprocessing: {"layout": "CHW", "scale", "mean": [one a channel], "std": [one a channel]} as found in
            the file; mean and std apply after scaling. Networks for images of any size have in addition
            {"resize": [height, width], "crop": [height, width], "interpolation": "bilinear"} (see `Framing`).
            "trained_with" tells what changed training images, which is not done here.
        images_layout: Order of the axes of the given images.

    Raises:
        InvalidValueError: If the document has other keys or another layout, or the images do not fit it.
    """
    scale, mean, std, framing = _read(preprocessing)
    if images.dtype != np.uint8:
        raise InvalidValueError(f"images are {images.dtype}; give uint8 values of 0 to 255")
    if images.ndim == 3:
        images = images[:, None]
    elif images.ndim == 4 and images_layout == "HWC":
        images = images.transpose(0, 3, 1, 2)
    if images.ndim != 4 or images.shape[1] != mean.shape[0]:
        raise InvalidValueError(
            f"images in channels-first order have the shape {images.shape}; the network takes {mean.shape[0]} channels"
        )
    if framing is not None:
        images = np.array([_framed(image, framing) for image in images], dtype=np.uint8)
        images = images.reshape(-1, mean.shape[0], *framing.crop)  # also where there is none
    return np.ascontiguousarray((images.astype(np.float32) * scale - mean) / std, dtype=np.float32)


def _framed(image: NDArray[np.uint8], framing: Framing) -> NDArray[np.uint8]:
    """An image (C, H, W) in the frame, each channel on its own."""
    return np.stack([np.asarray(framing(Image.fromarray(np.ascontiguousarray(channel)))) for channel in image])


def _read(
    document: Mapping[str, Any],
) -> tuple[np.float32, NDArray[np.float32], NDArray[np.float32], Framing | None]:
    # a key that is not understood might change the values: better refused than skipped
    accepted = (set(_KEYS), {*_KEYS, *_FRAMING_KEYS})
    if set(document) - {TRAINED_WITH} not in accepted or document["layout"] != "CHW":
        raise InvalidValueError(
            f"preprocessing is {dict(document)!r}; accepted are just the keys {', '.join(_KEYS)} with the layout CHW "
            f"and, where images are scaled, {', '.join(_FRAMING_KEYS)}"
        )
    mean, std = (np.asarray(document[key], dtype=np.float32).reshape(-1, 1, 1) for key in ("mean", "std"))
    if mean.shape != std.shape or not (std > 0).all():
        raise InvalidValueError("mean and std of the preprocessing must be as many, and each std positive")
    return np.float32(document["scale"]), mean, std, _framing(document)


def _framing(document: Mapping[str, Any]) -> Framing | None:
    if "resize" not in document:
        return None
    if document["interpolation"] != "bilinear":
        raise InvalidValueError(f"interpolation is {document['interpolation']!r}; accepted: 'bilinear'")
    (height, width), (cut_height, cut_width) = document["resize"], document["crop"]
    return Framing((int(height), int(width)), (int(cut_height), int(cut_width)))
