"""Numbers and foreign text in a form for people."""

from __future__ import annotations

import math
from typing import Any, TypeGuard

ABSENT = "not measured"

# Direction overrides reorder what is shown around them; lone surrogates cannot be written as UTF-8.
_DECEPTIVE = {0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)}


def visible(text: str) -> str:
    r"""The text with control characters, direction marks and lone surrogates written as escapes.

    >>> visible("a\x1b[31mb")
    'a\\x1b[31mb'
    """
    return "".join(_escape(c) if _is_hidden(ord(c)) else c for c in text)


def quantity(value: Any, unit: str = "") -> str:
    """A count with three significant digits and k, M or G; "not measured" if the value is no finite number.

    >>> quantity(1_964_032), quantity(950, "bytes"), quantity(None)
    ('1.96 M', '950 bytes', 'not measured')
    """
    if not is_number(value):
        return ABSENT
    for size, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        # 999,600 rounds to 1.00 M, not to 1000 k
        if abs(value) >= size * 0.9995:
            return f"{_three_digits(value / size)} {prefix}{unit}"
    return f"{value:.4g} {unit}".strip()


def score(value: Any, metric: str) -> str:
    """An accuracy in percent, any other metric with four significant digits."""
    if not is_number(value):
        return ABSENT
    return f"{100 * value:.2f} %" if is_fraction(metric) else f"{value:.4g}"


def difference(value: float, metric: str) -> str:
    """The absolute difference of two scores; in percentage points for accuracies."""
    return f"{100 * abs(value):.2f} points" if is_fraction(metric) else f"{abs(value):.4g}"


def duration(seconds: Any) -> str:
    """Seconds as h, min and s.

    >>> duration(0.034), duration(75.2), duration(7265)
    ('0.03 s', '1 min 15 s', '2 h 1 min')
    """
    if not is_number(seconds):
        return ABSENT
    if seconds < 59.95:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"
    whole = round(seconds)
    hours, minutes = whole // 3600, whole % 3600 // 60
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {whole % 60} s"


def is_fraction(metric: str) -> bool:
    """Whether a metric is a share in [0, 1] that people read in percent."""
    return metric.endswith("accuracy")


def is_number(value: Any) -> TypeGuard[float]:
    """Whether the value is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _three_digits(value: float) -> str:
    n_decimals = 0 if abs(value) >= 99.95 else 1 if abs(value) >= 9.995 else 2
    text = f"{value:.{n_decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _is_hidden(code: int) -> bool:
    is_control = code < 32 and code not in (9, 10)
    return is_control or 127 <= code < 160 or 0xD800 <= code < 0xE000 or code in _DECEPTIVE


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
