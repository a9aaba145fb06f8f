"""The exception tree: exit codes, built-in bases, hints."""

from __future__ import annotations

import pytest

from archwright.core import errors
from archwright.core.errors import (
    ArchwrightError,
    ExportError,
    MissingExtraError,
    RunError,
    UnknownNameError,
    UsageError,
)


@pytest.mark.parametrize(
    ("name", "built_in"),
    [
        ("UnknownNameError", LookupError),
        ("InvalidValueError", ValueError),
        ("InvalidArchError", ValueError),
        ("SpaceError", TypeError),
        ("InfeasibleError", ValueError),
        ("DataError", ValueError),
        ("RunFolderError", OSError),
        ("MissingExtraError", ImportError),
    ],
)
def test_usage_errors_are_also_the_built_in_that_fits(name: str, built_in: type[Exception]) -> None:
    """Caught by either base; the command line ends with 2."""
    kind = getattr(errors, name)
    assert issubclass(kind, UsageError)
    assert issubclass(kind, built_in)
    assert kind.exit_code == 2


def test_a_run_error_ends_with_one() -> None:
    """It can happen only after the start."""
    assert RunError.exit_code == ExportError.exit_code == ArchwrightError.exit_code == 1
    assert not issubclass(RunError, UsageError)
    assert issubclass(ExportError, RunError)


def test_the_tree_in_the_docstring_is_complete() -> None:
    """Every class of the module stands in the drawing."""
    names = [name for name, thing in vars(errors).items() if isinstance(thing, type) and issubclass(thing, Exception)]
    assert [name for name in names if name not in (errors.__doc__ or "")] == []


def test_the_nearest_name_is_offered() -> None:
    """A slip of the fingers finds its name."""
    assert (
        str(UnknownNameError("space", "spoos", ["spos", "nasbench201"])) == "unknown space 'spoos'; did you mean spos?"
    )


def test_all_names_are_offered_where_none_is_near() -> None:
    """Sorted."""
    assert str(UnknownNameError("space", "zzz", ["b", "a"])) == "unknown space 'zzz'; choose one of a, b"


def test_an_empty_family_says_so() -> None:
    """There is nothing to choose from."""
    assert str(UnknownNameError("space", "x", [])) == "unknown space 'x'; none is known here"


def test_a_missing_extra_says_what_to_type() -> None:
    """The pip command stands in the message."""
    assert "pip install 'archwright[demo]'" in str(MissingExtraError("mnist5k", "demo"))
