"""What a network asked its chooser for, and under which conditions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from archwright.core.arch import Value
from archwright.core.decisions import Condition, Context, Decision, DecisionSpace, Kind
from archwright.core.errors import SpaceError

Allowed = dict[str, frozenset[Value]]


class Recording:
    """Decisions in the order they were first asked for, each with every context it was asked in.

    While a candidate, block or edge is being built, the value that leads to it is on a stack; each request
    adds the stack as one context. A decision is active when any of its contexts holds.
    """

    def __init__(self) -> None:
        self._asked: dict[str, tuple[Kind, tuple[Value, ...]]] = {}
        self._contexts: dict[str, list[Allowed]] = {}
        self._stack: list[tuple[str, frozenset[Value]]] = []
        self._decisions: DecisionSpace | None = None
        self.names: tuple[str, ...] = ()

    def request(self, kind: Kind, name: str, values: Sequence[Value]) -> None:
        """Note that the network asks for a decision here.

        Args:
            kind: What is asked for: "op", "number", "repeat" or "inputs".
            name: Name of the decision.
            values: What can be chosen.

        Raises:
            SpaceError: If the name was asked before with other values or another kind, or depends on itself.
        """
        asked = (kind, tuple(values))
        check_same_request(name, self._asked.setdefault(name, asked), asked)
        context: Allowed = {}
        for decision, allowed in self._stack:
            if decision == name:
                raise SpaceError(
                    f"decision {name!r} is asked for inside its own candidates; give the inner one another name"
                )
            context[decision] = context.get(decision, allowed) & allowed
        self._contexts.setdefault(name, []).append(context)
        self._decisions = None
        self.names = tuple(self._asked)

    @contextmanager
    def within(self, name: str, allowed: Sequence[Value]) -> Iterator[None]:
        """What is asked inside is reached only where the named decision has one of the allowed values."""
        self._stack.append((name, frozenset(allowed)))
        try:
            yield
        finally:
            self._stack.pop()

    def decisions(self) -> DecisionSpace:
        """The recorded space.

        Raises:
            SpaceError: If a decision depends on one that is first asked for after it.
        """
        if self._decisions is None:
            self._decisions = DecisionSpace([self._decision(name) for name in self._asked])
        return self._decisions

    def _decision(self, name: str) -> Decision:
        kind, values = self._asked[name]
        every = {decision: frozenset(asked[1]) for decision, asked in self._asked.items()}
        contexts = simplify(self._contexts[name], every)
        order = {decision: i for i, decision in enumerate(self._asked)}
        when = tuple(self._context(context, order) for context in contexts)
        return Decision(name, values, kind, () if () in when else when)

    def _context(self, context: Allowed, order: dict[str, int]) -> Context:
        parents = sorted(context, key=order.__getitem__)
        return tuple(Condition(p, tuple(v for v in self._asked[p][1] if v in context[p])) for p in parents)


def check_same_request(name: str, before: tuple[Kind, tuple[Value, ...]], now: tuple[Kind, tuple[Value, ...]]) -> None:
    """Refuse a name that is asked for a second time with another kind or other values.

    Args:
        name: Name of the decision.
        before: Kind and values of the first request.
        now: Kind and values of this request.

    Raises:
        SpaceError: If the two requests differ; shows both.
    """
    if before != now:
        raise SpaceError(
            f"decision {name!r} was first asked as {before[0]} of {list(before[1])} "
            f"and then as {now[0]} of {list(now[1])}; use one list for one name, or two names"
        )


def simplify(contexts: Sequence[Allowed], every: Allowed) -> list[Allowed]:
    """Fewer contexts that hold in the same cases.

    A condition that allows every value vanishes, contexts that differ in one decision unite, absorbed ones go.

    Args:
        contexts: Conjunctions, each a map from decision to allowed values; together a disjunction.
        every: All values of every decision.
    """
    kept = [_without_full(context, every) for context in contexts if all(context.values())]
    while (shorter := _merge_once(kept, every)) is not None:
        kept = shorter
    return kept


def _without_full(context: Allowed, every: Allowed) -> Allowed:
    # the stack that leads to a request also holds the conditions of every decision on it, so a decision
    # that may take any value here is active here whenever the rest of the context holds
    return {decision: allowed for decision, allowed in context.items() if allowed != every[decision]}


def _merge_once(contexts: list[Allowed], every: Allowed) -> list[Allowed] | None:
    for i, one in enumerate(contexts):
        for j, other in enumerate(contexts):
            if i == j:
                continue
            rest = [context for k, context in enumerate(contexts) if k not in (i, j)]
            if other.keys() <= one.keys() and all(one[d] <= other[d] for d in other):
                return [*rest, other]  # `one` is stricter than `other`: absorbed
            if one.keys() == other.keys():
                differing = [d for d in one if one[d] != other[d]]
                if len(differing) == 1:
                    united = one | {differing[0]: one[differing[0]] | other[differing[0]]}
                    return [*rest, _without_full(united, every)]
    return None
