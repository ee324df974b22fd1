"""Single replies and whole conversations of MultiWOZ by a pretrained chat model.

On a core of the kind that has instructions for bfloat16, a step on 4 conversations about a restaurant (500 tokens)
takes about 8 seconds, one on 8 replies (170 tokens) about 5. A training run makes 275 of the first and 120 of the
second: 46 minutes, and evaluation.
"""

from __future__ import annotations

from typing import Any

from agents.benchmark.experiment import Cell, Data, Elsewhere, Experiment, Suite
from agents.benchmark.suites.dialogue_smollm2 import ROOM
from agents.benchmark.suites.multiwoz_goal import AGENTS, BASELINES, SERVED
from agents.benchmark.suites.settings import Decodings
from agents.benchmark.suites.smollm2 import SMOLLM2, zero_shot

BASE_FIT: dict[str, Any] = {"steps": 100, "batch_size": 4, "lr": 1e-3, "warmup_steps": 10, "final_lr": 0.1}
FIT: dict[str, Any] = {"steps": 25, "batch_size": 4, "lr": 5e-4, "warmup_steps": 5}
"""for methods that go on from the first imitator: the same number of steps for all"""
REPLY_FIT: dict[str, Any] = {**BASE_FIT, "steps": 60, "batch_size": 8}

CALM: Decodings = ({"temperature": 0.2},)
"""nearly greedy, but random enough that several conversations about one goal differ"""

LOGS = Data("multiwoz-goal", episodes=400, options={**SERVED, "agents": AGENTS})
REPLIES: dict[str, Any] = {"corpus": "multiwoz", **ROOM}
HUMAN = Data("dialogue-human", episodes=480, options=REPLIES)


def cell(label: str, start: str | None = "BC", config: dict[str, Any] | None = None, **more: Any) -> Cell:
    """Imitation of one of the two kinds of logs, by default of whole conversations."""
    settings: dict[str, Any] = {"agent": "bc", "fit": FIT, "decodings": CALM, **more}
    return Cell(label, config=config or {}, start=start, **settings)


ABOUT = (
    "SmolLM2-135M is a pretrained chat model. It reads the conversation by its chat template, and only adapters of "
    "rank 16 are trained (you bring the files). BC learned from 400 conversations with customers who want a "
    "restaurant. In two of three the agent opens well and answers no question. In the third it opens badly and serves "
    "well in the end. TF Top goes on from the BC agent with the fifth of the conversations that has the best returns. "
    "Refit weights the conversations by return. 'BC, longer' goes on as before. 'Likeness' learned from 480 replies of "
    "people instead, in dialogues that show no database. The last two agents learned from both kinds of logs, one "
    "after the other. Reported goals come from dialogues that no log holds, decoded with temperature 0.2, which is "
    "nearly greedy. The column 'likeness' is how near a single reply comes to a person's, in test dialogues of the "
    "corpus."
)

MULTIWOZ_GOAL_SMOLLM2 = Suite(
    name="multiwoz-goal-smollm2",
    title="MultiWOZ to the end by SmolLM2",
    experiments=(
        Experiment(
            name="goal-smollm2",
            title="Single replies and whole conversations, SmolLM2",
            about=ABOUT,
            data=LOGS,
            env="MultiWOZ-Goal-v0",
            env_options={**SERVED, "split": "test"},
            selection_options={**SERVED, "split": "validation"},
            cells=(
                zero_shot(CALM),
                cell("BC", None, fit=BASE_FIT),
                cell("BC, longer"),
                cell("TF Top", config={"keep_top": 0.2}),
                cell("Refit", config={"shift_rewards": True}, agent="refit"),
                cell("likeness", None, fit=REPLY_FIT, data=HUMAN),
                cell("likeness, then goal", "likeness", fit=BASE_FIT),
                cell("goal, then likeness", fit=REPLY_FIT, data=HUMAN),
            ),
            baselines=BASELINES,
            normalise=("opens well", "expert"),
            measures=("facts", "length"),
            elsewhere=(Elsewhere("likeness", "Dialogue-BERTScore-v0", {**REPLIES, "split": "test"}, ("length",)),),
            episodes=40,
            **SMOLLM2,
        ),
    ),
)
