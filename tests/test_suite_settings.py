"""Committed results can be made again: no setting that a default decides is left to it."""

import json
from pathlib import Path
from typing import get_type_hints

import pytest

from agents import AGENTS
from agents.benchmark import SUITES, Suite

DECIDED = ("target_rate", "zero_init", "bias_init", "value_unit", "backup", "cql_weight")
BEFORE = {"target_rate": 0.005, "zero_init": False, "bias_init": 0.0, "value_unit": 1.0, "backup": "token"}
CONSERVATIVE = {"cql": 1.0, "psi": 0.0}
"""the defaults when the results were made; other agents' weight of the conservative term was 0.01"""
COMMITTED = sorted(Path(__file__).parents[1].glob("docs/results/*/config.json"))


@pytest.mark.parametrize("name", [*SUITES, *COMMITTED], ids=lambda name: getattr(name, "parent", Path(str(name))).name)
def test_suites_learn_values_as_they_did_for_their_results(name):
    suite = SUITES[name] if isinstance(name, str) else Suite.from_plain(json.loads(name.read_text()))
    for experiment in suite.experiments:
        for cell in experiment.cells:
            if not cell.trained or not AGENTS[cell.agent].needs_values:
                continue
            config = get_type_hints(AGENTS[cell.agent])["config"](**cell.config)
            before = BEFORE | {"cql_weight": CONSERVATIVE.get(cell.agent, 0.01)}
            for setting in (setting for setting in DECIDED if hasattr(config, setting)):
                expected = cell.config.get(setting, before[setting])
                assert getattr(config, setting) == expected, (experiment.name, cell.label, setting)
