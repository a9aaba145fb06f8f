"""The two choosers a space's network can be built with.

A network asks its chooser for each searched part. `Fixed` answers with what one arch chose and leaves no
trace of the search behind; `Supernet` answers with modules and values that follow a shared `Selection`.
Asking it on the meta device is how a space's decisions are recorded.
"""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args

from torch import nn

from archwright.core.arch import Arch, Value
from archwright.core.decisions import Decision, DecisionSpace, Kind
from archwright.core.errors import InvalidArchError, InvalidValueError
from archwright.nn.choice.modules import InputsChoice, Join, JoinedInputs, OpChoice, RepeatChoice, SummedInputs
from archwright.nn.choice.recording import Recording, check_same_request
from archwright.nn.choice.selection import Selection
from archwright.nn.sizes import Lazy, LazyDecision, lazy_map

Make = Callable[[], nn.Module]


class Chooser(ABC):
    """What a network asks for its searched parts. Same name, same decision, wherever it is asked."""

    @abstractmethod
    def op(self, name: str, candidates: Mapping[str, Make]) -> nn.Module:
        """One of several operations; factories, so that only what is needed gets built."""

    @abstractmethod
    def number(self, name: str, values: Sequence[int | float]) -> Any:
        """One of several numbers: plain when fixed, lazy in a supernet."""

    @abstractmethod
    def repeat(self, name: str, counts: Sequence[int], make: Callable[[int], nn.Module]) -> nn.Module:
        """The first n of a chain of blocks; n is the decision.

        Args:
            name: Name of the decision.
            counts: The values of n, whole numbers; 0 leaves the input as it is.
            make: Makes block i from its position in the chain, from 0.
        """

    @abstractmethod
    def inputs(
        self, name: str, n: int, k: int | Sequence[int], make: Callable[[int], nn.Module], *, join: Join = "sum"
    ) -> Any:
        """Edges from some of n states, summed or concatenated along their channels.

        What is returned takes the list of states and has `kept`, the chosen sources.

        Args:
            name: Of the decision.
            n: States there are.
            k: How many of them are kept; several numbers let any subset of such a size be chosen, so that
                `range(1, n + 1)` stands for every subset but the empty one.
            make: Makes the edge from state j.
            join: "sum" or "concat". The channels of a concatenation depend on the decision: what comes behind is
                built with the sum of `choose.map(lambda kept: width if j in kept else 0, kept, largest=width)`.
        """

    def map(self, fn: Callable[..., Any], *values: Any, largest: Any = None) -> Any:
        """A pure function of chosen numbers.

        Args:
            fn: The function.
            values: Plain numbers or values from this chooser.
            largest: The largest result, where `fn` is not monotone.
        """
        return lazy_map(fn, *values, largest_result=largest)


class Fixed(Chooser):
    """Builds the stand-alone network of one arch: plain modules, nothing searched.

    Attributes:
        arch: The arch.
        asked: Names of the decisions the network asked for so far.
    """

    def __init__(self, arch: Mapping[str, Value]) -> None:
        self.arch = arch if isinstance(arch, Arch) else Arch(arch)
        self.asked: dict[str, tuple[Kind, tuple[Value, ...]]] = {}

    def op(self, name: str, candidates: Mapping[str, Make]) -> nn.Module:
        check_candidates(name, candidates)
        return candidates[str(self._value("op", name, tuple(candidates)))]()

    def number(self, name: str, values: Sequence[int | float]) -> Any:
        return self._value("number", name, check_numbers(name, values))

    def repeat(self, name: str, counts: Sequence[int], make: Callable[[int], nn.Module]) -> nn.Module:
        count = self._value("repeat", name, check_counts(name, counts))
        assert isinstance(count, int)
        return nn.Sequential(*(make(i) for i in range(count)))

    def inputs(
        self, name: str, n: int, k: int | Sequence[int], make: Callable[[int], nn.Module], *, join: Join = "sum"
    ) -> SummedInputs | JoinedInputs:
        check_join(name, join)
        kept = self._value("inputs", name, subsets(n, k))
        assert isinstance(kept, tuple)
        return (SummedInputs if join == "sum" else JoinedInputs)(kept, {str(j): make(j) for j in kept})

    def check_all_asked(self) -> None:
        """To be called when the network is built: every decision of the arch must have been asked for.

        Raises:
            InvalidArchError: If the arch sets decisions that this network does not have.
        """
        unused = [name for name in self.arch if name not in self.asked]
        if unused:
            raise InvalidArchError(
                f"the network does not ask for decision {', '.join(map(repr, unused))}; leave it out"
            )

    def _value(self, kind: Kind, name: str, values: tuple[Value, ...]) -> Value:
        check_same_request(name, self.asked.setdefault(name, (kind, values)), (kind, values))
        if name not in self.arch:
            raise InvalidArchError(f"decision {name!r} is missing; choose one of {list(values)}")
        chosen = self.arch[name]
        return values[Decision(name, values, kind).index(chosen)]


