"""The recurrent-cell space of Neural Architecture Search with Reinforcement Learning (Zoph and Le, ICLR 2017)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from archwright.core.arch import Arch, Value
from archwright.core.catalog import listed
from archwright.core.decisions import Decision, DecisionSpace, Rows
from archwright.core.drawing import Drawing
from archwright.nn.choice import Chooser
from archwright.nn.dropout import check_rate
from archwright.nn.ops.language_model import LanguageModel, Regularization
from archwright.nn.ops.tree_rnn import Add, Maximum, Multiply, Sine, TreeRnnCell, TreeStep
from archwright.spaces.arguments import truth_value, whole_number
from archwright.spaces.language import LanguageSpace
from archwright.spaces.nas_rl.drawing import tree_graph
from archwright.spaces.nas_rl.trees import Step, Tree, parse_tree, tree_text
from archwright.spaces.pieces import CostFormula

COMBINES: dict[str, type[nn.Module]] = {"add": Add, "elem_mult": Multiply}
ACTIVATIONS: dict[str, type[nn.Module]] = {
    "identity": nn.Identity,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "relu": nn.ReLU,
}
MORE_COMBINES: dict[str, type[nn.Module]] = COMBINES | {"max": Maximum}
MORE_ACTIVATIONS: dict[str, type[nn.Module]] = ACTIVATIONS | {"sin": Sine}
"""The activations of the paper's control experiment."""

MAX_BASE = 8
RATES = ("word_dropout", "dropout", "state_dropout")


