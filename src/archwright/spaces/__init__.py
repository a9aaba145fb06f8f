"""Search spaces: decisions, a network, an input."""

from archwright.spaces.base import Space
from archwright.spaces.darts import Darts, DartsRnn, Snas
from archwright.spaces.language import LanguageSpace
from archwright.spaces.lenet import LeNet
from archwright.spaces.nasbench201 import NasBench201, NasBench201Size
from archwright.spaces.nasnet import AmoebaNet, NasNet
from archwright.spaces.opening import Architecture, arch_document, open_architecture, open_space
from archwright.spaces.spos import SposSpace

__all__ = [
    "AmoebaNet",
    "Architecture",
    "Darts",
    "DartsRnn",
    "LanguageSpace",
    "LeNet",
    "NasBench201",
    "NasBench201Size",
    "NasNet",
    "Snas",
    "Space",
    "SposSpace",
    "arch_document",
    "open_architecture",
    "open_space",
]
