"""Service desk: does credit over turns beat filtering by return, and by how much of what an exact learner could?"""

from __future__ import annotations

from typing import Any

from agents.benchmark.experiment import Baseline, Cell, Data, ExactLearner, Experiment, Suite
from agents.benchmark.suites.settings import GREEDY, IMITATION, LEARNED, Decodings, perturbed

FIT: dict[str, Any] = {
    "steps": 1000,
    "batch_size": 32,
    "lr": 4e-3,
    "final_lr": 0.1,
    "warmup_steps": 50,
    "betas": (0.9, 0.95),
    "weight_decay": 0.01,
}
"""to read the screen is learned all at once, after some 400 steps"""
GO_ON_FIT = {**FIT, "steps": 500, "lr": 1e-3, "warmup_steps": 20}
GENTLE = {**GO_ON_FIT, "lr": 2e-4}
"""of losses that push down what the log says"""
LIVE_FIT: dict[str, Any] = {"steps": 60, "lr": 5e-4, "final_lr": 0.1}

VALUES: dict[str, Any] = {**LEARNED, "gamma": 1.0}
AHEAD: dict[str, Any] = {"backup": "utterance"}
"""by the mean of what follows: users' patience and lucky guesses are chance"""
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
    "Nobody in the log is good from the first turn to the last: 45 % of the desks open well and then guess the "
    "booking, 45 % open badly and end well, the others do any act. The best desk is a good opening with a good end. An "
    "easy goal, a patient user and a lucky guess are worth more than either, so that the best returns are of desks "
    "with the same habits. "
)
ABOUT_SLIPS = (
    "Each desk does any act instead of its habit in 15 % of its turns, so that the log holds good ends of good "
    "beginnings, if few of them. "
)
ABOUT_HABITS = (
    "Desks never leave their habit: the beginning of a conversation tells how the desk will go on, and after a good "
    "one nobody ends well but by chance. An agent reads the whole conversation. The exact learners see how things "
    "stand alone, and so put together what no conversation shows. "
)
HOW = (
    "Every method goes on from BC for as many steps, KTO and GRPO at a fifth of the learning rate; PPO learns from "
    "live conversations. Decodings are chosen on goals of the validation split, and returns are of the test split. "
    "Steps, ILQL's backup and the weights tried were chosen by training runs with a seed that is not reported, 10. "
    "Inform is the share of conversations whose last offer is what the user wants in the end; joint_goal says how much "
    "of what was named agreed with what was said by then."
)


SLIPS: dict[str, Any] = {"slips": 0.15}


def imitation(label: str, agent: str = "bc", fit: dict[str, Any] = GO_ON_FIT, **config: Any) -> Cell:
    """What goes on from BC and learns no values of tokens."""
    return Cell(label, agent, config, fit, IMITATION, start="BC")


def values(label: str, agent: str, decodings: Decodings = WEIGHTS, **config: Any) -> Cell:
    """What goes on from BC and learns values."""
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
    values("utterance ILQL", "utterance_ilql", GREEDY, tau=0.9),
    imitation("OREO", "oreo", beta=0.1),
    values("psi", "psi"),
    Cell("DT", "decision_transformer", {"bins": 8}, GO_ON_FIT, TARGETS, start="BC"),
    values("Q-SFT", "q_sft", IMITATION),
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
    """Methods on a log of the recipe, with options of its own; decoded as pays on one split, reported on another."""
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
