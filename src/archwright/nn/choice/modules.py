"""The searched parts of a supernet: modules that execute what the selection says.

Their children carry the same names as in the fixed network (a choice adds one level, named by the
candidate's key), so that weights are found by path. Inactive children are never run: their parameters get
no gradient and their statistics do not move.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from archwright.core.errors import SpaceError
from archwright.nn.choice.selection import Selection
from archwright.nn.sizes import Lazy


class ChoiceModule(nn.Module):
    """A searched part: reads one decision from the selection.

    Attributes:
        decision: Name of the decision.
        selection: The supernet's one selection.
    """

    def __init__(self, decision: str, selection: Selection, children: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.decision = decision
        self.selection = selection
        for key, child in children.items():
            if not isinstance(key, str) or "." in key or not key:
                raise SpaceError(f"a candidate of decision {decision!r} is called {key!r}; use a name without dots")
            # not add_module: it refuses names that nn.Module uses itself, such as "half" or "float"
            self._modules[key] = child

    def active_children(self) -> list[tuple[str, nn.Module]]:
        """The children the active arch has, by name."""
        raise AssertionError("a choice module is one of the classes below")

    def extra_repr(self) -> str:
        return self.decision

    def _named(self, *keys: str) -> list[tuple[str, nn.Module]]:
        return [(key, child) for key in keys if (child := self._modules[key]) is not None]


class OpChoice(ChoiceModule):
    """One of several candidate operations."""

    def __init__(self, decision: str, selection: Selection, candidates: Mapping[str, nn.Module]) -> None:
        super().__init__(decision, selection, candidates)
        self.keys = tuple(candidates)

    @property
    def active(self) -> nn.Module:
        """The candidate that is executed now."""
        module = self._modules[self.keys[self.selection.index[self.decision]]]
        assert module is not None
        return module

    def active_children(self) -> list[tuple[str, nn.Module]]:
        return self._named(self.keys[self.selection.index[self.decision]])

    def forward(self, *inputs: Any) -> Any:
        return self.active(*inputs)


class RepeatChoice(ChoiceModule):
    """The first n of a chain of blocks."""

    def __init__(self, decision: str, selection: Selection, counts: Sequence[int], blocks: Sequence[nn.Module]) -> None:
        super().__init__(decision, selection, {str(i): block for i, block in enumerate(blocks)})
        self.counts = tuple(counts)

    def active_children(self) -> list[tuple[str, nn.Module]]:
        return self._named(*map(str, range(self.counts[self.selection.index[self.decision]])))

    def forward(self, x: Any) -> Any:
        for _, block in self.active_children():
            x = block(x)
        return x


class InputsChoice(ChoiceModule):
    """The sum of the kept edges out of all candidate edges into a node.

    Attributes:
        kept: Source indices of the edges that are kept now.
    """

    def __init__(self, decision: str, selection: Selection, edges: Mapping[str, nn.Module], kept: Lazy) -> None:
        super().__init__(decision, selection, edges)
        self.kept = kept

    def active_children(self) -> list[tuple[str, nn.Module]]:
        return self._named(*map(str, self.kept.current))

    def forward(self, states: Sequence[Tensor]) -> Tensor:
        return sum_edges(self._modules, self.kept.current, states)


class SummedInputs(nn.Module):
    """The sum of edges from fixed sources: what `inputs` is in a fixed network.

    Attributes:
        kept: Source indices, ascending; children are named by them.
    """

    def __init__(self, kept: Sequence[int], edges: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.kept = tuple(kept)
        for key, edge in edges.items():
            self._modules[key] = edge

    def forward(self, states: Sequence[Tensor]) -> Tensor:
        return sum_edges(self._modules, self.kept, states)


def sum_edges(edges: Mapping[str, nn.Module | None], kept: Sequence[int], states: Sequence[Tensor]) -> Tensor:
    """Sum over the kept sources of their edge applied to their state, in ascending order of the source."""
    total: Tensor | None = None
    for source in kept:
        edge = edges[str(source)]
        assert edge is not None
        result: Tensor = edge(states[source])
        total = result if total is None else torch.add(total, result)
    assert total is not None
    return total


def active_modules(module: nn.Module, path: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Every module of the active arch with its path; in a network without searched parts, simply every module."""
    yield path, module
    children = module.active_children() if isinstance(module, ChoiceModule) else module.named_children()
    for name, child in children:
        yield from active_modules(child, f"{path}.{name}" if path else name)
