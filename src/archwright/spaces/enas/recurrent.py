"""ENAS's recurrent cell space (Pham et al., ICML 2018, arXiv:1802.03268, section 2.1)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, Self, get_args

from torch import nn

from archwright.core.arch import Arch, Value
from archwright.core.catalog import listed
from archwright.core.decisions import Decision, DecisionSpace
from archwright.core.drawing import Drawing, Edge, Graph, Node
from archwright.core.errors import InvalidArchError, InvalidValueError
from archwright.nn.choice import Chooser
from archwright.nn.choice.choosers import subsets
from archwright.nn.ops.enas_rnn import EnasRnnCell, HighwayRead
from archwright.nn.ops.language_model import NO_REGULARIZATION, LanguageModel, Regularization
from archwright.nn.sizes import Size
from archwright.spaces.arguments import truth_value, whole_number, whole_number_or_none
from archwright.spaces.auto_use import AutoUse
from archwright.spaces.enas.numbers import check_below, check_count
from archwright.spaces.language import LanguageSpace
from archwright.spaces.pieces import CostPiece

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "identity": nn.Identity,
    "sigmoid": nn.Sigmoid,
}
"""Activations in the order of their numbers in the first released code; the second (`enas_lm`) swaps the last two."""

FUNCTIONS = tuple(ACTIVATIONS)
HIDDEN, SEARCH_HIDDEN = 748, 200
MAX_NODES = 20

OutputName = Literal["loose_ends", "nodes"]

Step = tuple[str, int | None]
"""(activation, state it reads) of a node; the first one reads the input and the hidden state."""


@dataclass(frozen=True)
class Rates:
    """Regularisation that keeps a cell from overfitting its text.

    Attributes:
        cell_input: Dropout rate of the cell's input, in [0, 1).
        states: Dropout rate of its states, in [0, 1).
        model: Regularisation of the language model around it.
    """

    cell_input: float = 0.0
    states: float = 0.0
    model: Regularization = NO_REGULARIZATION


SEARCH_RATES = Rates(0.75, 0.25, Regularization(0.1, 0.2, 0.0, 0.75, slowness_l2=1.0))
FINAL_RATES: dict[OutputName, Rates] = {
    "loose_ends": Rates(0.75, 0.25, Regularization(word_dropout=0.21, output_dropout=0.76, slowness_l2=1e-3)),
    "nodes": Rates(0.725, 0.225, Regularization(0.125, 0.175, 0.0, 0.75, activation_l2=0.7)),
}
"""Regularisation in the two released codes, by the kind of output; the first one's penalty is for each feature."""


