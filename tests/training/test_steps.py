"""A step over named learners: it resumes to the bit from any step, and learners, sources and losses keep apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from archwright.core.errors import InvalidValueError, RunError, RunFolderError
from archwright.core.trial import derive_seed
from archwright.nn import LanguageModel, LSTMCell, selection_of
from archwright.nn.choice.selection import Weights
from archwright.tasks import LanguageTask
from archwright.testing import BranchSpace, toy_task
from archwright.training.checkpoint import network_tensors
from archwright.training.config import OptimizerConfig, TrainingConfig
from archwright.training.learners import Learner
from archwright.training.log import TrainingLog
from archwright.training.loop import fit
from archwright.training.losses import TaskLoss
from archwright.training.networks import build_seeded
from archwright.training.sources import Now, Source
from archwright.training.steps import Scoring, run_steps

SPACE = BranchSpace()
TASK = toy_task(SPACE)
WEIGHTS = OptimizerConfig(learning_rate=0.05, weight_decay=1e-3, clip_norm=5.0)
ALPHA = OptimizerConfig(optimizer="adam", learning_rate=0.1, betas=(0.5, 0.999), schedule="constant")
N = 6


class Alpha(nn.Module):
    """A softmax over the values of each decision."""

    def __init__(self) -> None:
        super().__init__()
        self.names = [d.name for d in SPACE.decisions]
        self.logits = nn.ParameterList(torch.zeros(len(d.values)) for d in SPACE.decisions)

    def mixture(self) -> dict[str, Weights]:
        logits = zip(SPACE.decisions, self.logits, strict=True)
        return {d.name: list(enumerate(v.softmax(0))) for d, v in logits}


class Baseline:
    """A moving average of losses and how many there were: an object with a state of its own."""

    def __init__(self) -> None:
        self.mean, self.n = torch.zeros(1), 0

    def take(self, loss: Tensor) -> None:
        self.mean, self.n = 0.9 * self.mean + 0.1 * loss.detach(), self.n + 1

    def tensors(self) -> dict[str, Tensor]:
        return {"mean": self.mean}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        self.mean = tensors["mean"].clone()

    def state(self) -> Any:
        return {"n": self.n}

    def load_state(self, state: Any) -> None:
        self.n = state["n"]


@dataclass
class Darts:
    """First-order DARTS: α from one half of the training part, weights from the other."""

    weights_config: OptimizerConfig = WEIGHTS
    alpha_every: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        self.supernet, self.alpha, self.baseline = build_seeded(SPACE, None, self.seed), Alpha(), Baseline()
        self.learners = {"weights": Learner(self.supernet, self.weights_config), "alpha": Learner(self.alpha, ALPHA)}

    def step(self, now: Now) -> dict[str, Tensor]:
        losses = {}
        if now.number % self.alpha_every == 0:
            losses["alpha"] = self._descend("alpha", "second", now)
        return losses | {"weights": self._descend("weights", "first", now)}

    def _descend(self, learner: str, source: str, now: Now) -> Tensor:
        selection_of(self.supernet).relax(self.alpha.mixture())
        loss = self.loss(now, source)
        self.learners[learner].descend(loss)
        self.baseline.take(loss)
        return loss

    def train(self, phase: Any = None, **options: Any) -> TrainingLog:
        self.loss = TaskLoss(self.supernet, TASK)
        first, second = TASK.shares("train", (0.5, 0.5), seed=1)
        return run_steps(
            self.step,
            self.learners,
            sources={"first": Source(first, 8, 1), "second": Source(second, 6, 2)},
            identity={"data": TASK.fingerprint},
            phase=phase,
            **{"n_steps": N, "seed": 0, "stateful": {"baseline": self.baseline}, **options},
        )

    def bits(self) -> dict[str, bytes]:
        tensors = {**network_tensors(self.supernet), **network_tensors(self.alpha), "mean": self.baseline.mean}
        return {name: tensor.contiguous().numpy().tobytes() for name, tensor in tensors.items()}


VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "averaged": {"weights_config": replace(WEIGHTS, ema_decay=0.7)},
    "mean": {"weights_config": replace(WEIGHTS, average_from=0.4)},
    "accumulating": {"weights_config": replace(WEIGHTS, accumulate=4)},
    "alpha now and then": {"alpha_every": 3},
}


@pytest.mark.parametrize("name", VARIANTS)
def test_killed_at_every_step_two_learners_end_with_the_same_bits(name: str, memory_phase: Any, killed: Any) -> None:
    """Killed after each step in turn, one process a step; each begins with other weights."""
    options = VARIANTS[name]
    undisturbed = Darts(**options)
    expected = undisturbed.train()
    phase = memory_phase(tuple(range(N + 1)))
    for dies_at in range(2, N + 1):
        phase.dies_at = dies_at
        with pytest.raises(killed):
            Darts(seed=0 if dies_at == 2 else dies_at, **options).train(phase)
    phase.dies_at, last = None, Darts(seed=99, **options)
    log = last.train(phase)
    assert last.bits() == undisturbed.bits()
    assert last.baseline.n == undisturbed.baseline.n > N
    assert replace(log, seconds=0.0) == replace(expected, seconds=0.0)


def test_a_finished_training_is_only_loaded(memory_phase: Any) -> None:
    """Modules, stateful objects and the log of the first time; named losses among it."""
    phase, first, second = memory_phase(), Darts(), Darts(seed=1)
    log = first.train(phase)
    again = second.train(phase)
    assert (again, second.bits(), second.baseline.n) == (log, first.bits(), 2 * N)
    assert (set(log.curves), log.curve) == ({"alpha", "weights"}, log.curves["alpha"])
    assert not second.supernet.training


def test_tensors_of_a_learner_stand_below_its_name(memory_phase: Any) -> None:
    """So that whoever opens the weights alone finds them."""
    phase = memory_phase()
    Darts().train(phase)
    assert {name.split("/")[0] for name in phase.stored[0]} == {"weights", "alpha", "stateful"}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"seed": 5}, "seed = 0, now it is 5"),
        ({"n_steps": 9}, "steps = 6, now it is 9"),
        ({"precision": "bfloat16"}, "precision = 'auto', now it is 'bfloat16'"),
    ],
)
def test_another_training_is_refused(options: dict[str, Any], expected: str, memory_phase: Any) -> None:
    """The first difference, with both values."""
    phase = memory_phase()
    Darts().train(phase)
    with pytest.raises(RunFolderError, match=expected):
        Darts().train(phase, **options)


def test_another_number_of_a_learner_is_refused(memory_phase: Any) -> None:
    """By the learner's name."""
    phase = memory_phase()
    Darts().train(phase)
    with pytest.raises(RunFolderError, match=r"learners\.weights\.momentum = 0\.9, now it is 0\.8"):
        Darts(replace(WEIGHTS, momentum=0.8)).train(phase)


