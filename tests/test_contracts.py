"""Every registered member has a test that inherits its family's contract, and plug-ins can have one too."""

from __future__ import annotations

import importlib.util
import random
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from archwright.core import catalog
from archwright.testing import (
    CostContract,
    EvaluatorContract,
    FaultContract,
    LearnedPolicyContract,
    PolicyContract,
    SpaceContract,
    StrategyContract,
    TaskContract,
    WeightSharingContract,
)
from archwright.testing.contracts.base import Contract
from archwright.training.config import TrainingConfig

CONTRACTS: dict[catalog.Kind, type[Contract]] = {
    "space": SpaceContract,
    "strategy": StrategyContract,
    "evaluator": EvaluatorContract,
    "cost": CostContract,
    "policy": PolicyContract,
    "weight-sharing": WeightSharingContract,
    "recipe": FaultContract,
    "dataset": TaskContract,
}

RESUMABLE = (*(entry.name for entry in catalog.entries("recipe")), "train", "rank")
"""Recipes, and the commands beside `search` that can be resumed."""

PLUG_IN = """
from functools import partial

import numpy as np
from torch import nn

from archwright.costs import Cost
from archwright.nn.choice import Chooser
from archwright.spaces import Space
from archwright.strategies import Strategy


class Ladder(Space):
    input_shape, n_classes = (1, 6, 6), 3

    def network(self, choose: Chooser) -> nn.Module:
        ops = {f"conv{k}": partial(nn.Conv2d, 4, 4, k, padding=k // 2) for k in (1, 3, 5)}
        body = [choose.op(f"rung{i}", ops) for i in range(3)]
        head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, self.n_classes))
        return nn.Sequential(nn.Conv2d(self.input_shape[0], 4, 3, padding=1), *body, nn.ReLU(), head)


class Listed(Strategy):
    '''Every arch in the order of the list.'''

    def __init__(self, space, seed=0):
        super().__init__(space, n_trials=space.size(), seed=seed)
        self.rows = iter(self.decisions.enumerate_rows())

    def ask(self, n):
        found = []
        while len(found) < n and (row := next(self.rows, None)) is not None:
            if self.feasible(row[None])[0]:
                found.append(self.candidate(row, origin="list"))
        if n and not found and not self.n_asked:
            from archwright.core.errors import InfeasibleError
            raise InfeasibleError("no arch meets the limits; raise a limit")
        return found

    def tell(self, trials):
        pass


class Weights(Cost):
    name, unit = "weights_bytes", "bytes"

    def cost_module(self, module, input_shape):
        return float(sum(4 * p.numel() for p in module.parameters()))

    def cost_rows(self, space, rows):
        return np.array([self.cost_module(space.build(a), ()) for a in space.decisions.archs(rows)], dtype=np.float64)


class Forgetful(Weights):
    def cost_rows(self, space, rows):
        return super().cost_rows(space, rows) - 4
"""

PLUG_IN_TEST = """
import ladder

from archwright.testing import CostContract, SpaceContract, StrategyContract


class TestLadder(SpaceContract):
    def make(self):
        return ladder.Ladder()


class TestListed(StrategyContract):
    has_random_asks = False

    def make(self, space, seed):
        return ladder.Listed(space, seed)

    def make_space(self):
        return ladder.Ladder()


class TestWeights(CostContract):
    def make(self):
        return ladder.Weights()

    def make_space(self):
        return ladder.Ladder()


class TestForgetful(TestWeights):
    def make(self):
        return ladder.Forgetful()
"""


def _made(contract: type[Contract]) -> object:
    """The class, or for a recipe or a dataset the function, of the member that a contract's inheritor tests."""
    test: Any = contract()
    if isinstance(test, TaskContract):
        return catalog.load("dataset", test.dataset) if test.dataset else None
    if isinstance(test, FaultContract):
        return catalog.load("recipe", test.name) if test.name in catalog_names("recipe") else None
    if isinstance(test, StrategyContract):
        return type(test.make(test.make_space(), 0))
    if isinstance(test, WeightSharingContract):
        return type(test.make(TrainingConfig(steps=1)))
    return type(test.make(test.make_space()) if isinstance(test, EvaluatorContract | PolicyContract) else test.make())


def catalog_names(kind: catalog.Kind) -> set[str]:
    return {entry.name for entry in catalog.entries(kind)}


