"""Torch layers and choosers that know no search algorithm."""

from archwright.nn.choice import Chooser, Fixed, Selection, Supernet, extract, selection_of
from archwright.nn.elastic import BatchNorm2d, Conv2d, Linear

__all__ = ["BatchNorm2d", "Chooser", "Conv2d", "Fixed", "Linear", "Selection", "Supernet", "extract", "selection_of"]
