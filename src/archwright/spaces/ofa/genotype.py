"""The genotypes of the once-for-all code: one list for each kind of choice, with entries for absent blocks too.

They are written as JSON, such as {"ks":[7,3,…],"e":[6,4,…],"d":[2,3,2,4,4]}.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from archwright.core.arch import Arch, Value
from archwright.core.decisions import Decision, DecisionSpace
from archwright.core.errors import InvalidArchError
from archwright.spaces.base import Space

ABSENT = 0
"""Written in the entry of a block that is left out; when a genotype is read, such an entry is ignored."""


@dataclass(frozen=True)
class Slot:
    """One entry of a list.

    Attributes:
        decision: Name of its decision; None if the entry is always the same.
        values: Accepted entries, each with the decision's value for it.
    """

    decision: str | None
    values: Mapping[int | float, Value]


MAX_SHOWN = 80
"""How many characters of wrong input a message repeats at most."""

Fields = Mapping[str, tuple[Slot, ...] | Slot]
"""The lists of a genotype by their names; a single entry stands without a list."""


class GenotypeSpace(Space):
    """A space whose codes are genotypes of the released code, as JSON."""

    @abstractmethod
    def genotype_fields(self) -> Fields:
        """The lists of a genotype by name, each with its entries."""

    def code(self, arch: Mapping[str, Value]) -> str:
        """The genotype; entries of blocks that are left out are 0."""
        self.row(arch)
        return write(self.genotype_fields(), arch)

    def parse(self, code: str) -> Arch:
        """The arch of a genotype; entries of blocks that are left out are ignored.

        Raises:
            InvalidArchError: If it is no genotype of this space; the message has the list and the entry.
        """
        return read(code, self.genotype_fields(), self.decisions)


def write(fields: Fields, arch: Mapping[str, Value]) -> str:
    """The genotype of an arch, with `ABSENT` in the entries of blocks that it leaves out."""
    genotype: dict[str, Any] = {}
    for key, slots in fields.items():
        genotype[key] = _entry(slots, arch) if isinstance(slots, Slot) else [_entry(slot, arch) for slot in slots]
    return json.dumps(genotype, separators=(",", ":"))


def _entry(slot: Slot, arch: Mapping[str, Value]) -> int | float:
    if slot.decision is None:
        return next(iter(slot.values))
    chosen = arch.get(slot.decision)
    return next((said for said, value in slot.values.items() if value == chosen), ABSENT)


def read(text: str, fields: Fields, decisions: DecisionSpace) -> Arch:
    """The arch of a genotype.

    Args:
        text: The genotype as JSON.
        fields: Its lists by name.
        decisions: The decisions of the space.

    Raises:
        InvalidArchError: If it does not fit these lists; the message has the list and the entry.
    """
    found: dict[str, tuple[str, Slot, Any]] = {}
    for key, given in _parsed(text, fields).items():
        slots = fields[key]
        if isinstance(slots, Slot):
            found[str(slots.decision)] = (key, slots, given)
            continue
        if not isinstance(given, list) or len(given) != len(slots):
            said = f"{len(given)} entries" if isinstance(given, list) else _shown(given)
            raise InvalidArchError(f"genotype: {key} has {said}; give a list of {len(slots)}")
        for i, (slot, entry) in enumerate(zip(slots, given, strict=True)):
            place = f"{key}[{i}]"
            if slot.decision is None:
                _value(place, slot, entry)
            else:
                found[slot.decision] = (place, slot, entry)
    values: dict[str, Value] = {}
    for decision in decisions:  # what a decision depends on comes before it
        if _applies(decision, values):
            values[decision.name] = _value(*found[decision.name])
    return Arch(values)


def _parsed(text: str, fields: Fields) -> dict[str, Any]:
    example = ",".join(f'"{key}":{"…" if isinstance(slots, Slot) else "[…]"}' for key, slots in fields.items())
    try:
        given = json.loads(text)
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        raise InvalidArchError(f"genotype {_shown(text)} is no JSON object; write {{{example}}}")
    missing, unknown = [key for key in fields if key not in given], [key for key in given if key not in fields]
    if missing or unknown:
        what = (
            f"lacks {', '.join(missing)}" if missing else f"has {_shown(unknown[0])}, which this space does not choose"
        )
        raise InvalidArchError(f"genotype {what}; write {{{example}}}")
    return given


def _value(place: str, slot: Slot, entry: Any) -> Value:
    if isinstance(entry, bool) or not isinstance(entry, int | float) or entry not in slot.values:
        raise InvalidArchError(
            f"genotype: {place} is {_shown(entry)}; choose one of {', '.join(map(str, slot.values))}"
        )
    return slot.values[entry]


def _applies(decision: Decision, values: Mapping[str, Value]) -> bool:
    contexts = (all(values.get(c.decision) in c.allowed for c in context) for context in decision.when)
    return not decision.when or any(contexts)


def _shown(thing: Any) -> str:
    """What was given, or the beginning of it."""
    text = repr(thing)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"
