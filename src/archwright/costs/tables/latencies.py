"""Latency tables: milliseconds by key, summed over a network's parts.

`archwright profile` writes tables of a whole space (`SpaceTable`), one JSON file each. Published tables of
operators are read as plain keys (see `costs.tables.operators`).
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from archwright.core.decisions import DecisionSpace, Rows
from archwright.core.errors import InvalidValueError
from archwright.costs.tables.operators import read_text, table_entries
from archwright.costs.tables.scopes import Probabilities, ScopeTables, entry_key
from archwright.runs.files import write_json
from archwright.spaces.base import Space

FORMAT = 1
MAX_MS = 1e9
"""Largest accepted time in milliseconds, eleven days; a larger one in a file cannot be an operation's."""
MAX_CELLS = 10_000_000
"""Most combinations of values that the scopes of a file may have together, to protect the memory."""
ACCEPTED = "give a file of `archwright profile`, or a published operator table (see archwright.costs.tables.operators)"


@dataclass(frozen=True)
class LookupTable:
    """Milliseconds by key.

    Attributes:
        name: Name of the table in errors.
        entries: Milliseconds by key.
        base: Milliseconds of the part that every network has.
    """

    name: str
    entries: Mapping[str, float]
    base: float = 0.0

    def total(self, keys: Iterable[str]) -> float:
        """Milliseconds of a network: the base plus the entry of each key, as often as the key occurs.

        Raises:
            InvalidValueError: If a key is missing; the message names it.
        """
        return self.base + sum(self._entry(key) for key in keys)

    def _entry(self, key: str) -> float:
        if key not in self.entries:
            near = difflib.get_close_matches(key, self.entries, n=1)
            hint = f"; the nearest is {near[0]!r}" if near else ""
            raise InvalidValueError(f"{self.name} has no entry {key!r} (of {len(self.entries)}){hint}")
        return self.entries[key]

    @staticmethod
    def open(path: Path | str) -> LookupTable:
        """The table in a file; a `SpaceTable` if `archwright profile` wrote it.

        Raises:
            InvalidValueError: If the file is missing, damaged or in no known format.
        """
        path = Path(path)
        text = read_text(path)
        if path.name.removesuffix(".gz").endswith(".csv"):
            return LookupTable(str(path), *table_entries(path.name, text))
        try:
            document = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InvalidValueError(f"{path} is no JSON: {error}; {ACCEPTED}") from None
        if isinstance(document, dict) and "format" in document:
            return SpaceTable.from_json(document, str(path))
        try:
            return LookupTable(str(path), *table_entries(path.name, document))
        except InvalidValueError as error:
            raise InvalidValueError(f"{path}: {error}; {ACCEPTED}") from None


