"""The suite that ``make demo`` runs: it shows in minutes that everything works, and what the agents learn."""

from __future__ import annotations

from agents.benchmark.experiment import Suite
from agents.benchmark.suites.dialogue_smollm2 import QUICK_TALK
from agents.benchmark.suites.movie_review import MOVIE_REVIEW

QUICK = Suite(name="quick", title="Quick look", seeds=5, experiments=(QUICK_TALK, MOVIE_REVIEW))
"""A pretrained language model in dialogues, and MovieReview, whose optimum is known exactly."""
