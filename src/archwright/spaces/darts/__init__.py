"""The spaces of DARTS, with SNAS's reading of the same network."""

from archwright.spaces.darts.convolutional import Darts, Snas
from archwright.spaces.darts.derivation import derive_darts, derive_snas
from archwright.spaces.darts.recurrent import DartsRnn, derive_rnn

__all__ = ["Darts", "DartsRnn", "Snas", "derive_darts", "derive_rnn", "derive_snas"]
