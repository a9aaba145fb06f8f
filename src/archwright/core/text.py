"""Text that strangers wrote, made safe to show."""

from __future__ import annotations


def printable(text: str) -> str:
    """The text with everything a terminal would act on (control and direction characters) shown as escapes.

    >>> printable("a\\x1b[2Jb")
    'a\\\\x1b[2Jb'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
