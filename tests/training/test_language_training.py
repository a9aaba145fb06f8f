"""Training along a text: state goes from batch to batch, through a kill, and begins anew with each pass."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from archwright.core.trial import Candidate, derive_seed
from archwright.evaluators.from_scratch import FromScratch
from archwright.evaluators.supernet import SupernetEvaluator
from archwright.nn import LanguageModel, LSTMCell, Regularization, selection_of
from archwright.tasks import LanguageTask
from archwright.tasks.base import Batch
from archwright.testing.language import RnnTiny
from archwright.training.checkpoint import network_tensors
from archwright.training.config import TrainingConfig
from archwright.training.evaluate import evaluate
from archwright.training.loop import fit
from archwright.training.networks import build_seeded

CONFIG = TrainingConfig(steps=9, batch_size=6, learning_rate=0.5, momentum=0.0, schedule="constant", clip_norm=1.0)
NOISE = Regularization(0.1, 0.1, 0.1, 0.2, 1e-3, 1e-3)


@pytest.fixture(scope="module")
def task() -> LanguageTask:
    """Four steps of 6 streams a pass."""
    words = " ".join(f"w{(i * i) % 11}" for i in range(170))
    found = LanguageTask("toy", words, tokens=5)
    assert found.split("train").steps_per_epoch(CONFIG.batch_size) == 4
    return found


def model(task: LanguageTask, seed: int = 0, noise: Regularization | None = NOISE) -> LanguageModel:
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        cells = [LSTMCell(6, 7, weight_drop=0.2 if noise else 0.0), LSTMCell(7, 6)]
        options = {} if noise is None else {"regularization": noise}
        return LanguageModel(cells, n_tokens=task.n_classes, n_embedding=6, **options)  # type: ignore[arg-type]


def bits(network: nn.Module) -> dict[str, bytes]:
    return {name: tensor.contiguous().numpy().tobytes() for name, tensor in network_tensors(network).items()}


@pytest.mark.parametrize("change", [{}, {"average_from": 0.5}, {"optimizer": "adam", "learning_rate": 0.01}])
@pytest.mark.parametrize(("saved_at", "dies_at"), [(1, 2), (4, 5), (6, 8)])
def test_interrupted_training_ends_with_the_same_bits(
    task: LanguageTask, memory_phase: Any, killed: Any, change: dict[str, Any], saved_at: int, dies_at: int
) -> None:
    """In the middle of a pass and at its end, with every kind of noise; state carried on included."""
    config, undisturbed = replace(CONFIG, **change), model(task)
    fit(undisturbed, task, config, seed=3)
    phase, network = memory_phase((saved_at,), dies_at), model(task)
    with pytest.raises(killed):
        fit(network, task, config, seed=3, phase=phase)
    assert any(name.startswith("carried/") for name in phase.stored[0])
    phase.dies_at, resumed = None, model(task, seed=99)
    fit(resumed, task, config, seed=3, phase=phase)
    assert bits(resumed) == bits(undisturbed)


def test_training_against_plain_torch(task: LanguageTask) -> None:
    """Truncated back-propagation, carried state, clipping and both penalties, written out with torch.nn.LSTM."""
    factors = Regularization(activation_l2=2.0, slowness_l2=1.0)
    network = model(task, noise=factors)
    network.layers[0].cell.weight_drop = 0.0
    plain = nn.ModuleDict({"embedding": nn.Embedding(task.n_classes, 6), "decoder": nn.Linear(6, task.n_classes)})
    plain["one"], plain["two"] = nn.LSTM(6, 7, batch_first=True), nn.LSTM(7, 6, batch_first=True)
    plain["embedding"].load_state_dict(network.embedding.state_dict())
    plain["decoder"].load_state_dict(network.decoder.state_dict())
    for name, layer in zip(("one", "two"), network.layers, strict=True):
        weights = {"weight_ih_l0": layer.cell.input.weight, "bias_ih_l0": layer.cell.input.bias}
        weights |= {"weight_hh_l0": layer.cell.hidden.weight, "bias_hh_l0": layer.cell.hidden.bias}
        plain[name].load_state_dict(weights)
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.5)
    states: list[Any] = [None, None]
    batches = task.split("train").batches(6, seed=derive_seed(3, "batches"), n_steps=9)
    for step, batch in enumerate(batches):
        if step % 4 == 0:
            states = [None, None]
        x = plain["embedding"](batch.inputs)
        for i, name in enumerate(("one", "two")):
            x, states[i] = plain[name](x, states[i])
        states = [tuple(part.detach() for part in state) for state in states]
        loss = task.loss(plain["decoder"](x), batch) + 2 * x.pow(2).mean() + x.diff(dim=1).pow(2).mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(plain.parameters(), 1.0)
        optimizer.step()
    fit(network, task, CONFIG, seed=3)
    assert torch.allclose(network.embedding.weight, plain["embedding"].weight, atol=1e-5)
    assert torch.allclose(network.layers[1].cell.hidden.weight, plain["two"].weight_hh_l0, atol=1e-5)


def test_scoring_carries_state(task: LanguageTask) -> None:
    """Windows of 5 score as the ten streams in one piece do."""
    network = model(task, noise=None).eval()
    batches = list(task.split("test").ordered(1))
    inputs, targets = (torch.cat(parts, dim=1) for parts in zip(*batches, strict=True))
    meter = task.meter()
    with torch.no_grad():
        meter.update(network(inputs), Batch(inputs, targets))
    assert evaluate(network, task, "test") == pytest.approx(meter.result(), rel=1e-5)


def test_a_supernet_scores_as_the_extracted_network(task: LanguageTask) -> None:
    """State of one candidate does not leak into the next."""
    space = RnnTiny(input_shape=task.input_shape, n_classes=task.n_classes)
    supernet = build_seeded(space, None, 0)
    evaluator = SupernetEvaluator(space, supernet, task)
    archs = space.decisions.archs(space.decisions.enumerate_rows())
    scores = evaluator.evaluate([Candidate(i, arch, 0) for i, arch in enumerate(archs)])
    for arch, score in zip(archs, scores, strict=True):
        network = space.extract(supernet, arch)
        assert score == pytest.approx(evaluate(network, task, "validation"), rel=1e-5)


@pytest.mark.parametrize("max_bytes", [0, 10_000])
def test_memory_for_batches_changes_no_score(task: LanguageTask, max_bytes: int) -> None:
    """Neither shared stages nor kept batches."""
    space = RnnTiny(input_shape=task.input_shape, n_classes=task.n_classes)
    supernet = build_seeded(space, None, 0)
    candidates = [
        Candidate(i, arch, 0) for i, arch in enumerate(space.decisions.archs(space.decisions.enumerate_rows()))
    ]
    expected = SupernetEvaluator(space, supernet, task).evaluate(candidates)
    assert SupernetEvaluator(space, supernet, task, max_cached_bytes=max_bytes).evaluate(candidates) == expected


def test_a_supernet_of_cells_is_trained_path_by_path(task: LanguageTask) -> None:
    """Paths take turns; one that sat out begins anew, and no path's weights move while it does."""
    space = RnnTiny(input_shape=task.input_shape, n_classes=task.n_classes)
    supernet = build_seeded(space, None, 0)
    selection, archs = selection_of(supernet), space.decisions.archs(space.decisions.enumerate_rows())
    kept = archs[0]["cell"]
    used = [arch for arch in archs if arch["cell"] == kept]
    before = bits(supernet)
    fit(supernet, task, CONFIG, seed=0, before_step=lambda step: selection.activate(used[step % len(used)]))
    moved = {name for name, value in bits(supernet).items() if value != before[name]}
    other = {"lstm": ".gru.", "gru": ".lstm."}[str(kept)]
    assert moved
    assert not any(other in name for name in moved)


