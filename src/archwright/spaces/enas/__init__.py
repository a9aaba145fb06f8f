"""ENAS's three search spaces: cells, whole networks, recurrent cells."""

from archwright.spaces.enas.macro import EnasMacro
from archwright.spaces.enas.micro import EnasMicro

__all__ = ["EnasMacro", "EnasMicro"]
