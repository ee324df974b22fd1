"""Questions about an unseen image: section 6 of Snell et al. 2023 (arXiv:2206.11871) on the built-in scenes."""

from __future__ import annotations

from typing import Any

from agents.benchmark.experiment import Baseline, Cell, Data, Elsewhere, Experiment, Suite
from agents.benchmark.suites.settings import GREEDY, Decodings, weights

BASE_FIT: dict[str, Any] = {"steps": 1500, "batch_size": 32, "lr": 3e-3, "warmup_steps": 100, "final_lr": 0.1}
FIT: dict[str, Any] = {"steps": 400, "batch_size": 32, "lr": 1e-3, "warmup_steps": 20}
VALUES = {"gamma": 0.99, "cql_weight": 0.01, "bc_weight": 1.0, "target_rate": 0.05, "num_q": 1, "zero_init": True}
WEIGHTS = weights(4, 8, 16, clip=None)

REWARDS = {
    "standard": "VisualDialogue-v0",
    "y/n": "VisualDialogue-YesNo-v0",
    "conservative": "VisualDialogue-ConservativeYesNo-v0",
}
SAMPLED_CANDIDATES: Decodings = ({"candidates": 4}, {"candidates": 8})


def methods(scale: float) -> tuple[Cell, ...]:
    """Every method; values begin at ``-scale``, about what a dialogue of the logs returns."""
    values = {**VALUES, "bias_init": -scale}
    return (
        Cell("BC", "bc", fit=BASE_FIT),
        Cell("BC, longer", "bc", fit=FIT, start="BC"),
        Cell("%BC", "bc", {"keep_top": 0.2}, FIT, start="BC"),
        Cell("DT", "decision_transformer", {"bins": 8}, FIT, start="BC"),
        Cell("SARSA", "sarsa", values, FIT, WEIGHTS, start="BC"),
        Cell("Monte Carlo", "monte_carlo", values, FIT, WEIGHTS, start="BC"),
        Cell("ILQL", "ilql", {**values, "tau": 0.7}, FIT, WEIGHTS, start="BC"),
        Cell("AWR", "awr", {**values, "tau": 0.7}, FIT, GREEDY, start="BC"),
        Cell("CQL", "cql", {**values, "cql_weight": 1.0}, FIT, WEIGHTS, start="BC"),
        # its values are in nats, and 1 is the weight they are made for
        Cell("psi", "psi", {**PSI, "bias_init": -scale / PSI["kl_weight"]}, FIT, weights(1, clip=None), start="BC"),
        Cell(
            "utterance ILQL",
            "utterance_ilql",
            {**UTTERANCES, "tau": 0.7, "bias_init": -scale},
            FIT,
            SAMPLED_CANDIDATES,
            start="BC",
        ),
    )


PSI = {"gamma": 0.99, "bc_weight": 1.0, "target_rate": 0.05, "num_q": 1, "zero_init": True, "kl_weight": 0.25}
UTTERANCES = {"gamma": 0.99, "target_rate": 0.05, "num_q": 1, "zero_init": True}

ABOUT = (
    "Questions about an image that the agent does not see, until a guesser has found it. The logs hold questioners of "
    "different habits, most of them asking for yes or no, which two of the three rewards make dear. Scenes of the "
    "report are in no log. Every method goes on from BC for the same number of steps."
)


def questions(label: str, cells: tuple[Cell, ...], name: str = "", elsewhere: bool = True) -> Experiment:
    """Dialogues under one of the three rewards."""
    env = REWARDS[label]
    others = tuple(Elsewhere(x, id, {"split": "test"}) for x, id in REWARDS.items() if x != label and elsewhere)
    return Experiment(
        name=name or label.replace("/", ""),
        title=f"Visual dialogue, {label} reward",
        about=ABOUT,
        data=Data("visual-dialogue", episodes=20_000, options={"env_id": env}),
        env=env,
        env_options={"split": "test"},
        selection_options={"split": "val"},
        cells=cells,
        baselines=(
            Baseline("random tokens", "random_tokens"),
            Baseline("random questions", "random_questions"),
            Baseline("yes or no", "yes_no"),
            Baseline("informative", "informative"),
        ),
        normalise=("random tokens", "informative"),
        reference="BC",
        measures=("facts", "diversity", "length", "divergence"),
        elsewhere=others,
        episodes=512,
        selection_episodes=128,
    )


VISUAL_DIALOGUE = Suite(
    name="visual-dialogue",
    title="Visual dialogue",
    seeds=5,
    experiments=(
        questions("standard", methods(5.0)),
        questions("y/n", methods(9.0)),
        questions("conservative", methods(15.0)),
    ),
)
