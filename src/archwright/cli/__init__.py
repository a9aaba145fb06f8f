"""The command `archwright`: argument parsing and printing; every command calls public functions of other parts.

Modules here import at start only what parsing needs. What a command works with is imported inside it, so that
`--help` and `list` do not wait for torch.
"""

from __future__ import annotations

from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code.

    Args:
        arguments: The arguments after `archwright`; None takes those of this process.
    """
    import sys

    from archwright.cli.app import run

    return run(sys.argv[1:] if arguments is None else list(arguments))