def test_first_order_darts_against_plain_torch() -> None:
    """Both optimizers written out, on the same batches, in the same order."""
    ours, theirs = Darts(replace(WEIGHTS, clip_norm=None, schedule="constant", weight_decay=0.0)), Darts()
    ours.train(precision="float32")
    theirs.supernet.train()
    weights = torch.optim.SGD(theirs.supernet.parameters(), lr=0.05, momentum=0.9)
    alpha = torch.optim.Adam(theirs.alpha.parameters(), lr=0.1, betas=(0.5, 0.999))
    first, second = TASK.shares("train", (0.5, 0.5), seed=1)
    pairs = zip(second.batches(6, seed=2, n_steps=N), first.batches(8, seed=1, n_steps=N), strict=True)
    for batches in pairs:
        for optimizer, batch in zip((alpha, weights), batches, strict=True):
            weights.zero_grad()
            alpha.zero_grad()
            selection_of(theirs.supernet).relax(theirs.alpha.mixture())
            TASK.loss(theirs.supernet(batch.inputs), batch).backward()
            optimizer.step()
    for a, b in zip(ours.alpha.parameters(), theirs.alpha.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-3)


def test_a_loss_of_one_learner_leaves_no_gradient_on_another() -> None:
    """The step of α must not add to the gradient of the weights."""
    darts, seen = Darts(), []

    def step(now: Now) -> Tensor:
        loss = darts._descend("alpha", "second", now)
        seen.append(all(p.grad is None for p in darts.supernet.parameters()))
        return loss

    darts.step = step  # type: ignore[assignment, method-assign]
    before = {name: p.detach().clone() for name, p in darts.supernet.named_parameters()}
    darts.train(n_steps=2)
    assert seen == [True, True]
    assert all(torch.equal(p, before[name]) for name, p in darts.supernet.named_parameters())


