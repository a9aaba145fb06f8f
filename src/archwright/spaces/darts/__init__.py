"""The spaces of DARTS, with SNAS's reading of the same network."""

from archwright.spaces.darts.convolutional import Darts, Snas
from archwright.spaces.darts.derivation import derive_darts, derive_snas

__all__ = ["Darts", "Snas", "derive_darts", "derive_snas"]
