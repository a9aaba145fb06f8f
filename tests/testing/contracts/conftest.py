"""Do contracts notice what they are there for?"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path

import pytest

from archwright.testing.contracts.base import Contract


@pytest.fixture
def fails(tmp_path: Path) -> Callable[[Contract, str], bool]:
    """Whether one test of a contract fails for the member that the contract makes."""

    def run(contract: Contract, name: str) -> bool:
        test = getattr(contract, name)
        arguments = {"tmp_path": tmp_path} if "tmp_path" in inspect.signature(test).parameters else {}
        try:
            test(**arguments)
        except Exception:
            return True
        return False

    return run