@pytest.fixture(scope="module")
def inheritors() -> list[type[Contract]]:
    """The contract classes in the files of this folder."""
    modules = []  # a class knows its subclasses only as long as something else holds them
    collected = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
    for number, path in enumerate(sorted(Path(__file__).parent.rglob("test_*.py"))):
        if str(path) in collected:
            continue
        text = path.read_text("utf-8")
        families = (*CONTRACTS.values(), LearnedPolicyContract)
        if any(f"({contract.__name__})" in text for contract in families) and path != Path(__file__):
            spec = importlib.util.spec_from_file_location(f"contracts_of_{number}", path)
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            modules.append(module)
    found = [test for contract in CONTRACTS.values() for test in contract.inheritors()]
    return [test for test in found if test.__name__.startswith("Test")]


@pytest.fixture(scope="module")
def tested(inheritors: list[type[Contract]]) -> set[object]:
    """Members that those classes make; a small form that a test derives from a member stands for it."""
    made = [_made(test) for test in inheritors]
    return {kin for member in made for kin in (getattr(member, "__mro__", None) or (member,))}


@pytest.mark.parametrize("kind", CONTRACTS)
def test_every_registered_member_has_a_contract_test(tested: set[object], kind: catalog.Kind) -> None:
    """What the catalogue names is made by a class that inherits the contract of its family."""
    members = {entry.name: catalog.load(kind, entry.name) for entry in catalog.entries(kind)}
    assert members
    missing = [name for name, member in members.items() if member not in tested]
    assert not missing, f"no test inherits {CONTRACTS[kind].__name__} for the {kind} {', '.join(missing)}"


@pytest.fixture
def plug_in_run(tmp_path: Path, run_python: Callable[..., Any]) -> subprocess.CompletedProcess[str]:
    """pytest in a process of its own, on a plug-in and its test that lie beside each other."""
    (tmp_path / "ladder.py").write_text(PLUG_IN, "utf-8")
    (tmp_path / "test_ladder.py").write_text(PLUG_IN_TEST, "utf-8")
    options = ("-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-W", "error", "--rootdir", str(tmp_path))
    done: subprocess.CompletedProcess[str] = run_python("-m", "pytest", *options, "test_ladder.py")
    return done


def test_plug_in_inherits_the_contracts(plug_in_run: subprocess.CompletedProcess[str]) -> None:
    """A package of its own with a space, a strategy and costs: every test passes but one, which says what is wrong."""
    out = plug_in_run.stdout
    assert plug_in_run.returncode == 1, out[-3000:] + plug_in_run.stderr[-500:]
    failed = re.findall(r"^FAILED (\S+)", out, re.MULTILINE)
    assert failed == ["test_ladder.py::TestForgetful::test_a_row_costs_what_its_network_costs"]
    assert "Mismatched elements" in out


def test_contracts_need_no_pytest(run_python: Callable[..., Any]) -> None:
    """Importing them does not; it is an extra of development."""
    script = "import sys, archwright.testing; print('pytest' in sys.modules)"
    assert run_python("-c", script).stdout == "False\n"


# ── faults, often ─────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def faults(inheritors: list[type[Contract]], request: pytest.FixtureRequest) -> FaultContract:
    """The contract of the command that the test is about."""
    name = request.getfixturevalue("name")
    found = [test() for test in inheritors if issubclass(test, FaultContract)]
    members = [test for test in found if test.name == name]
    assert members, f"no test inherits FaultContract for {name}"
    return members[0]


@pytest.mark.parametrize("name", RESUMABLE)
def test_every_resumable_command_has_a_contract_of_faults(faults: FaultContract, name: str) -> None:
    """Recipes, and the commands that are none."""
    assert faults.name == name


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(1, 11))
@pytest.mark.parametrize("name", RESUMABLE)
def test_fifty_random_stops(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, faults: FaultContract, name: str, seed: int
) -> None:
    """Five a seed, of each command, over all its phases."""
    faults.seed = seed
    rng = random.Random(seed)
    faults.check_stops(tmp_path, tmp_path_factory, faults.draw_stops(5, rng, tmp_path_factory))


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("state", ["early", "late", "finished"])
@pytest.mark.parametrize("name", RESUMABLE)
def test_every_file_damaged_in_every_way(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, faults: FaultContract, name: str, state: str
) -> None:
    """In a run that was killed in its first phase, in its last, and in a finished one."""
    folder, ended = faults.undisturbed(tmp_path_factory)
    if state != "finished":
        steps = [moment for moment in ended.moments if moment.event == "advance"]
        moment = steps[1] if state == "early" else faults.late(tmp_path_factory)
        folder = faults.killed(tmp_path, tmp_path_factory, moment)
    faults.check_damage(tmp_path, tmp_path_factory, folder, is_finished=state == "finished", every=True)
