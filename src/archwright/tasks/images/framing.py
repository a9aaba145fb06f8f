"""Resize and crop images of any size to the input size of a network, without randomness."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

from archwright.core.errors import InvalidValueError
from archwright.tasks.base import LARGE_SIDE

Size = tuple[int, int]


@dataclass(frozen=True)
class Framing:
    """Scale an image, keeping its aspect, until it just covers `resize`, and cut `crop` from its middle.

    With equal sides this is torchvision's Resize(side) and CenterCrop. Bilinear, with antialiasing.

    Attributes:
        resize: Height and width to cover.
        crop: Height and width that are cut out, at most `resize`.
    """

    resize: Size
    crop: Size

    def __post_init__(self) -> None:
        if not all(1 <= cut <= covered for cut, covered in zip(self.crop, self.resize, strict=True)):
            raise InvalidValueError(
                f"crop is {self.crop} of an image scaled to cover {self.resize}; give 1 pixel or more, at most that"
            )

    @classmethod
    def default(cls, crop: Size) -> Framing:
        """The usual framing: for photos the central 7/8 (256 → 224), for small images the whole shorter side.

        >>> Framing.default((224, 224)).resize, Framing.default((32, 32)).resize
        ((256, 256), (32, 32))
        """
        height, width = crop
        if min(crop) < LARGE_SIDE:
            return cls(crop, crop)
        return cls((round(height * 8 / 7), round(width * 8 / 7)), crop)

    def __call__(self, image: Image.Image) -> Image.Image:
        """The resized and cropped image; the image itself if it has that size already."""
        size = self._scaled(image.height, image.width)
        if size != (image.height, image.width):
            image = image.resize(size[::-1], Image.Resampling.BILINEAR)
        if size == self.crop:
            return image
        top, left = (round((whole - cut) / 2) for whole, cut in zip(size, self.crop, strict=True))
        return image.crop((left, top, left + self.crop[1], top + self.crop[0]))

    def to_json(self) -> dict[str, object]:
        """The entries of a preprocessing document that describe this framing."""
        return {"resize": list(self.resize), "crop": list(self.crop), "interpolation": "bilinear"}

    def _scaled(self, height: int, width: int) -> Size:
        to_height, to_width = self.resize
        if height * to_width <= width * to_height:
            return to_height, to_height * width // height
        return to_width * height // width, to_width
