"""Agents that learn language tasks from logged episodes, live ones, or both.

The names below are imported when they are first used, so that the command's help does not wait for torch. The first use
of any of them also registers ``ValueLM`` with transformers' Auto classes.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agents.agent import Agent
    from agents.algorithms import AGENTS
    from agents.batch import Batch, collate
    from agents.bc import BC, BCConfig
    from agents.fit import FitConfig
    from agents.ilql import ILQL, ILQLConfig
    from agents.lm import LM
    from agents.model import ValueLM, ValueLMConfig
    from agents.monte_carlo import MonteCarlo, MonteCarloConfig
    from agents.policy import LMPolicy
    from agents.sarsa import SARSA, SARSAConfig
    from agents.source import Live, Logged, Mixed, Source

_HOMES = {
    "agent": ("Agent",),
    "algorithms": ("AGENTS",),
    "batch": ("Batch", "collate"),
    "bc": ("BC", "BCConfig"),
    "fit": ("FitConfig",),  # and ``agents.fit.fit``, whose name here is the module's
    "ilql": ("ILQL", "ILQLConfig"),
    "lm": ("LM",),
    "model": ("ValueLM", "ValueLMConfig"),
    "monte_carlo": ("MonteCarlo", "MonteCarloConfig"),
    "policy": ("LMPolicy",),
    "sarsa": ("SARSA", "SARSAConfig"),
    "source": ("Live", "Logged", "Mixed", "Source"),
}

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
]


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            import_module("agents.model")
            globals()[name] = value = getattr(import_module(f"agents.{home}"), name)
            return value
    raise AttributeError(f"module 'agents' has no attribute {name!r}")
