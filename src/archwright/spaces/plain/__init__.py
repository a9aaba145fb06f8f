"""Plain networks: hand-written ones whose only decision is their width; a run sets one beside its winner."""

from archwright.spaces.plain.chain import PlainChain
from archwright.spaces.plain.lstm import PlainLstm
from archwright.spaces.plain.residual import PlainResidual
from archwright.spaces.plain.width import WidthSpace

__all__ = ["PlainChain", "PlainLstm", "PlainResidual", "WidthSpace"]
