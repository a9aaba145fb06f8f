"""Text from outside, such as file names, made safe and short enough for messages."""

from __future__ import annotations


def printable(text: str) -> str:
    """The text with control and direction characters, which a terminal would obey, written as escapes.

    >>> printable("a\\x1b[2Jb")
    'a\\\\x1b[2Jb'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def beginning(text: str, most: int = 60) -> str:
    """The text cut to at most `most` characters, for a message that repeats what it received.

    >>> beginning("abcdefghij", 8)
    'abcde...'
    """
    return text if len(text) <= most else text[: most - 3] + "..."
