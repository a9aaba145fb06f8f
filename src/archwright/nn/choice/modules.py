"""The searched parts of a supernet: modules that execute what the selection says.

Their children carry the same names as in the fixed network (a choice adds one level, named by the
candidate's key), so that weights are found by path. Inactive children are never run: their parameters get
no gradient and their statistics do not move.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from archwright.core.errors import SpaceError
from archwright.nn.choice.selection import Selection, Weights
from archwright.nn.modes import eval_mode
from archwright.nn.sizes import LazyDecision
from archwright.nn.source import source_template

Join = Literal["sum", "concat"]
"""How the edges into a node are joined."""


class ChoiceModule(nn.Module):
    """A searched part: reads one decision from the selection.

    Args:
        decision: Name of the decision.
        selection: The supernet's one selection.
        children: The modules to choose from by name; a name has no dot.

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
        """The children that run now, by name."""
        raise AssertionError("a choice module is one of the classes below")

    def extra_repr(self) -> str:
        return self.decision

    @property
    def weights(self) -> Weights | None:
        """The weighted values of the decision, by position; None while it has a single one."""
        relaxed = self.selection.weights
        return None if relaxed is None else relaxed.get(self.decision)

    def _named(self, *keys: str) -> list[tuple[str, nn.Module]]:
        return [(key, child) for key in keys if (child := self._modules[key]) is not None]


class OpChoice(ChoiceModule):
    """One of several candidate operations, or a weighted sum of their results.

    Args:
        decision: Name of the decision.
        selection: The supernet's one selection.
        candidates: The operations by key, in the order of the decision's values.
    """

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
        weights = self.weights
        positions = [self.selection.index[self.decision]] if weights is None else [i for i, _ in weights]
        return self._named(*(self.keys[i] for i in positions))

    def forward(self, *inputs: Any) -> Any:
        weights = self.weights
        if weights is None:
            return self.active(*inputs)
        return weighted_sum(
            [
                _run(child, weight, *inputs)
                for (_, child), (_, weight) in zip(self.active_children(), weights, strict=True)
            ],
            [weight for _, weight in weights],
        )


class RepeatChoice(ChoiceModule):
    """The first n of a chain of blocks, or a weighted sum of the results after several n.

    Args:
        decision: Name of the decision.
        selection: The supernet's one selection.
        counts: The decision's values: how many blocks run.
        blocks: The chain; as many as the largest count.
    """

    def __init__(self, decision: str, selection: Selection, counts: Sequence[int], blocks: Sequence[nn.Module]) -> None:
        super().__init__(decision, selection, {str(i): block for i, block in enumerate(blocks)})
        self.counts = tuple(counts)

    def active_children(self) -> list[tuple[str, nn.Module]]:
        weights = self.weights
        positions = [self.selection.index[self.decision]] if weights is None else [i for i, _ in weights]
        return self._named(*map(str, range(max(self.counts[i] for i in positions))))

    def forward(self, x: Any) -> Any:
        weights = self.weights
        after = [x]
        for _, block in self.active_children():
            x = block(x)
            if weights is not None:
                after.append(x)
        if weights is None:
            return x
        return weighted_sum([after[self.counts[i]] for i, _ in weights], [weight for _, weight in weights])