def test_a_source_moves_on_only_where_it_is_asked() -> None:
    """Twice in a step it is the same batch; the batches are those of the split, one after the other."""
    split, module = TASK.split("train"), nn.Linear(1, 1)
    learner = Learner(module, ALPHA)
    read: list[Tensor] = []

    def step(now: Now) -> None:
        if now.number % 2 == 0:
            assert now.batch("data") is now.batch("data")
            read.extend([now.batch("data").targets, now.next_batch("data").targets])

    run_steps(step, {"": learner}, sources={"data": Source(split, 8, 3)}, n_steps=5, seed=0, identity={})
    expected = [batch.targets for batch in split.batches(8, seed=3, n_steps=6)]
    assert all(torch.equal(a, b) for a, b in zip(read, expected, strict=True))


# ── texts: two sources carry state on one network ─────────────────────────────────────────────────


def _language(seed: int) -> tuple[LanguageTask, LanguageModel, Learner]:
    task = LanguageTask("toy", " ".join(f"w{(i * i) % 11}" for i in range(400)), tokens=5)
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        network = LanguageModel(LSTMCell(6, 6), n_tokens=task.n_classes, n_embedding=6)
    config = OptimizerConfig(learning_rate=0.5, momentum=0.0, schedule="constant")
    return task, network, Learner(network, config)


def _train_texts(seed: int, phase: Any = None) -> dict[str, bytes]:
    task, network, learner = _language(seed)
    loss = TaskLoss(network, task)
    one, two = task.shares("train", (0.6, 0.4), seed=0)

    def step(now: Now) -> Tensor:
        learner.backward(loss(now, "one"))
        total = loss(now, "two")
        learner.descend(total)
        return total

    sources = {"one": Source(one, 4, 0), "two": Source(two, 3, 1)}
    run_steps(step, {"net": learner}, sources=sources, n_steps=7, seed=0, identity={}, phase=phase)
    return {name: tensor.numpy().tobytes() for name, tensor in network_tensors(network).items()}


def test_two_sources_carry_state_on_one_network_through_kills(memory_phase: Any, killed: Any) -> None:
    """Killed after each step in turn; what either source carries is in the checkpoint."""
    expected, phase = _train_texts(0), memory_phase(tuple(range(8)))
    for dies_at in range(2, 8):
        phase.dies_at = dies_at
        with pytest.raises(killed):
            _train_texts(0 if dies_at == 2 else dies_at, phase)
    carried = {name.rsplit("/", 1)[0] for name in phase.stored[0] if name.startswith("carried/")}
    assert {name.split("/")[1] for name in carried} == {"one", "two"}
    phase.dies_at = None
    assert _train_texts(99, phase) == expected


def test_passes_over_one_batch_begin_with_the_same_state() -> None:
    """As an unrolled step needs; the next batch goes on where the last pass ended."""
    task, network, learner = _language(0)
    states: list[list[Tensor]] = []

    def outputs(now: Now) -> Tensor:
        with now.stream("text"), torch.no_grad():
            found: Tensor = network(now.batch("text").inputs)
        return found

    def step(now: Now) -> None:
        states.append([outputs(now), outputs(now)])

    network.eval()
    source = Source(task.split("train"), 4, 0)
    run_steps(step, {"net": learner}, sources={"text": source}, n_steps=3, seed=0, identity={})
    assert all(torch.equal(*pair) for pair in states)
    batches = list(source.split.batches(4, seed=0, n_steps=3))
    whole = network(torch.cat([batch.inputs for batch in batches], dim=1))
    torch.testing.assert_close(torch.cat([pair[0] for pair in states], dim=1), whole)


# ── two networks against each other ───────────────────────────────────────────────────────────────