def test_a_text_with_a_pattern_is_learned() -> None:
    """Eleven words in a fixed order: far below an even guess among the twelve."""
    task = LanguageTask("toy", " ".join(f"w{i % 11}" for i in range(600)), tokens=5)
    torch.manual_seed(0)
    network = LanguageModel(LSTMCell(8, 16), n_tokens=task.n_classes, n_embedding=8)
    config = TrainingConfig(steps=150, batch_size=8, optimizer="adam", learning_rate=0.05)
    fit(network, task, config, seed=0)
    assert evaluate(network, task, "validation")["perplexity"] < 2


def test_candidates_are_ranked_by_perplexity(task: LanguageTask) -> None:
    """What `FromScratch` gives holds the task's metric."""
    space = RnnTiny(input_shape=task.input_shape, n_classes=task.n_classes)
    evaluator = FromScratch(space, task, replace(CONFIG, steps=2))
    (metrics,) = evaluator.evaluate([Candidate(0, space.parse("00"), 0)])
    assert metrics["perplexity"] == pytest.approx(math.exp(metrics["loss"]))


def test_a_penalty_that_breaks_stops_the_training(task: LanguageTask) -> None:
    """Before it reaches the weights."""

    class Broken(LanguageModel):
        def added_loss(self, loss_of: object) -> Tensor | None:
            return torch.tensor(torch.inf)

    network = Broken(LSTMCell(6, 6), n_tokens=task.n_classes, n_embedding=6)
    before = bits(network)
    with pytest.raises(RuntimeError, match="training loss is inf at step 0"):
        fit(network, task, CONFIG, seed=0)
    assert bits(network) == before
