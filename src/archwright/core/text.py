"""Text that strangers wrote, made fit to show."""

from __future__ import annotations


def printable(text: str) -> str:
    """The text with everything a terminal would act on (control and direction characters) shown as escapes.

    >>> printable("a\\x1b[2Jb")
    'a\\\\x1b[2Jb'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def beginning(text: str, most: int = 60) -> str:
    """The text, shortened if it is long, for a message that quotes what the user gave.

    >>> beginning("abcdefghij", 8)
    'abcde...'
    """
    return text if len(text) <= most else text[: most - 3] + "..."