def _train_adversaries(seed: int, phase: Any = None) -> list[bytes]:
    """A generator with a map to a frozen teacher's features, and a discriminator, in turn; each its own Adam."""
    with torch.random.fork_rng([]):
        torch.manual_seed(7)
        teacher = nn.Linear(4, 6)
        torch.manual_seed(seed)
        generator, feature_map, discriminator = nn.Linear(4, 108), nn.Linear(108, 6), nn.Linear(108, 1)
    config = OptimizerConfig(optimizer="adam", learning_rate=0.01, betas=(0.0, 0.9))
    learners = {
        "generator": Learner({"network": generator, "map": feature_map}, config),
        "discriminator": Learner(discriminator, replace(config, learning_rate=0.02)),
    }

    def step(now: Now) -> dict[str, Tensor]:
        real = now.batch("images").inputs.flatten(1)  # type: ignore[union-attr]
        noise = torch.randn(len(real), 4)
        made = generator(noise)
        losses = {"d": (1 - discriminator(real)).relu().mean() + (1 + discriminator(made.detach())).relu().mean()}
        learners["discriminator"].descend(losses["d"])
        if now.number % 2:
            with torch.no_grad():
                told = teacher(noise)
            losses["g"] = nn.functional.mse_loss(feature_map(made), told) - discriminator(made).mean()
            learners["generator"].descend(losses["g"])
        return losses

    sources = {"images": Source(TASK.split("train"), 8, 0)}
    run_steps(step, learners, sources=sources, n_steps=7, seed=0, identity={}, phase=phase)
    networks = (generator, feature_map, discriminator)
    return [tensor.numpy().tobytes() for network in networks for tensor in network_tensors(network).values()]


def test_adversaries_end_with_the_same_bits_through_kills(memory_phase: Any, killed: Any) -> None:
    """Killed after each step in turn; a loss that only every other step gives keeps its curve."""
    expected, phase = _train_adversaries(0), memory_phase(tuple(range(8)))
    for dies_at in range(2, 8):
        phase.dies_at = dies_at
        with pytest.raises(killed):
            _train_adversaries(0 if dies_at == 2 else dies_at, phase)
    phase.dies_at = None
    assert _train_adversaries(99, phase) == expected


# ── scoring ───────────────────────────────────────────────────────────────────────────────────────


def test_scoring_changes_no_bit_and_is_recorded(
    toy: Any, two_paths: Callable[[int], Any], memory_phase: Any, killed: Any
) -> None:
    """Every 4 of 10 steps and at the end, with the averaged weights, in evaluation mode; through a kill too."""
    config = TrainingConfig(steps=10, batch_size=16, ema_decay=0.7)
    plain, scored, networks = two_paths(0), two_paths(0), []

    def scoring(network: nn.Module) -> Scoring:
        def score() -> dict[str, float]:
            networks.append({name: tensor.clone() for name, tensor in network_tensors(network).items()})
            assert not any(module.training for module in network.modules())
            return {"noise": float(torch.rand(()))}

        return Scoring(4, score)

    fit(plain, toy, config, seed=0)
    log = fit(scored, toy, config, seed=0, scoring=scoring(scored))
    bits = [[t.numpy().tobytes() for t in network_tensors(each).values()] for each in (plain, scored)]
    assert bits[0] == bits[1]
    assert [step for step, _ in log.scores] == [4, 8, 10]
    assert all(torch.equal(tensor, networks[-1][name]) for name, tensor in network_tensors(scored).items())

    phase = memory_phase((5,), 9)
    with pytest.raises(killed):
        fit(network := two_paths(0), toy, config, seed=0, scoring=scoring(network), phase=phase)
    phase.dies_at, resumed = None, two_paths(3)
    assert fit(resumed, toy, config, seed=0, scoring=scoring(resumed), phase=phase).scores == log.scores


def test_scores_have_to_be_numbers(toy: Any, two_paths: Callable[[int], Any]) -> None:
    """One line says what came instead."""
    scoring = Scoring(1, lambda: {"accuracy": "high"})  # type: ignore[dict-item]
    with pytest.raises(RunError, match=r"gave \{'accuracy': 'high'\}; give numbers by name"):
        fit(two_paths(0), toy, TrainingConfig(steps=1, batch_size=16), seed=0, scoring=scoring)


# ── fit's own hooks ───────────────────────────────────────────────────────────────────────────────


