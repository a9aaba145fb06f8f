"""What is timed for a latency table, and how the table adds it up.

A network is cut into the largest modules whose decisions have few combinations (a block, a stage, a whole small
network). Every form of a part is timed once however often it occurs, alone and on inputs of the shape it has in the
network. The work of modules between the parts (the sum of a cell's edges) and the cost of running parts one after the
other are not timed. A line from sums to times, fitted to some whole networks, accounts for both; further whole networks
show how good it is. All of these are chosen before anything is timed, so that another machine can do the timing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from archwright.core.decisions import DecisionSpace, Rows
from archwright.core.trial import derive_seed
from archwright.costs.counting.count import count
from archwright.costs.profiling.parts import Part, Runnable, calls_of, form_of, parts_of, signature_of
from archwright.costs.tables.latencies import SpaceTable, plain_args
from archwright.costs.tables.scopes import Scope, ScopeTables, entry_key
from archwright.nn.choice import Supernet
from archwright.nn.inputs import tensors_of
from archwright.spaces.base import Space

N_RANKED = 64
"""Number of random archs among which the whole networks to measure are chosen."""

EMPTY = "empty call"
MAX_SLOPE = 4.0


@dataclass(frozen=True)
class Plan:
    """How a latency table is the sum of what is timed, which it knows by name: `EMPTY`, forms, whole networks.

    Attributes:
        scopes: Columns of the decisions that each term depends on.
        terms: Names of the forms whose times add up to a term, by its key (see `entry_key`); under "" those of every
            network.
        networks: Codes of the networks that are timed as a whole; true for those to which the line is fitted.
    """

    scopes: tuple[Scope, ...]
    terms: Mapping[str, Sequence[str]]
    networks: Mapping[str, bool]

    @property
    def names(self) -> list[str]:
        """Of everything that is timed, each once."""
        forms = dict.fromkeys(name for term in self.terms.values() for name in term)
        return [EMPTY, *forms, *map(network_name, self.networks)]

    def sums(self, decisions: DecisionSpace, value: Callable[[str], float]) -> ScopeTables:
        """Tables with each term as the sum of a value of its forms."""
        tables = ScopeTables(decisions, self.scopes, 1)
        for scope in tables.scopes:
            for key, term in tables.keys(scope).items():
                term[:] = sum(map(value, self.terms[key]))
        return tables

    def table(
        self, space: Space, ms: Mapping[str, float], *, backend: str, threads: int, machine: Mapping[str, Any]
    ) -> SpaceTable:
        """The table of a space, from times.

        Args:
            space: The space that the plan is of.
            ms: Milliseconds of everything that is timed, by name.
            backend: What ran it.
            threads: Inside an operation.
            machine: Facts about where it ran.
        """
        decisions, empty = space.decisions, ms[EMPTY]
        tables = self.sums(decisions, lambda name: max(ms[name] - empty, 0.0))
        for term in tables.keys(()).values():
            term += empty  # once a network, not once a part
        draft = SpaceTable(
            f"the latency table of {space.name}",
            {key: float(term[0]) for scope in tables.scopes if scope for key, term in tables.keys(scope).items()},
            float(tables.keys(())[""][0]),
            space=space.name,
            space_args=plain_args(space),
            decisions=decisions.fingerprint,
            scopes=tuple(tuple(decisions.names[c] for c in scope) for scope in tables.scopes if scope),
            backend=backend,
            threads=threads,
            machine=machine,
        )
        rows = np.stack([space.row(space.parse(code)) for code in self.networks])
        return self._with_line(draft, tables.look_up(rows)[0][:, 0].tolist(), ms)

    def _with_line(self, draft: SpaceTable, sums: Sequence[float], ms: Mapping[str, float]) -> SpaceTable:
        measured = [ms[network_name(code)] for code in self.networks]
        used = [i for i, is_fitted in enumerate(self.networks.values()) if is_fitted]
        factor, intercept = fitted([sums[i] for i in used], [measured[i] for i in used])
        checked = [
            {"arch": code, "predicted": factor * total + intercept, "measured": one, "fitted": is_fitted}
            for (code, is_fitted), total, one in zip(self.networks.items(), sums, measured, strict=True)
        ]
        return replace(draft, factor=factor, intercept=intercept, checked=tuple(checked))


def network_name(code: str) -> str:
    """Name of a network that is timed as a whole."""
    return f"network {code}"


class Planned:
    """A space's plan with all that is to be timed, by name: the empty call, every form, the whole networks.

    These are among 64 random archs, spread from the fewest to the most multiply–accumulates of their parts.

    Args:
        space: The space, at the input size that will be used.
        seed: Seed of the weights and of the choice of whole networks.
        n_fitted: Whole networks to which the line is fitted.
        n_checked: Further whole networks.

    Raises:
        InvalidValueError: If a module without children depends on too many decisions.
    """

    def __init__(self, space: Space, *, seed: int, n_fitted: int, n_checked: int) -> None:
        self._space, self._seed = space, seed
        self._parts = space_parts(space)
        self._macs: dict[str, int] = {}
        self._forms: dict[str, Runnable] = {}
        terms = Plan(scopes_of(self._parts), self._terms(), {})
        self.plan = replace(terms, networks=self._networks(terms, n_fitted, n_checked))
        used = set(terms.names)
        self._forms = {name: form for name, form in self._forms.items() if name in used}

    def __len__(self) -> int:
        return 1 + len(self._forms) + len(self.plan.networks)

    def __iter__(self) -> Iterator[tuple[str, Runnable]]:
        yield EMPTY, Runnable(nn.ReLU(), (1,))
        yield from self._forms.items()
        for code in self.plan.networks:  # built one by one: together they may be large
            yield network_name(code), self._whole(self._build(self._space.row(self._space.parse(code))))

    def _terms(self) -> dict[str, Sequence[str]]:
        """Builds archs until each term is known as a sum of forms."""
        decisions = self._space.decisions
        tables = ScopeTables(decisions, scopes_of(self._parts), 1)
        found: dict[str, Sequence[str]] = {}
        for row in tables.covering_rows():
            if tables.look_up(row[None])[1] is None:
                continue
            terms: dict[Scope, list[str]] = {scope: [] for scope in tables.scopes}
            terms |= self._describe(row)
            tables.put(row, {scope: np.zeros(1) for scope in terms})
            found |= {entry_key(decisions, s, row[list(s)].tolist()): forms for s, forms in terms.items()}
        return {key: found[key] for scope in tables.scopes for key in tables.keys(scope)}

    def _describe(self, row: Rows) -> dict[Scope, list[str]]:
        """Names of the forms of one arch by scope; those that are new are kept."""
        network = self._build(row)
        modules: dict[str, nn.Module] = dict(network.named_modules(remove_duplicate=False))
        present = [p for p in self._parts if p.path in modules and all(row[c] == k for c, k in p.keys)]
        terms: dict[Scope, list[str]] = {}
        with calls_of(network, {part.path: modules[part.path] for part in present}) as calls, torch.inference_mode():
            inputs = self._space.signature.example(1)
            self._space.use(network, inputs)
        for part in present:
            given = calls.get(part.path, ()) if part.path else [tensors_of(inputs)]  # the whole is used as a whole
            for arguments in given:
                name = signature_of(modules[part.path], arguments)
                if name not in self._macs:
                    self._add(name, form_of(modules[part.path], arguments) if part.path else self._whole(network))
                if name in self._forms:
                    terms.setdefault(part.scope, []).append(name)
        return terms

    def _add(self, name: str, form: Runnable) -> None:
        counted = count(form.module, form.form)
        self._macs[name] = counted.macs
        if counted.memory_access_bytes:  # others only pass on or reshape what they get
            self._forms[name] = form

    def _networks(self, terms: Plan, n_fitted: int, n_checked: int) -> dict[str, bool]:
        """Codes of the archs to time as a whole, those to be fitted to first: both spread from small to large."""
        decisions = self._space.decisions
        rng = np.random.default_rng(derive_seed(self._seed, "whole networks"))
        rows = np.unique(decisions.sample(N_RANKED, rng), axis=0)
        macs = terms.sums(decisions, self._macs.__getitem__).look_up(rows)[0][:, 0]
        codes = [self._space.code(arch) for arch in decisions.archs(rows[np.argsort(macs, kind="stable")])]
        used = _spread(len(codes), n_fitted)
        others = np.setdiff1d(np.arange(len(codes)), used)
        checked = [others[i] for i in _spread(len(others), n_checked)]
        return {codes[i]: True for i in used} | {codes[i]: False for i in checked}

    def _whole(self, network: nn.Module) -> Runnable:
        return Runnable(network, self._space.signature, self._space.use)

    def _build(self, row: Rows) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(self._seed, "weights"))
            return self._space.build(self._space.decisions.arch(row)).eval()


def space_parts(space: Space) -> list[Part]:
    """The parts into which the networks of a space are cut.

    Raises:
        InvalidValueError: If a module without children depends on too many decisions.
    """
    with space.shapes_only():
        return parts_of(space.network(Supernet()), space.decisions)


def scopes_of(parts: Sequence[Part]) -> tuple[Scope, ...]:
    """The scopes of some parts, each once, in order."""
    return tuple(sorted({part.scope for part in parts}))


def fitted(predicted: Sequence[float], measured: Sequence[float]) -> tuple[float, float]:
    """Factor and intercept of the least-squares line from predicted to measured.

    If there are fewer than three points, or the slope is implausible (noise among networks of about equal speed), the
    factor is the ratio of the sums and the intercept 0.
    """
    if len(predicted) >= 3 and np.ptp(predicted) > 0:
        factor, intercept = np.polyfit(predicted, measured, 1)
        if 1 / MAX_SLOPE <= factor <= MAX_SLOPE:
            return float(factor), float(intercept)
    total = float(np.sum(predicted))
    return (float(np.sum(measured)) / total if total > 0 else 1.0), 0.0


def _spread(n: int, k: int) -> list[int]:
    """At most k of the numbers from 0 to n - 1, evenly spread, both ends among them."""
    return sorted(set(np.linspace(0, n - 1, min(n, k)).round().astype(int).tolist()))
