"""Profiling a space: how it is cut, and that terms add up. Times are invented, so that sums are exact."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from archwright.core.errors import InvalidValueError
from archwright.costs import LookupTable, OnnxLatency, ProfileConfig, SpaceTable, profile
from archwright.costs.counting.count import count
from archwright.costs.profiling.parts import parts_of, signature_of
from archwright.nn.choice import Chooser, Supernet
from archwright.spaces import LeNet, Space, SposSpace
from archwright.testing import ElasticSpace, LooseEndsSpace, MBConvSpace, NumberSpace, StagesSpace

TORCH = ProfileConfig("torch", warmup=0, repeats=1, n_fitted=3, n_checked=2)
EMPTY_MS = 0.25


class Stage(StagesSpace):
    """One elastic stage of 2 to 4 blocks."""

    n_stages = 1


def _parts(space: Space, max_forms: int = 64) -> dict[str, list[str]]:
    with torch.device("meta"):
        parts = parts_of(space.network(Supernet()), space.decisions, max_forms)
    return {part.path: [space.decisions.names[c] for c in part.scope] for part in parts}


def test_a_chain_is_cut_into_its_blocks() -> None:
    """Stem and head are fixed parts; a block is one part with its own decision."""
    blocks = {f"block{i}": [f"block{i}"] for i in range(10)}
    assert _parts(SposSpace(input_shape=(1, 8, 8), n_classes=10)) == {"stem": [], **blocks, "head": []}


def test_a_small_space_is_one_part() -> None:
    """Eight networks are measured as they are."""
    assert _parts(NumberSpace()) == {"": ["width", "kernel"]}


def test_a_module_that_cannot_be_cut_is_named() -> None:
    """A convolution whose sizes have eight combinations, where twice three are allowed."""
    with pytest.raises(InvalidValueError, match=r"ElasticConv2d at .* depends on 2 decisions with more than 6"):
        _parts(NumberSpace(), 3)


def test_what_a_cut_does_not_make_smaller_stays_whole() -> None:
    """A LeNet's second convolution with its ReLU and pooling: 81 forms, as many as the convolution alone has."""
    parts = _parts(LeNet())
    assert parts["conv2"] == ["conv1.channels", "conv1.kernel", "conv2.channels", "conv2.kernel"]
    assert parts["hidden1"] == ["conv1.kernel", "conv2.channels", "conv2.kernel", "hidden1"]
    assert list(parts) == ["conv1", "conv2", "flatten", "hidden1", "hidden2", "classifier"]


def test_blocks_of_a_repeated_stage_depend_on_its_depth() -> None:
    """And on what is in them."""
    parts = _parts(MBConvSpace())
    assert parts["1.2"] == ["width", "depth", "block2.kernel", "block2.expand"]


@pytest.mark.parametrize(
    "space",
    [NumberSpace(), ElasticSpace(), LooseEndsSpace(), Stage(), SposSpace(input_shape=(1, 8, 8), n_classes=10)],
    ids=lambda space: type(space).__name__,
)
def test_parts_add_up(space: Space, by_macs: list[str]) -> None:
    """By a clock that counts, the table gives each network's time, the empty call once."""
    table = profile(space, TORCH)
    rows = space.decisions.sample(10, np.random.default_rng(3))
    expected = [
        EMPTY_MS + count(space.build(arch), space.input_shape).macs / 1e6 for arch in space.decisions.archs(rows)
    ]
    np.testing.assert_allclose(table.cost_rows(space, rows), expected, rtol=1e-6)
    for one in table.checked:
        assert one["predicted"] == pytest.approx(one["measured"])


def test_equal_parts_are_timed_once(by_macs: list[str]) -> None:
    """Four blocks of the same nine forms, a stem, a head, an empty call and five networks."""
    profile(Stage(), TORCH)
    assert len(by_macs) == 9 + 2 + 1 + 5


def test_a_stopped_profile_goes_on(by_macs: list[str]) -> None:
    """What was timed is not timed again; the table is the same; progress tells each measurement."""
    space, timed, told = Stage(), {}, []
    first = profile(space, TORCH, timed=timed, advance=lambda done, total: told.append((done, total)))
    assert told == [(i, 17) for i in [*range(1, 17), 17]]
    n = len(by_macs)
    for key in list(timed)[-3:]:
        del timed[key]
    assert profile(space, TORCH, timed=timed).to_json() == first.to_json()
    assert len(by_macs) == n + 3


