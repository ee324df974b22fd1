"""Service desk, by a pretrained chat model.

A training seed takes, on one core: 125 + 5 x 30 steps of 8 conversations of 170 tokens and more, at 4.8 s, 22 minutes;
seven cells with 64 conversations of the report and 32 for each of two decodings (of ILQL four), at 25 s for 64, 7
minutes; opening the model seven times, 2 minutes.
"""

from __future__ import annotations

from typing import Any

from agents.benchmark.experiment import Cell, Experiment, Suite
from agents.benchmark.suites.service_desk import ABOUT as ABOUT_LOG
from agents.benchmark.suites.service_desk import ABOUT_SLIPS, AHEAD, SLIPS, VALUES, served
from agents.benchmark.suites.settings import GREEDY, Decodings
from agents.benchmark.suites.smollm2 import BASE_FIT, FIT, SMOLLM2, WAYS, zero_shot

SHORT_FIT: dict[str, Any] = {**FIT, "steps": 30}
WEIGHED: Decodings = tuple({**GREEDY[0], "advantage_weight": w, "lm_top_p": p} for w in (0, 16) for p in (1.0, 0.95))

ABOUT = (
    "SmolLM2-135M-Instruct is told the rules in its prompt. BC learned from 1,000 conversations. The other methods go "
    "on from the BC agent for 30 steps of 8 conversations. 'As it comes' is the model without any training."
)


def cell(label: str, agent: str, decodings: Decodings = WAYS, **config: Any) -> Cell:
    """A method that goes on from BC."""
    return Cell(label, agent, config, SHORT_FIT, decodings, start="BC")


CELLS = (
    zero_shot(),
    Cell("BC", "bc", fit=BASE_FIT, decodings=WAYS),
    cell("%BC, 20%", "bc", keep_top=0.2),
    cell("ILQL, τ 0.9", "ilql", WEIGHED, **VALUES, **AHEAD, tau=0.9),
    cell("AWR", "awr", **VALUES, tau=0.9, awr_temperature=0.1),
    cell("ArCHer", "archer", **VALUES, tau=0.9, awr_temperature=0.1),
    cell("Refit", "refit", shift_rewards=True),
)


def spoken() -> Experiment:
    """The suite's experiment."""
    return served(
        "smollm2",
        "A service desk, SmolLM2",
        ABOUT_LOG + ABOUT_SLIPS + ABOUT,
        CELLS,
        1_000,
        logged=SLIPS,
        episodes=64,
        selection_episodes=32,
        **SMOLLM2,
    )


SERVICE_DESK_SMOLLM2 = Suite(
    name="service-desk-smollm2", title="A service desk, by a model that can speak", seeds=3, experiments=(spoken(),)
)
