"""Every algorithm by its name: what the command line and the benchmark choose from."""

from __future__ import annotations

from agents.agent import Agent
from agents.archer import ArCHer
from agents.awr import AWR
from agents.bc import BC
from agents.cql import CQL
from agents.decision_transformer import DecisionTransformer
from agents.dpo import DPO
from agents.ilql import ILQL
from agents.monte_carlo import MonteCarlo
from agents.oreo import OREO
from agents.ppo import PPO
from agents.psi import Psi
from agents.refit import Refit, Swift
from agents.sarsa import SARSA
from agents.utterance_ilql import UtteranceILQL
from lang_envs.plugins import find

AGENTS: dict[str, type[Agent]] = {
    "bc": BC,
    "sarsa": SARSA,
    "monte_carlo": MonteCarlo,
    "ilql": ILQL,
    "awr": AWR,
    "cql": CQL,
    "psi": Psi,
    "utterance_ilql": UtteranceILQL,
    "archer": ArCHer,
    "oreo": OREO,
    "decision_transformer": DecisionTransformer,
    "refit": Refit,
    "swift": Swift,
    "dpo": DPO,
    "ppo": PPO,
}


def agent_class(name: str) -> type[Agent]:
    """The algorithm of that name: one of ``AGENTS``, or of an installed package, or at "module:Class".

    Raises:
        ValueError: there is none.
    """
    return find("agents", name, AGENTS, "agent", lambda found: isinstance(found, type) and issubclass(found, Agent))
