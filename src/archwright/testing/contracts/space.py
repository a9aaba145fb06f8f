"""The contract of search spaces: consistent decisions, and the same network however it is executed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar
from xml.etree import ElementTree

import numpy as np
import torch
from torch import Tensor, nn

from archwright.core.arch import Arch
from archwright.core.decisions import Rows
from archwright.core.encoding import from_one_hot, one_hot
from archwright.core.errors import SpaceError, UsageError
from archwright.core.variation import crossover, mutate
from archwright.costs.counted import Macs, Params
from archwright.costs.counting.count import count
from archwright.nn.choice import Fixed, selection_of
from archwright.nn.choice.modules import ChoiceModule, active_modules
from archwright.nn.elastic.layers import Elastic
from archwright.nn.inputs import Inputs, call, tensors_of
from archwright.nn.meta import on_meta
from archwright.nn.sizes import lazies_in
from archwright.reports.drawing import draw_svg
from archwright.spaces.base import Space
from archwright.spaces.opening import arch_document
from archwright.testing.contracts.base import Contract, error_of, is_equal, skip, to_do

MAX_ENUMERATED = 20_000


class SpaceContract(Contract):
    """Tests of one space. Give it the smallest input it accepts, because every test runs its networks.

    Attributes:
        n_archs: How many random archs the tests of networks try.
        n_costed: How many random archs are built and counted against the cost tables.
        n_images: Inputs of one forward pass.
        can_be_relaxed: False if a shape depends on a decision that would be mixed; relaxing must then raise an error
            with the decision's name.
        every_weight_matters: False if an active layer may have no path to the output, as before an edge `none`.
    """

    n_archs: ClassVar[int] = 4
    n_costed: ClassVar[int] = 12
    n_images: ClassVar[int] = 16
    can_be_relaxed: ClassVar[bool] = True
    every_weight_matters: ClassVar[bool] = True

    def make(self) -> Space:
        """The space."""
        to_do(self, "make(self) -> Space")

    def inputs(self, n: int) -> Inputs:
        """A batch of n inputs for the network, always the same: images, unless a space takes something else."""
        return self.space.example_inputs(n, np.random.default_rng(0))

    @property
    def space(self) -> Space:
        """The space, made once for each test class."""
        cls: Any = type(self)
        if "_made" not in vars(cls):
            cls._made = self.make()
        space: Space = cls._made
        return space

    # ── decisions ─────────────────────────────────────────────────────────────────────────────────

    def test_draws_are_members(self) -> None:
        """Two hundred drawn rows are in the space, and so are the rows of their readable forms."""
        rows = self._rows(200)
        assert self.space.decisions.contains(rows).all()
        assert (self.space.decisions.rows(self.space.decisions.archs(rows)) == rows).all()
        assert (self.space.decisions.canonical(rows) == rows).all()

    def test_enumeration_has_the_size(self) -> None:
        """Enumerating gives as many different members as `size` says, if they can be listed."""
        size = self.space.size()
        if size > MAX_ENUMERATED:
            skip(f"{size} archs are too many to list")
        rows = self.space.decisions.enumerate_rows(limit=MAX_ENUMERATED)
        assert len({row.tobytes() for row in rows}) == len(rows) == size
        assert self.space.decisions.contains(rows).all()

    def test_mutants_and_crossovers_are_members(self) -> None:
        """Mutants and crossovers of random parents are in the space."""
        decisions, rng = self.space.decisions, np.random.default_rng(1)
        mothers, fathers = self._rows(100), self._rows(100, seed=2)
        assert decisions.contains(mutate(decisions, mothers, rng, probability=0.3)).all()
        assert decisions.contains(self.space.mutate(mothers, rng)).all()
        assert decisions.contains(crossover(decisions, mothers, fathers, rng)).all()

    def test_codes_round_trip(self) -> None:
        """Parsing the code of an arch gives that arch."""
        for arch in self._archs(20):
            assert self.space.parse(self.space.code(arch)) == arch

    def test_json_round_trips(self) -> None:
        """An arch.json gives the same arch of the same space."""
        documents = [json.loads(json.dumps(arch_document(self.space, arch))) for arch in self._archs(20)]
        again = type(self.space)(**documents[0]["space_args"])
        assert [document["decisions"] for document in documents] == [again.decisions.fingerprint] * 20
        assert (again.decisions.rows([Arch.from_json(d["arch"]) for d in documents]) == self._rows(20)).all()

    def test_one_hot_round_trips(self) -> None:
        """Decoding one-hot vectors gives the rows that were encoded."""
        rows = self._rows(100)
        assert (from_one_hot(self.space.decisions, one_hot(self.space.decisions, rows)) == rows).all()

    def test_arguments_give_the_space_again(self) -> None:
        """`args` are JSON that the constructor accepts; another number of classes leaves the decisions unchanged."""
        arguments = json.loads(json.dumps(self.space.args()))
        again = type(self.space)(**arguments)
        assert again.args() == self.space.args()
        assert again.decisions == self.space.decisions
        if "n_classes" in arguments:
            assert self.space.with_args(n_classes=self.space.n_classes + 1).decisions == self.space.decisions

    def test_search_form_has_the_same_decisions(self) -> None:
        """The form in which a recipe builds its supernet has the decisions of the space."""
        assert self.space.search_form().decisions == self.space.decisions

    def test_what_the_network_asks_for_is_what_is_declared(self) -> None:
        """Decisions recorded from the network, whose shapes fit for every value, equal those of `declare`."""
        assert Space.declare(self.space) == self.space.decisions

    def test_fixed_asks_for_exactly_the_active_decisions(self) -> None:
        """A stand-alone network asks for the active decisions, no more and no fewer."""
        for arch in self._archs(max(self.n_archs, 10)):
            chooser = Fixed(arch)
            with on_meta():
                self.space.network(chooser)
            assert set(chooser.asked) == set(arch)

    def test_a_foreign_arch_is_refused(self) -> None:
        """An arch with one decision too many raises an error."""
        arch = {**self._archs(1)[0], "no such decision": 1}
        assert "no such decision" in error_of(UsageError, lambda: self.space.build(arch))

    # ── networks ──────────────────────────────────────────────────────────────────────────────────

    def test_outputs_have_their_shape(self) -> None:
        """Stand-alone network and supernet give outputs of the space's shape."""
        supernet, x = self.space.supernet().eval(), self.inputs(2)
        for arch in self._archs():
            selection_of(supernet).activate(arch)
            with torch.no_grad():
                for network in (self.space.build(arch).eval(), supernet):
                    shapes = [tuple(tensor.shape) for tensor in tensors_of(call(network, x))]
                    assert shapes == [(2, *spec.shape) for spec in self.space.signature.outputs]

    def test_initial_weights_follow_torch_s_seed(self) -> None:
        """The same seed gives the same bits."""
        arch = self._archs(1)[0]
        for build in (self.space.supernet, lambda: self.space.build(arch)):
            one, again = (_state(_seeded(build)) for _ in range(2))
            assert one.keys() == again.keys()
            assert all(torch.equal(one[name], again[name]) for name in one)

    def test_three_executions_give_the_same_logits(self) -> None:
        """Supernet with the arch active, extracted network, and newly built network with the same weights agree."""
        for arch in self._archs():
            supernet, x = self._prepared(arch)
            extracted, rebuilt = self.space.extract(supernet, arch), self.space.build(arch)
            rebuilt.load_state_dict(extracted.state_dict(), strict=True)
            with torch.no_grad():
                logits = _run(supernet, x)
                assert logits.std() > 1e-3, "all logits are the same: nothing can be compared"
                assert is_equal(logits, _run(extracted, x)), f"supernet and extracted network differ for {arch.key}"
                assert is_equal(logits, _run(rebuilt.eval(), x)), f"supernet and built network differ for {arch.key}"

    def test_perturbing_an_active_weight_breaks_equality(self) -> None:
        """A changed weight of any active layer changes the logits, so the comparison above would notice it."""
        arch = self._archs(1)[0]
        supernet, x = self._prepared(arch)
        with torch.no_grad():
            expected = _run(self.space.extract(supernet, arch), x)
            breaks = {}
            for path, layer in _layers(supernet):
                with _perturbed(layer):
                    breaks[path] = not is_equal(_run(supernet, x), expected)
            assert is_equal(_run(supernet, x), expected)
        silent = [path for path, is_broken in breaks.items() if not is_broken]
        assert len(silent) < len(breaks)
        assert not (silent and self.every_weight_matters), f"weights that change nothing: {silent}"

    def test_inactive_weights_do_not_matter(self) -> None:
        """Parameters of modules off the path can have any value, and get no gradient from the path."""
        supernet, x = self._prepared(self._archs(1)[0])
        active = {id(p) for _, part in active_modules(supernet) for p in part._parameters.values()}
        inactive = [parameter for parameter in supernet.parameters() if id(parameter) not in active]
        before = _run(supernet, x)
        torch.autograd.backward(before.sum())
        assert all(parameter.grad is None for parameter in inactive)
        with torch.no_grad():
            for parameter in inactive:
                parameter.fill_(torch.nan)
            assert torch.equal(_run(supernet, x), before)

    def test_states_load_strictly_both_ways(self) -> None:
        """Extracted and built network load each other's state: names and shapes are the same."""
        supernet = self.space.supernet()
        for arch in self._archs():
            extracted, built = self.space.extract(supernet, arch), self.space.build(arch)
            built.load_state_dict(extracted.state_dict(), strict=True)
            extracted.load_state_dict(self.space.build(arch).state_dict(), strict=True)

    def test_no_search_module_is_left(self) -> None:
        """Extracted and built networks have no choice, elastic layer, lazy size or selection."""
        supernet = self.space.supernet()
        for arch in self._archs():
            for network in (self.space.extract(supernet, arch), self.space.build(arch)):
                assert search_parts(network) == []

    def test_extraction_copies(self) -> None:
        """Changing an extracted network does not change the supernet."""
        arch = self._archs(1)[0]
        supernet = self.space.supernet()
        before = {name: tensor.clone() for name, tensor in _state(supernet).items()}
        with torch.no_grad():
            for tensor in self.space.extract(supernet, arch).state_dict().values():
                tensor.zero_()
        assert all(torch.equal(tensor, before[name]) for name, tensor in _state(supernet).items())

    def test_relaxed_execution(self) -> None:
        """With one value of each decision at weight 1 the mixture is the single path; else it is refused by name."""
        supernet, x = _seeded(self.space.supernet).double().eval(), self.inputs(2)
        doubled = tuple(each.double() if each.is_floating_point() else each for each in tensors_of(x))
        selection = selection_of(supernet)
        for arch in self._archs():
            selection.activate(arch)
            with torch.no_grad():
                path = _run(supernet, doubled)
                weights, values = self._as_mixture(selection.index, arch)
                selection.relax(weights, values)
                if self.can_be_relaxed:
                    assert is_equal(path, _run(supernet, doubled), 1e-9)
                else:
                    message = error_of(SpaceError, lambda: _run(supernet, doubled))
                    assert "cannot be relaxed" in message
                    assert any(repr(name) in message for name in self.space.decisions.names)

    # ── costs ─────────────────────────────────────────────────────────────────────────────────────

    def test_archs_can_be_drawn(self) -> None:
        """The picture of an arch is well-formed SVG, with the same bytes each time."""
        for arch in self._archs():
            picture = draw_svg(self.space, arch)
            assert picture == draw_svg(self.space, arch)
            assert ElementTree.fromstring(picture).tag.endswith("svg")

    def test_costs_of_rows_are_those_of_built_networks(self) -> None:
        """Parameters and multiply-accumulates of random archs are exactly those of their built networks."""
        rows = self._rows(self.n_costed)
        found = np.stack([cost.cost_rows(self.space, rows) for cost in (Params(), Macs())], axis=1)
        for arch, costs in zip(self.space.decisions.archs(rows), found.tolist(), strict=True):
            with on_meta():
                counted = count(self.space.build(arch), self.space.signature)
            assert costs == [counted.params, counted.macs], arch.key

    # ── helpers ───────────────────────────────────────────────────────────────────────────────────

    def _rows(self, n: int, *, seed: int = 1) -> Rows:
        return self.space.decisions.sample(n, np.random.default_rng(seed))

    def _archs(self, n: int | None = None) -> list[Arch]:
        return self.space.decisions.archs(self._rows(self.n_archs if n is None else n))

    def _as_mixture(self, index: Mapping[str, int], arch: Arch) -> tuple[dict[str, Any], dict[str, Any]]:
        """The single path of an arch as weights of 1, and the values of its numbers."""
        decisions = self.space.decisions
        weights = {n: [(index[n], 1.0)] for n in arch if decisions[n].kind != "number"}
        return weights, {name: arch[name] for name in arch if name not in weights}

    def _prepared(self, arch: Arch) -> tuple[nn.Module, Inputs]:
        """A supernet with the arch active, random affine parameters, statistics of one cumulative pass; and inputs."""
        network, x = _seeded(self.space.supernet), self.inputs(self.n_images)
        selection_of(network).activate(arch)
        generator = torch.Generator().manual_seed(2)
        for part in network.modules():
            if isinstance(part, nn.modules.batchnorm._BatchNorm):
                part.momentum = None
                if part.affine:
                    nn.init.normal_(part.weight, 1.0, 0.2, generator=generator)
                    nn.init.normal_(part.bias, 0.0, 0.2, generator=generator)
        with torch.no_grad():
            call(network.train(), x)
        return network.eval(), x


