"""The contract of a search space: decisions, a network, an input."""

from __future__ import annotations

import functools
import itertools
import traceback
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np
from torch import nn

from archwright.core.anchors import Anchors
from archwright.core.arch import Arch, Value
from archwright.core.catalog import Entry
from archwright.core.decisions import DecisionSpace, Rows
from archwright.core.drawing import Drawing, Strip
from archwright.core.errors import InvalidArchError, InvalidValueError, SpaceError, UsageError, error_text
from archwright.core.graphs import Graphs
from archwright.core.relaxation import Relaxation
from archwright.core.variation import mutate
from archwright.nn.choice import Chooser, Fixed, Supernet
from archwright.nn.choice import extract as extract_network
from archwright.nn.inputs import OUTPUT, Inputs, Signature, TensorSpec, call, n_tokens_of, one_input
from archwright.nn.meta import for_real, for_shapes, on_meta
from archwright.spaces.arguments import whole_number
from archwright.spaces.auto_use import AutoUse
from archwright.spaces.blocks import network_strip
from archwright.spaces.pieces import CostFormula, CostPiece
from archwright.spaces.sweep import check_shapes

Shape = tuple[int, ...]
IMAGE_AXES = 3
MAX_SIDE, MAX_CLASSES = 1_000_000, 1_000_000
"""Largest accepted side of an input and number of classes, so that a damaged file cannot take all memory."""