def test_accumulated_batches_are_one_large_batch(toy: Any) -> None:
    """Two batches of 8 a step move a network without batch norm as the mean of their gradients does."""
    config = TrainingConfig(steps=2, batch_size=8, accumulate=2, learning_rate=0.1, momentum=0.0, schedule="constant")
    ours = nn.Sequential(nn.Flatten(), nn.Linear(300, 3))
    theirs = nn.Sequential(nn.Flatten(), nn.Linear(300, 3))
    theirs.load_state_dict(ours.state_dict())
    seen: list[Any] = []
    losses = lambda outputs, batch: (seen.append(batch), toy.loss(outputs, batch))[1]  # noqa: E731
    fit(ours, toy, config, seed=0, loss_of=losses)
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.1)
    for one, two in (seen[:2], seen[2:]):
        optimizer.zero_grad()
        ((toy.loss(theirs(one.inputs), one) + toy.loss(theirs(two.inputs), two)) / 2).backward()
        optimizer.step()
    torch.testing.assert_close(ours[1].weight, theirs[1].weight)


def test_a_teacher_sees_the_inputs(toy: Any) -> None:
    """The loss of the first step is the distance of the outputs for the first batch."""
    teacher, student = (nn.Sequential(nn.Flatten(), nn.Linear(300, 3)) for _ in range(2))

    def loss_of(outputs: Tensor, batch: Any) -> Tensor:
        with torch.no_grad():
            told = teacher(batch.inputs)
        return nn.functional.mse_loss(outputs, told)

    (batch,) = toy.split("train").batches(32, seed=derive_seed(0, "batches"), n_steps=1)
    expected = loss_of(student(batch.inputs), batch).item()
    log = fit(student, toy, TrainingConfig(steps=1, batch_size=32), seed=0, loss_of=loss_of)
    assert log.final_loss == pytest.approx(expected, rel=1e-4)


def test_a_checkpoint_of_an_older_build_goes_on(
    toy: Any, two_paths: Callable[[int], Any], memory_phase: Any, killed: Any
) -> None:
    """One learner, one source and one loss without names, and none of the settings that were added since."""
    config = TrainingConfig(steps=9, batch_size=16, average_from=0.3)
    undisturbed, phase = two_paths(0), memory_phase((5,), 7)
    fit(undisturbed, toy, config, seed=0)
    with pytest.raises(killed):
        fit(two_paths(0), toy, config, seed=0, phase=phase)
    tensors, state = phase.restore()
    old = {key: state[key] for key in ("training", "step", "seconds")}
    old |= {"losses": state["losses"][""], "scaler": state["learners"][""]["scaler"]}
    old["training"] = {k: v for k, v in old["training"].items() if k not in ("config.eps", "config.accumulate")}
    phase.checkpoint(tensors, old)
    phase.dies_at, resumed = None, two_paths(5)
    fit(resumed, toy, config, seed=0, phase=phase)
    assert all(
        torch.equal(a, b)
        for a, b in zip(network_tensors(resumed).values(), network_tensors(undisturbed).values(), strict=True)
    )


# ── bad input ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("learners", "sources", "n_steps", "expected"),
    [
        ((), (), 1, "no learner"),
        (("a",), (), 0, "a training of 0 steps"),
        (("a b",), (), 1, "'a b' cannot name a learner"),
        (("carried",), (), 1, "'carried' cannot name a learner"),
        (("", "a"), (), 1, "'' cannot name a learner"),
        (("a",), ("x/y",), 1, "'x/y' cannot name a source"),
    ],
)
def test_what_cannot_be_trained_is_refused(
    learners: tuple[str, ...], sources: tuple[str, ...], n_steps: int, expected: str
) -> None:
    """Before anything starts."""
    with pytest.raises(InvalidValueError, match=expected):
        run_steps(
            lambda now: None,
            {name: Learner(nn.Linear(1, 1), ALPHA) for name in learners},
            sources={name: Source(TASK.split("train"), 1, 0) for name in sources},
            n_steps=n_steps,
            seed=0,
            identity={},
        )


def test_an_unknown_source_is_named() -> None:
    """With those there are."""
    learner = Learner(nn.Linear(1, 1), ALPHA)
    sources = {"train": Source(TASK.split("train"), 1, 0)}
    with pytest.raises(InvalidValueError, match="no source 'val'; its sources are 'train'"):
        run_steps(lambda now: now.batch("val").targets, {"a": learner}, sources=sources, n_steps=1, seed=0, identity={})


def test_a_scoring_every_zero_steps_is_refused() -> None:
    """It would never be due."""
    with pytest.raises(InvalidValueError, match="every 0 steps"):
        Scoring(0, dict)
