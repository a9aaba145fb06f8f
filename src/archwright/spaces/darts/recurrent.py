"""The recurrent cell space of DARTS (Liu et al., ICLR 2019, arXiv:1806.09055; `rnn/` of the released code)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from torch import nn

from archwright.core.arch import Arch, Value
from archwright.core.catalog import listed
from archwright.core.decisions import Condition, Decision, DecisionSpace
from archwright.core.drawing import Drawing, Edge, Graph, Node
from archwright.core.errors import InvalidArchError, InvalidValueError
from archwright.core.relaxation import Relaxation
from archwright.nn.choice import Chooser
from archwright.nn.ops.darts_rnn import DartsRnnCell, HighwayEdge
from archwright.nn.ops.language_model import NO_REGULARIZATION, LanguageModel, Regularization
from archwright.spaces.arguments import truth_value, whole_number, whole_number_or_none
from archwright.spaces.darts.genotypes import keywords_of
from archwright.spaces.language import LanguageSpace

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "identity": nn.Identity,
}
PRIMITIVES = ("none", *ACTIVATIONS)
"""The columns of the paper's architecture parameters; `none` takes part in the search only."""

HIDDEN, SEARCH_HIDDEN = 850, 300
MAX_NODES = 9
"""Most nodes of a cell; its states are then 0 to 9, one digit each in the names of edges."""

Step = tuple[str, int]
"""(activation, state it reads) of a node."""


@listed(
    "space",
    "darts-rnn",
    summary="DARTS's recurrent cell: 8 nodes, each with one earlier state and one of 4 activations; 2.64e9 archs",
    source="Liu et al., ICLR 2019, arXiv:1806.09055",
)
class DartsRnn(LanguageSpace):
    """Eight nodes, each reading one earlier state through one of four activations: 4^8 * 8! archs.

    The network is a language model of one such cell; its embedding is also the decoder. A code lists the nodes in
    order, like `sigmoid-0,relu-1,…`; the released code's `Genotype(recurrent=[('sigmoid', 0), …], concat=range(1, 9))`
    is read too.

    Args:
        input_shape: (T,), the tokens of one input.
        n_classes: Size of the vocabulary.
        hidden: Width of embedding and states; 850 by default, and 300 in the search form.
        nodes: Nodes of the cell, 1 to 9; the paper has 8.
        batch_norm: Whether states are normalised, as in the paper's search network.
        regularized: Whether to train with the paper's dropout (0.1 of words, 0.2 of the embedded input, 0.75 of the
            cell's input and of the output, 0.25 of its states) and penalty (1e-3 on changes of the output).
    """

    def __init__(
        self,
        *,
        input_shape: Sequence[int] | None = None,
        n_classes: int | None = None,
        hidden: int | None = None,
        nodes: int = 8,
        batch_norm: bool = False,
        regularized: bool = True,
    ) -> None:
        super().__init__(input_shape=input_shape, n_classes=n_classes)
        self._given_hidden = whole_number_or_none("hidden", hidden, 10_000)
        self.hidden = self._given_hidden or HIDDEN
        self.nodes = whole_number("nodes", nodes, MAX_NODES)
        self.batch_norm, self.regularized = (
            truth_value("batch_norm", batch_norm),
            truth_value("regularized", regularized),
        )

    def args(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in ("nodes", "batch_norm", "regularized")}
        return super().args() | {"hidden": self._given_hidden} | own

    def search_form(self) -> Self:
        """The network to search: with batch norm, and 300 wide unless a width was given."""
        return self.with_args(batch_norm=True, hidden=self._given_hidden or SEARCH_HIDDEN)

    def declare(self) -> DecisionSpace:
        decisions = []
        for node in range(1, self.nodes + 1):
            subsets = tuple((source,) for source in range(node))
            decisions.append(Decision(_node(node), subsets, "inputs"))
            for source in range(node):
                when = ((Condition(_node(node), ((source,),)),),) if node > 1 else ()
                decisions.append(Decision(_edge(source, node), tuple(ACTIVATIONS), when=when))
        return DecisionSpace(decisions)

    def relaxation(self) -> Relaxation:
        edges = {_node(node): tuple(_edge(source, node) for source in range(node)) for node in range(1, self.nodes + 1)}
        return Relaxation(edges, frozenset(name for names in edges.values() for name in names))

    def network(self, choose: Chooser) -> nn.Module:
        def edge(node: int, source: int) -> nn.Module:
            # the whole step is what is mixed: the weights of a mixture need not sum to 1, because of `none`
            return choose.op(_edge(source, node), {name: partial(_highway, name) for name in ACTIVATIONS})

        def reads(node: int) -> nn.Module:
            made: nn.Module = choose.inputs(_node(node), node, 1, partial(edge, node))
            return made

        cell = DartsRnnCell(
            self.hidden,
            self.hidden,
            self.nodes,
            reads,
            batch_norm=self.batch_norm,
            input_dropout=0.75 if self.regularized else 0.0,
            state_dropout=0.25 if self.regularized else 0.0,
        )
        return LanguageModel(
            cell, n_tokens=self.n_tokens, n_embedding=self.hidden, tied=True, regularization=self._regularization()
        )

    def _regularization(self) -> Regularization:
        if not self.regularized:
            return NO_REGULARIZATION
        words = 0.0 if self.batch_norm else 0.1  # the released search drops no words
        return Regularization(word_dropout=words, input_dropout=0.2, output_dropout=0.75, slowness_l2=1e-3)

    # ── names of cells ────────────────────────────────────────────────────────────────────────────

    def steps(self, arch: Mapping[str, Value]) -> list[Step]:
        """Activation and source of each node in order."""
        self.row(arch)
        found = []
        for node in range(1, self.nodes + 1):
            kept = arch[_node(node)]
            assert isinstance(kept, tuple)
            found.append((str(arch[_edge(kept[0], node)]), kept[0]))
        return found

    def code(self, arch: Mapping[str, Value]) -> str:
        """The nodes in order, like "sigmoid-0,relu-1,…"."""
        return rnn_text(self.steps(arch))

    def parse(self, code: str) -> Arch:
        """The arch of a code, or of the released code's text.

        Raises:
            InvalidArchError: If it is no code of this space; the message has the node.
        """
        text = code.strip()
        steps = self._released(text) if text.startswith("Genotype") else [_step(part) for part in text.split(",")]
        if len(steps) != self.nodes:
            raise InvalidArchError(
                f"the recurrent cell has {len(steps)} nodes; give {self.nodes}, like sigmoid-0,relu-1"
            )
        values: dict[str, Value] = {}
        for node, (activation, source) in enumerate(steps, 1):
            if not isinstance(activation, str) or activation not in ACTIVATIONS:
                accepted = ", ".join(ACTIVATIONS)
                raise InvalidArchError(f"node {node}: unknown activation {activation!r}; choose one of {accepted}")
            if isinstance(source, bool) or not isinstance(source, int) or not 0 <= source < node:
                raise InvalidArchError(f"node {node}: it cannot read state {source!r}; its inputs are 0 to {node - 1}")
            values |= {_node(node): (source,), _edge(source, node): activation}
        return Arch(values)

    def _released(self, text: str) -> list[Any]:
        given = keywords_of(text, ("recurrent", "concat"))
        nodes = list(range(1, self.nodes + 1))
        if given["concat"] not in (nodes, tuple(nodes)):
            raise InvalidArchError(f"concat is {given['concat']}; the cell's output is the mean of its nodes, {nodes}")
        pairs = given["recurrent"]
        if not isinstance(pairs, list | tuple) or not all(isinstance(p, list | tuple) and len(p) == 2 for p in pairs):
            raise InvalidArchError(f"recurrent is {pairs!r}; write a list like [('sigmoid', 0), ('relu', 1)]")
        return [tuple(pair) for pair in pairs]

    # ── pictures ──────────────────────────────────────────────────────────────────────────────────

    def drawing(self, arch: Mapping[str, Value]) -> Drawing:
        """The cell as the paper draws it: input and last output, states, and the mean that is the output."""
        steps = self.steps(arch)
        states = [Node(str(i), str(i)) for i in range(self.nodes + 1)]
        ends = Node("x", "x(t)", "input"), Node("h", "h(t−1)", "input"), Node("out", "h(t)", "output")
        edges = [Edge("x", "0"), Edge("h", "0")]
        edges += [Edge(str(source), str(node), activation) for node, (activation, source) in enumerate(steps, 1)]
        edges += [Edge(str(node), "out") for node in range(1, self.nodes + 1)]
        graph = Graph((*ends[:2], *states, ends[2]), tuple(edges), "recurrent cell")
        return Drawing((graph,), f"DARTS recurrent cell {rnn_text(steps)}")


