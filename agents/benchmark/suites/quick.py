"""The quick look that ``make demo`` runs: shows in minutes that everything works and what it learns."""

from __future__ import annotations

from agents.benchmark.experiment import Suite
from agents.benchmark.suites.movie_review import MOVIE_REVIEW

QUICK = Suite(name="quick", title="Quick look", seeds=5, experiments=(MOVIE_REVIEW,))
