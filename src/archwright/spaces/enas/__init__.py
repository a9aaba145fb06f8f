"""ENAS's three search spaces: cells, whole networks, recurrent cells."""

from archwright.spaces.enas.macro import EnasMacro
from archwright.spaces.enas.micro import EnasMicro
from archwright.spaces.enas.recurrent import EnasRnn

__all__ = ["EnasMacro", "EnasMicro", "EnasRnn"]
