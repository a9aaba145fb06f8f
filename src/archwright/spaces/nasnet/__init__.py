"""NASNet's cells and AmoebaNet's: the space, its genotypes, and how cells are stacked."""

from archwright.spaces.nasnet.space import AmoebaNet, NasNet

__all__ = ["AmoebaNet", "NasNet"]
