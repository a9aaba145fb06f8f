"""Neural architecture search for PyTorch: from a dataset and a limit to a trained, exported network.

    import archwright as aw

The names below load their parts on first use: importing archwright itself imports no torch.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from archwright import costs, evaluators, nn, recipes, runners, spaces, strategies, tasks
    from archwright.core.arch import Arch
    from archwright.core.decisions import DecisionSpace
    from archwright.core.objective import Constraint, Goal, Objective
    from archwright.core.trial import Trial
    from archwright.costs import cost
    from archwright.export.weights import load_weights
    from archwright.nn.choice import Fixed, Supernet, extract
    from archwright.nn.features import features_only
    from archwright.search import search
    from archwright.spaces.base import Space

__version__ = "0.1.0"

__all__ = [
    "Arch",
    "Constraint",
    "DecisionSpace",
    "Fixed",
    "Goal",
    "Objective",
    "Space",
    "Supernet",
    "Trial",
    "__version__",
    "cost",
    "costs",
    "evaluators",
    "extract",
    "features_only",
    "load_weights",
    "nn",
    "recipes",
    "runners",
    "search",
    "spaces",
    "strategies",
    "tasks",
]

_HOMES = {
    "Arch": "archwright.core.arch",
    "Constraint": "archwright.core.objective",
    "DecisionSpace": "archwright.core.decisions",
    "Fixed": "archwright.nn.choice",
    "Goal": "archwright.core.objective",
    "Objective": "archwright.core.objective",
    "Space": "archwright.spaces.base",
    "Supernet": "archwright.nn.choice",
    "Trial": "archwright.core.trial",
    "cost": "archwright.costs",
    "extract": "archwright.nn.choice",
    "features_only": "archwright.nn.features",
    "load_weights": "archwright.export.weights",
    "search": "archwright.search",
}
"""The module each name comes from; the names of __all__ that are missing here are parts, i.e. modules themselves."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'archwright' has no attribute {name!r}")
    if name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
    else:
        value = importlib.import_module(f"archwright.{name}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Package(ModuleType):
    """This package, in which a public function keeps its name although a submodule bears the same.

    Importing `archwright.search` binds the submodule to the package's attribute `search`; the function
    of that module, which is what `aw.search(...)` means, is bound instead.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _HOMES and isinstance(value, ModuleType):
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
