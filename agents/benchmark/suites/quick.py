"""The quick look that ``make demo`` runs: shows in minutes that everything works and what it learns."""

from __future__ import annotations

from agents.benchmark.experiment import Cell, Data, Suite
from agents.benchmark.suites.movie_review import MOVIE_REVIEW
from agents.benchmark.suites.settings import weights
from agents.benchmark.suites.wordle import TRAP_FIT, TRAP_ILQL, TRAP_SARSA, trap

QUICK = Suite(
    name="quick",
    title="Quick look",
    seeds=1,
    experiments=(
        MOVIE_REVIEW,
        trap(
            "trap-quick",
            "english",
            Data("wordle-trap", episodes=50_000, options={"words": "english"}),
            (
                # SARSA has its final answer by step 400; the full benchmark trains both equally long.
                Cell("SARSA", "sarsa", TRAP_SARSA, {**TRAP_FIT, "steps": 600, "schedule_steps": 2500}, weights(4)),
                Cell("ILQL", "ilql", TRAP_ILQL, {**TRAP_FIT, "steps": 1400, "schedule_steps": 2500}, weights(4)),
            ),
            episodes=128,
            selection_episodes=64,
        ),
    ),
)
