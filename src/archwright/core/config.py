"""Configs as JSON and as `name=value` settings.

A config is a frozen dataclass of plain values: numbers, text, truth values, `Literal`, `X | None`, tuples, mappings
with text keys, and further such dataclasses. What its types say decides how JSON is checked and how text is read, so
that a command-line option, a stored run and Python code mean the same.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import operator
import re
import sys
import types
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from archwright.core.errors import ArchwrightError, InvalidValueError, UnknownNameError

C = TypeVar("C")

_QUANTITY = re.compile(r"([+-]?(?:[0-9][0-9_]*(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?)\s*([kKmMgGtT]?)")
MAX_INTEGER = 2**63 - 1
"""The largest integer a config accepts; tensors, files and clocks hold no larger one."""

MAX_TRIALS = 100_000_000
"""The most trials one search accepts."""

MAX_THREADS = 1024
"""The most threads one evaluation accepts; numeric libraries abort the process if the system refuses them threads."""

_ABSENT = "absent"  # in a field's metadata
_FACTORS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_TRUTH = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_NONE = ("none", "null")


def parse_quantity(text: str) -> float:
    """The number that people write as `20M`, `1.5G`, `2k` or `1e6`; k, M, G, T are powers of 1000 in either case.

    >>> parse_quantity("1.5G")
    1500000000.0

    Raises:
        InvalidValueError: If the text is no finite number.
    """
    return float(_decimal(text))


def check_range(name: str, value: float, low: float, high: float) -> None:
    """Refuse a number outside [low, high], so that a typing error does not fill the memory or run for years.

    Args:
        name: What the error message calls the number.
        value: The number to check.
        low: Smallest accepted value.
        high: Largest accepted value.

    Raises:
        InvalidValueError: If the number is outside; the message says which limit it breaks.
    """
    if not low <= value <= high:
        end = f"at most {high:,}" if value > high else f"at least {low:,}" if low else "0 or more"
        raise InvalidValueError(f"{name} is {value}; give {end}")


def to_json(config: Any) -> Any:
    """A config as a JSON object; `from_json` of it gives an equal config."""
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        return {field.name: to_json(getattr(config, field.name)) for field in _fields(type(config))}
    if isinstance(config, Mapping):
        return {str(key): to_json(value) for key, value in config.items()}
    if isinstance(config, tuple | list):
        return [to_json(value) for value in config]
    # JSON has no infinity; the text is read back where the field is a number
    if isinstance(config, float) and math.isinf(config):
        return "inf" if config > 0 else "-inf"
    return config


def added_field(default: Any, *, absent: Any) -> Any:
    """A field of a config that was added after configs had been stored: what a document that lacks it meant.

    Args:
        default: Of a new config.
        absent: The value that does what was done before there was the field.
    """
    return dataclasses.field(default=default, metadata={_ABSENT: absent})


def absent_settings(config: Any) -> dict[str, Any]:
    """The values, as JSON and by dotted name, that a stored form of this config has where it lacks them."""
    found: dict[str, Any] = {}
    for field in _fields(type(config)):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            found |= {f"{field.name}.{name}": inner for name, inner in absent_settings(value).items()}
        elif _ABSENT in field.metadata:
            found[field.name] = to_json(field.metadata[_ABSENT])
    return found


def from_json(cls: type[C], document: Any) -> C:
    """The config a JSON object describes; fields that it leaves out take their defaults.

    A field that was added later (`added_field`) takes the value it declares for documents that lack it.

    Raises:
        UnknownNameError: For a key that the config has no field for; the nearest are offered.
        InvalidValueError: For a value of the wrong type or out of range; the message holds its dotted name.
    """
    config: C = _config_from_json(cls, document, "")
    return config


def with_settings(config: C, settings: Mapping[str, str]) -> C:
    """The config with some values replaced, e.g. `{"training.steps": "2k", "limits": "macs:2M,params:1M"}`.

    Text is read by the type of its field: numbers as in `parse_quantity`, `true` and `false`, `none`, commas between
    the items of a tuple (colons inside an item that is a tuple itself), JSON for a mapping.

    Raises:
        UnknownNameError: For a name that is no setting; the nearest are offered.
        InvalidValueError: For a value that its field cannot take.
    """
    known = settings_of(config)
    for name in settings:
        if name not in known:
            _refuse_unknown(name, known)
    changed: C = _replaced(config, dict(settings), "")
    return changed


def parse_value(kind: Any, text: str, name: str) -> Any:
    """A text as a value of a type, read as `with_settings` reads it.

    Args:
        kind: Of the types a config may have; a `Sequence` is a tuple of any length.
        text: What was written.
        name: What it is, for the message.

    Raises:
        InvalidValueError: If the text is no such value.
    """
    return _parse(_as_tuples(kind), text, name)


def is_readable(kind: Any) -> bool:
    """Whether texts can be read as values of a type."""
    kind = _as_tuples(kind)
    if get_origin(kind) in (Union, types.UnionType) or _is_tuple(kind):
        return all(is_readable(inner) for inner in get_args(kind) if inner is not Ellipsis)
    return _is_plain(kind) or kind is types.NoneType or get_origin(kind) is Literal or _is_mapping(kind)


def _as_tuples(kind: Any) -> Any:
    """The type with tuples for sequences."""
    if get_origin(kind) is Literal:
        return kind
    arguments = tuple(_as_tuples(inner) for inner in get_args(kind))
    if get_origin(kind) in (Sequence, list):
        return types.GenericAlias(tuple, (*arguments, ...)) if arguments else tuple
    if get_origin(kind) in (Union, types.UnionType):
        return functools.reduce(operator.or_, arguments)
    return kind


def settings_of(config: Any) -> dict[str, Any]:
    """Every value of a config by its dotted name, in the order of the fields."""
    return dict(_settings(config, ""))


def _settings(config: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for field in _fields(type(config)):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            yield from _settings(value, f"{prefix}{field.name}.")
        else:
            yield f"{prefix}{field.name}", value


def _refuse_unknown(name: str, known: Mapping[str, Any]) -> None:
    inside = [other for other in known if other.startswith(f"{name}.")]
    if inside:
        raise InvalidValueError(f"{name!r} is a group of settings; set one of {', '.join(inside)}")
    outer = name.rpartition(".")[0]
    if outer in known and known[outer] is None:
        raise InvalidValueError(f"{name!r} cannot be set because {outer!r} is none here")
    raise UnknownNameError("setting", name, known)


def _replaced(config: Any, settings: dict[str, str], prefix: str) -> Any:
    """`config` with the settings, whose names are relative to it; each dataclass is rebuilt once, so that its checks
    see all of its new values together."""
    cls: Any = type(config)
    hints, changes = _hints(cls), {}
    for first in dict.fromkeys(name.partition(".")[0] for name in settings):
        name = f"{prefix}{first}"
        if first in settings:
            changes[first] = _parse(hints[first], settings[first], name)
        else:
            inner = {
                key.removeprefix(f"{first}."): text for key, text in settings.items() if key.startswith(f"{first}.")
            }
            changes[first] = _replaced(getattr(config, first), inner, f"{name}.")
    return _built(functools.partial(dataclasses.replace, config), changes, prefix)


def _config_from_json(cls: Any, document: Any, prefix: str) -> Any:
    if not isinstance(document, Mapping):
        raise _wrong(prefix.rstrip(".") or cls.__name__, document, "a JSON object")
    fields = {field.name: field for field in _fields(cls)}
    for key in document:
        if key not in fields:
            raise UnknownNameError("setting", f"{prefix}{key}", [f"{prefix}{name}" for name in fields])
    for name, field in fields.items():
        if name not in document and field.default is field.default_factory is dataclasses.MISSING:
            raise InvalidValueError(f"{prefix}{name} is missing; give {_accepted(_hints(cls)[name])}")
    values = {name: field.metadata[_ABSENT] for name, field in fields.items() if _ABSENT in field.metadata}
    values |= {name: _value_from_json(_hints(cls)[name], document[name], f"{prefix}{name}") for name in document}
    return _built(cls, values, prefix)


def _built(make: Any, values: dict[str, Any], prefix: str) -> Any:
    try:
        return make(**values)
    except ArchwrightError:
        raise
    except (TypeError, ValueError) as error:
        group = prefix.rstrip(".") or "config"
        raise InvalidValueError(f"{group} cannot take {_shown(values)}: {error}") from error


def _value_from_json(kind: Any, value: Any, name: str) -> Any:
    """`value` as the type `kind`, from JSON."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return _first_that_fits(kind, value, name)
    if dataclasses.is_dataclass(kind):
        return _config_from_json(kind, value, f"{name}.")
    if _is_tuple(kind) and isinstance(value, list | tuple):
        kinds = _item_kinds(arguments, len(value), name, value, kind)
        items = enumerate(zip(kinds, value, strict=True))
        return tuple(_value_from_json(each, item, f"{name}[{i}]") for i, (each, item) in items)
    if _is_mapping(kind) and isinstance(value, Mapping):
        inner = arguments[1] if arguments else Any
        return {str(key): _value_from_json(inner, item, f"{name}.{key}") for key, item in value.items()}
    return _plain_from_json(kind, value, name)


