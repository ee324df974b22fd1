"""Learning from people's verdicts on replies of Taskmaster 3 and 4 (you bring the files).

The data are those that Sidahmed et al. 2024 (PERL, arXiv:2403.10704) published. Nobody can ask the same people about
new replies. Three measures replace their verdicts: a model of the verdicts that no agent learns from, the likeness to
replies that people approved of, and off-policy estimates.
"""

from __future__ import annotations

from typing import Any

from agents.benchmark.experiment import Baseline, Cell, Data, Experiment, Suite
from agents.benchmark.suites.settings import ONE_TOKEN, SLOW_HEADS, VALUES, ranked, weights

BASE_FIT: dict[str, Any] = {"steps": 600, "batch_size": 32, "lr": 2e-3, "warmup_steps": 50, "final_lr": 0.1}
ILQL_VALUES = {**VALUES, **ONE_TOKEN, "tau": 0.7}
FIT: dict[str, Any] = {"steps": 150, "batch_size": 32, "lr": 5e-4, "warmup_steps": 20}
VALUE_WEIGHTS = weights(0, 1, 4, 16)
FEEDBACK: dict[str, Any] = {"corpus": "taskmaster-feedback", "max_response_tokens": 96}
BASELINES = (
    Baseline("random tokens", "random_tokens"),
    Baseline("any approved reply", "random_reply"),
    Baseline("approved", "human"),
)
RANKED = Cell("MC ranks Base", "monte_carlo", decodings=ranked("q"), start="MC", trained=False, candidates_from="Base")

HUMAN_FEEDBACK = Suite(
    name="human-feedback",
    title="People's verdicts on replies",
    seeds=5,
    experiments=(
        Experiment(
            name="taskmaster",
            title="Replies that people approved of, Taskmaster 3 and 4",
            about=(
                "The logs hold 1,324 replies, each with a verdict. Base learned from all of them; the other methods go "
                "on from Base. The return is the likeness (chrF) to a reply that people approved of in the same "
                "context, in dialogues that no agent has seen. 'Approval' is what a model of the verdicts predicts; "
                "this model learned from other dialogues. The table also shows the model's own area under the ROC "
                "curve on the reported dialogues. Weighted, doubly robust and fitted Q are off-policy estimates of the "
                "share of approved replies. Decodings are chosen in the dialogues that the model of the verdicts "
                "learned from."
            ),
            data=Data("taskmaster-feedback", episodes=1_324, options=FEEDBACK),
            held_out=Data("taskmaster-feedback", episodes=176, options={**FEEDBACK, "split": "test"}),
            env="Dialogue-chrF-v0",
            env_options={**FEEDBACK, "split": "test"},
            selection_options={**FEEDBACK, "split": "validation"},
            cells=(
                Cell("Base", "bc", fit=BASE_FIT),
                Cell("SFT, all", "bc", fit=FIT, start="Base"),
                Cell("SFT, approved", "bc", {"keep_above": 1.0}, FIT, start="Base"),
                Cell("DT", "decision_transformer", {"edges": (0.5,)}, FIT, start="Base"),
                Cell("Refit", "refit", fit=FIT, start="Base"),
                Cell("MC", "monte_carlo", VALUES, {**FIT, **SLOW_HEADS}, VALUE_WEIGHTS, start="Base"),
                Cell("ILQL", "ilql", ILQL_VALUES, {**FIT, **SLOW_HEADS}, VALUE_WEIGHTS, start="Base"),
                RANKED,
            ),
            baselines=BASELINES,
            normalise=("random tokens", "approved"),
            reference="Base",
            measures=("approval", "off_policy", "similarity", "diversity", "length", "divergence"),
            episodes=61,  # each context once
            selection_episodes=64,
        ),
    ),
)
