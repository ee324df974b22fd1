"""Agents that learn language tasks from logged episodes, live ones, or both.

The names below are imported when they are first used, so that the command's help does not wait for torch. The first use
of any of them also registers ``ValueLM`` with transformers' Auto classes.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agents.agent import Agent
    from agents.algorithms import AGENTS
    from agents.archer import ArCHer, ArCHerConfig
    from agents.awr import AWR, AWRConfig
    from agents.bc import BC, BCConfig
    from agents.cql import CQL, CQLConfig
    from agents.data.batch import Batch, collate
    from agents.data.source import Live, Logged, Mixed, Source
    from agents.decision_transformer import DecisionTransformer, DecisionTransformerConfig
    from agents.decoding.policy import LMPolicy
    from agents.decoding.rank import Ranked, oracle_best_of_k
    from agents.dpo import DPO, DPOConfig
    from agents.evaluation.explain import explain
    from agents.grpo import GRPO, GRPOConfig
    from agents.ilql import ILQL, ILQLConfig
    from agents.kto import KTO, KTOConfig
    from agents.models.lm import LM
    from agents.models.lora import LoRAConfig
    from agents.models.value_lm import ValueLM, ValueLMConfig
    from agents.monte_carlo import MonteCarlo, MonteCarloConfig
    from agents.oreo import OREO, OREOConfig
    from agents.ppo import PPO, PPOConfig
    from agents.psi import Psi, PsiConfig
    from agents.q_sft import QSFT, QSFTConfig
    from agents.refit import Refit, RefitConfig, Swift, SwiftConfig
    from agents.sarsa import SARSA, SARSAConfig
    from agents.training.fit import fit
    from agents.training.fit_config import FitConfig
    from agents.utterance_ilql import UtteranceILQL, UtteranceILQLConfig

_HOMES = {
    "agent": ("Agent",),
    "algorithms": ("AGENTS",),
    "archer": ("ArCHer", "ArCHerConfig"),
    "awr": ("AWR", "AWRConfig"),
    "bc": ("BC", "BCConfig"),
    "cql": ("CQL", "CQLConfig"),
    "data.batch": ("Batch", "collate"),
    "data.source": ("Live", "Logged", "Mixed", "Source"),
    "decision_transformer": ("DecisionTransformer", "DecisionTransformerConfig"),
    "decoding.policy": ("LMPolicy",),
    "decoding.rank": ("Ranked", "oracle_best_of_k"),
    "dpo": ("DPO", "DPOConfig"),
    "evaluation.explain": ("explain",),
    "grpo": ("GRPO", "GRPOConfig"),
    "ilql": ("ILQL", "ILQLConfig"),
    "kto": ("KTO", "KTOConfig"),
    "models.lm": ("LM",),
    "models.lora": ("LoRAConfig",),
    "models.value_lm": ("ValueLM", "ValueLMConfig"),
    "monte_carlo": ("MonteCarlo", "MonteCarloConfig"),
    "oreo": ("OREO", "OREOConfig"),
    "ppo": ("PPO", "PPOConfig"),
    "psi": ("Psi", "PsiConfig"),
    "q_sft": ("QSFT", "QSFTConfig"),
    "refit": ("Refit", "RefitConfig", "Swift", "SwiftConfig"),
    "sarsa": ("SARSA", "SARSAConfig"),
    "training.fit": ("fit",),
    "training.fit_config": ("FitConfig",),
    "utterance_ilql": ("UtteranceILQL", "UtteranceILQLConfig"),
}

__all__ = [
    "AGENTS",
    "AWR",
    "BC",
    "CQL",
    "DPO",
    "GRPO",
    "ILQL",
    "KTO",
    "LM",
    "OREO",
    "PPO",
    "QSFT",
    "SARSA",
    "AWRConfig",
    "Agent",
    "ArCHer",
    "ArCHerConfig",
    "BCConfig",
    "Batch",
    "CQLConfig",
    "DPOConfig",
    "DecisionTransformer",
    "DecisionTransformerConfig",
    "FitConfig",
    "GRPOConfig",
    "ILQLConfig",
    "KTOConfig",
    "LMPolicy",
    "Live",
    "LoRAConfig",
    "Logged",
    "Mixed",
    "MonteCarlo",
    "MonteCarloConfig",
    "OREOConfig",
    "PPOConfig",
    "Psi",
    "PsiConfig",
    "QSFTConfig",
    "Ranked",
    "Refit",
    "RefitConfig",
    "SARSAConfig",
    "Source",
    "Swift",
    "SwiftConfig",
    "UtteranceILQL",
    "UtteranceILQLConfig",
    "ValueLM",
    "ValueLMConfig",
    "collate",
    "explain",
    "fit",
    "oracle_best_of_k",
]


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            import_module("agents.models.value_lm")
            globals()[name] = value = getattr(import_module(f"agents.{home}"), name)
            return value
    raise AttributeError(f"module 'agents' has no attribute {name!r}")
