"""Open a space or an architecture by what a user writes: a name, a file, a class or a code."""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
import os
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np

from archwright.core import catalog
from archwright.core.arch import Arch, Value
from archwright.core.blueprint import Blueprint
from archwright.core.config import is_readable, parse_value
from archwright.core.errors import (
    InvalidArchError,
    InvalidValueError,
    SpaceError,
    UnknownNameError,
    UsageError,
    error_text,
)
from archwright.runs.files import is_file, read_regular
from archwright.runs.places import place_of, spelled
from archwright.runs.record import FILE_NAME as RUN_FILE
from archwright.runs.record import PLACES
from archwright.spaces.base import Space
from archwright.spaces.user_code import code_digest, import_file, import_module

ARCH_FORMAT = 1
ARCH_FILE = "arch.json"
_DATA_ARGUMENTS = ("input_shape", "n_classes")
N_FIXED = 3
"""Archs whose parameters tell whether a space builds the networks that it built before."""

MAX_BYTES = 2**24
"""Largest accepted size of an arch.json in bytes."""


@dataclass(frozen=True)
class Architecture:
    """One member of one space.

    Attributes:
        name: The published name, file or code by which it was opened.
        space: Its space.
        arch: The chosen values.
    """

    name: str
    space: Space
    arch: Arch


def open_space(spec: str, **args: Any) -> Space:
    """A space by catalogue name, `package.module:Class` or `file.py:Class`, made with the given arguments.

    Code is imported only where the user names it.

    Raises:
        UnknownNameError: If nothing has that name.
        SpaceError: If the named code cannot be imported, is no space, does not take the arguments, or its network
            does not hold together.
    """
    cls = _class_of(spec)
    accepted = _accepted_arguments(cls)
    unknown = [name for name in args if accepted is not None and name not in accepted]
    if unknown and unknown[0] in _DATA_ARGUMENTS:
        raise SpaceError(
            f"the constructor of space {spec!r} takes no {unknown[0]}, which the data decide; "
            "let it take **rest and call super().__init__(**rest)"
        )
    if unknown:
        raise UnknownNameError(f"argument of space {spec!r}", unknown[0], accepted or [])
    try:
        with redirect_stdout(sys.stderr):
            space: Space = cls(**args)
    except UsageError:
        raise
    except (Exception, SystemExit) as error:
        raise SpaceError(f"space {spec!r} could not be made: {error_text(error)}") from error
    if ":" in spec:
        space.opened_as = spec
        with redirect_stdout(sys.stderr):
            _ = space.decisions  # recorded and checked here, before anything is built from it
    return space


def open_space_for(data: str, decided: Mapping[str, Any], spec: str, settings: Mapping[str, Any]) -> Space:
    """A space made for data, with settings of its own.

    Args:
        data: Name of the data, for messages.
        decided: Arguments that follow from the data.
        spec: As for `open_space`.
        settings: Further arguments, by name.

    Raises:
        InvalidValueError: If the data decide what the space does not take, or what is set.
        UsageError: As `open_space`.
    """
    accepted = _accepted_arguments(_class_of(spec))
    foreign = [name for name in decided if accepted is not None and name not in accepted]
    if foreign and foreign[0] not in _DATA_ARGUMENTS:
        raise InvalidValueError(
            f"the data {data!r} decide {', '.join(decided)}, and space {spec!r} takes {', '.join(accepted or ())}; "
            "choose data of the form it takes, or another space"
        )
    return open_space(spec, **with_settings(decided, settings))


