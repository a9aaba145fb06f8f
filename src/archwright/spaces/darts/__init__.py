"""The spaces of DARTS, and that of SNAS, which derives other cells from the same network."""

from archwright.spaces.darts.convolutional import Darts, Snas
from archwright.spaces.darts.derivation import derive_darts, derive_snas
from archwright.spaces.darts.recurrent import DartsRnn, derive_rnn

__all__ = ["Darts", "DartsRnn", "Snas", "derive_darts", "derive_rnn", "derive_snas"]
