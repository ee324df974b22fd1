"""Agents that learn language tasks from logged episodes, live ones, or both."""

from agents.agent import Agent
from agents.batch import Batch, collate
from agents.bc import BC, BCConfig
from agents.fit import FitConfig, fit
from agents.ilql import ILQL, ILQLConfig
from agents.lm import LM
from agents.model import ValueLM, ValueLMConfig  # registers the model with transformers' Auto classes
from agents.monte_carlo import MonteCarlo, MonteCarloConfig
from agents.policy import LMPolicy
from agents.sarsa import SARSA, SARSAConfig
from agents.source import Live, Logged, Mixed, Source

AGENTS: dict[str, type[Agent]] = {"bc": BC, "sarsa": SARSA, "monte_carlo": MonteCarlo, "ilql": ILQL}
"""every algorithm by its name"""

__all__ = [
    "AGENTS",
    "BC",
    "ILQL",
    "LM",
    "SARSA",
    "Agent",
    "BCConfig",
    "Batch",
    "FitConfig",
    "ILQLConfig",
    "LMPolicy",
    "Live",
    "Logged",
    "Mixed",
    "MonteCarlo",
    "MonteCarloConfig",
    "SARSAConfig",
    "Source",
    "ValueLM",
    "ValueLMConfig",
    "collate",
    "fit",
]