def with_settings(decided: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of a space that follow from data, and those that are set.

    Raises:
        InvalidValueError: If one is both.
    """
    for name in settings:
        if name in decided:
            raise InvalidValueError(f"the setting {name!r} of the space follows from the data; leave it out")
    return {**decided, **settings}


def parse_settings(spec: str, texts: Mapping[str, str]) -> dict[str, Any]:
    """Settings of a space from texts, each read by the type of the constructor's parameter of its name.

    Numbers may be written like 20k; lists have commas between items, and colons inside an item that is a list itself.

    Args:
        spec: As for `open_space`.
        texts: By name.

    Raises:
        UnknownNameError: If the space has no such setting; offers the nearest.
        InvalidValueError: If a text is no value of that type.
    """
    if not texts:
        return {}
    cls = _class_of(spec)
    accepted, kinds = _accepted_arguments(cls), _types_of(cls)
    for name in texts:
        if accepted is not None and name not in accepted:
            raise UnknownNameError(f"setting of space {spec!r}", name, accepted)
    return {name: parse_value(kinds.get(name, Untyped), text, name) for name, text in texts.items()}


Untyped = bool | int | float | str
"""What a setting may be of which the constructor does not say the type."""


def _types_of(cls: type[Space]) -> dict[str, Any]:
    """Types of a constructor's parameters by name, as far as they can be told; arguments passed on count too."""
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        if "__init__" in vars(base) and base is not object:
            try:
                found |= get_type_hints(vars(base)["__init__"])
            except Exception:  # whatever a user wrote as an annotation
                continue
    return {name: kind for name, kind in found.items() if is_readable(kind)}


def code_identity(space: Space) -> dict[str, str]:
    """What identifies the code of a user's space, for a run's config; empty for spaces of this package.

    Digests of the names and shapes of the parameters of three fixed archs, and, of a space that was opened by its file
    or module, of the syntax trees of that and of what it imports from beside itself.
    """
    if space.is_built_in:
        return {}
    sha = hashlib.sha256()
    for arch in space.decisions.archs(space.decisions.sample(N_FIXED, np.random.default_rng(0))):
        with space.shapes_only():
            state = space.build(arch).state_dict()
        described = [[name, list(tensor.shape), str(tensor.dtype)] for name, tensor in state.items()]
        sha.update(json.dumps(described).encode())
    # a script that defines its space beside all else may change while the space stays
    code = code_digest(sys.modules[type(space).__module__]) if space.opened_as is not None else ""
    return {"space_parameters_sha256": sha.hexdigest(), **({"space_code_sha256": code} if code else {})}


def space_blueprint(space: Space) -> Blueprint:
    """A blueprint from which another process makes the same space, and checks that its decisions are the same."""
    arguments = {
        **{"spec": space.name, "args": space.args(), "decisions": space.decisions.fingerprint},
        "takes_channels_last": space.takes_channels_last,
    }
    return Blueprint(f"{__name__}:reopen_space", arguments)


def reopen_space(spec: str, args: Mapping[str, Any], decisions: str, takes_channels_last: bool) -> Space:
    """The space of a `space_blueprint`, made in this process.

    Args:
        spec: Name of the space, see `open_space`.
        args: Its arguments.
        decisions: Fingerprint of the decisions it must have.
        takes_channels_last: What was found of its networks.

    Raises:
        SpaceError: If the space of that name has other decisions in this process.
    """
    space = open_space(spec, **args)
    if space.decisions.fingerprint != decisions:
        raise SpaceError(f"space {spec!r} has other decisions in a process of its own; define it by its arguments")
    space.takes_channels_last = takes_channels_last
    return space


def open_architecture(spec: str, **args: Any) -> Architecture:
    """An architecture by published name, path of an arch.json or of the folder it is in, or `SPACE:CODE`.

    A run's folder stands for its winner, `best/arch.json` in it.

    Args:
        spec: What the user wrote.
        args: Arguments of the space to use instead of the stored or default ones, e.g. `n_classes`.

    Raises:
        UsageError: If it cannot be found or is no member of its space; the message says what was tried.
    """
    name, document = _named(spec)
    if isinstance(document, str):
        space = open_space(name, **args)
        return Architecture(spec, space, space.parse(document))
    return _from_document(name, document, args)


def space_of(spec: str) -> str:
    """What the space of an architecture is opened by; `spec` and errors as of `open_architecture`."""
    name, document = _named(spec)
    return name if isinstance(document, str) else _space_in(name, document)


def _space_in(name: str, document: Mapping[str, Any]) -> str:
    """What the space of a document is opened by, from the present folder."""
    spec, place, folder = str(document["space"]), document.get("space_file"), Path(name).parent.absolute()
    if not isinstance(place, dict) or os.path.exists(str(place.get("absolute"))):
        return spelled(spec, "space", place, folder)
    for above in (folder, *list(folder.parents)[:2]):  # best/ lies in a run's folder, those of further winners in best/
        if is_file(above / RUN_FILE):
            noted = _read_document(above / RUN_FILE)
            places = noted.get(PLACES) if isinstance(noted, dict) else None
            return spelled(spec, "space", places.get("space") if isinstance(places, dict) else None, above)
    return spec


def _named(spec: str) -> tuple[str, dict[str, Any] | str]:
    """The name and the document of a published architecture or of a file, or a space and the text of a code."""
    published = published_architectures()
    if (name := catalog.canonical_name(spec)) in published:
        return name, published[name]
    if spec.endswith(".json") or is_file(spec):
        return spec, _checked(spec, _read_document(Path(spec)))
    if spec and os.path.isdir(spec):
        file = _in_folder(Path(spec))
        return str(file), _checked(str(file), _read_document(file))
    space_name, code = _split_code(spec)
    if code is not None:
        return space_name, code
    raise UnknownNameError(
        "architecture (a published name, a path to an arch.json or its folder, or SPACE:CODE)", spec, published
    )


def _in_folder(folder: Path) -> Path:
    """The arch.json in a folder, or in the `best` of a run's folder."""
    for file in (folder / ARCH_FILE, folder / "best" / ARCH_FILE):
        if os.path.lexists(file):
            return file
    raise InvalidArchError(
        f"{folder}: holds neither {ARCH_FILE} nor best/{ARCH_FILE}; give the folder of a finished run, or its best/"
    )


def arch_document(space: Space, arch: Mapping[str, Value]) -> dict[str, Any]:
    """The content of an arch.json: enough to build the network again, and to notice that its space has changed.

    A space in a user's file is found again from another folder, and by the run.json above, after a move of the whole.
    """
    place = place_of("space", space.name)
    return {
        "format": ARCH_FORMAT,
        "space": space.name,
        **({} if place is None else {"space_file": place}),
        "space_args": space.args(),
        "decisions": space.decisions.fingerprint,
        "arch": Arch(arch).to_json(),
    }


@functools.cache
def published_architectures() -> dict[str, dict[str, Any]]:
    """Every published network by name: arch documents with `summary` and `source` beside them."""
    found: dict[str, dict[str, Any]] = {}
    for file in sorted(
        resources.files("archwright.spaces").joinpath("published").iterdir(), key=lambda file: file.name
    ):
        if file.name.endswith(".json"):
            found |= json.loads(file.read_text("utf-8"))["architectures"]
    return found


def _from_document(name: str, document: Mapping[str, Any], args: Mapping[str, Any]) -> Architecture:
    version = document.get("format", ARCH_FORMAT)
    if version != ARCH_FORMAT:
        raise InvalidArchError(f"{name}: written in format {version!r}; this version reads format {ARCH_FORMAT}")
    stored = document.get("space_args", {})
    if not isinstance(stored, dict):
        raise InvalidArchError(f"{name}: space_args is {type(stored).__name__}; it must be an object")
    try:
        space = open_space(_space_in(name, document), **{**stored, **args})
        arch = Arch.from_json(document.get("arch"))
        _check_unchanged(space, arch, document.get("decisions"))
        arch = space.decisions.arch(space.row(arch))  # 8.0 in a file is the value 8
    except UsageError as error:
        raise InvalidArchError(f"{name}: {error}") from error
    return Architecture(name, space, arch)


def _checked(name: str, document: Any) -> dict[str, Any]:
    if not isinstance(document, dict) or not isinstance(document.get("space"), str):
        raise InvalidArchError(
            f"{name}: not an arch.json (an object with format, space, space_args, arch); give the file of a run's best/"
        )
    return document


def _check_unchanged(space: Space, arch: Arch, expected: object) -> None:
    """Refuse an arch of a space whose decisions are others than the digest in the file says, if it says any."""
    now = space.decisions.fingerprint
    if expected is None or expected == now:
        return
    try:
        space.row(arch)
        what = ""
    except UsageError as error:
        what = f"; {error}"
    raise InvalidArchError(
        f"space {space.name!r} has changed since this file was written: its decisions had the hash "
        f"{str(expected)[:12]} and now have {now[:12]}{what}; restore the space's code, or search again"
    )


def _split_code(spec: str) -> tuple[str, str | None]:
    """`SPACE:CODE` in two; a code may hold colons, as may the path of a file. None where there is no code."""
    name, colon, code = spec.partition(":")
    if ".py:" in spec:
        path, _, rest = spec.partition(".py:")
        attribute, second, rest = rest.partition(":")
        if second:
            return f"{path}.py:{attribute}", rest
    elif ":" in code and not catalog.is_known("space", name):
        attribute, _, code = code.partition(":")
        return f"{name}:{attribute}", code
    return name, code if colon else None


def _read_document(path: Path) -> Any:
    try:
        return json.loads(read_regular(path, MAX_BYTES))
    except FileNotFoundError:
        raise InvalidArchError(f"{path}: there is no such file; give the path of an arch.json") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidArchError(f"{path}: cannot be read as JSON ({error_text(error)}); give an arch.json") from None


def _class_of(spec: str) -> type[Space]:
    found: type[Space] = _class_in_code(spec) if ":" in spec else catalog.load("space", spec)
    return found


def _class_in_code(spec: str) -> type[Space]:
    place, _, attribute = spec.rpartition(":")
    module = import_file(Path(place)) if place.endswith(".py") else import_module(place)
    cls = getattr(module, attribute, None)
    spaces = [
        name
        for name, thing in vars(module).items()
        if inspect.isclass(thing) and issubclass(thing, Space) and thing is not Space
    ]
    if cls is None:
        raise UnknownNameError(f"space in {place}", attribute, spaces)
    if not (inspect.isclass(cls) and issubclass(cls, Space)):
        raise SpaceError(f"{spec} is no subclass of archwright.Space; {place} has {', '.join(spaces) or 'none'}")
    return cls


def _accepted_arguments(cls: type[Space]) -> list[str] | None:
    """Names a space's constructor takes; None where it takes any (`**kwargs`) and has to refuse them itself."""
    parameters = inspect.signature(cls).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None
    return [parameter.name for parameter in parameters]
