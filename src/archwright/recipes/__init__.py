"""One paper system a module: a config and a thin composition of the parts."""

from archwright.recipes.spos import SposConfig, spos

__all__ = ["SposConfig", "spos"]