@listed(
    "space",
    "nas-rl-rnn",
    summary="Zoph & Le's recurrent cells: a binary tree of 8 leaves, each node a combination and an activation; 6.3e16",
    source="Zoph & Le, ICLR 2017, arXiv:1611.01578",
)
class NasRlRnn(LanguageSpace):
    """A tree of b leaves and b - 1 nodes above, an injection and two cell indices: 8^(2b) * (2b - 1)^2 archs.

    Each node combines two tensors (sum or product) and applies one of four activations, see `nn.ops.tree_rnn`. The
    network is a language model of two layers of this cell, like the paper's child networks. A code is the cell as
    text, see `trees`.

    Args:
        input_shape: (T,), the tokens of one input.
        n_classes: Size of the vocabulary.
        base: b, leaves of the tree, 2 to 8; the paper has 8.
        hidden: Width of embedding and states. The paper gives only numbers of parameters: 740 gives its 25 M with
            shared embeddings, 1,152 its 54 M.
        layers: Number of recurrent layers.
        tied: Whether the decoder's weights are the embedding's ("shared embeddings").
        bias: Whether leaves have a bias; the LSTM needs one.
        more_functions: Whether maximum and sine can be chosen too, as in the paper's control experiment.
        word_dropout: Rate at which words are dropped in training.
        dropout: Dropout rate between layers, before the first and after the last.
        state_dropout: Dropout rate of the hidden state that a cell reads. The paper mentions such rates without
            numbers.
    """

    def __init__(
        self,
        *,
        input_shape: Sequence[int] | None = None,
        n_classes: int | None = None,
        base: int = 8,
        hidden: int = 740,
        layers: int = 2,
        tied: bool = True,
        bias: bool = False,
        more_functions: bool = False,
        word_dropout: float = 0.0,
        dropout: float = 0.0,
        state_dropout: float = 0.0,
    ) -> None:
        super().__init__(input_shape=input_shape, n_classes=n_classes)
        self.base = whole_number("base", base, MAX_BASE, least=2)
        self.hidden = whole_number("hidden", hidden, 10_000)
        self.layers = whole_number("layers", layers, 10)
        self.tied, self.bias = truth_value("tied", tied), truth_value("bias", bias)
        self.more_functions = truth_value("more_functions", more_functions)
        rates = dict(zip(RATES, (word_dropout, dropout, state_dropout), strict=True))
        self.rates = {name: check_rate(name, rate) for name, rate in rates.items()}

    def args(self) -> dict[str, Any]:
        names = ("base", "hidden", "layers", "tied", "bias", "more_functions")
        return super().args() | {name: getattr(self, name) for name in names} | self.rates

    @property
    def combines(self) -> Mapping[str, type[nn.Module]]:
        """The combinations to choose from, by name."""
        return MORE_COMBINES if self.more_functions else COMBINES

    @property
    def activations(self) -> Mapping[str, type[nn.Module]]:
        """The activations to choose from, by name."""
        return MORE_ACTIVATIONS if self.more_functions else ACTIVATIONS

    @property
    def n_nodes(self) -> int:
        """Number of nodes of the tree, 2 b - 1."""
        return 2 * self.base - 1

    # ── decisions and network ─────────────────────────────────────────────────────────────────────

    def declare(self) -> DecisionSpace:
        found = []
        for name in self._steps():
            found.append(Decision(f"{name}.combine", tuple(self.combines)))
            found.append(Decision(f"{name}.activation", tuple(self.activations)))
        indices = tuple(range(self.n_nodes))
        return DecisionSpace([*found, *(Decision(name, indices, "number") for name in ("new_cell", "injected"))])

    def _steps(self) -> list[str]:
        """In the order of the controller's tokens."""
        return [*(f"node{i}" for i in range(self.n_nodes)), "inject"]

    def network(self, choose: Chooser) -> nn.Module:
        cells = [self._cell(choose) for _ in range(self.layers)]
        rate = self.rates["dropout"]
        return LanguageModel(
            cells,
            n_tokens=self.n_tokens,
            n_embedding=self.hidden,
            tied=self.tied,
            regularization=Regularization(
                word_dropout=self.rates["word_dropout"], input_dropout=rate, layer_dropout=rate, output_dropout=rate
            ),
        )

    def _cell(self, choose: Chooser) -> TreeRnnCell:
        *nodes, inject = (self._step(choose, name) for name in self._steps())
        new_cell, injected = (choose.number(name, range(self.n_nodes)) for name in ("new_cell", "injected"))
        return TreeRnnCell(
            self.hidden,
            self.hidden,
            nodes,
            inject,
            new_cell=new_cell,
            injected=injected,
            bias=self.bias,
            state_dropout=self.rates["state_dropout"],
        )

    def _step(self, choose: Chooser, name: str) -> TreeStep:
        combine = choose.op(f"{name}.combine", self.combines)
        return TreeStep(combine, choose.op(f"{name}.activation", self.activations))

    def cost_formula(self) -> CostFormula:
        """All cells cost the same: combinations and activations are free by convention."""
        embedding, leaves = self.n_tokens * self.hidden, self.layers * 2 * self.base * self.hidden**2
        biases = self.layers * self.base * self.hidden if self.bias else 0
        params = embedding * (1 if self.tied else 2) + self.n_tokens + leaves + biases
        macs = self.input_shape[0] * (embedding + leaves)
        figures = {"params": params, "macs": macs, "model_size_bytes": 4 * params}

        def of(rows: Rows) -> dict[str, NDArray[np.float64]]:
            return {name: np.full(len(rows), float(figure)) for name, figure in figures.items()}

        return of

    # ── names of cells ────────────────────────────────────────────────────────────────────────────

    def tree(self, arch: Mapping[str, Value]) -> Tree:
        """The cell of an arch."""
        self.row(arch)
        values: Mapping[str, Any] = arch
        *nodes, inject = (Step(values[f"{name}.combine"], values[f"{name}.activation"]) for name in self._steps())
        return Tree(tuple(nodes), inject, values["new_cell"], values["injected"])

    def code(self, arch: Mapping[str, Value]) -> str:
        """The cell as text, like "add-tanh,elem_mult-relu,elem_mult-sigmoid/add-relu/1,0"."""
        return tree_text(self.tree(arch))

    def parse(self, code: str) -> Arch:
        """The arch of a code.

        Raises:
            InvalidArchError: If it is no code of this space; the message has the node.
        """
        tree = parse_tree(code, self.base, tuple(self.combines), tuple(self.activations))
        values: dict[str, Value] = {}
        for name, step in zip(self._steps(), (*tree.nodes, tree.inject), strict=True):
            values |= {f"{name}.combine": step.combine, f"{name}.activation": step.activation}
        return Arch(values | {"new_cell": tree.new_cell, "injected": tree.injected})

    # ── pictures ──────────────────────────────────────────────────────────────────────────────────

    def drawing(self, arch: Mapping[str, Value]) -> Drawing:
        """The tree, with the old and the new cell state."""
        tree = self.tree(arch)
        return Drawing((tree_graph(tree, self.base),), f"recurrent cell {tree_text(tree)}")
