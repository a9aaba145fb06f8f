"""A latency table of a space, measured on this machine part by part.

A network is cut into parts as coarse as can be: the largest modules whose decisions have few combinations (a
block, a stage, a whole small network). Every form a part can take is built, run alone on inputs of the shape it
meets in the network, and timed once however often it occurs. What a module between the parts does itself (the
sum of a cell's edges) is not timed; nor is it free to run parts one after the other. Both go into the line that
is fitted from sums to the times of some whole networks; others show how good it is.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from archwright.core.decisions import DecisionSpace, Rows
from archwright.core.errors import InvalidValueError
from archwright.core.trial import derive_seed
from archwright.costs.count import count
from archwright.costs.latency import BACKENDS, REPEATS, WARMUP, Backend, measure_latency
from archwright.costs.lookup import SpaceTable, fitted
from archwright.costs.memory import tensors_in
from archwright.costs.scopes import Scope, ScopeTables, n_combinations
from archwright.nn.choice import Supernet
from archwright.nn.choice.modules import ChoiceModule, OpChoice
from archwright.nn.sizes import lazies_in
from archwright.spaces.base import Space

MAX_FORMS = 64
"""Combinations of decisions up to which a module is one part."""

N_RANKED = 64
"""Random archs among which those to measure as a whole are chosen."""

EMPTY = "empty call"
Advance = Callable[[int, int], None]


@dataclass(frozen=True)
class ProfileConfig:
    """How a space is measured.

    Attributes:
        backend: "onnxruntime" or "torch".
        threads: Inside an operation.
        warmup: Passes before the timed ones.
        repeats: Timed passes; the median counts.
        n_fitted: Whole networks that the line from sums to times is fitted to.
        n_checked: Further ones that show how good it is.
    """

    backend: Backend = "onnxruntime"
    threads: int = 1
    warmup: int = WARMUP
    repeats: int = REPEATS
    n_fitted: int = 6
    n_checked: int = 4

    def __post_init__(self) -> None:
        if self.backend not in BACKENDS:
            raise InvalidValueError(f"backend is {self.backend!r}; choose one of {', '.join(BACKENDS)}")
        least = {"threads": 1, "warmup": 0, "repeats": 1, "n_fitted": 1, "n_checked": 0}
        for name, low in least.items():
            if getattr(self, name) < low:
                raise InvalidValueError(f"{name} is {getattr(self, name)}; give at least {low}")


def profile(
    space: Space,
    config: ProfileConfig | None = None,
    *,
    seed: int = 0,
    timed: MutableMapping[str, float] | None = None,
    advance: Advance | None = None,
) -> SpaceTable:
    """Measure a latency table of a space on this machine.

    Args:
        space: The space, at the input size that will be used.
        config: How.
        seed: Of the weights and of the choice of whole networks.
        timed: Milliseconds of what was measured before, by form; new ones are added, so that a profile that was
            stopped goes on.
        advance: Told (done, total) after each measurement.

    Raises:
        InvalidValueError: If a module without children depends on too many decisions.
        RunError: If a part cannot be exported.
    """
    profiler = _Profiler(space, config or ProfileConfig(), seed, {} if timed is None else timed, advance)
    return profiler.table()


@dataclass(frozen=True)
class Part:
    """A module of the supernet that is timed on its own.

    Attributes:
        path: Of its counterpart in a stand-alone network.
        scope: Columns of all decisions it depends on.
        keys: Candidates that must be chosen for it to exist: (column, position) pairs.
    """

    path: str
    scope: Scope
    keys: tuple[tuple[int, int], ...] = ()


def parts_of(network: nn.Module, decisions: DecisionSpace, max_forms: int = MAX_FORMS) -> list[Part]:
    """The parts of a supernet: as few and as large as `max_forms` forms each allow.

    Raises:
        InvalidValueError: If a module that cannot be cut has more forms.
    """
    found: list[Part] = []

    def visit(module: nn.Module, path: str, above: frozenset[int], keys: tuple[tuple[int, int], ...]) -> None:
        names = {name for part in module.modules() for name in _decisions_of(part)}
        scope = tuple(sorted(above | {decisions.position(name) for name in names}))
        if n_combinations(decisions, scope) <= max_forms:
            found.append(Part(path, scope, keys))
            return
        children = list(module.named_children())
        if not children:
            raise InvalidValueError(
                f"{type(module).__name__} at {path or 'the top'} depends on {len(scope)} decisions with more than "
                f"{max_forms} combinations; no table of its latency can be measured"
            )
        below = above | {decisions.position(module.decision)} if isinstance(module, ChoiceModule) else above
        for name, child in children:
            if isinstance(module, OpChoice):
                key = (decisions.position(module.decision), module.keys.index(name))
                visit(child, path, below, (*keys, key))
            else:
                visit(child, f"{path}.{name}" if path else name, below, keys)

    visit(network, "", frozenset(), ())
    return found


def _decisions_of(module: nn.Module) -> frozenset[str]:
    own = frozenset({module.decision}) if isinstance(module, ChoiceModule) else frozenset()
    return own.union(*(size.decisions for size in lazies_in(module)))


@dataclass
class _Form:
    """One form of a part, ready to run on one tensor."""

    module: nn.Module
    input_shape: tuple[int, ...]


@dataclass
class _Plan:
    """What is to be timed: forms by signature, and which of them each term is the sum of.

    Attributes:
        forms: To be timed.
        known: Signatures that were met, also of forms that only pass on or reshape what they get.
        terms: Of each arch that was built, the forms of its parts by scope.
    """

    forms: dict[str, _Form] = field(default_factory=dict)
    known: set[str] = field(default_factory=set)
    terms: list[tuple[Rows, dict[Scope, list[str]]]] = field(default_factory=list)

    def add(self, signature: str, form: _Form) -> None:
        self.known.add(signature)
        if count(form.module, form.input_shape).memory_access_bytes:
            self.forms[signature] = form


class _Profiler:
    def __init__(
        self,
        space: Space,
        config: ProfileConfig,
        seed: int,
        timed: MutableMapping[str, float],
        advance: Advance | None,
    ) -> None:
        self.space, self.config, self.seed, self.timed, self.advance = space, config, seed, timed, advance
        self.decisions = space.decisions
        with torch.device("meta"):
            self.parts = parts_of(space.network(Supernet()), self.decisions)

    def table(self) -> SpaceTable:
        plan = self._plan()
        whole = min(self.config.n_fitted + self.config.n_checked, self.decisions.size())
        done, total = 0, 1 + len(plan.forms) + whole
        empty = self._time(EMPTY, _Form(nn.ReLU(), (1,)))
        for signature, form in plan.forms.items():
            done += 1
            self._tell(done, total)
            self._time(signature, form)
        tables = ScopeTables(self.decisions, [part.scope for part in self.parts], 1)
        for row, terms in plan.terms:
            sums = {s: sum(max(self.timed[one] - empty, 0.0) for one in forms) for s, forms in terms.items()}
            sums[()] += empty  # once a network, not once a part
            tables.put(row, {scope: np.array([value]) for scope, value in sums.items()})
        checked = []
        for row, is_fitted in self._whole_rows(tables):
            done += 1
            self._tell(done, total)
            checked.append((row, is_fitted, self._time(*self._whole(row))))
        self._tell(total, total)
        return self._finished(tables, checked)

    def _plan(self) -> _Plan:
        """Builds archs until every term is described."""
        plan, tables = _Plan(), ScopeTables(self.decisions, [part.scope for part in self.parts], 1)
        for row in tables.covering_rows():
            if tables.look_up(row[None])[1] is None:
                continue
            terms: dict[Scope, list[str]] = {scope: [] for scope in tables.scopes}
            terms |= self._describe(row, plan)
            plan.terms.append((row, terms))
            tables.put(row, {scope: np.zeros(1) for scope in terms})
        return plan

    def _describe(self, row: Rows, plan: _Plan) -> dict[Scope, list[str]]:
        """Signatures of the parts of one arch by scope; their forms go into the plan."""
        network = self._build(row)
        modules: dict[str, nn.Module] = dict(network.named_modules(remove_duplicate=False))
        present = [p for p in self.parts if p.path in modules and all(row[c] == k for c, k in p.keys)]
        terms: dict[Scope, list[str]] = {}
        with _calls(network, {part.path: modules[part.path] for part in present}) as calls, torch.inference_mode():
            network(torch.zeros(1, *self.space.input_shape))
        for part in present:
            for arguments in calls.get(part.path, ()):
                signature = _signature(modules[part.path], arguments)
                if signature not in plan.known:
                    plan.add(signature, _form(modules[part.path], arguments))
                if signature in plan.forms:
                    terms.setdefault(part.scope, []).append(signature)
        return terms

    def _whole_rows(self, tables: ScopeTables) -> Iterator[tuple[Rows, bool]]:
        """Archs to measure as a whole, those to be fitted to first: both spread from the fastest to the slowest."""
        rng = np.random.default_rng(derive_seed(self.seed, "whole networks"))
        rows = np.unique(self.decisions.sample(N_RANKED, rng), axis=0)
        rows = rows[np.argsort(tables.look_up(rows)[0][:, 0], kind="stable")]
        yield from ((rows[i], True) for i in _spread(len(rows), self.config.n_fitted))
        others = np.setdiff1d(np.arange(len(rows)), _spread(len(rows), self.config.n_fitted))
        yield from ((rows[others[i]], False) for i in _spread(len(others), self.config.n_checked))

    def _whole(self, row: Rows) -> tuple[str, _Form]:
        return f"network {self.space.code(self.decisions.arch(row))}", _Form(self._build(row), self.space.input_shape)

    def _build(self, row: Rows) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(self.seed, "weights"))
            return self.space.build(self.decisions.arch(row)).eval()

    def _time(self, signature: str, form: _Form) -> float:
        if signature not in self.timed:
            config = self.config
            self.timed[signature] = measure_latency(
                form.module,
                form.input_shape,
                backend=config.backend,
                threads=config.threads,
                warmup=config.warmup,
                repeats=config.repeats,
            ).median
        return self.timed[signature]

    def _tell(self, done: int, total: int) -> None:
        if self.advance is not None:
            self.advance(done, total)

    def _finished(self, tables: ScopeTables, checked: list[tuple[Rows, bool, float]]) -> SpaceTable:
        sums = [float(tables.look_up(row[None])[0][0, 0]) for row, _, _ in checked]
        fit = [(total, ms) for total, (_, is_fitted, ms) in zip(sums, checked, strict=True) if is_fitted]
        factor, intercept = fitted(*zip(*fit, strict=True))
        entries = {key: float(term[0]) for scope in tables.scopes if scope for key, term in tables.keys(scope).items()}
        records = [
            {
                "arch": self.space.code(self.decisions.arch(row)),
                "predicted": factor * total + intercept,
                "measured": ms,
                "fitted": is_fitted,
            }
            for total, (row, is_fitted, ms) in zip(sums, checked, strict=True)
        ]
        return SpaceTable(
            f"the latency table of {self.space.name}",
            entries,
            float(tables.keys(())[""][0]),
            space=self.space.name,
            space_args=json.loads(json.dumps(self.space.args())),
            decisions=self.decisions.fingerprint,
            scopes=tuple(tuple(self.decisions.names[c] for c in scope) for scope in tables.scopes if scope),
            backend=self.config.backend,
            threads=self.config.threads,
            machine=machine(),
            factor=factor,
            intercept=intercept,
            checked=tuple(records),
        )


def _spread(n: int, k: int) -> list[int]:
    """At most k of the numbers from 0 to n - 1, evenly spread, both ends among them."""
    return sorted(set(np.linspace(0, n - 1, min(n, k)).round().astype(int).tolist()))


def _form(module: nn.Module, arguments: tuple[Any, ...]) -> _Form:
    """A part as it was called, to be run on one tensor."""
    if len(arguments) == 1 and isinstance(arguments[0], Tensor):
        return _Form(module, tuple(arguments[0].shape[1:]))
    fed = _Fed(module, arguments)
    return _Form(fed, (fed.n_numbers,))


class _Fed(nn.Module):
    """A module that takes its arguments, tensors in any nesting, from one flat input (N, numbers)."""

    def __init__(self, module: nn.Module, arguments: tuple[Any, ...]) -> None:
        super().__init__()
        self.module, self.arguments = module, arguments
        self.shapes = [tuple(tensor.shape[1:]) for tensor in tensors_in(arguments)]
        self.n_numbers = sum(int(np.prod(shape)) for shape in self.shapes)

    def forward(self, x: Tensor) -> Tensor:
        pieces = torch.split(x, [int(np.prod(shape)) for shape in self.shapes], dim=1)
        fed = iter([torch.unflatten(piece, 1, shape) for piece, shape in zip(pieces, self.shapes, strict=True)])
        results = list(tensors_in(self.module(*_replaced(self.arguments, fed))))
        return results[0] if len(results) == 1 else torch.cat([result.flatten(1) for result in results], dim=1)


def _replaced(thing: Any, tensors: Iterator[Tensor]) -> Any:
    if isinstance(thing, Tensor):
        return next(tensors)
    if isinstance(thing, list | tuple):
        return type(thing)([_replaced(item, tensors) for item in thing])
    return thing


@contextmanager
def _calls(network: nn.Module, modules: dict[str, nn.Module]) -> Iterator[dict[str, list[tuple[Any, ...]]]]:
    """Arguments of each call of some modules of a network, by path."""
    found: dict[str, list[tuple[Any, ...]]] = {}
    handles = [
        module.register_forward_pre_hook(lambda _module, args, path=path: found.setdefault(path, []).append(args))
        for path, module in modules.items()
    ]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def _signature(module: nn.Module, arguments: tuple[Any, ...]) -> str:
    """A text that two modules share only if they do the same to inputs of the same shape, weights aside."""
    described = [
        (
            name,
            f"{type(part).__module__}.{type(part).__qualname__}",
            part.extra_repr(),
            sorted((key, str(value)) for key, value in vars(part).items() if _is_plain(key, value)),
            [(key, list(tensor.shape)) for key, tensor in part.state_dict().items()],
        )
        for name, part in module.named_modules()
    ]
    shapes = [list(tensor.shape) for tensor in tensors_in(arguments)]
    return hashlib.sha256(json.dumps([described, shapes]).encode()).hexdigest()


def _is_plain(key: str, value: object) -> bool:
    """Whether an attribute may say what a module does: a number, a text, a function, or several."""
    if key.startswith("_") or key == "training":
        return False
    items = value if isinstance(value, tuple | list) else (value,)
    return all(isinstance(item, bool | int | float | str) or item is None or callable(item) for item in items)


def machine() -> dict[str, Any]:
    """What latencies depend on beside the network, as far as it is known."""
    return {"platform": platform.platform(), "machine": platform.machine(), "cpu_count": os.cpu_count()}
