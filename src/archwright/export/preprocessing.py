"""How images become the inputs of an exported network, as texts that travel inside the file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from archwright.core.errors import InvalidValueError

_KEYS = ("layout", "scale", "mean", "std")


def input_metadata(class_names: Sequence[str], preprocessing: Mapping[str, Any]) -> dict[str, str]:
    """The texts an exported file carries: "class_names" and "preprocessing", each one JSON document."""
    return {
        "class_names": json.dumps(list(class_names), ensure_ascii=False),
        "preprocessing": json.dumps(dict(preprocessing), ensure_ascii=False, allow_nan=False),
    }


def preprocess(
    images: NDArray[np.uint8], preprocessing: Mapping[str, Any], *, images_layout: Literal["HWC", "CHW"] = "HWC"
) -> NDArray[np.float32]:
    """The network's inputs (N, C, H, W) from raw images: (image * scale - mean) / std, channel by channel.

    Args:
        images: uint8, (N, H, W) for one channel, (N, H, W, C), or (N, C, H, W) with `images_layout="CHW"`.
        preprocessing: {"layout": "CHW", "scale", "mean": [one a channel], "std": [one a channel]} as found in
            the file; mean and std apply after scaling.
        images_layout: How the given images lie.

    Raises:
        InvalidValueError: If the document has other keys or another layout, or the images do not fit it.
    """
    scale, mean, std = _read(preprocessing)
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
    return np.ascontiguousarray((images.astype(np.float32) * scale - mean) / std, dtype=np.float32)


def _read(document: Mapping[str, Any]) -> tuple[np.float32, NDArray[np.float32], NDArray[np.float32]]:
    # a key that is not understood might change the values: better refused than skipped
    if set(document) != set(_KEYS) or document["layout"] != "CHW":
        raise InvalidValueError(
            f"preprocessing is {dict(document)!r}; accepted are exactly the keys {', '.join(_KEYS)} with the layout CHW"
        )
    mean, std = (np.asarray(document[key], dtype=np.float32).reshape(-1, 1, 1) for key in ("mean", "std"))
    if mean.shape != std.shape or not (std > 0).all():
        raise InvalidValueError("mean and std of the preprocessing must be as many, and each std positive")
    return np.float32(document["scale"]), mean, std