def derive_rnn(parameters: ArrayLike) -> list[Step]:
    """Activation and source of each node: the strongest edge, with its strongest activation; never `none`.

    The strength of an edge is the largest softmax weight among its activations. Of equal ones the earlier is kept.

    Args:
        parameters: Matrix (edges, 5) before the softmax: edges into node 1 from state 0, into node 2 from 0, 1, …;
            columns in the order of `PRIMITIVES`.

    Raises:
        InvalidValueError: If no cell has as many edges as there are rows, or a number is not finite.
    """
    matrix = np.asarray(parameters, dtype=np.float64)
    n_edges = [node * (node + 1) // 2 for node in range(1, MAX_NODES + 1)]
    if matrix.ndim != 2 or matrix.shape[1] != len(PRIMITIVES) or len(matrix) not in n_edges:
        raise InvalidValueError(
            f"architecture parameters have shape {matrix.shape}; give (edges, {len(PRIMITIVES)}), (36, 5) for 8 nodes"
        )
    if not np.isfinite(matrix).all():
        raise InvalidValueError("architecture parameters hold a number that is not finite")
    weights = np.exp(matrix - matrix.max(axis=1, keepdims=True))
    real = (weights / weights.sum(axis=1, keepdims=True))[:, 1:]
    names, start = tuple(ACTIVATIONS), 0
    steps: list[Step] = []
    while start < len(real):
        part = real[start : start + len(steps) + 1]
        source = int(part.max(axis=1).argmax())
        steps.append((names[int(part[source].argmax())], source))
        start += len(part)
    return steps


def rnn_text(steps: Sequence[Step]) -> str:
    """The code of a cell."""
    return ",".join(f"{activation}-{source}" for activation, source in steps)


def _highway(activation: str) -> HighwayEdge:
    return HighwayEdge(ACTIVATIONS[activation]())


def _step(part: str) -> Step:
    activation, dash, source = part.strip().rpartition("-")
    if not dash or not source.isascii() or not source.isdigit():
        raise InvalidArchError(f"{part!r} is no node; write activation-source, like sigmoid-0")
    return activation, int(source[:9])


def _node(node: int) -> str:
    return f"node{node}"


def _edge(source: int, node: int) -> str:
    return f"edge{source}{node}"
