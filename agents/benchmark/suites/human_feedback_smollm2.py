"""Learning from people's verdicts on replies, by a pretrained model (you bring Taskmaster 3 and 4).

The comparison of ``human_feedback``, without its off-policy estimates: fitted Q trains every weight of the model, which
would take half an hour for each cell.

A training seed takes, on one core: 125 + 5 x 60 steps of 8 replies with contexts of 166 tokens in all, at 4.8 s, 34
minutes; eight cells with 64 replies for each of one to six decodings and 61 of the report for each that is shown, at
25 s (as it comes 30 s) for 64, five times that for what is chosen by rank, 20 minutes.
"""

from __future__ import annotations

from typing import Any

from agents.benchmark.experiment import Cell, Data, Experiment, Suite
from agents.benchmark.suites.human_feedback import BASELINES, FEEDBACK, RANKED
from agents.benchmark.suites.settings import LEARNED
from agents.benchmark.suites.smollm2 import BASE_FIT, FIT, SMOLLM2, WAYS, WEIGHED, zero_shot

VALUES: dict[str, Any] = {**LEARNED, "gamma": 1.0}

ABOUT = (
    "The logs hold 1,324 replies, each with a verdict (you bring the files). Base learned from all of them; the other "
    "methods go on from Base for the same number of steps. 'As it comes' is the model without any training. The return "
    "is the likeness (chrF) to a reply that people approved of in the same context, in dialogues that no agent has "
    "seen. 'Approval' is what a model of the verdicts predicts; this model learned from other dialogues. The table "
    "also shows the model's own area under the ROC curve on the reported dialogues. Decodings are chosen in the "
    "dialogues that the model of the verdicts learned from."
)

HUMAN_FEEDBACK_SMOLLM2 = Suite(
    name="human-feedback-smollm2",
    title="People's verdicts on replies, by a model that can speak",
    experiments=(
        Experiment(
            name="taskmaster",
            title="Replies that people approved of, SmolLM2 on Taskmaster 3 and 4",
            about=ABOUT,
            data=Data("taskmaster-feedback", episodes=1_324, options=FEEDBACK),
            env="Dialogue-chrF-v0",
            env_options={**FEEDBACK, "split": "test"},
            selection_options={**FEEDBACK, "split": "validation"},
            cells=(
                zero_shot(),
                Cell("Base", "bc", fit=BASE_FIT, decodings=WAYS),
                Cell("SFT, all", "bc", fit=FIT, decodings=WAYS, start="Base"),
                Cell("SFT, approved", "bc", {"keep_above": 1.0}, FIT, WAYS, start="Base"),
                Cell("Refit", "refit", fit=FIT, decodings=WAYS, start="Base"),
                Cell("MC", "monte_carlo", VALUES, FIT, WEIGHED, start="Base"),
                Cell("ILQL", "ilql", {**VALUES, "tau": 0.7}, FIT, WEIGHED, start="Base"),
                RANKED,
            ),
            baselines=BASELINES,
            normalise=("random tokens", "approved"),
            measures=("approval", "similarity", "diversity", "length", "divergence"),
            episodes=61,  # each context once
            selection_episodes=64,
            **SMOLLM2,
        ),
    ),
)
