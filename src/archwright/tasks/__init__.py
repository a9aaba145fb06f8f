"""What a network is trained for: data, their parts, loss, metrics and their direction."""

from archwright.tasks.base import Meter, Part, Split, Task
from archwright.tasks.images.bundled import digits, mnist5k
from archwright.tasks.images.folders import folder
from archwright.tasks.images.in_memory import ImageTask
from archwright.tasks.images.npz_files import npz
from archwright.tasks.images.streamed import StreamedTask
from archwright.tasks.images.torchvision_sets import torchvision
from archwright.tasks.opening import open_task
from archwright.tasks.text.language import LanguageTask, pydoc, text

__all__ = [
    "ImageTask",
    "LanguageTask",
    "Meter",
    "Part",
    "Split",
    "StreamedTask",
    "Task",
    "digits",
    "folder",
    "mnist5k",
    "npz",
    "open_task",
    "pydoc",
    "text",
    "torchvision",
]