class Supernet(Chooser):
    """Builds a network that holds the weights of every arch and executes the selected one.

    Attributes:
        selection: What the built network executes.
        recording: The decisions it asked for.
    """

    def __init__(self) -> None:
        self.recording = Recording()
        self.selection = Selection(self.recording)

    def decisions(self) -> DecisionSpace:
        """The decisions the network asked for while it was built."""
        return self.recording.decisions()

    def op(self, name: str, candidates: Mapping[str, Make]) -> nn.Module:
        check_candidates(name, candidates)
        self.recording.request("op", name, tuple(candidates))
        modules = {}
        for key, make in candidates.items():
            with self.recording.within(name, (key,)):
                modules[key] = make()
        return OpChoice(name, self.selection, modules)

    def number(self, name: str, values: Sequence[int | float]) -> Lazy:
        values = check_numbers(name, values)
        self.recording.request("number", name, values)
        return LazyDecision(self.selection, name, values, max(values))

    def repeat(self, name: str, counts: Sequence[int], make: Callable[[int], nn.Module]) -> nn.Module:
        counts = check_counts(name, counts)
        self.recording.request("repeat", name, counts)
        blocks = []
        for i in range(max(counts)):
            with self.recording.within(name, [count for count in counts if count > i]):
                blocks.append(make(i))
        return RepeatChoice(name, self.selection, counts, blocks)

    def inputs(
        self, name: str, n: int, k: int | Sequence[int], make: Callable[[int], nn.Module], *, join: Join = "sum"
    ) -> InputsChoice:
        check_join(name, join)
        values = subsets(n, k)
        self.recording.request("inputs", name, values)
        edges = {}
        for j in range(n):
            with self.recording.within(name, [subset for subset in values if j in subset]):
                edges[str(j)] = make(j)
        every = tuple(range(n))
        return InputsChoice(name, self.selection, edges, LazyDecision(self.selection, name, values, every), join)


def subsets(n: int, k: int | Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """All ways to keep k of n inputs, in lexicographic order; of several k, those of the first come first.

    >>> subsets(3, 2)
    ((0, 1), (0, 2), (1, 2))
    >>> subsets(2, range(1, 3))
    ((0,), (1,), (0, 1))
    """
    counts = (k,) if isinstance(k, int) else tuple(k)
    if not counts or any(not 1 <= count <= n for count in counts):
        said = k if isinstance(k, int) else list(counts)
        raise InvalidValueError(f"cannot keep {said} of {n} inputs; k must lie between 1 and n")
    return tuple(subset for count in counts for subset in itertools.combinations(range(n), count))


def check_join(name: str, join: str) -> None:
    """Refuse an unknown way to join inputs."""
    if join not in get_args(Join):
        raise InvalidValueError(
            f"decision {name!r} joins inputs by {join!r}; choose one of {', '.join(get_args(Join))}"
        )


def check_candidates(name: str, candidates: Mapping[str, Make]) -> None:
    """Refuse candidates that are no mapping of factories, above all modules, which would be built without need."""
    if not isinstance(candidates, Mapping):
        kind = type(candidates).__name__
        raise InvalidValueError(f"decision {name!r} chooses among a {kind}; give a mapping {{key: factory}}")
    for key, make in candidates.items():
        if isinstance(make, nn.Module) or not callable(make):
            kind = type(make).__name__
            raise InvalidValueError(
                f"candidate {key!r} of decision {name!r} is {kind}; give what makes a module: a class or a lambda"
            )


def check_numbers(name: str, values: Sequence[int | float]) -> tuple[int | float, ...]:
    """The values of a number, checked: at least one, all plain and finite."""
    if not values or any(type(value) not in (int, float) or not math.isfinite(value) for value in values):
        raise InvalidValueError(f"decision {name!r} chooses among {list(values)}; give plain numbers, at least one")
    return tuple(values)


def check_counts(name: str, counts: Sequence[int]) -> tuple[int, ...]:
    """The counts of a repeat, checked: whole numbers from 0, not all of them 0."""
    if not counts or any(not isinstance(count, int) or count < 0 for count in counts) or max(counts) == 0:
        raise InvalidValueError(
            f"decision {name!r} repeats a block {list(counts)} times; give whole numbers, at least one above 0"
        )
    return tuple(counts)
