"""Every algorithm by its name: what the command line and the benchmark choose from."""

from __future__ import annotations

from agents.agent import Agent
from agents.bc import BC
from agents.ilql import ILQL
from agents.monte_carlo import MonteCarlo
from agents.sarsa import SARSA

AGENTS: dict[str, type[Agent]] = {"bc": BC, "sarsa": SARSA, "monte_carlo": MonteCarlo, "ilql": ILQL}
