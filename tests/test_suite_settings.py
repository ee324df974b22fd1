"""Committed results can be reproduced: their suites set every setting and do not rely on defaults.

This holds for the suites whose results stay. The others use the agents' defaults for values.
"""

import json
from pathlib import Path
from typing import get_type_hints

import pytest

from agents import AGENTS
from agents.benchmark import SUITES
from agents.benchmark.running.protocols import imitates
from agents.benchmark.running.units import units
from agents.benchmark.suite_file import suite_of_plain
from agents.benchmark.suites.settings import IMITATION, LEARNED, perturbed

DECIDED = ("target_rate", "zero_init", "bias_init", "value_unit", "backup", "cql_weight", "trunk_gradient")
BEFORE = {"target_rate": 0.005, "zero_init": False, "bias_init": 0.0, "value_unit": 1.0, "backup": "token"} | {
    "trunk_gradient": 1.0
}
CONSERVATIVE = {"cql": 1.0, "psi": 0.0}
"""the defaults when the results were made; other agents' weight of the conservative term was 0.01"""
STAYING = ("trap", "trap-paper", "dialogue", "dialogue-small", "human-feedback")
OWN = ("wordle", "maze", "service-desk", "service-desk-smollm2")
"""suites with settings of their own, on logs that the defaults learn little from"""
COMMITTED = sorted(Path(__file__).parents[1].glob("docs/results/*/config.json"))


@pytest.mark.parametrize("name", [*STAYING, *COMMITTED], ids=lambda name: getattr(name, "parent", Path(str(name))).name)
def test_suites_learn_values_as_they_did_for_their_results(name):
    suite = SUITES[name] if isinstance(name, str) else suite_of_plain(json.loads(name.read_text()))
    for experiment in suite.experiments:
        for cell in experiment.cells:
            if not cell.trained or not AGENTS[cell.agent].needs_values:
                continue
            config = get_type_hints(AGENTS[cell.agent])["config"](**cell.config)
            before = BEFORE | {"cql_weight": CONSERVATIVE.get(cell.agent, 0.01)}
            for setting in (setting for setting in DECIDED if hasattr(config, setting)):
                expected = cell.config.get(setting, before[setting])
                assert getattr(config, setting) == expected, (experiment.name, cell.label, setting)
                assert cell.fit.get("head_lr") == 1.0, (experiment.name, cell.label)


@pytest.mark.parametrize("name", sorted({*SUITES} - {*STAYING, *OWN}))
def test_suites_that_learn_values_anew_leave_them_to_the_defaults(name):
    for experiment in SUITES[name].experiments:
        for cell in experiment.cells:
            own = {"cql": {"cql_weight"}}.get(cell.agent, set()) | {*LEARNED}
            own |= {"backup"} if "TD(" in cell.label else set()  # it stands beside one with the default
            assert not {*cell.config} & {*DECIDED} - own, (experiment.name, cell.label)


@pytest.mark.parametrize("name", sorted({*SUITES} - {*STAYING}))
def test_values_are_used_and_left_out(name):
    speaking = ("sarsa", "monte_carlo", "ilql", "cql", "psi", "q_sft", "utterance_ilql")  # by their values
    for experiment in SUITES[name].experiments:
        for cell in (cell for cell in experiment.cells if cell.agent in speaking):
            assert not all(imitates(way) for way in cell.decodings), (experiment.name, cell.label)
            if not all("rank" in way for way in cell.decodings):
                assert any(imitates(way) for way in cell.decodings), (experiment.name, cell.label)


def test_imitation_and_values_are_chosen_among_the_same_ways_to_speak():
    grid = perturbed(2, 8, top_p=(0.9,), clip=0.0)
    assert len(grid) == len(IMITATION) + 2 * 2
    alone = [{k.removeprefix("lm_"): x for k, x in d.items() if k != "advantage_weight"} for d in grid[:6]]
    assert alone == [*IMITATION] and all(imitates(d) for d in grid[:6])
    assert [*grid[6:]] == [
        {"advantage_weight": 2, "advantage_clip": 0.0, "greedy": True, "lm_top_p": 0.9},
        {"advantage_weight": 2, "advantage_clip": 0.0, "lm_top_p": 0.9},
        {"advantage_weight": 8, "advantage_clip": 0.0, "greedy": True, "lm_top_p": 0.9},
        {"advantage_weight": 8, "advantage_clip": 0.0, "lm_top_p": 0.9},
    ]


def test_pieces_that_much_work_waits_for_come_first():
    names = [unit.name for unit in units(SUITES["quick"], Path("run"))]
    assert names[:3] == ["smollm2/as it comes/0", "smollm2/after BC/0", "smollm2/after Refit/0"]
    assert names[3].startswith("movie-review/")
