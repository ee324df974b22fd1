"""Questions about an unseen image: section 6 of Snell et al. 2023 (arXiv:2206.11871) on the built-in scenes.

A cell with values tries 22 decodings on 128 dialogues each. The best of them is evaluated on 256 other dialogues.
"""

from __future__ import annotations

from typing import Any

from agents.benchmark.experiment import Baseline, Cell, Data, Elsewhere, Experiment, Suite
from agents.benchmark.suites.settings import (
    CANDIDATES,
    IMITATION,
    LEARNED,
    OFFLINE_GRPO,
    SAMPLED,
    Decodings,
    greedily,
    perturbed,
)

BASE_FIT: dict[str, Any] = {"steps": 1500, "batch_size": 32, "lr": 3e-3, "warmup_steps": 100, "final_lr": 0.1}
FIT: dict[str, Any] = {"steps": 400, "batch_size": 32, "lr": 1e-3, "warmup_steps": 20}
VALUES = {**LEARNED, "gamma": 0.99}

REWARDS = {
    "standard": "VisualDialogue-v0",
    "y/n": "VisualDialogue-YesNo-v0",
    "conservative": "VisualDialogue-ConservativeYesNo-v0",
}

WEIGHTS = perturbed(1, 2, 3, 8)
DRAWN_TARGETS: Decodings = (*SAMPLED, *({"target": target} for target in (-2.0, -4.0, -8.0)))
TARGETS: Decodings = (*DRAWN_TARGETS, *greedily(DRAWN_TARGETS))
PSI_WEIGHTS = perturbed(1, 2, 4, top_p=(0.95,))  # 1 is what they are made for

BASE = Cell("BC", "bc", fit=BASE_FIT, decodings=IMITATION)
SAME_BASE = Cell("BC", "bc", decodings=IMITATION, start="yn/BC", trained=False)  # it sees no rewards
LONGER = Cell("BC, longer", "bc", fit=FIT, decodings=IMITATION, start="BC")


def methods(base: Cell = BASE) -> tuple[Cell, ...]:
    """Every method with one setting.

    The paper's beta of AWR is the reciprocal of a temperature, and its c of psi is the reward that one nat costs.
    """

    def cell(label: str, agent: str, config: dict[str, Any], decodings: Decodings = IMITATION) -> Cell:
        return Cell(label, agent, config, FIT, decodings, start="BC")

    ilql = {**VALUES, "tau": 0.7}
    return (
        base,
        LONGER,
        cell("%BC", "bc", {"keep_top": 0.2}),
        cell("DT", "decision_transformer", {"bins": 8}, TARGETS),
        cell("SARSA", "sarsa", VALUES, WEIGHTS),
        cell("Monte Carlo", "monte_carlo", VALUES, WEIGHTS),
        cell("ILQL", "ilql", ilql, WEIGHTS),
        cell("ILQL, TD(0.95)", "ilql", {**ilql, "backup": 0.95}, WEIGHTS),
        cell("AWR", "awr", {**VALUES, "awr_temperature": 1 / 4}),
        cell("CQL", "cql", {**VALUES, "cql_weight": 1.0}, WEIGHTS),
        cell("psi", "psi", {**VALUES, "kl_weight": 0.25}, PSI_WEIGHTS),
        cell("utterance ILQL", "utterance_ilql", ilql, CANDIDATES),
        cell("ArCHer", "archer", {"tau": 0.7}),
        cell("KTO", "kto", {}),
        cell("GRPO, logged", "grpo", {**OFFLINE_GRPO, "per": "turn"}),
    )


ABOUT = (
    "The agent asks questions about an image that it does not see, until a guesser has found the image. The logs hold "
    "questioners of different habits. Most of them ask yes/no questions, which two of the three rewards penalise. No "
    "log holds the reported scenes. Every method goes on from the BC agent for the same number of steps. Each method "
    "may sample its words or take the likeliest, as the paper's agents do; which of the two is chosen together with "
    "its other decoding settings. Utterance ILQL chooses among questions that it has sampled."
)
WITHOUT = (
    " These logs hold no questioner that repeats itself. In the other logs 15 % of the questioners do. On those a "
    "perfect imitator that always takes the likeliest question asks the same question ten times."
)
LESS_REPETITIVE = (0.65, 0.25, 0.0, 0.1)
"""how often each questioner of ``datasets_builders.visual_dialogue`` asks"""


def questions(
    label: str, cells: tuple[Cell, ...], name: str = "", suffix: str = "", about: str = ABOUT, **recorded: Any
) -> Experiment:
    """Dialogues under one of the three rewards.

    Args:
        label: of the reward.
        cells: who is compared.
        name: of the experiment; by default that of its reward.
        suffix: of its title.
        about: what the experiment asks.
        recorded: options of the recipe of its logs.
    """
    env = REWARDS[label]
    return Experiment(
        name=name or label.replace("/", ""),
        title=f"Visual dialogue, {label} reward{suffix}",
        about=about,
        data=Data("visual-dialogue", episodes=20_000, options={"env_id": env, **recorded}),
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
        episodes=256,
        selection_episodes=128,
    )


VISUAL_DIALOGUE = Suite(
    name="visual-dialogue",
    title="Visual dialogue",
    seeds=5,
    experiments=(
        questions("y/n", methods()),
        questions("standard", methods(SAME_BASE)),
        questions("conservative", methods(SAME_BASE)),
        questions(
            "y/n",
            methods(),
            name="yn-no-repetition",
            suffix=", logs without the repetitive questioner",
            about=ABOUT + WITHOUT,
            shares=LESS_REPETITIVE,
        ),
    ),
)
