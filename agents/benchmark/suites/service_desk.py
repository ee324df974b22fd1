"""Service desk: does assigning credit to turns beat filtering by return? Exact learners show how much can be gained."""

from __future__ import annotations

from typing import Any

from agents.benchmark.experiment import Baseline, Cell, Data, ExactLearner, Experiment, Suite
from agents.benchmark.suites.settings import CANDIDATES, GREEDY, IMITATION, LEARNED, Q_WEIGHTS, Decodings, perturbed

FIT: dict[str, Any] = {
    "steps": 1000,
    "batch_size": 32,
    "lr": 4e-3,
    "final_lr": 0.1,
    "warmup_steps": 50,
    "betas": (0.9, 0.95),
    "weight_decay": 0.01,
}
"""Models learn to read the screen all at once, after about 400 steps."""
GO_ON_FIT = {**FIT, "steps": 500, "lr": 1e-3, "warmup_steps": 20}
GENTLE = {**GO_ON_FIT, "lr": 2e-4}
"""for losses that make logged tokens less likely"""
LIVE_FIT: dict[str, Any] = {"steps": 60, "lr": 5e-4, "final_lr": 0.1}

VALUES: dict[str, Any] = {**LEARNED, "gamma": 1.0}
AHEAD: dict[str, Any] = {"backup": "utterance"}
"""Targets are means over what follows: an expectile would take users' patience and lucky guesses for skill."""
WEIGHTS = perturbed(4, 16, 64, top_p=(1.0, 0.95))
TARGETS: Decodings = tuple({"target": target, **way} for target in (0.9, 0.6) for way in (*GREEDY, {}, {"top_p": 0.8}))

DESK_WEIGHTS = (0.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
EXACT = (
    ExactLearner("BC", "bc"),
    ExactLearner("%BC, 20%", "bc", keep_top=0.2),
    ExactLearner("%BC, 50%", "bc", keep_top=0.5),
    ExactLearner("SARSA", "sarsa", gamma=1.0, weights=DESK_WEIGHTS),
    ExactLearner("Monte Carlo", "monte_carlo", gamma=1.0, weights=DESK_WEIGHTS),
    ExactLearner("ILQL, τ 0.9", "ilql", tau=0.9, gamma=1.0, weights=DESK_WEIGHTS),
)

ABOUT = (
    "No desk in the log serves well from the first turn to the last. 45 % of the desks ask the right questions and "
    "then guess the booking. 45 % start with bad offers and questions and then book correctly. The other 10 % do any "
    "act. The best policy combines the good opening with the good end. An easy goal, a patient user or a lucky guess "
    "raises a return more than either of the two, so that the conversations with the best returns have the same bad "
    "habits as the others. "
)
ABOUT_SLIPS = (
    "In 15 % of its turns each desk does any act instead of what its habit says. So the log holds a few conversations "
    "with a good opening and a good end. "
)
ABOUT_HABITS = (
    "No desk ever leaves its habit, so the opening of a conversation tells how the desk will go on. After a good "
    "opening a good end happens only by chance. An agent reads the whole conversation. The exact learners see only the "
    "present state, so they can combine the opening of one desk with the end of another, which no logged conversation "
    "shows. "
)
HOW = (
    "Every offline method goes on from the BC agent for the same number of steps; KTO and GRPO use a fifth of the "
    "learning rate. PPO goes on from the BC agent too, and learns from live conversations. Decodings are chosen on "
    "goals of the validation split. Returns are reported on goals of the test split. The number of steps, ILQL's "
    'backup and the tried weights were chosen with training seed 10, which is not reported. "Inform" is the share of '
    'conversations in which the last offer is what the user wants in the end. "joint_goal" is the share of the named '
    "entities and bookings that agreed with everything the user had said by then."
)


SLIPS: dict[str, Any] = {"slips": 0.15}


def imitation(label: str, agent: str = "bc", fit: dict[str, Any] = GO_ON_FIT, **config: Any) -> Cell:
    """A method that goes on from BC and learns no values of tokens."""
    return Cell(label, agent, config, fit, IMITATION, start="BC")


def values(label: str, agent: str, decodings: Decodings = WEIGHTS, **config: Any) -> Cell:
    """A method that goes on from BC and learns values."""
    return Cell(label, agent, {**VALUES, **config}, GO_ON_FIT, decodings, start="BC")


CELLS = (
    Cell("BC", "bc", fit=FIT, decodings=IMITATION),
    values("ILQL, τ 0.9", "ilql", tau=0.9, **AHEAD),
    imitation("%BC, 20%", keep_top=0.2),
    values("SARSA", "sarsa", **AHEAD),
    imitation("BC, longer"),
    imitation("%BC, 50%", keep_top=0.5),
    values("Monte Carlo", "monte_carlo"),
    values("AWR", "awr", IMITATION, tau=0.9, awr_temperature=0.1, **AHEAD),
    values("ArCHer", "archer", IMITATION, tau=0.9, awr_temperature=0.1),
    values("CQL", "cql", cql_weight=0.1, **AHEAD),
    imitation("Refit", "refit", shift_rewards=True),
    values("utterance ILQL", "utterance_ilql", CANDIDATES, tau=0.9),
    imitation("OREO", "oreo", beta=0.1),
    values("psi", "psi", **AHEAD),
    Cell("DT", "decision_transformer", {"bins": 8}, GO_ON_FIT, TARGETS, start="BC"),
    values("Q-SFT", "q_sft", Q_WEIGHTS),
    imitation("GRPO, logged", "grpo", GENTLE, weights="topr", behaviour="start"),
    imitation("KTO", "kto", GENTLE),
    Cell("PPO", "ppo", {"kl_coef": 0.01, "epochs": 2, "minibatches": 2}, LIVE_FIT, IMITATION, start="BC", live=1.0),
)
BASELINES = (
    Baseline("any act", "any_act"),
    Baseline("guesser", "guesser"),
    Baseline("hasty", "hasty"),
    Baseline("expert", "expert"),
)


def served(
    name: str,
    title: str,
    about: str,
    cells: tuple[Cell, ...],
    conversations: int,
    logged: dict[str, Any] | None = None,
    **settings: Any,
) -> Experiment:
    """Methods on logs of the recipe, with the options in ``logged``.

    Decodings are chosen on the validation split, and returns are reported on the test split.
    """
    return Experiment(
        name=name,
        title=title,
        about=about,
        data=Data("service-desk", episodes=conversations, options=logged or {}),
        env="ServiceDesk-v0",
        env_options={"split": "test"},
        selection_options={"split": "validation"},
        cells=cells,
        baselines=BASELINES,
        normalise=("any act", "expert"),
        measures=("facts", "length"),
        **settings,
    )


FEW = ("BC", "ILQL, τ 0.9", "%BC, 20%", "SARSA", "BC, longer", "%BC, 50%", "Monte Carlo", "AWR", "DT")

SERVICE_DESK = Suite(
    name="service-desk",
    title="A service desk",
    seeds=5,
    experiments=(
        served(
            "slips",
            "A service desk: a log of desks with bad habits that slip",
            ABOUT + ABOUT_SLIPS + HOW,
            CELLS,
            20_000,
            logged=SLIPS,
            exact=EXACT,
        ),
        served(
            "habits",
            "A service desk: a log of desks with bad habits",
            ABOUT + ABOUT_HABITS + HOW,
            tuple(cell for cell in CELLS if cell.label in FEW),
            20_000,
            exact=EXACT,
        ),
    ),
)