class Pair(Space):
    """Two archs."""

    input_shape, n_classes = (1, 4, 4), 2

    def network(self, choose: Chooser) -> nn.Module:
        body = choose.op("body", {"plain": nn.Identity, "relu": nn.ReLU})
        return nn.Sequential(body, nn.Flatten(), nn.Linear(16, 2))


class Halves(Space):
    """A node of two inputs between a chooser of 70 forms and the head; and a part that only reshapes."""

    input_shape, n_classes = (2, 4, 4), 2

    def network(self, choose: Chooser) -> nn.Module:
        ops = {f"conv{i}": lambda: nn.Conv2d(2, 2, 3, padding=1) for i in range(9)}
        node = choose.inputs("node", 2, 2, lambda j: choose.op(f"edge{j}", ops))
        return _Halves(node, choose.op("last", {"plain": nn.Identity, "relu": nn.ReLU}))


class _Scaled(nn.Module):
    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor, self.fn = factor, lambda x: x + 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.factor * self.fn(x)


class _Halves(nn.Module):
    def __init__(self, node: nn.Module, last: nn.Module) -> None:
        super().__init__()
        self.node, self.last, self.flat, self.linear = node, last, nn.Flatten(), nn.Linear(32, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.linear(self.flat(self.last(self.node([x, -x]))))
        return result


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        (nn.Conv2d(2, 4, 3), nn.Conv2d(2, 4, 3), True),
        (nn.Conv2d(2, 4, 3), nn.Conv2d(2, 4, 3, stride=2), False),
        (nn.Sequential(nn.ReLU()), nn.Sequential(nn.SiLU()), False),
        (_Scaled(2), _Scaled(2), True),
        (_Scaled(2), _Scaled(3), False),
    ],
)
def test_forms_are_told_apart(one: nn.Module, other: nn.Module, is_same: bool) -> None:
    """By structure and by the plain attributes that a module does not print; weights do not matter."""
    x = (torch.zeros(1, 2, 4, 4),)
    assert (signature_of(one, x) == signature_of(other, x)) is is_same
    assert signature_of(one, x) != signature_of(one, (torch.zeros(1, 2, 5, 5),))


def test_edges_are_parts_and_what_moves_nothing_is_free(by_macs: list[str]) -> None:
    """Nine alike convolutions are one form for both edges; Identity and Flatten are not timed."""
    table = profile(Halves(), TORCH)
    assert sorted(by_macs)[:1] == ["Conv2d"]
    assert by_macs.count("Conv2d") == 1
    assert table.entries["last=plain"] == 0
    assert table.entries["node=0+1,edge0=conv3"] == pytest.approx(2 * 2 * 9 * 16 / 1e6)


def test_a_file_gives_the_table_again(by_macs: list[str], tmp_path: Path) -> None:
    """Every figure; the document has the documented keys."""
    space = Stage()
    table = profile(space, TORCH)
    table.save(tmp_path / "table.json")
    again = LookupTable.open(tmp_path / "table.json")
    assert isinstance(again, SpaceTable)
    assert again.to_json() == table.to_json() == json.loads((tmp_path / "table.json").read_text())
    rows = space.decisions.sample(10, np.random.default_rng(0))
    assert again.cost_rows(space, rows).tolist() == table.cost_rows(space, rows).tolist()
    keys = {"format", "space", "space_args", "decisions", "unit", "backend", "threads", "machine", "base", "entries"}
    assert table.to_json().keys() >= keys


def test_expected_latency_is_the_mean(by_macs: list[str]) -> None:
    """Of all archs of a space without conditions, each decision uniform."""
    space = Halves()
    table = OnnxLatency(profile(space, ProfileConfig(warmup=0, repeats=1, n_fitted=3, n_checked=0)))
    uniform = {d.name: torch.full((len(d.values),), 1 / len(d.values)) for d in space.decisions}
    mean = table.cost_rows(space, space.decisions.enumerate_rows()).mean()
    assert table.expected(space, uniform).item() == pytest.approx(mean)


