"""Questions about an unseen image: section 6 of Snell et al. 2023 (arXiv:2206.11871) on the built-in scenes."""

from __future__ import annotations

import dataclasses
from typing import Any

from agents.benchmark.experiment import Baseline, Cell, Data, Elsewhere, Experiment, Suite
from agents.benchmark.suites.settings import GREEDY, ONE_TOKEN, SAMPLED, VALUES, Decodings, greedily, weights

BASE_FIT: dict[str, Any] = {"steps": 1500, "batch_size": 32, "lr": 3e-3, "warmup_steps": 100, "final_lr": 0.1}
FIT: dict[str, Any] = {"steps": 400, "batch_size": 32, "lr": 1e-3, "warmup_steps": 20}
DISCOUNTED = {**VALUES, "gamma": 0.99, "cql_weight": 0.01}

REWARDS = {
    "standard": "VisualDialogue-v0",
    "y/n": "VisualDialogue-YesNo-v0",
    "conservative": "VisualDialogue-ConservativeYesNo-v0",
}

# The likeliest question is often the one just asked, which those who draw theirs are spared: each may do either.
EITHER: Decodings = (*SAMPLED, *GREEDY)
DRAWN_WEIGHTS = weights(4, 8, 16, 32, clip=None, greedy=False)
WEIGHTS: Decodings = (*DRAWN_WEIGHTS, *greedily(DRAWN_WEIGHTS))
DRAWN_TARGETS: Decodings = (*SAMPLED, *({"target": target} for target in (-2.0, -4.0, -8.0)))
TARGETS: Decodings = (*DRAWN_TARGETS, *greedily(DRAWN_TARGETS))
CANDIDATES: Decodings = ({"candidates": 4}, {"candidates": 8})
PSI_WEIGHTS: Decodings = (*weights(1, clip=None, greedy=False), *weights(1, clip=None))  # 1 is what they are made for
PSI = {
    "gamma": 0.99,
    "bc_weight": 1.0,
    "target_rate": 0.05,
    "num_q": 1,
    "zero_init": True,
    "bias_init": 0.0,
    "value_unit": 1.0,
}
UTTERANCES = {"gamma": 0.99, "target_rate": 0.05, "num_q": 1, "zero_init": True, "bias_init": 0.0, "value_unit": 1.0}

BASE = Cell("BC", "bc", fit=BASE_FIT, decodings=EITHER)
SAME_BASE = Cell("BC", "bc", decodings=EITHER, start="standard/BC", trained=False)  # it sees no rewards
LONGER = Cell("BC, longer", "bc", fit=FIT, decodings=EITHER, start="BC")


def likeliest(label: str, agent: str, decodings: Decodings = GREEDY) -> Cell:
    """The agent of the cell ``label`` as the paper decodes its own: always the likeliest token."""
    return Cell(f"{label}, likeliest", agent, decodings=decodings, start=label, trained=False)


AS_THE_PAPER = (
    likeliest("BC", "bc"),
    likeliest("%BC, 20%", "bc"),
    likeliest("ILQL, returns first", "ilql", greedily(DRAWN_WEIGHTS)),
)


def grid(scale: float) -> dict[str, list[Cell]]:
    """The settings of every method, first the one that all rewards are learned with.

    The others are those of the paper's ablation as far as they fit: its beta is chosen by decoding, AWR's is one over a
    temperature, psi's c a price in units of reward. Values begin at ``-scale``, about what a dialogue of the logs
    returns.
    """
    values = {**DISCOUNTED, "bias_init": -scale}

    def cell(label: str, agent: str, config: dict[str, Any], decodings: Decodings = EITHER) -> Cell:
        return Cell(label, agent, config, FIT, decodings, start="BC")

    def psi(c: float) -> dict[str, Any]:
        return {**PSI, "kl_weight": c, "bias_init": -scale / c}  # its values are in nats

    utterance = {**UTTERANCES, "bias_init": -scale}
    return {
        "%BC": [cell(f"%BC, {x:.0%}", "bc", {"keep_top": x}) for x in (0.2, 0.1, 0.3)],
        "DT": [cell(f"DT, {n} bins", "decision_transformer", {"bins": n}, TARGETS) for n in (8, 4)],
        "SARSA": [cell("SARSA", "sarsa", {**values, **ONE_TOKEN}, WEIGHTS)],
        "Monte Carlo": [cell("Monte Carlo", "monte_carlo", values, WEIGHTS)],
        "ILQL": [cell(f"ILQL, τ {tau}", "ilql", {**values, "tau": tau}, WEIGHTS) for tau in (0.7, 0.8, 0.9)],
        "ILQL, returns first": [
            cell("ILQL, returns first", "ilql", {**values, "tau": 0.7, "monte_carlo_steps": 250}, WEIGHTS)
        ],
        "AWR": [cell(f"AWR, β {b}", "awr", {**values, "awr_temperature": 1 / b}) for b in (4, 8, 16)],
        "CQL": [cell(f"CQL, α {a:g}", "cql", {**values, "cql_weight": a}, WEIGHTS) for a in (1.0, 0.1, 10.0)],
        "psi": [cell(f"psi, c {c:g}", "psi", psi(c), PSI_WEIGHTS) for c in (0.25, 0.1, 1.0)],
        "utterance ILQL": [
            cell(f"utterance ILQL, τ {tau}", "utterance_ilql", {**utterance, "tau": tau}, CANDIDATES)
            for tau in (0.7, 0.9)
        ],
    }


def methods(scale: float, base: Cell = BASE) -> tuple[Cell, ...]:
    """Every method with one setting."""
    return (base, LONGER, *(settings[0] for settings in grid(scale).values()), *AS_THE_PAPER)


def settings(scale: float, base: Cell = BASE) -> tuple[Cell, ...]:
    """Every method with all of its settings."""
    grouped = (dataclasses.replace(cell, group=method) for method, cells in grid(scale).items() for cell in cells)
    return (base, LONGER, *grouped, *AS_THE_PAPER)


ABOUT = (
    "Questions about an image that the agent does not see, until a guesser has found it. The logs hold questioners of "
    "different habits, most of them asking for yes or no, which two of the three rewards make dear. Scenes of the "
    "report are in no log. Every method goes on from BC for the same number of steps, with one setting; under the "
    "reward y/n with several. Whether a method draws its words or says the likeliest is chosen with its other settings "
    "of decoding; 'likeliest' always does the latter, as the paper's agents do, and utterance ILQL chooses among "
    "questions that it has drawn."
)


def questions(label: str, cells: tuple[Cell, ...]) -> Experiment:
    """Dialogues under one of the three rewards."""
    env = REWARDS[label]
    return Experiment(
        name=label.replace("/", ""),
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
        elsewhere=tuple(Elsewhere(x, id, {"split": "test"}) for x, id in REWARDS.items() if x != label),
        episodes=512,
        selection_episodes=128,
    )


VISUAL_DIALOGUE = Suite(
    name="visual-dialogue",
    title="Visual dialogue",
    seeds=5,
    experiments=(
        questions("standard", methods(5.0)),
        questions("y/n", settings(9.0, SAME_BASE)),
        questions("conservative", methods(15.0, SAME_BASE)),
    ),
)
