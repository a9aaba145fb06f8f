"""Text for people: one-line messages, aligned columns, short numbers."""

from __future__ import annotations

import json
import math
import re
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, redirect_stdout
from typing import Any

from archwright.core.text import printable

_MAGNITUDES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def one_line(message: object) -> str:
    """A message on one line, with control characters written as escapes, so that the terminal does not obey them.

    >>> one_line("no file\\n 'a\\x1b[31m'")
    "no file 'a\\\\x1b[31m'"
    """
    return printable(" ".join(str(message).split()))


def shortened(text: str, most: int = 1000) -> str:
    """The text, without its middle if it is longer than `most`, so that long input does not hide the message around it.

    >>> shortened("abcdefghijklmnopqrstuvwxyz", 13)
    'abcde … vwxyz'
    """
    half = (most - 3) // 2
    return text if len(text) <= most else f"{text[:half]} … {text[-half:]}"


def human(number: float) -> str:
    """A count in three or four digits, with k, M, G or T.

    >>> human(318_700_000), human(12), human(4_520)
    ('318.7 M', '12', '4.5 k')
    """
    for factor, letter in _MAGNITUDES:
        if abs(number) >= factor:
            return f"{number / factor:.1f} {letter}"
    return f"{number:g}"


def duration(seconds: float) -> str:
    """A time span in its two largest units.

    >>> duration(7), duration(75.4), duration(7384)
    ('7 s', '1 min 15 s', '2 h 3 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def columns(rows: Sequence[tuple[str, str]], indent: int = 2) -> list[str]:
    """Lines for rows of a name and a text: names are aligned, texts are wrapped to the terminal's width."""
    widest = max((len(name) for name, _ in rows), default=0)
    room = max(shutil.get_terminal_size().columns - indent - widest - 2, 30)
    lines = []
    for name, text in rows:
        first, *rest = textwrap.wrap(one_line(text), room) or [""]
        lines.append(f"{'':{indent}}{one_line(name):{widest}}  {first}".rstrip())
        lines += [f"{'':{indent + widest + 2}}{line}" for line in rest]
    return lines


def chatter_on_stderr() -> AbstractContextManager[object]:
    """A context in which output of the user's own code goes to stderr, because stdout has only results."""
    return redirect_stdout(sys.stderr)


def fitted(line: str, width: int) -> list[str]:
    """A line wrapped to a width; its later pieces are indented to where the text after its name begins.

    >>> fitted("winner   0.98 on the test part", 22)
    ['winner   0.98 on the', '         test part']
    """
    name = re.match(r"\s*(\S+\s{2,})?", line)
    hang = " " * (name.end() if name else 0)
    if len(line) <= width or len(hang) > width // 2:
        return [line]
    # what people copy (paths, numbers) stays whole
    return textwrap.wrap(line, width, subsequent_indent=hang, break_long_words=False, break_on_hyphens=False)


def print_lines(lines: Sequence[str]) -> None:
    """Print lines to stdout and flush, so that later progress on stderr does not come before them in a log.

    On a terminal, lines are wrapped between words; in a file each stays one line. Names in them cannot control the
    terminal, or make one line look like two.
    """
    lines = [printable(line) for line in lines]
    if sys.stdout.isatty():
        width = shutil.get_terminal_size().columns
        lines = [piece for line in lines for piece in fitted(line, width)]
    print("\n".join(lines), flush=True)


def print_json(document: Any) -> None:
    """Print one JSON document to stdout; a number that JSON cannot express becomes null."""
    print(json.dumps(_strict(document), indent=2, allow_nan=False))


def _strict(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): _strict(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(inner) for inner in value]
    return value
