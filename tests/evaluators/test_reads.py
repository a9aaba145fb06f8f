"""A network that follows the Selection in ways of its own: declared, it shares stages; silent, it is scored whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from torch import Tensor, nn

from archwright.core.errors import SpaceError, UnknownNameError
from archwright.core.trial import Candidate
from archwright.evaluators import CalibrationConfig, SupernetEvaluator
from archwright.nn.choice import Chooser, Selection, Supernet
from archwright.spaces import Space
from archwright.tasks import ImageTask

GAINS = (1, 2, 4)


class Gain(nn.Module):
    """Multiplies the first channel, and with it the logits, by a number."""

    def __init__(self, gain: Any) -> None:
        super().__init__()
        self.gain = gain

    def forward(self, x: Tensor) -> Tensor:
        gain = self.now()
        return x + (gain - 1) * x[:, :1]

    def now(self) -> Any:
        return self.gain


class Follower(Gain):
    """Takes its number from the Selection: no ChoiceModule, no lazy value."""

    def __init__(self, selection: Selection, decision: str) -> None:
        super().__init__(None)
        self.selection, self.decision = selection, decision

    def now(self) -> Any:
        return GAINS[self.selection.index[self.decision]]


class Declared(Follower):
    """Says so."""

    @property
    def decisions_read(self) -> tuple[str, ...]:
        return (self.decision,)


class InList(Follower):
    """Holds the Selection out of sight of `vars`: in a list."""

    def __init__(self, selection: Selection, decision: str) -> None:
        super().__init__(selection, decision)
        self.held: list[Any] = [{"selection": selection}]
        del self.selection

    def __getattr__(self, name: str) -> Any:
        return self.held[0]["selection"] if name == "selection" else super().__getattr__(name)


class InClosure(Gain):
    """Calls a function that knows the Selection."""

    def __init__(self, selection: Selection, decision: str) -> None:
        super().__init__(None)
        self.ask = lambda: GAINS[selection.index[decision]]

    def now(self) -> Any:
        return self.ask()


class Misdeclared(Follower):
    decisions_read = ("gian",)


class Text(Follower):
    decisions_read = "gain"


class FollowingSpace(Space):
    """Three stages: a convolution with two kernels, the gain, a classifier: 2 x 3 archs."""

    input_shape = (3, 8, 8)
    n_classes = 4
    follower: type[Any] = Follower

    def network(self, choose: Chooser) -> nn.Module:
        gain = choose.number("gain", GAINS)
        middle = self.follower(choose.selection, "gain") if isinstance(choose, Supernet) else Gain(gain)
        convs = {f"conv{k}": lambda k=k: nn.Conv2d(3, 4, k, padding=k // 2) for k in (1, 3)}
        head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, self.n_classes))
        return nn.Sequential(choose.op("conv", convs), middle, head)


def _space(follower: type[Any]) -> FollowingSpace:
    space = FollowingSpace()
    space.follower = follower
    return space


def _candidates(space: Space) -> list[Candidate]:
    return [Candidate(i, arch, i) for i, arch in enumerate(space.decisions.archs(space.decisions.enumerate_rows()))]


@pytest.mark.parametrize("follower", [Follower, InList, InClosure, Declared])
def test_a_module_that_follows_silently_is_scored_as_it_runs(
    follower: type[Any],
    supernet_of: Callable[[Space], nn.Module],
    task_for: Callable[[Space], ImageTask],
    calibration: CalibrationConfig,
    scored_plainly: Callable[..., tuple[float, float]],
) -> None:
    """Every arch has the loss of a plain loop, not that of the arch scored before it."""
    space, plain = _space(follower), _space(Follower)
    task, candidates = task_for(space), _candidates(space)
    evaluator = SupernetEvaluator(space, supernet_of(space), task, calibration)
    found = [metrics["loss"] for metrics in evaluator.evaluate(candidates)]
    expected = [scored_plainly(plain, supernet_of(plain), task, candidate.arch, 0)[1] for candidate in candidates]
    assert found == pytest.approx(expected, rel=1e-5)
    assert len(set(found)) == 6


def test_what_is_declared_is_shared(
    supernet_of: Callable[[Space], nn.Module], task_for: Callable[[Space], ImageTask], calibration: CalibrationConfig
) -> None:
    """The first stage runs once for the three gains behind it: it reads no gain."""
    n_runs = {}
    for follower in (Follower, Declared):
        space = _space(follower)
        supernet = supernet_of(space)
        evaluator = SupernetEvaluator(space, supernet, task_for(space), calibration)
        evaluator.evaluate(_candidates(space))
        counted: list[nn.Module] = []
        supernet[0].register_forward_hook(lambda module, *_, counted=counted: counted.append(module))  # type: ignore[index]
        evaluator.evaluate(_candidates(space))
        n_runs[follower] = len(counted)
    assert n_runs[Follower] == 3 * n_runs[Declared] > 0


def test_a_declared_name_must_exist(
    supernet_of: Callable[[Space], nn.Module], task_for: Callable[[Space], ImageTask]
) -> None:
    """The nearest is offered; a text is no collection."""
    space = _space(Misdeclared)
    with pytest.raises(UnknownNameError, match="unknown decision 'gian'; did you mean gain"):
        SupernetEvaluator(space, supernet_of(space), task_for(space))
    space = _space(Text)
    with pytest.raises(SpaceError, match="decisions_read of Text is 'gain'; give a collection of names"):
        SupernetEvaluator(space, supernet_of(space), task_for(space))
