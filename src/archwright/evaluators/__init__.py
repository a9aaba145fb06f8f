"""Candidates → metrics."""

from archwright.evaluators.base import Evaluator, Work
from archwright.evaluators.from_scratch import FromScratch
from archwright.evaluators.supernet import CalibrationConfig, SupernetEvaluator

__all__ = ["CalibrationConfig", "Evaluator", "FromScratch", "SupernetEvaluator", "Work"]
