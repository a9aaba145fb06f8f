"""The programs in a winner's README.md: a few lines for each file that runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from archwright.nn.inputs import Signature

_IMAGES = """import model

network = model.load("model.safetensors")
images = model.read_image("IMAGE")  # uint8, (1, height, width, channels); several are stacked along the first axis
for name, probability in model.predict(network, model.preprocess(images))[0]:
    print(f"{probability:.2%} {name}")"""

_UNNAMED = """import model

network = model.load("model.safetensors")
images = model.read_image("IMAGE")  # uint8, (1, height, width, channels); several are stacked along the first axis
print(network(model.preprocess(images)).shape)"""

_NUMBERS = """import torch

import model

network = model.load("model.safetensors")
inputs = torch.randn(1, *model.INPUT_SHAPE)  # random; put yours in their place
print(network(inputs).shape)"""

_TEXT = """import model

network = model.load("model.safetensors")
for word, probability in model.predict(network, model.encode("a text"))[0]:
    print(f"{probability:.2%} {word!r}")"""

_TENSORS = """import model

network = model.load("model.safetensors")
for output in model.predict(network, *model.example()):  # random inputs; put yours in their place
    print(tuple(output.shape))"""

_ONNX_IMAGES = """import json

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

session = onnxruntime.InferenceSession("{file}")
facts = session.get_modelmeta().custom_metadata_map
names, steps = json.loads(facts["class_names"]), json.loads(facts["preprocessing"])
mean, std = (np.float32(steps[key]).reshape(-1, 1, 1) for key in ("mean", "std"))
image = ImageOps.exif_transpose(Image.open("IMAGE")).convert("{mode}")
image = ImageOps.fit(image, ({to_width}, {to_height}), Image.Resampling.BILINEAR){crop}
pixels = np.asarray(image, np.float32).reshape(1, {height}, {width}, {channels}).transpose(0, 3, 1, 2)
(logits,) = session.run(None, {{"{name}": (pixels * np.float32(steps["scale"]) - mean) / std}})
print({answer})"""

_ONNX_TENSORS = """import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession("{file}")
types = {{"tensor(float)": np.float32, "tensor(int64)": np.int64, "tensor(bool)": np.bool_}}
feed = {{one.name: np.zeros((1, *one.shape[1:]), types[one.type]) for one in session.get_inputs()}}
for output in session.run(None, feed):  # zeros; put your arrays in their place
    print(output.shape)"""

MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
"""Pillow's name of images by channels."""


def python_usage(kind: str, files: Sequence[str], *, has_classes: bool) -> list[str]:
    """The section on model.py and its weights; none where there is no such file.

    Args:
        kind: What the inputs are, see `finish.readme.input_kind`.
        files: Names of the files there are.
        has_classes: Whether the outputs have names.
    """
    if "model.py" not in files:
        return []
    images = _IMAGES if has_classes else _UNNAMED
    programs = {"images": images, "numbers": _NUMBERS, "text": _TEXT, "tensors": _TENSORS}
    return [f"## In Python, with torch\n\n```python\n{programs[kind]}\n```"]


def onnx_usage(
    kind: str,
    files: Sequence[str],
    signature: Signature,
    preprocessing: Mapping[str, Any],
    *,
    has_classes: bool,
) -> list[str]:
    """The section on ONNX files; none where there is none.

    Args:
        kind: What the inputs are, see `finish.readme.input_kind`.
        files: Names of the files there are.
        signature: What the network takes and gives.
        preprocessing: Of the task.
        has_classes: Whether the outputs have names.
    """
    found = [name for name in files if name.endswith(".onnx")]
    if not found:
        return []
    first, *others = sorted(found, key=lambda name: (name != "model.onnx", name))
    program = _ONNX_TENSORS.format(file=first)
    if kind == "images":
        program = _for_images(first, signature, preprocessing, has_classes)
    also = "".join(f"\n\nThe same lines run `{name}`." for name in others)
    needs = "numpy, onnxruntime and Pillow" if kind == "images" else "numpy and onnxruntime"
    return [f"## With ONNX Runtime\n\nNeeds {needs}, no torch:\n\n```python\n{program}\n```{also}"]


def _for_images(file: str, signature: Signature, preprocessing: Mapping[str, Any], has_classes: bool) -> str:
    (spec,) = signature.inputs
    channels, height, width = spec.shape
    to_height, to_width = preprocessing.get("resize", (height, width))
    top, left = round((to_height - height) / 2), round((to_width - width) / 2)
    crop = f".crop(({left}, {top}, {left + width}, {top + height}))" if (to_height, to_width) != (height, width) else ""
    return _ONNX_IMAGES.format(
        file=file,
        mode=MODES[channels],
        to_width=to_width,
        to_height=to_height,
        crop=crop,
        height=height,
        width=width,
        channels=channels,
        name=spec.name,
        answer="names[int(logits.argmax())]" if has_classes else "logits.shape",
    )