def search_parts(network: nn.Module) -> list[str]:
    """Paths of the modules that belong to a search: choices, elastic layers, modules that hold lazy sizes."""
    return [
        path
        for path, module in network.named_modules()
        if isinstance(module, ChoiceModule | Elastic) or lazies_in(module) or hasattr(module, "selection")
    ]


def _run(network: nn.Module, inputs: Inputs) -> Tensor:
    """The network's outputs for the inputs, all numbers of an example in a row where there are several."""
    outputs = tensors_of(network(*tensors_of(inputs)))
    return outputs[0] if len(outputs) == 1 else torch.cat([output.flatten(1) for output in outputs], dim=1)


def _seeded(build: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        return build()


def _state(network: nn.Module) -> dict[str, Tensor]:
    state: dict[str, Tensor] = network.state_dict()
    return state


def _layers(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Active modules with a weight of two axes or more: convolutions, linear layers, embeddings."""
    for path, part in active_modules(network):
        weight = part._parameters.get("weight")
        if weight is not None and weight.dim() > 1:
            yield path, part


@contextmanager
def _perturbed(layer: nn.Module) -> Iterator[None]:
    """Inside, the layer's weight is larger by 1; a convolution's at the centre of its kernels, always active."""
    weight = layer.get_parameter("weight")
    before = weight.clone()
    centre: Any = (..., *(side // 2 for side in weight.shape[2:]))
    weight[centre] += 1.0
    try:
        yield
    finally:
        weight.copy_(before)
