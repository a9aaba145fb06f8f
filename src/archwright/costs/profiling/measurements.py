"""What a bundle's script measured on another machine → a latency table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from archwright.core.errors import InvalidValueError, RunFolderError, UsageError
from archwright.costs.profiling.bundle import FORMAT, SCRIPT
from archwright.costs.profiling.plan import Plan, scopes_of, space_parts
from archwright.costs.tables.latencies import MAX_MS, SpaceTable, differing_args
from archwright.costs.tables.scopes import ScopeTables
from archwright.runs.files import SEAL, is_sealed, read_json
from archwright.spaces.base import Space


def read_measurements(path: Path | str, space: Space) -> SpaceTable:
    """The latency table of a space, from the measurements of its bundle (see `write_bundle`).

    Raises:
        InvalidValueError: If the file is missing or damaged, is of another space or other settings of it, in another
            unit, lacks a part, or has a time that is none.
    """
    try:
        document = read_json(path)
    except RunFolderError as error:
        raise InvalidValueError(f"{error}; give the file that {SCRIPT} wrote") from None
    try:
        bundle = _bundle_of(document, space)
        plan = _plan_of(bundle, space)
        settings = document["settings"]
        ms = _times(bundle, plan, document["parts"])
        return plan.table(
            space, ms, backend=str(bundle["backend"]), threads=_count(settings["threads"]), machine=_origin(document)
        )
    except UsageError as error:
        raise InvalidValueError(f"{path} {error}") from None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
        raise InvalidValueError(f"{path} is damaged: {what}; give the file as {SCRIPT} wrote it") from None


def _bundle_of(document: Any, space: Space) -> Mapping[str, Any]:
    """The bundle that was measured, if it is one of this space."""
    if not isinstance(document, dict) or "bundle" not in document:
        raise InvalidValueError(f"holds no measurements of a bundle; give the file that {SCRIPT} wrote")
    if document.get("format") != FORMAT:
        raise InvalidValueError(f"is in format {document.get('format')!r}; this version reads format {FORMAT}")
    bundle: Mapping[str, Any] = document["bundle"]
    if not is_sealed(bundle) or bundle[SEAL] != document["bundle_sha256"]:
        raise InvalidValueError("holds a bundle that was changed, or is not the one that was measured; measure again")
    if bundle["format"] != FORMAT:
        raise InvalidValueError(f"is of a bundle in format {bundle['format']!r}; this version reads format {FORMAT}")
    for unit in (document["unit"], bundle["unit"]):
        if unit != "ms":
            raise InvalidValueError(f"has the unit {unit!r}; give milliseconds (unit 'ms')")
    again = f"give what belongs to it, or measure another: archwright profile {space.name} --bundle DIR"
    if bundle["decisions"] != space.decisions.fingerprint:
        raise InvalidValueError(
            f"is of a bundle of space {bundle['space']!r} with other decisions than {space.name!r} has; {again}"
        )
    if differing := differing_args(bundle["space_args"], space):
        raise InvalidValueError(f"was measured for {differing}; {again}")
    return bundle


def _plan_of(bundle: Mapping[str, Any], space: Space) -> Plan:
    """How the table adds up, if it is as this version would cut this space."""
    names = space.decisions.names
    scopes = scopes_of(space_parts(space))
    terms = {str(key): tuple(map(str, term)) for key, term in bundle["terms"].items()}
    tables = ScopeTables(space.decisions, scopes, 1)
    keys = [key for scope in tables.scopes for key in tables.keys(scope)]
    if bundle["scopes"] != [[names[column] for column in scope] for scope in scopes] or set(keys) != set(terms):
        raise InvalidValueError(
            f"is of a bundle that cuts networks of {space.name!r} into other parts, as another version of the space or "
            f"of archwright does; measure again: archwright profile {space.name} --bundle DIR"
        )
    networks = {str(code): bool(is_fitted) for code, is_fitted in bundle["networks"].items()}
    if not any(networks.values()):
        raise ValueError("it has no whole network")
    return Plan(scopes, terms, networks)


def _times(bundle: Mapping[str, Any], plan: Plan, measured: Mapping[str, Any]) -> dict[str, float]:
    """Milliseconds of all that the plan names."""
    files = {part["key"]: f"{part['file']} ({part['what']})" for part in bundle["parts"]}
    missing = [name for name in plan.names if name not in measured]
    if missing:
        raise InvalidValueError(
            f"lacks {len(missing)} of {len(plan.names)} parts, the first is {files.get(missing[0], missing[0])}; "
            f"run {SCRIPT} again, it goes on where it stopped"
        )
    return {name: _positive(measured[name]["median"], files[name]) for name in plan.names}


def _positive(value: Any, part: str) -> float:
    if type(value) not in (int, float) or not math.isfinite(value) or not 0 < value <= MAX_MS:
        raise InvalidValueError(f"has {value!r} ms for {part}; give a time above 0 and up to {MAX_MS:g}")
    return float(value)


def _count(value: Any) -> int:
    if type(value) is not int or value < 1:
        raise ValueError(f"threads is {value!r}")
    return value


def _origin(document: Mapping[str, Any]) -> dict[str, Any]:
    """Where and how it was measured, for the table."""
    runs = [
        {"began": run["began"], "clock_before": run["clock_before"], "clock_after": run["clock_after"]}
        for run in document["runs"]
    ]
    medians = [_positive(one["median"], "the reference") for run in document["runs"] for one in run["reference"]]
    settings = document["settings"]
    return {
        **document["machine"],
        "versions": dict(document["versions"]),
        "warmup": settings["warmup"],
        "repeats": settings["repeats"],
        "runs": runs,
        "drift": max(medians) / min(medians) - 1 if medians else None,
        "bundle_sha256": document["bundle_sha256"],
    }