class InputsChoice(ChoiceModule):
    """The kept edges out of all candidate edges into a node, summed or concatenated along their channels.

    A relaxed node sums all its edges; with weights over its subsets, each edge by the weight of those it is in. One
    that concatenates cannot be relaxed.

    Args:
        decision: Name of the decision.
        selection: The supernet's one selection.
        edges: An edge from each source, by the source's index as text.
        kept: The decision as a value: the sources of the kept edges.
        join: "sum", or "concat" along the channels.

    Attributes:
        kept: Source indices of the edges that are kept now.
        join: "sum" or "concat".
    """

    def __init__(
        self,
        decision: str,
        selection: Selection,
        edges: Mapping[str, nn.Module],
        kept: LazyDecision,
        join: Join = "sum",
    ) -> None:
        super().__init__(decision, selection, edges)
        self.kept, self.join = kept, join

    def active_children(self) -> list[tuple[str, nn.Module]]:
        return self._named(*map(str, self._edge_weights()))

    def forward(self, states: Sequence[Tensor]) -> Tensor:
        kept = self._edge_weights()
        results = [
            _run(edge, weight, states[source])
            for (source, weight), (_, edge) in zip(kept.items(), self.active_children(), strict=True)
        ]
        return weighted_sum(results, list(kept.values())) if self.join == "sum" else torch.cat(results, dim=1)

    def _edge_weights(self) -> dict[int, Tensor | float]:
        """The edges that run, by source in ascending order, each with its weight."""
        if self.join == "concat" or self.selection.weights is None or self.decision in self.selection.index:
            return dict.fromkeys(self.kept.current, 1.0)
        weights = self.weights
        if weights is None:
            return dict.fromkeys(range(len(self._modules)), 1.0)
        found: dict[int, Tensor | float] = {}
        for position, weight in weights:
            for source in self.kept.values[position]:
                found[source] = found[source] + weight if source in found else weight
        return dict(sorted(found.items()))


class _FixedInputs(nn.Module):
    """Edges from fixed sources.

    Attributes:
        kept: Source indices, ascending; children are named by them.
    """

    def __init__(self, kept: Sequence[int], edges: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.kept = tuple(kept)
        for key, edge in edges.items():
            self._modules[key] = edge

    def _results(self, states: Sequence[Tensor]) -> list[Tensor]:
        return [edge(states[int(source)]) for source, edge in self._modules.items() if edge is not None]


@source_template(
    '''
    class SummedInputs(nn.Module):
        """The sum of edges, each reading the state whose number it is called by."""

        def __init__(self, edges: Mapping[str, nn.Module]) -> None:
            super().__init__()
            for source, edge in edges.items():
                self.add_module(source, edge)

        def forward(self, states: Sequence[Tensor]) -> Tensor:
            first, *others = [edge(states[int(source)]) for source, edge in self.named_children()]
            return sum(others, first)
    ''',
    arguments=lambda node: {"edges": dict(node._modules)},
)
class SummedInputs(_FixedInputs):
    """The sum of edges from fixed sources: what `inputs` is in a fixed network."""

    def forward(self, states: Sequence[Tensor]) -> Tensor:
        results = self._results(states)
        return weighted_sum(results, [1.0] * len(results))


@source_template(
    '''
    class JoinedInputs(nn.Module):
        """The results of edges along their channels, each edge reading the state whose number it is called by."""

        def __init__(self, edges: Mapping[str, nn.Module]) -> None:
            super().__init__()
            for source, edge in edges.items():
                self.add_module(source, edge)

        def forward(self, states: Sequence[Tensor]) -> Tensor:
            return torch.cat([edge(states[int(source)]) for source, edge in self.named_children()], dim=1)
    ''',
    arguments=lambda node: {"edges": dict(node._modules)},
)
class JoinedInputs(_FixedInputs):
    """The results of edges from fixed sources along their channels: `inputs` that concatenates, in a fixed network."""

    def forward(self, states: Sequence[Tensor]) -> Tensor:
        return torch.cat(self._results(states), dim=1)


def _run(child: nn.Module, weight: Tensor | float, *inputs: Any) -> Any:
    """The result of a child; at the plain weight 0.0 only its shape, without a trace in parameters and statistics."""
    if isinstance(weight, float) and weight == 0.0:
        with torch.no_grad(), eval_mode(child.modules()):
            return torch.zeros_like(child(*inputs))
    return child(*inputs)


def weighted_sum(results: Sequence[Tensor], weights: Sequence[Tensor | float]) -> Tensor:
    """The sum of tensors of one shape, each times its scalar; the plain number 1.0 does not multiply."""
    terms = [
        x if isinstance(weight, float) and weight == 1.0 else x * weight
        for x, weight in zip(results, weights, strict=True)
    ]
    total: Tensor = functools.reduce(torch.add, terms)
    return total


def active_modules(module: nn.Module, path: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Every module that runs, with its path; in a network without searched parts, simply every module."""
    yield path, module
    children = module.active_children() if isinstance(module, ChoiceModule) else module.named_children()
    for name, child in children:
        yield from active_modules(child, f"{path}.{name}" if path else name)
