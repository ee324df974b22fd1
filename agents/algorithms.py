"""All algorithms by name, for the command line and the benchmark."""

from __future__ import annotations

from collections import UserDict
from importlib import import_module
from typing import Any


class Algorithms(UserDict[str, Any]):
    """A dictionary from names to classes. A class given as "module:Class" is imported when it is first looked up."""

    def __init__(self, places: dict[str, Any]) -> None:
        super().__init__(places)
        self.places = {name: place for name, place in places.items() if isinstance(place, str)}

    def __getitem__(self, name: str) -> Any:
        if isinstance(found := self.data[name], str):
            module, _, attribute = found.partition(":")
            self.data[name] = getattr(import_module(module), attribute)
        return self.data[name]


AGENTS = Algorithms(
    {
        "bc": "agents.bc:BC",
        "sarsa": "agents.sarsa:SARSA",
        "monte_carlo": "agents.monte_carlo:MonteCarlo",
        "ilql": "agents.ilql:ILQL",
        "awr": "agents.awr:AWR",
        "cql": "agents.cql:CQL",
        "psi": "agents.psi:Psi",
        "utterance_ilql": "agents.utterance_ilql:UtteranceILQL",
        "archer": "agents.archer:ArCHer",
        "oreo": "agents.oreo:OREO",
        "decision_transformer": "agents.decision_transformer:DecisionTransformer",
        "refit": "agents.refit:Refit",
        "swift": "agents.refit:Swift",
        "dpo": "agents.dpo:DPO",
        "kto": "agents.kto:KTO",
        "grpo": "agents.grpo:GRPO",
        "q_sft": "agents.q_sft:QSFT",
        "ppo": "agents.ppo:PPO",
    }
)
