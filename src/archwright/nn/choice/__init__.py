"""One network, many executions: the choosers, the selection they share, and extraction."""

from archwright.nn.choice.choosers import Chooser, Fixed, Supernet
from archwright.nn.choice.extract import extract
from archwright.nn.choice.selection import Selection, selection_of

__all__ = ["Chooser", "Fixed", "Selection", "Supernet", "extract", "selection_of"]