def _plain_from_json(kind: Any, value: Any, name: str) -> Any:
    if kind is Any or (kind is types.NoneType and value is None):
        return value
    if get_origin(kind) is Literal:
        if any(value == choice and type(value) is type(choice) for choice in get_args(kind)):
            return value
    elif kind is float and _is_number(value):
        return float(value)
    elif (kind in (bool, str) and type(value) is kind) or (
        kind is int and type(value) is int and -MAX_INTEGER <= value <= MAX_INTEGER
    ):
        return value
    raise _wrong(name, value, _accepted(kind))


def _first_that_fits(kind: Any, value: Any, name: str) -> Any:
    """A union takes the first member that fits; with one member beside None, that member's own error is told."""
    members = [member for member in get_args(kind) if member is not types.NoneType]
    if value is None and len(members) < len(get_args(kind)):
        return None
    if len(members) == 1:
        return _value_from_json(members[0], value, name)
    # an integer stays an integer where both are allowed
    for member in sorted(members, key=lambda member: member is float):
        try:
            return _value_from_json(member, value, name)
        except (InvalidValueError, UnknownNameError):
            continue
    raise _wrong(name, value, _accepted(kind))


def _parse(kind: Any, text: str, name: str) -> Any:
    """`text` as the type `kind`."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return _parse_union(kind, text, name)
    if _is_tuple(kind):
        return _parse_tuple(kind, text, name, ",")
    if _is_mapping(kind) or dataclasses.is_dataclass(kind) or kind is Any:
        return _value_from_json(kind, _json(text, name, kind), name)
    if origin is Literal:
        matches = [choice for choice in arguments if str(choice).lower() == text.strip().lower()]
        if matches:
            return matches[0]
        raise _wrong(name, text, _accepted(kind))
    return _parse_plain(kind, text, name)


def _parse_plain(kind: Any, text: str, name: str) -> Any:
    if kind is str:
        return text
    if kind is bool and text.strip().lower() in _TRUTH:
        return _TRUTH[text.strip().lower()]
    if kind is float and text.strip().lower() in ("inf", "-inf"):
        return float(text)
    if kind in (int, float):
        try:
            number = _decimal(text)
        except InvalidValueError:
            raise _wrong(name, text, _accepted(kind)) from None
        if kind is float:
            return float(number)
        if number == number.to_integral_value() and abs(number) <= MAX_INTEGER:
            return int(number)
    raise _wrong(name, text, _accepted(kind))


def _parse_tuple(kind: Any, text: str, name: str, separator: str) -> tuple[Any, ...]:
    items = [item.strip() for item in text.split(separator)] if text.strip() else []
    kinds = _item_kinds(get_args(kind), len(items), name, text, kind)
    return tuple(
        _parse_tuple(each, item, f"{name}[{i}]", ":") if _is_tuple(each) else _parse(each, item, f"{name}[{i}]")
        for i, (each, item) in enumerate(zip(kinds, items, strict=True))
    )


def _parse_union(kind: Any, text: str, name: str) -> Any:
    members = [member for member in get_args(kind) if member is not types.NoneType]
    if text.strip().lower() in _NONE and len(members) < len(get_args(kind)):
        return None
    # text fits whatever is written, so it comes last; an integer is told from a number by trying it first
    order = {bool: 0, int: 1, float: 2, str: 4}
    for member in sorted(members, key=lambda member: order.get(member, 3)):
        try:
            return _parse(member, text, name)
        except (InvalidValueError, UnknownNameError):
            if len(members) == 1 and not _is_plain(member):
                raise
    raise _wrong(name, text, _accepted(kind))


def _decimal(text: str) -> Decimal:
    match = _QUANTITY.fullmatch(text.strip())
    number = Decimal(match[1]) * _FACTORS[match[2].lower()] if match else None
    if number is None or not math.isfinite(float(number)):
        raise InvalidValueError(f"{text!r} is no number; write it like 20M, 1.5G, 2k or 300")
    return number


def _json(text: str, name: str, kind: Any) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise _wrong(name, text, _accepted(kind)) from None


def _item_kinds(arguments: tuple[Any, ...], n: int, name: str, value: Any, kind: Any) -> list[Any]:
    """The type of each of n items of a tuple."""
    if not arguments:
        return [Any] * n
    if arguments[-1] is Ellipsis:
        return [arguments[0]] * n
    if len(arguments) != n:
        raise _wrong(name, value, _accepted(kind))
    return list(arguments)


def _is_tuple(kind: Any) -> bool:
    return kind is tuple or get_origin(kind) is tuple


def _is_mapping(kind: Any) -> bool:
    return kind in (dict, Mapping) or get_origin(kind) in (dict, Mapping)


def _is_number(value: Any) -> bool:
    """Whether JSON's value can be a number: NaN cannot, the texts that stand for the infinities can."""
    if type(value) is int:
        return abs(value) <= sys.float_info.max
    return value in ("inf", "-inf") or (type(value) is float and not math.isnan(value))