class Space(ABC):
    """One definition of a searchable network, for every way of executing it.

    A subclass writes `network(choose)`; its decisions are recorded by building that once, on the meta device where its
    modules can do without values.
    What is given to the constructor is what `args()` returns, so that a space can be named in a file.

    A space of several inputs, or of other ones than images and tokens, says so by `signature`. Its constructor takes
    what it needs instead of the arguments below, does not call this one, and `args()` gives that back.

    Args:
        input_shape: Shape of one input without the batch, e.g. (3, 32, 32); the class's own by default.
        n_classes: Number of outputs; the class's own by default.

    Attributes:
        input_shape: See above.
        n_classes: See above.
        opened_as: The `module:Class` or `file.py:Class` a user named it by, if any.
        counts_supernet: Whether what `cost_pieces` cannot give, such as memory, is counted in the supernet; without,
            in networks built one by one, as a space wants whose supernet is too large.
        binned_cost: Catalogue name of the cost that tells archs apart where they are drawn by bins of their cost; a
            space whose archs all have the same multiply–accumulates names another.
        takes_channels_last: Whether its networks run on images in channels-last layout. A subclass whose modules read
            memory in order may say that they do not; recipes try it (`recipes.trying`).
        runs_on_meta: Whether its networks can be built and run on the meta device, where there are no values; found out
            when decisions are recorded.
        auto: When the recipe `auto` may take the space, and with which settings; None where it does not.
    """

    __listing__: ClassVar[Entry]
    input_shape: Shape = (3, 32, 32)
    n_classes: int = 10
    counts_supernet: ClassVar[bool] = False
    binned_cost: ClassVar[str] = "macs"
    auto: ClassVar[AutoUse | None] = None
    opened_as: str | None = None
    takes_channels_last: bool = True
    runs_on_meta: bool = True

    def __init__(self, *, input_shape: Sequence[int] | None = None, n_classes: int | None = None) -> None:
        self.input_shape = _shape(self.input_shape if input_shape is None else input_shape)
        classes = self.n_classes if n_classes is None else n_classes
        self.n_classes = whole_number("number of classes", classes, MAX_CLASSES)

    @abstractmethod
    def network(self, choose: Chooser) -> nn.Module:
        """The network, asking `choose` for every searched part; takes (N, *input_shape), gives (N, n_classes).

        Ordered stages in one `nn.Sequential` let evaluators share work between archs with equal first stages.
        """

    @property
    def name(self) -> str:
        """Its name in files and on the command line: as in the catalogue, as it was opened, or `module:Class`."""
        if self.opened_as is not None:
            return self.opened_as
        listing = type(self).__dict__.get("__listing__")
        return listing.name if listing is not None else f"{type(self).__module__}:{type(self).__qualname__}"

    @property
    def signature(self) -> Signature:
        """What networks of the space take and give; by default one input of `input_shape` and `output_shape`.

        The input holds tokens where the space has an `n_tokens`, or its network says so (see `nn.inputs`).
        """
        return replace(
            one_input(self.input_shape, self._n_tokens), outputs=(TensorSpec(self.output_shape, name=OUTPUT),)
        )

    @functools.cached_property
    def _n_tokens(self) -> int | None:
        said = getattr(self, "n_tokens", None)
        if said is not None or len(self.input_shape) == IMAGE_AXES:
            return None if said is None else int(said)
        return for_shapes(lambda: n_tokens_of(self.network(Supernet())))

    def args(self) -> dict[str, Any]:
        """Constructor arguments, as JSON, that give this space again; subclasses add their own."""
        return {"input_shape": list(self.input_shape), "n_classes": self.n_classes}

    def with_args(self, **changes: Any) -> Self:
        """The same space with other constructor arguments."""
        space = type(self)(**{**self.args(), **changes})
        space.opened_as, space.takes_channels_last = self.opened_as, self.takes_channels_last
        return space

    def sized(self, input_shape: Sequence[int] | None = None, n_classes: int | None = None) -> Self:
        """The same space for other inputs or another number of classes, where any is given.

        Raises:
            InvalidValueError: If the space is made from something else.
        """
        changes = {"input_shape": input_shape, "n_classes": n_classes}
        given = {name: value for name, value in changes.items() if value is not None}
        if refused := [name for name in given if name not in self.args()]:
            raise InvalidValueError(
                f"space {self.name!r} has no {refused[0]}; it takes {self.signature}, and its settings are "
                f"{', '.join(self.args()) or 'none'}"
            )
        return self.with_args(**given) if given else self

    @property
    def output_shape(self) -> Shape:
        """Shape of one output without the batch."""
        return (self.n_classes,)

    def input_forms(self) -> list[str]:
        """One line for each kind of input the space takes, for `describe`."""
        return []

    def example_inputs(self, n: int, rng: np.random.Generator) -> Inputs:
        """A batch of n random inputs, as the signature says: a tensor, or a tuple where there are several."""
        return self.signature.example(n, rng=rng)

    def use(self, network: nn.Module, inputs: Inputs) -> Any:
        """Use a network once, as its users will: what its latency in torch is the time of. One forward pass by default.

        A space of networks that are run several times for an answer, such as a decoder that gives one token a pass,
        overrides it with that loop.

        Args:
            network: A stand-alone network in evaluation mode, called without gradients.
            inputs: As `signature` says, on the network's device.
        """
        return call(network, inputs)

    @property
    def runs_once(self) -> bool:
        """Whether one use of a network is one forward pass."""
        return type(self).use is Space.use

    def search_form(self) -> Space:
        """The space a supernet is built in: the same decisions, but where the method's paper trains other layers."""
        return self

    @functools.cached_property
    def decisions(self) -> DecisionSpace:
        """The decisions of this space, recorded or declared."""
        return self.declare()

    def declare(self) -> DecisionSpace:
        """The decisions: recorded by building the network once, where its shapes are checked too.

        That happens on the meta device. A user's space that fails there is tried with real tensors.

        A subclass may write them down instead; then `network` is trusted.

        Raises:
            SpaceError: If `network` fails, or its shapes do not fit for some value of a decision.
        """
        try:
            return self._recorded("meta")
        except SpaceError as error:
            if self.is_built_in:
                raise
            first = error
        try:
            decisions = self._recorded("cpu")
        except SpaceError:
            raise first from None  # it is no matter of the device
        self.runs_on_meta = False
        return decisions

    def _recorded(self, device: str) -> DecisionSpace:
        chooser = Supernet()
        try:
            with on_meta() if device == "meta" else for_real():
                network = self.network(chooser)
            decisions = chooser.decisions()
        except (Exception, SystemExit) as error:
            code = getattr(type(self).network, "__code__", None)
            what = described(error, getattr(code, "co_filename", ""))
            raise SpaceError(f"the network of space {self.name!r} cannot be built: {what}") from error
        if not isinstance(network, nn.Module):
            kind = type(network).__name__
            raise SpaceError(f"the network of space {self.name!r} is {kind}; it must return a torch.nn.Module")
        try:
            check_shapes(network, decisions, self.signature, device)
        except SpaceError as error:
            where = f"at input {self.input_shape}" if "input_shape" in self.args() else f"of {self.signature}"
            raise SpaceError(f"space {self.name!r} {where}: {error}{self._other_sizes()}") from None
        return decisions

    def _other_sizes(self) -> str:
        """A hint where the sizes that are asked for are not the class's own: its network may know only those."""
        own = (tuple(type(self).input_shape), type(self).n_classes)
        if own == (self.input_shape, self.n_classes) or "input_shape" not in self.args():
            return ""
        return (
            f" (by itself the class takes {own[0]} and {own[1]} classes; "
            "let its network take these from self.input_shape and self.n_classes)"
        )

    # ── archs ─────────────────────────────────────────────────────────────────────────────────────

    def size(self) -> int:
        """The exact number of archs."""
        return self.decisions.size()

    def sample(self, n: int, rng: np.random.Generator) -> list[Arch]:
        """Draw n archs, each equally likely (with replacement)."""
        return self.decisions.archs(self.decisions.sample(n, rng))

    def mutate(self, rows: Rows, rng: np.random.Generator) -> Rows:
        """Rows (n, n_decisions) that are each one random step from theirs: one decision takes another of its values.

        A space whose archs have steps of their own, such as the inputs and operations of a cell, overrides it.
        """
        return mutate(self.decisions, rows, rng, probability=0.0)

    def row(self, arch: Mapping[str, Value]) -> Rows:
        """The arch as value indices (n_decisions,); raises as `DecisionSpace.row`."""
        return self.decisions.row(arch)

    def code(self, arch: Mapping[str, Value]) -> str:
        """The arch in the space's own short notation: its value indices, by default.

        One digit a decision where they all have at most ten values, else numbers joined by '.'; an
        inactive decision is '-'.
        """
        row = self.row(arch).tolist()
        parts = ["-" if index < 0 else str(index) for index in row]
        return ("" if self._has_digits else ".").join(parts)

    def parse(self, code: str) -> Arch:
        """The arch of a code.

        Raises:
            InvalidArchError: If the code is not one of this space.
        """
        space = self.decisions
        parts = list(code) if self._has_digits else code.split(".")
        if len(parts) != len(space):
            raise InvalidArchError(
                f"code {code!r} has {len(parts)} positions; space {self.name!r} has {len(space)} decisions"
            )
        values = {}
        for decision, part in zip(space, parts, strict=True):
            if part == "-":
                continue
            if not part.isascii() or not part.isdigit() or int(part) >= len(decision.values):
                raise InvalidArchError(
                    f"code {code!r} has {part!r} for decision {decision.name!r}; use 0 to {len(decision.values) - 1}"
                )
            values[decision.name] = decision.values[int(part)]
        try:
            space.row(values)
        except InvalidArchError as error:
            raise InvalidArchError(f"code {code!r}: {error}; in a code '-' stands for a decision left out") from error
        return Arch(values)

    def equivalence_key(self, arch: Mapping[str, Value]) -> str | None:
        """A text that is equal for archs that compute the same function; None where the space knows of none.

        A space with isomorphic archs overrides it, so that a search can leave out what it has tried in another form.
        """
        return None

    def graphs(self, rows: Rows) -> dict[str, Graphs]:
        """The cells of archs (n, n_decisions) as graphs, by the cell's name; none where a space has no cells.

        A space of cells overrides it: predictors know architectures much better by paths and degrees than by decisions.

        Args:
            rows: Members of the space.
        """
        return {}

    def anchors(self) -> Anchors:
        """Which decisions are skip connections between layers; none by default."""
        return Anchors()

    def relaxation(self) -> Relaxation:
        """Which decisions belong together where all their values run at once; none by default."""
        return Relaxation()

    def without_dead(self, rows: Rows) -> Rows:
        """Archs (n, n_decisions) that compute the same and have no operations whose outputs nothing reads.

        A space of cells overrides it, where a member may hold such operations; by default there are none.

        Args:
            rows: Members of the space.
        """
        return rows

    def parse_rows(self, codes: Sequence[str]) -> Rows:
        """The rows (n, n_decisions) of archs by their codes, as `parse` reads them.

        Args:
            codes: One text an arch.

        Raises:
            InvalidArchError: If one is no code of this space.
        """
        return self.decisions.rows([self.parse(code) for code in codes])

    def drawing(self, arch: Mapping[str, Value]) -> Drawing:
        """What a picture of the arch shows: the blocks of its network, as they run, with their sizes.

        A space of cells overrides it to show the cell as a graph, and the network as its skeleton.

        Raises:
            UnknownNameError, InvalidArchError: If the arch is no member of the space.
        """
        self.row(arch)
        return Drawing((self.network_strip(arch),), f"{self.name} {self.code(arch)}")

    def network_strip(self, arch: Mapping[str, Value], *, title: str = "", merge: bool = False) -> Strip:
        """The network of an arch as a strip of blocks in the order in which they run (see `spaces.blocks`).

        Args:
            arch: A member of the space.
            title: Text above the strip.
            merge: Draw equal blocks in a row as one box; with more than 40 blocks this is always done.
        """
        return network_strip(self.network, arch, self.signature, title=title, merge=merge)

    @property
    def _has_digits(self) -> bool:
        return bool((self.decisions.n_values <= 10).all())

    # ── networks ──────────────────────────────────────────────────────────────────────────────────

    @property
    def is_built_in(self) -> bool:
        """Whether it is one of this package, whose networks its tests have run in every way."""
        return type(self).__module__.startswith("archwright.")

    def shapes_only(self) -> AbstractContextManager[None]:
        """A context in which networks of the space are built for their shapes alone, quickly where they can be."""
        _ = self.decisions  # which finds out
        return on_meta() if self.runs_on_meta else for_real()

    def _marked(self, network: nn.Module) -> nn.Module:
        """The network, which says what layout it takes wherever it goes."""
        if not self.takes_channels_last:
            network.takes_channels_last = False  # type: ignore[assignment]
        return network

    def build(self, arch: Mapping[str, Value]) -> nn.Module:
        """The stand-alone network of an arch, freshly initialised.

        Raises:
            UnknownNameError, InvalidArchError: If the arch is no member of the space.
        """
        self.row(arch)
        chooser = Fixed(arch)
        network = self.network(chooser)
        chooser.check_all_asked()
        return self._marked(network)

    def cost_pieces(self) -> Iterable[CostPiece] | None:
        """Parts of the network that few decisions change together; None where the supernet is counted as it is.

        A space lists them whose supernet is too large for that, or slow to count (see `counts_supernet`).
        """
        return None

    def cost_formula(self) -> CostFormula | None:
        """Figures of any archs in closed form; None where networks are counted.

        A space gives them whose figures are no sums of parts that few decisions change, such as a network with skip
        connections that are searched. Figures left out are counted arch by arch.
        """
        return None

    def build_for_training(self, arch: Mapping[str, Value]) -> nn.Module:
        """The network of `build` with what only its training needs, such as an auxiliary classifier.

        Modules whose class says `is_training_only`; `training.fit` takes them out when it is done.
        """
        return self.build(arch)

    def supernet(self) -> nn.Module:
        """A network that holds the weights of every arch; activate one through `selection_of(network)`."""
        return self._marked(self.network(Supernet()))

    def extract(self, supernet: nn.Module, arch: Mapping[str, Value]) -> nn.Module:
        """The stand-alone network of an arch with its weights in a supernet of this space (see `nn.extract`)."""
        return self._marked(extract_network(self.network, supernet, arch, for_real=not self.is_built_in))


def _shape(sides: Any) -> Shape:
    if isinstance(sides, str | bytes) or not isinstance(sides, Iterable):
        raise InvalidValueError(f"input shape is {sides!r}; give a list of sides, channels first")
    shape = tuple(whole_number("a side of the input", side, MAX_SIDE) for side in itertools.islice(sides, 10))
    if not 1 <= len(shape) <= 9:
        raise InvalidValueError(f"input shape is {shape}; every side must be at least 1, and there must be some")
    return shape


def described(error: BaseException, file: str = "") -> str:
    """An exception of a user's code in one line, with the line it comes from: the innermost in `file`, or of all."""
    text = " ".join(str(error).split()) if isinstance(error, UsageError) else error_text(error)
    frames = traceback.extract_tb(error.__traceback__)
    found = [frame for frame in frames if frame.filename == file] or frames
    if not found or isinstance(error, SyntaxError):  # which says itself where it is
        return text
    return f"{text} ({found[-1].filename}, line {found[-1].lineno})"