@listed(
    "space",
    "enas-rnn",
    summary="ENAS's recurrent cell: 12 nodes, each with one earlier node and one of 4 activations; 6.7e14 archs",
    source="Pham et al., ICML 2018, arXiv:1802.03268",
)
class EnasRnn(LanguageSpace):
    """N nodes, each reading one earlier node through one of four activations: 4^N x (N - 1)! archs, 6.7e14 for 12.

    The first node reads the input and the hidden state. The cell's output is the mean of the nodes that no other one
    reads. In the supernet there is one matrix for each pair of nodes, whatever the activation. The network is a
    language model of one such cell; its embedding is also the decoder.

    A code lists the nodes in order, like `tanh,tanh-0,relu-1`: the activation and, except for the first node, the node
    that is read, counted from 0. The numbers of the released scripts (`0 0 0 1 1 …`) are read too.

    Args:
        input_shape: (T,), the tokens of one input.
        n_classes: Size of the vocabulary.
        hidden: Width of embedding and states; 748 by default, and 200 in the search form.
        nodes: N, 2 to 20; the paper has 12.
        output: Which nodes are averaged: "loose_ends", those that no other reads, or all "nodes" but the first as in
            the released `enas_lm`.
        search: Whether it is the network that the search trains, with its width and regularisation.
        regularized: Whether to train with dropout and penalties of the released code.
    """

    # without the regularisation of trainings of days
    auto = AutoUse(tuple({"hidden": n, "regularized": False} for n in (32, 64, 128, 256, 512)))

    def __init__(
        self,
        *,
        input_shape: Sequence[int] | None = None,
        n_classes: int | None = None,
        hidden: int | None = None,
        nodes: int = 12,
        output: OutputName = "loose_ends",
        search: bool = False,
        regularized: bool = True,
    ) -> None:
        super().__init__(input_shape=input_shape, n_classes=n_classes)
        self.nodes = whole_number("nodes", nodes, MAX_NODES, least=2)
        if output not in get_args(OutputName):
            raise InvalidValueError(f"output is {output!r}; give one of {', '.join(get_args(OutputName))}")
        self.output: OutputName = output
        self.search, self.regularized = truth_value("search", search), truth_value("regularized", regularized)
        self._given_hidden = whole_number_or_none("hidden", hidden, 10_000)
        self.hidden = self._given_hidden or (SEARCH_HIDDEN if self.search else HIDDEN)

    def args(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in ("nodes", "output", "search", "regularized")}
        return super().args() | {"hidden": self._given_hidden} | own

    def search_form(self) -> Self:
        """The network to search: 200 wide unless a width was given, with the search's regularisation."""
        return self.with_args(search=True)

    # ── decisions and network ─────────────────────────────────────────────────────────────────────

    def declare(self) -> DecisionSpace:
        decisions = [Decision(_op(0), FUNCTIONS)]
        for node in range(1, self.nodes):
            decisions.append(Decision(_input(node), subsets(node, 1), "inputs"))
            decisions.append(Decision(_op(node), FUNCTIONS))
        return DecisionSpace(decisions)

    def network(self, choose: Chooser) -> nn.Module:
        rates = self.rates
        first = choose.op(_op(0), ACTIVATIONS)
        nodes = [choose.inputs(_input(i), i, 1, partial(self._edge, choose, i)) for i in range(1, self.nodes)]
        cell = EnasRnnCell(
            self.hidden,
            self.hidden,
            first,
            nodes,
            self._flags(choose, [node.kept for node in nodes]),
            input_dropout=rates.cell_input,
            state_dropout=rates.states,
        )
        return LanguageModel(
            cell,
            n_tokens=self.n_tokens,
            n_embedding=self.hidden,
            tied=True,
            decoder_bias=False,
            regularization=rates.model,
        )

    @property
    def rates(self) -> Rates:
        """Dropout rates and penalties of this network."""
        if not self.regularized:
            return Rates()
        if self.search:
            return SEARCH_RATES
        found = FINAL_RATES[self.output]
        if self.output == "nodes":
            return found
        # released: over the sum of a state's features, ours over their mean
        slowness = found.model.slowness_l2 * self.hidden
        return replace(found, model=replace(found.model, slowness_l2=slowness))

    def _edge(self, choose: Chooser, node: int, source: int) -> nn.Module:
        return HighwayRead(self.hidden, choose.op(_op(node), ACTIVATIONS))

    def _flags(self, choose: Chooser, sources: Sequence[Any]) -> Sequence[Size]:
        """For each node whether it is part of the output."""
        if self.output == "nodes":
            return [0] + [1] * (self.nodes - 1)
        # node i is read by nodes behind it, whose sources are at i and later
        return [choose.map(partial(_is_loose, i), *sources[i:], largest=1) for i in range(self.nodes)]

    def cost_pieces(self) -> Iterable[CostPiece]:
        """No pieces: all archs cost the same."""
        return ()

    # ── names of cells ────────────────────────────────────────────────────────────────────────────

    def steps(self, arch: Mapping[str, Value]) -> list[Step]:
        """Activation and source of each node in order."""
        self.row(arch)
        found: list[Step] = [(str(arch[_op(0)]), None)]
        for node in range(1, self.nodes):
            kept = arch[_input(node)]
            assert isinstance(kept, tuple)
            found.append((str(arch[_op(node)]), kept[0]))
        return found

    def averaged(self, arch: Mapping[str, Value]) -> list[int]:
        """The nodes whose mean is the cell's output."""
        if self.output == "nodes":
            return list(range(1, self.nodes))
        read = {source for _, source in self.steps(arch)}
        return [node for node in range(self.nodes) if node not in read]

    def tokens(self, arch: Mapping[str, Value]) -> list[int]:
        """The numbers that the released code stores: the first activation, then source and activation of each node."""
        (first, _), *others = self.steps(arch)
        pairs = [(source, FUNCTIONS.index(activation)) for activation, source in others if source is not None]
        return [FUNCTIONS.index(first), *(number for pair in pairs for number in pair)]

    def arch_of_tokens(self, tokens: Sequence[int]) -> Arch:
        """The arch whose `tokens` these are.

        Raises:
            InvalidArchError: If there are too few or too many, or one is out of range; the message has the node.
        """
        check_count(tokens, 2 * self.nodes - 1)
        steps: list[tuple[str, int | None]] = []
        for node, (source, op) in enumerate(zip([None, *tokens[1::2]], tokens[::2], strict=True)):
            steps.append((FUNCTIONS[check_below(f"node {node}: activation", op, len(FUNCTIONS))], source))
        return self._arch_of_steps(steps)

    def code(self, arch: Mapping[str, Value]) -> str:
        """The nodes in order, like "tanh,tanh-0,relu-1,…"."""
        return ",".join(op if source is None else f"{op}-{source}" for op, source in self.steps(arch))

    def parse(self, code: str) -> Arch:
        """The arch of a code, or of the numbers of a released script.

        Raises:
            InvalidArchError: If it is no code of this space; the message has the node.
        """
        words = code.split()
        if len(words) > 1 and all(word.isascii() and word.isdigit() for word in words):
            return self.arch_of_tokens([int(word[:9]) for word in words])
        parts = [part.strip() for part in code.split(",")]
        if len(parts) != self.nodes:
            raise InvalidArchError(
                f"the recurrent cell has {len(parts)} nodes; give {self.nodes}, like tanh,tanh-0,relu-1"
            )
        return self._arch_of_steps([_step(node, part) for node, part in enumerate(parts)])

    def _arch_of_steps(self, steps: Sequence[Step]) -> Arch:
        values: dict[str, Value] = {}
        for node, (op, source) in enumerate(steps):
            if op not in ACTIVATIONS:
                raise InvalidArchError(f"node {node}: unknown activation {op!r}; choose one of {', '.join(FUNCTIONS)}")
            if source is not None:
                values[_input(node)] = (check_below(f"node {node}: the node it reads", source, node),)
            values[_op(node)] = op
        return Arch(values)

    # ── pictures ──────────────────────────────────────────────────────────────────────────────────

    def drawing(self, arch: Mapping[str, Value]) -> Drawing:
        """The cell as the paper draws it: input and last output, nodes by their activations, and the mean."""
        steps, averaged = self.steps(arch), self.averaged(arch)
        ends = Node("x", "x(t)", "input"), Node("h", "h(t−1)", "input"), Node("out", "h(t)", "output")
        nodes = [Node(str(i), op, "other", f"node {i}") for i, (op, _) in enumerate(steps)]
        edges = [Edge("x", "0"), Edge("h", "0")]
        edges += [Edge(str(source), str(i)) for i, (_, source) in enumerate(steps) if source is not None]
        edges += [Edge(str(i), "out") for i in averaged]
        graph = Graph((*ends[:2], *nodes, ends[2]), tuple(edges), "recurrent cell", direction="down")
        return Drawing((graph,), f"ENAS recurrent cell {self.code(arch)}")


def _is_loose(node: int, *sources: tuple[int, ...]) -> int:
    return int(not any(node in kept for kept in sources))


def _step(node: int, part: str) -> Step:
    """The activation and source of one node of a code."""
    if node == 0:
        return part, None
    op, dash, source = part.rpartition("-")
    if not dash or not source.isascii() or not source.isdigit():
        raise InvalidArchError(f"node {node} is {part!r}; write activation-node, like tanh-0")
    return op, int(source[:9])


def _op(node: int) -> str:
    return f"node{node}.op"


def _input(node: int) -> str:
    return f"node{node}.input"