def _is_plain(kind: Any) -> bool:
    return kind in (bool, int, float, str)


def _fields(cls: Any) -> list[dataclasses.Field[Any]]:
    return [field for field in dataclasses.fields(cls) if field.init]


@functools.cache
def _hints(cls: Any) -> dict[str, Any]:
    return get_type_hints(cls)


def _wrong(name: str, value: Any, accepted: str) -> InvalidValueError:
    return InvalidValueError(f"{name} is {_shown(value)}; give {accepted}")


def _shown(value: Any) -> str:
    """The value as Python writes it; not in full where it is huge."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # thousands of digits, or of brackets
        return f"a {type(value).__name__} too large to show"
    return text if len(text) <= 500 else f"{text[:497]}..."


def _accepted(kind: Any) -> str:
    """What a type takes, in words."""
    words = {bool: "true or false", int: "an integer", float: "a number", str: "text", types.NoneType: "none"}
    origin, arguments = get_origin(kind), get_args(kind)
    if kind in words:
        return words[kind]
    if origin in (Union, types.UnionType):
        return " or ".join(_accepted(member) for member in arguments)
    if origin is Literal:
        return "one of " + ", ".join(map(str, arguments))
    if origin is tuple and arguments and arguments[-1] is Ellipsis:
        return f"a list, each item {_accepted(arguments[0])}"
    if origin is tuple and arguments:
        return "a list of " + ", ".join(_accepted(argument) for argument in arguments)
    return "a list" if kind is tuple else "a JSON object" if kind is not Any else "JSON"
