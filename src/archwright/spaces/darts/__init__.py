"""The spaces of DARTS, with SNAS's reading of the same network."""

from archwright.spaces.darts.convolutional import Darts, Snas

__all__ = ["Darts", "Snas"]