@dataclass(frozen=True)
class SpaceTable(LookupTable):
    """Measured parts of every architecture of a space.

    The prediction is `factor * (base + sum of entries) + intercept`. Factor and intercept are fitted to whole networks,
    because parts are slower alone than one after the other.

    Attributes:
        space: Name of the space.
        space_args: Its arguments, since a latency belongs to an input size.
        decisions: Fingerprint of its decisions.
        scopes: For each term of the sum, the names of the decisions that it depends on.
        backend: The runtime that ran the parts, "onnxruntime" or "torch".
        threads: Threads inside an operation.
        machine: Facts about the machine on which the parts were measured.
        factor: See above.
        intercept: See above, in milliseconds.
        checked: Whole networks: code, predicted and measured milliseconds, and whether the line was fitted to it.
    """

    space: str = ""
    space_args: Mapping[str, Any] | None = None
    decisions: str = ""
    scopes: tuple[tuple[str, ...], ...] = ()
    backend: str = "onnxruntime"
    threads: int = 1
    machine: Mapping[str, Any] | None = None
    factor: float = 1.0
    intercept: float = 0.0
    checked: tuple[Mapping[str, Any], ...] = ()

    def cost_rows(self, space: Space, rows: Rows) -> NDArray[np.float64]:
        """Predicted milliseconds (n,) of rows (n, n_decisions).

        Raises:
            InvalidValueError: If this is the table of another space, or an entry is missing; the message names it.
        """
        tables = self._tables(space)
        total, missing = tables.look_up(rows)
        if missing is not None:
            self._refuse_missing(space.decisions, tables, rows[missing])
        return self.factor * total[:, 0] + self.intercept

    def expected(self, space: Space, probabilities: Probabilities) -> Tensor:
        """Expected milliseconds if decisions are drawn independently (see `ScopeTables.expected`); differentiable."""
        return self.factor * self._tables(space).expected(probabilities) + self.intercept

    def check_fits(self, space: Space) -> None:
        """Refuse the table if it belongs to another space or another input size.

        Raises:
            InvalidValueError: If it does; the message says what differs.
        """
        again = f"measure this one: archwright profile {space.name} -o FILE"
        if self.decisions != space.decisions.fingerprint:
            raise InvalidValueError(
                f"{self.name} is a latency table of space {self.space!r} with other decisions than "
                f"{space.name!r} has; {again}"
            )
        if differing := differing_args(self.space_args or {}, space):
            sizes = f" --input {'x'.join(map(str, space.input_shape))} --classes {space.n_classes}"
            raise InvalidValueError(
                f"{self.name} was measured for {differing}; {again}{sizes if 'input_shape' in space.args() else ''}"
            )

    @property
    def is_from_elsewhere(self) -> bool:
        """Whether a bundle was measured for it, so that a network cannot be timed here instead."""
        return "bundle_sha256" in (self.machine or {})

    def to_json(self) -> dict[str, Any]:
        """The table as the JSON object of its file."""
        return {
            "format": FORMAT,
            "space": self.space,
            "space_args": dict(self.space_args or {}),
            "decisions": self.decisions,
            "unit": "ms",
            "backend": self.backend,
            "threads": self.threads,
            "machine": dict(self.machine or {}),
            "base": self.base,
            "factor": self.factor,
            "intercept": self.intercept,
            "checked": [dict(one) for one in self.checked],
            "scopes": [list(scope) for scope in self.scopes],
            "entries": dict(self.entries),
        }

    def save(self, path: Path | str) -> None:
        """Write the file, atomically.

        Raises:
            RunError: If it cannot be written.
        """
        write_json(path, self.to_json())

    @classmethod
    def from_json(cls, document: Any, name: str) -> SpaceTable:
        """The table of a document that `to_json` gave.

        Args:
            document: Parsed JSON.
            name: Name of the table in errors.

        Raises:
            InvalidValueError: If it is no such document, or has an unknown format.
        """
        if document.get("format") != FORMAT:
            raise InvalidValueError(
                f"{name} is in format {document.get('format')!r}; this version reads format {FORMAT}"
            )
        try:
            entries = {str(key): _milliseconds(value) for key, value in document["entries"].items()}
            return cls(
                name,
                entries,
                _milliseconds(document["base"]),
                space=str(document["space"]),
                space_args=dict(document["space_args"]),
                decisions=str(document["decisions"]),
                scopes=tuple(tuple(map(str, scope)) for scope in document["scopes"]),
                backend=str(document["backend"]),
                threads=_count(document["threads"]),
                machine=dict(document["machine"]),
                factor=_finite(document["factor"]),
                intercept=_finite(document["intercept"]),
                checked=tuple(dict(one) for one in document["checked"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            what = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
            raise InvalidValueError(f"{name} is no latency table: {what}; {ACCEPTED}") from None

    def _tables(self, space: Space) -> ScopeTables:
        """The entries as arrays, made once a space object."""
        kept: dict[int, tuple[SpaceTable, ScopeTables]] = vars(space).setdefault("_latency_tables", {})
        if id(self) not in kept:
            self.check_fits(space)
            kept[id(self)] = (self, self._filled(space.decisions))
        return kept[id(self)][1]

    def _filled(self, decisions: DecisionSpace) -> ScopeTables:
        scopes = [tuple(sorted(decisions.position(name) for name in scope)) for scope in self.scopes]
        n_cells = sum(math.prod(int(decisions.n_values[c]) + 1 for c in scope) for scope in set(scopes))
        if n_cells > MAX_CELLS or any(len(set(scope)) < len(scope) for scope in scopes):
            raise InvalidValueError(
                f"{self.name} is no latency table: its scopes have {n_cells:,} combinations of values, "
                f"or name a decision twice; {ACCEPTED}"
            )
        tables = ScopeTables(decisions, scopes, 1)
        for scope in tables.scopes:
            for key, term in tables.keys(scope).items():
                term[:] = self.base if not scope else self.entries.get(key, np.nan)
        return tables

    def _refuse_missing(self, decisions: DecisionSpace, tables: ScopeTables, row: NDArray[Any]) -> None:
        keys = [entry_key(decisions, scope, row[list(scope)].tolist()) for scope in tables.scopes if scope]
        for key in keys:
            self._entry(key)


def _count(value: Any) -> int:
    if type(value) is not int or not 1 <= value < 2**31:
        raise ValueError(f"threads is {value!r}; give a positive number")
    return value


def _milliseconds(value: Any) -> float:
    found = _finite(value)
    if not 0 <= found <= MAX_MS:
        raise ValueError(f"a time is {value}; give 0 to {MAX_MS:g} ms")
    return found


def _finite(value: Any) -> float:
    if type(value) not in (int, float) or not abs(value) <= MAX_MS:
        raise ValueError(f"{value!r} is no number of at most {MAX_MS:g}")
    return float(value)


def open_space_table(path: Path | str, space: Space) -> SpaceTable:
    """The table of a space in a file.

    Raises:
        InvalidValueError: If it is none, or that of another space.
    """
    table = LookupTable.open(path)
    if not isinstance(table, SpaceTable):
        raise InvalidValueError(
            f"{path} holds latencies of operators, not of this space; measure one: archwright profile "
            f"{space.name} -o FILE"
        )
    table.check_fits(space)
    return table


def plain_args(space: Space) -> dict[str, Any]:
    """Arguments of a space as a file gives them back."""
    found: dict[str, Any] = json.loads(json.dumps(space.args()))
    return found


def differing_args(stored: Mapping[str, Any], space: Space) -> str:
    """What stored arguments have instead of a space's; empty where they are the same."""
    asked = plain_args(space)
    names = [name for name in sorted(stored.keys() | asked.keys()) if stored.get(name) != asked.get(name)]
    return ", ".join(f"{name} {stored.get(name)} instead of {asked.get(name)}" for name in names)


def machine_text(machine: Mapping[str, Any]) -> str:
    """The machine of a table in a few words, as far as it is known."""
    n = machine.get("cpu_count")
    said = [machine.get("processor") or machine.get("machine"), n and f"{n} CPUs", machine.get("platform")]
    return ", ".join(str(one) for one in said if one) or "an unknown machine"
