"""Search spaces: decisions, a network, an input."""

from archwright.spaces.base import Space
from archwright.spaces.darts import Darts, Snas
from archwright.spaces.language import LanguageSpace
from archwright.spaces.lenet import LeNet
from archwright.spaces.nasbench201 import NasBench201, NasBench201Size
from archwright.spaces.opening import Architecture, arch_document, open_architecture, open_space
from archwright.spaces.spos import SposSpace

__all__ = [
    "Architecture",
    "Darts",
    "LanguageSpace",
    "LeNet",
    "NasBench201",
    "NasBench201Size",
    "Snas",
    "Space",
    "SposSpace",
    "arch_document",
    "open_architecture",
    "open_space",
]
