"""Evaluators on networks of several inputs, on a search metric of its own, and on a meter that decodes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from archwright.core.errors import InvalidValueError
from archwright.core.trial import Candidate
from archwright.evaluators import CalibrationConfig, Evaluator, FromScratch, SupernetEvaluator
from archwright.recipes.presets import small_language_training, usual_training
from archwright.spaces import Space
from archwright.tasks.base import Meter
from archwright.testing import EvaluatorContract, PictureSpace, PictureTask, ReversalTask, SequenceSpace, toy_task
from archwright.testing.spaces import ElasticSpace
from archwright.training.evaluate import evaluate
from archwright.training.networks import build_seeded

TEXT = small_language_training(steps=2, batch_size=8)


class ByLoss(ReversalTask):
    """Measured by the loss too: what `evaluate` says is what an evaluator says."""

    metric = "loss"
    direction = "min"

    def meter(self) -> Meter:  # type: ignore[override]
        return self.search_meter()


class TestFromScratchOnSequences(EvaluatorContract):
    def make_space(self) -> Space:
        return SequenceSpace()

    def make(self, space: Space) -> Evaluator:
        return FromScratch(space, ByLoss(), TEXT)


class TestSupernetOnSequences(EvaluatorContract):
    def make_space(self) -> Space:
        return SequenceSpace()

    def make(self, space: Space) -> Evaluator:
        return SupernetEvaluator(space, build_seeded(space, None, 0), ByLoss(), CalibrationConfig(1, 8), batch_size=7)


class TestSupernetOnPictures(EvaluatorContract):
    def make_space(self) -> Space:
        return PictureSpace()

    def make(self, space: Space) -> Evaluator:
        return SupernetEvaluator(space, build_seeded(space, None, 0), PictureTask(), CalibrationConfig(1, 8))


class Decoding(ReversalTask):
    """A search that is scored by decoding."""

    def search_meter(self) -> Meter:  # type: ignore[override]
        return self.meter()


@pytest.mark.parametrize("max_cached_bytes", [0, 10**9])
def test_a_meter_that_decodes_runs_the_supernet(max_cached_bytes: int) -> None:
    """Scores are those of the extracted networks, each decoded on its own."""
    space, task = SequenceSpace(), Decoding()
    supernet = build_seeded(space, None, 3)
    evaluator = SupernetEvaluator(
        space, supernet, task, CalibrationConfig(1, 8), batch_size=5, max_cached_bytes=max_cached_bytes
    )
    archs = space.decisions.archs(space.decisions.sample(3, np.random.default_rng(0)))
    found = evaluator.evaluate([Candidate(i, arch, i) for i, arch in enumerate(archs)])
    expected = [evaluate(space.extract(supernet, arch).eval(), task, "validation") for arch in archs]
    assert found == expected
    assert found[0].keys() == {"sequence_accuracy", "token_accuracy"}


def test_candidates_are_scored_by_the_search_metric() -> None:
    """Of networks trained on their own, as of a supernet; the test part stays unread."""
    space, task = SequenceSpace(), ReversalTask()
    candidate = Candidate(0, space.parse("000"), 0)
    scratch = FromScratch(space, task, TEXT)
    shared = SupernetEvaluator(space, build_seeded(space, None, 0), task, CalibrationConfig(1, 8))
    for evaluator in (scratch, shared):
        assert evaluator.evaluate([candidate])[0].keys() == {"loss", "token_accuracy"}
    assert task.n_test_reads == 0


def test_a_task_of_another_form_is_refused() -> None:
    """When the evaluator is made, in one line with both forms."""
    space = ElasticSpace()
    with pytest.raises(InvalidValueError, match=r"give 3 tensors, .* space .* takes images 3x8x8 \(float32\)"):
        SupernetEvaluator(space, space.supernet(), ReversalTask())
    with pytest.raises(InvalidValueError, match="give 3x8x8"):
        FromScratch(SequenceSpace(), toy_task(space), replace(usual_training(steps=1, batch_size=8)))
    assert torch.is_grad_enabled()
