"""The messages between a pool and its workers: one JSON document on each line; nothing is pickled."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from archwright.core.arch import Arch
from archwright.core.trial import Candidate
from archwright.runners.base import Outcome


def line(**message: Any) -> bytes:
    """The message as one line of JSON."""
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def message(line: bytes) -> dict[str, Any]:
    """The message in a line; empty if the line is no message."""
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def candidates_to_json(candidates: Sequence[Candidate]) -> list[dict[str, Any]]:
    """Candidates as JSON objects."""
    return [
        {
            "number": candidate.number,
            "arch": candidate.arch.to_json(),
            "seed": candidate.seed,
            "budget": candidate.budget,
            "parent": candidate.parent,
            "origin": candidate.origin,
        }
        for candidate in candidates
    ]


def candidates_from_json(documents: Sequence[Mapping[str, Any]]) -> list[Candidate]:
    """Read what `candidates_to_json` wrote."""
    return [Candidate(**{**document, "arch": Arch.from_json(document["arch"])}) for document in documents]


def outcomes_to_json(outcomes: Sequence[Outcome]) -> list[list[Any]]:
    """Outcomes as JSON arrays: number, metrics, failure, duration."""
    return [[outcome.number, dict(outcome.metrics), outcome.failure, outcome.duration_s] for outcome in outcomes]


def outcomes_from_json(documents: Sequence[Sequence[Any]]) -> list[Outcome]:
    """Read what `outcomes_to_json` wrote."""
    return [Outcome(number, metrics, failure, duration_s) for number, metrics, failure, duration_s in documents]