def test_a_table_of_another_space_is_refused(by_macs: list[str]) -> None:
    """Other decisions, or another input: one line with the command that measures the right one."""
    table = profile(NumberSpace(), TORCH)
    with pytest.raises(InvalidValueError, match=r"NumberSpace' with other decisions than .*Stage' has; measure"):
        table.cost_rows(Stage(), np.zeros((1, 9), np.int16))
    with pytest.raises(InvalidValueError, match=r"input_shape \[3, 6, 6\] instead of \[3, 9, 9\].*--input 3x9x9"):
        table.check_fits(NumberSpace(input_shape=(3, 9, 9)))


def test_a_missing_entry_is_named(by_macs: list[str]) -> None:
    """Where an arch needs it, and only there."""
    space = SposSpace(input_shape=(1, 8, 8), n_classes=10)
    document = profile(space, TORCH).to_json()
    del document["entries"]["block3=shuffle5"]
    table = SpaceTable.from_json(document, "t.json")
    rows = np.zeros((2, 10), np.int16)
    assert table.cost_rows(space, rows[:1]).shape == (1,)
    rows[1, 3] = 1
    with pytest.raises(InvalidValueError, match=r"t\.json has no entry 'block3=shuffle5'"):
        table.cost_rows(space, rows)


@pytest.mark.parametrize(
    "damage",
    [
        {"entries": {"a": -1.0}},
        {"entries": {"a": "fast"}},
        {"entries": None},
        {"base": None},
        {"factor": float("nan")},
        {"scopes": 3},
        {"format": 7},
    ],
    ids=str,
)
def test_a_damaged_file_is_refused(damage: dict[str, Any]) -> None:
    """One line that names it."""
    document = {**SpaceTable("t", {"a": 1.0}).to_json(), **damage}
    with pytest.raises(InvalidValueError, match=r"t\.json") as caught:
        SpaceTable.from_json(document, "t.json")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"backend": "tvm"}, "backend is 'tvm'"), ({"repeats": 0}, "repeats is 0"), ({"n_fitted": 0}, "n_fitted is 0")],
)
def test_numbers_out_of_range(change: dict[str, Any], message: str) -> None:
    """Refused where the config is made."""
    with pytest.raises(InvalidValueError, match=message):
        ProfileConfig(**change)


def test_really_measured() -> None:
    """Both backends on a tiny space, no clock of ours: predictions are positive and finite."""
    space = Pair()
    rows = space.decisions.enumerate_rows()
    small = ProfileConfig(warmup=1, repeats=2, n_fitted=1, n_checked=0)
    for config in (TORCH, small):
        found = profile(space, config).cost_rows(space, rows)
        assert np.isfinite(found).all()
        assert found.max() > 0


def test_an_unsteady_part_is_timed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to twice, and the steadiest reading counts; the table says how steady the parts were."""
    from archwright.costs.latency import Latency
    from archwright.costs.profiling import profile as profiling

    space, readings = StagesSpace(), list[int]()

    def measured(network: nn.Module, *_: Any, **__: Any) -> Latency:
        readings.append(id(network))
        k = readings.count(id(network))
        # of the first part: 0.5, 0.3, 0.4; all others are steady at once
        spread = {1: 0.5, 2: 0.3, 3: 0.4}[k] if network is first[0] else 0.1
        return Latency(float(k), float(k), 1, 1, "torch", spread)

    first: list[nn.Module] = []
    monkeypatch.setattr(profiling, "measure_latency", lambda n, *a, **k: (first.append(n), measured(n, *a, **k))[1])
    timed, spreads = dict[str, float](), dict[str, float]()
    table = profile(space, TORCH, timed=timed, spreads=spreads)
    name = next(iter(timed))
    assert readings.count(id(first[0])) == 3
    assert (timed[name], spreads[name]) == (2.0, 0.3)
    assert table.machine is not None
    assert table.machine["spread"] == {"median": 0.1, "most": 0.3, "part": name}


def test_the_spread_is_that_of_the_quartiles() -> None:
    """(30 - 10) / 20 of 0, 10, 20, 30, 40."""
    from archwright.costs.latency import _latency

    assert _latency(np.array([0.0, 10, 20, 30, 40]), 1, "torch").spread == pytest.approx(1.0)
