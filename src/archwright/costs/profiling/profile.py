"""Measure a latency table of a space on this machine, part by part.

A network is cut into the largest modules whose decisions have few combinations (a block, a stage, a whole small
network). Every form of a part is built, run alone on inputs of the shape it has in the network, and timed once however
often it occurs. The work of modules between the parts (the sum of a cell's edges) and the cost of running parts one
after the other are not timed. A line from sums to times, fitted to some whole networks, accounts for both; further
whole networks show how good it is.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Iterator, MutableMapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from archwright.core.config import MAX_THREADS, check_range
from archwright.core.decisions import Rows
from archwright.core.errors import InvalidValueError
from archwright.core.trial import derive_seed
from archwright.costs.counting.count import count
from archwright.costs.latency import BACKENDS, REPEATS, WARMUP, Backend, check_backend, measure_latency
from archwright.costs.profiling.parts import Runnable, calls_of, form_of, parts_of, signature_of
from archwright.costs.tables.latencies import SpaceTable, fitted
from archwright.costs.tables.scopes import Scope, ScopeTables
from archwright.nn.choice import Supernet
from archwright.nn.inputs import tensors_of
from archwright.nn.meta import on_meta
from archwright.spaces.base import Space

N_RANKED = 64
"""Number of random archs among which the whole networks to measure are chosen."""

EMPTY = "empty call"
Advance = Callable[[int, int], None]


@dataclass(frozen=True)
class ProfileConfig:
    """How a space is measured.

    Attributes:
        backend: "onnxruntime" or "torch".
        threads: Threads inside an operation.
        warmup: Passes before the timed ones.
        repeats: Timed passes; the median counts.
        n_fitted: Whole networks to which the line from sums to times is fitted.
        n_checked: Further whole networks, which show how good the line is.
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
            check_range(name, getattr(self, name), low, MAX_THREADS if name == "threads" else 1_000_000)


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
        config: How to measure; None takes the defaults.
        seed: Seed of the weights and of the choice of whole networks.
        timed: Milliseconds of forms measured before; new ones are added to it, so that an interrupted profile can go
            on.
        advance: Called with (done, total) after each measurement.

    Raises:
        InvalidValueError: If a module without children depends on too many decisions, or the backend cannot run the
            networks as they are used.
        RunError: If a part cannot be exported.
    """
    config = config or ProfileConfig()
    check_backend(space, config.backend)
    profiler = _Profiler(space, config, seed, {} if timed is None else timed, advance)
    return profiler.table()


@dataclass
class _Plan:
    """What is to be timed: forms by signature, and which of them each term is the sum of.

    Attributes:
        forms: To be timed.
        known: Signatures that were met, also of forms that only pass on or reshape what they get.
        terms: Of each arch that was built, the forms of its parts by scope.
    """

    forms: dict[str, Runnable] = field(default_factory=dict)
    known: set[str] = field(default_factory=set)
    terms: list[tuple[Rows, dict[Scope, list[str]]]] = field(default_factory=list)

    def add(self, signature: str, form: Runnable) -> None:
        self.known.add(signature)
        if count(form.module, form.form).memory_access_bytes:
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
        with on_meta():
            self.parts = parts_of(space.network(Supernet()), self.decisions)

    def table(self) -> SpaceTable:
        plan = self._plan()
        whole = min(self.config.n_fitted + self.config.n_checked, self.decisions.size())
        done, total = 0, 1 + len(plan.forms) + whole
        empty = self._time(EMPTY, Runnable(nn.ReLU(), (1,)))
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
        with calls_of(network, {part.path: modules[part.path] for part in present}) as calls, torch.inference_mode():
            inputs = self.space.signature.example(1)
            self.space.use(network, inputs)
        for part in present:
            given = calls.get(part.path, ()) if part.path else [tensors_of(inputs)]  # the whole is used as a whole
            for arguments in given:
                signature = signature_of(modules[part.path], arguments)
                if signature not in plan.known:
                    form = form_of(modules[part.path], arguments) if part.path else self._whole_form(network)
                    plan.add(signature, form)
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

    def _whole(self, row: Rows) -> tuple[str, Runnable]:
        return f"network {self.space.code(self.decisions.arch(row))}", self._whole_form(self._build(row))

    def _whole_form(self, network: nn.Module) -> Runnable:
        return Runnable(network, self.space.signature, self.space.use)

    def _build(self, row: Rows) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(self.seed, "weights"))
            return self.space.build(self.decisions.arch(row)).eval()

    def _time(self, signature: str, form: Runnable) -> float:
        if signature not in self.timed:
            config = self.config
            self.timed[signature] = measure_latency(
                form.module,
                form.form,
                backend=config.backend,
                threads=config.threads,
                warmup=config.warmup,
                repeats=config.repeats,
                use=form.use,
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


def machine() -> dict[str, Any]:
    """Facts about this machine on which latencies depend, as far as they are known."""
    return {"platform": platform.platform(), "machine": platform.machine(), "cpu_count": os.cpu_count()}
