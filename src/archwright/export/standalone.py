"""The part of a generated `model.py` that uses the network, as the Python code that is copied into it.

`archwright.export.source` copies the text below the marked line into every file, after the network. It uses only torch
and the standard library. The names above the line are those that the generated part defines.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

INPUT_SHAPE: tuple[int, ...] = ()
CLASS_NAMES: list[str] = []
PREPROCESSING: dict[str, Any] = {}


def build() -> nn.Module:
    """The network."""
    return nn.Identity()


# ── copied from here ──────────────────────────────────────────────────────────────────────────────


def load(path: str | Path, device: str = "cpu") -> nn.Module:
    """The network with the weights of a safetensors file, in evaluation mode."""
    network = build()
    network.load_state_dict(read_safetensors(path), strict=True)
    return network.to(device).eval()


def preprocess(images: Tensor) -> Tensor:
    """The network's inputs, float32 (N, C, H, W), from images, uint8 (N, H, W, C), or (N, H, W) for one channel."""
    if images.dtype != torch.uint8:
        raise ValueError(f"images are {images.dtype}; give uint8 values of 0 to 255")
    images = images[:, None] if images.ndim == 3 else images.permute(0, 3, 1, 2)
    mean = torch.tensor(PREPROCESSING["mean"], dtype=torch.float32).view(-1, 1, 1)
    std = torch.tensor(PREPROCESSING["std"], dtype=torch.float32).view(-1, 1, 1)
    if images.shape[1:] != INPUT_SHAPE:
        raise ValueError(f"images are {tuple(images.shape[1:])} in channels-first order; give {INPUT_SHAPE}")
    scaled: Tensor = images.float() * PREPROCESSING["scale"]
    return ((scaled - mean) / std).contiguous()


def read_image(path: str | Path) -> Tensor:
    """An image file as uint8 (1, H, W, C): upright, scaled, its middle cut to the network's input; needs Pillow."""
    from PIL import Image, ImageOps

    channels, height, width = INPUT_SHAPE
    with Image.open(path) as file:
        image = ImageOps.exif_transpose(file).convert({1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[channels])
    # scaled until it just covers this size
    high, wide = PREPROCESSING.get("resize", (height, width))
    if image.height * wide <= image.width * high:
        size = (high * image.width // image.height, high)
    else:
        size = (wide, wide * image.height // image.width)
    left, top = round((size[0] - width) / 2), round((size[1] - height) / 2)
    image = image.resize(size, Image.Resampling.BILINEAR).crop((left, top, left + width, top + height))
    return torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8).view(1, height, width, channels)


@torch.inference_mode()
def predict(network: nn.Module, inputs: Tensor, n: int = 5) -> list[list[tuple[str, float]]]:
    """The most likely classes of each input with their probabilities, the most likely first.

    Args:
        network: The network, see `load`.
        inputs: Inputs of the network, see `preprocess`.
        n: How many classes to give.
    """
    top = network(inputs).softmax(dim=1).topk(min(n, len(CLASS_NAMES)))
    pairs = zip(top.indices.tolist(), top.values.tolist(), strict=True)
    return [[(CLASS_NAMES[i], value) for i, value in zip(*pair, strict=True)] for pair in pairs]


def read_safetensors(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, which holds the length of its header, the header in JSON and the numbers."""
    types = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
    types |= {"I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8}
    types |= {"U8": torch.uint8, "BOOL": torch.bool}
    data = Path(path).read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    if len(data) < 8 or len(data) < start:
        raise ValueError(f"{path} is no whole safetensors file")
    header, numbers, tensors = json.loads(data[8:start]), bytearray(data[start:]), {}
    header.pop("__metadata__", None)
    for name, entry in header.items():
        (first, end), shape, dtype = entry["data_offsets"], entry["shape"], types[entry["dtype"]]
        n = math.prod(shape)
        if not 0 <= first <= end <= len(numbers) or end - first != n * dtype.itemsize:
            raise ValueError(f"{path} is damaged at {name}, or not whole")
        flat = torch.frombuffer(numbers, dtype=dtype, count=n, offset=first) if n else torch.empty(0, dtype=dtype)
        tensors[name] = flat.reshape(shape).clone()
    return tensors


def main(arguments: list[str]) -> None:
    """Print predictions for the named images, or for noise if none is named; weights come from a *.safetensors."""
    weights = [name for name in arguments if name.endswith(".safetensors")]
    images = [name for name in arguments if name not in weights]
    network = load(weights[0] if weights else Path(__file__).with_name("model.safetensors"))
    for image in images or [""]:
        print(f"{image}:" if image else "no image given; this is the answer to random noise:")
        inputs = preprocess(read_image(image)) if image else torch.randn(1, *INPUT_SHAPE)
        for name, probability in predict(network, inputs)[0]:
            print(f"{probability:8.2%}  {name if name.isprintable() else ascii(name)}")


if __name__ == "__main__":
    main(sys.argv[1:])
