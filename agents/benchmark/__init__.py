"""Experiments as plain data, a resumable runner, and one page of results."""

from agents.benchmark.experiment import Baseline, Cell, Data, ExactLearner, Experiment, Samples, Suite
from agents.benchmark.running.runner import run
from agents.benchmark.suites import SUITES

__all__ = ["SUITES", "Baseline", "Cell", "Data", "ExactLearner", "Experiment", "Samples", "Suite", "run"]
