"""Preprocessing by hand, in every layout, and refusal of what is not understood."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision.transforms import v2

from archwright.core.errors import InvalidValueError
from archwright.export.preprocessing import input_metadata, preprocess, read_metadata
from archwright.tasks import folder

RGB = {"layout": "CHW", "scale": 1 / 255, "mean": [0.5, 0.0, 1.0], "std": [0.5, 1.0, 0.25]}
FRAMED = {**RGB, "resize": [8, 8], "crop": [7, 6], "interpolation": "bilinear"}
GREY = {"layout": "CHW", "scale": 1 / 255, "mean": [0.2], "std": [0.4]}


def test_each_channel_by_hand() -> None:
    """(255/255 - 0.5)/0.5 = 1, 51/255 = 0.2, (0 - 1)/0.25 = -4."""
    image = np.array([255, 51, 0], dtype=np.uint8).reshape(1, 1, 1, 3)
    assert preprocess(image, RGB).ravel() == pytest.approx([1.0, 0.2, -4.0], abs=1e-6)


def test_layouts_agree(rng: np.random.Generator) -> None:
    """The same pixels as (N, H, W, C) and (N, C, H, W) give the same inputs, contiguous float32."""
    images = rng.integers(0, 256, (2, 5, 4, 3), dtype=np.uint8)
    inputs = preprocess(images, RGB)
    assert inputs.shape == (2, 3, 5, 4)
    assert inputs.dtype == np.float32
    assert inputs.flags.c_contiguous
    assert np.array_equal(inputs, preprocess(images.transpose(0, 3, 1, 2), RGB, images_layout="CHW"))


def test_grey_images_need_no_channel_axis(rng: np.random.Generator) -> None:
    """(N, H, W) and (N, H, W, 1) are the same images."""
    images = rng.integers(0, 256, (2, 5, 4), dtype=np.uint8)
    assert np.array_equal(preprocess(images, GREY), preprocess(images[..., None], GREY))


def test_images_of_any_size_are_framed(rng: np.random.Generator) -> None:
    """Scaled and cut as the colour image is by torchvision, then (value / 255 - mean) / std; either layout."""
    images = rng.integers(0, 256, (2, 20, 31, 3), dtype=np.uint8)
    inputs = preprocess(images, FRAMED)
    frame = v2.Compose([v2.Resize(8), v2.CenterCrop((7, 6))])
    framed = np.stack([np.asarray(frame(Image.fromarray(image))) for image in images])
    assert np.array_equal(inputs, preprocess(framed, RGB))
    assert np.array_equal(inputs, preprocess(images.transpose(0, 3, 1, 2), FRAMED, images_layout="CHW"))
    assert preprocess(images[:0], FRAMED).shape == (0, 3, 7, 6)


def test_framed_document_is_that_of_a_streamed_task(tmp_path: Path, rng: np.random.Generator) -> None:
    """Test inputs of a tree of images are what its preprocessing makes of the raw images."""
    raw = rng.integers(0, 256, (2, 70, 90, 3), dtype=np.uint8)
    for part, label, i in ((p, c, i) for p in ("train", "test") for c in "ab" for i in range(2)):
        (tmp_path / part / label).mkdir(parents=True, exist_ok=True)
        Image.fromarray(raw[i]).save(tmp_path / part / label / f"{i}.png")
    task = folder(tmp_path, input_shape=(3, 64, 64))
    inputs, _ = next(task.split("test").ordered(2))
    document = json.loads(json.dumps(task.preprocessing))
    np.testing.assert_allclose(preprocess(raw, document), inputs.numpy(), atol=1e-5)


def test_metadata_are_json_texts() -> None:
    """Names of any script come back; preprocessing comes back as the same document."""
    texts = input_metadata(["cat", "ネコ", '"'], RGB)
    assert set(texts) == {"class_names", "preprocessing"}
    assert json.loads(texts["class_names"]) == ["cat", "ネコ", '"']
    assert json.loads(texts["preprocessing"]) == RGB


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"resize": [32, 32]}, "just the keys"),
        ({"blur": 1}, "just the keys"),
        ({**FRAMED, "interpolation": "cubic"}, "interpolation is 'cubic'; accepted: 'bilinear'"),
        ({**FRAMED, "crop": [9, 9]}, "crop is"),
        ({"layout": "HWC"}, "layout CHW"),
        ({"std": [0.5, 0.0, 1.0]}, "each std positive"),
        ({"std": [1.0]}, "as many"),
    ],
)
def test_documents_not_understood_are_refused(change: dict[str, object], message: str) -> None:
    """An unknown step is never skipped."""
    with pytest.raises(InvalidValueError, match=message):
        preprocess(np.zeros((1, 2, 2, 3), dtype=np.uint8), {**RGB, **change})


def test_images_that_do_not_fit_are_refused() -> None:
    """Floats, a wrong channel count, and a single image without its batch axis."""
    with pytest.raises(InvalidValueError, match="uint8"):
        preprocess(np.zeros((1, 2, 2, 3), dtype=np.float32), RGB)  # type: ignore[arg-type]
    with pytest.raises(InvalidValueError, match="takes 3 channels"):
        preprocess(np.zeros((1, 2, 2, 4), dtype=np.uint8), RGB)
    with pytest.raises(InvalidValueError, match="takes 3 channels"):
        preprocess(np.zeros((2, 2, 3), dtype=np.uint8), RGB)


@pytest.mark.parametrize(
    ("names", "document", "n_classes"),
    [
        (["a", "b"], {"layout": "T", "level": "word", "unknown": "<unk>", "line_end": None, "marks_apart": False}, 2),
        ([], {}, None),
        (["a"], GREY, 1),
    ],
)
def test_what_was_written_is_read(names: list[str], document: dict[str, object], n_classes: int | None) -> None:
    """Of texts, of networks without classes, and of images."""
    assert read_metadata(input_metadata(names, document), n_classes) == (names, document)
