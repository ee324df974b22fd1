"""MultiWOZ: does learning single replies help an agent in whole conversations, and the other way round?

A model of this size memorises the names, numbers and references of 37 goals from some thousand conversations. It
copies few of them from the look-up that it is shown. Its returns with goals that no log holds are therefore reported
too. ``MULTIWOZ_GOAL_SMOLLM2`` asks the same of a pretrained model.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from agents.benchmark.experiment import Baseline, Cell, Data, Elsewhere, Experiment, Suite
from agents.benchmark.suites.settings import IMITATION, LEARNED, perturbed

BASE_FIT: dict[str, Any] = {"steps": 1000, "batch_size": 8, "lr": 2e-3, "warmup_steps": 50, "final_lr": 0.1}
FIT: dict[str, Any] = {"steps": 200, "batch_size": 8, "lr": 1e-3, "warmup_steps": 10}
"""for methods that go on from the first imitator: the same number of steps for all"""
GENTLE: dict[str, Any] = {**FIT, "lr": 2e-4}
LIVE_FIT: dict[str, Any] = {"steps": 60, "batch_size": 16, "lr": 2e-4, "warmup_steps": 5}
REPLY_FIT: dict[str, Any] = {**BASE_FIT, "batch_size": 16}
"""for single replies, whose contexts are half as long as a conversation"""
LATER_REPLY_FIT: dict[str, Any] = {**FIT, "batch_size": 16}

VALUES: dict[str, Any] = {**LEARNED, "gamma": 1.0}
WEIGHTS = perturbed(1, 4, 16, top_p=(0.95,))

SERVED: dict[str, Any] = {"domains": "restaurant"}
AGENTS = ("opens-well", "opens-well", "ends-well")
"""The agents in the logs. Two of three open well and end badly, so that the likeliest turn leads to a bad end."""
LOGS = Data("multiwoz-goal", episodes=4_000, options={**SERVED, "agents": AGENTS})
BASELINES = (
    Baseline("random tokens", "random_tokens"),
    Baseline("opens well", "opens_well"),
    Baseline("ends well", "ends_well"),
    Baseline("expert", "expert"),
)

ROOM: dict[str, Any] = {"max_context_tokens": 3_072, "max_response_tokens": 64}
"""The context holds everything that was said before, and turns are as long as in whole conversations. So one model can
be used in both."""
REPLIES: dict[str, Any] = {"corpus": "multiwoz", **ROOM}
HUMAN = Data("dialogue-human", episodes=5_880, options=REPLIES)
MIXTURE = Data("dialogue-mixture", episodes=6_000, options=REPLIES)

LIKENESS = Elsewhere("likeness", "Dialogue-BERTScore-v0", {**REPLIES, "split": "test"})
JUDGED = dataclasses.replace(LIKENESS, measures=("multiwoz",))
GOALS = Elsewhere("goal", "MultiWOZ-Goal-v0", {**SERVED, "split": "train"}, ("facts",))
NEW_GOALS = Elsewhere("new goals", "MultiWOZ-Goal-v0", {**SERVED, "split": "test"}, ("facts",))


def methods() -> tuple[Cell, ...]:
    """Every method on the logs of whole conversations."""

    def cell(label: str, agent: str, config: dict[str, Any] | None = None, **more: Any) -> Cell:
        settings: dict[str, Any] = {"fit": FIT, "decodings": IMITATION, "start": "BC", **more}
        return Cell(label, agent, config or {}, **settings)

    return (
        Cell("BC", "bc", fit=BASE_FIT, decodings=IMITATION),
        cell("BC, longer", "bc"),
        cell("TF Top", "bc", {"keep_top": 0.2}),
        cell("DT", "decision_transformer", {"edges": (0.5,)}),
        cell("Refit", "refit", {"shift_rewards": True}),
        cell("Monte Carlo", "monte_carlo", VALUES, decodings=WEIGHTS),
        cell("ILQL", "ilql", {**VALUES, "tau": 0.7}, decodings=WEIGHTS),
        cell("ArCHer", "archer", VALUES),
        cell("GRPO, logged", "grpo", {"weights": "topr", "behaviour": "start"}, fit=GENTLE),
        cell("GRPO, live", "grpo", fit=LIVE_FIT, live=1.0),
    )


def conversations(name: str, title: str, about: str, cells: tuple[Cell, ...], **settings: Any) -> Experiment:
    """Conversations with customers whose goals the logs hold; the agents are measured in single replies too."""
    usual: dict[str, Any] = {
        "env_options": {**SERVED, "split": "train"},
        "split_starts": False,  # the goals are the task: what is said on the way to them differs
        "elsewhere": (NEW_GOALS, LIKENESS),
        "episodes": 128,
        "selection_episodes": 37,
        "lm": "d128-l2",
    }
    return Experiment(
        name=name,
        title=title,
        about=about,
        data=LOGS,
        env="MultiWOZ-Goal-v0",
        cells=cells,
        baselines=BASELINES,
        normalise=("opens well", "expert"),
        measures=("facts", "length"),
        **{**usual, **settings},
    )


SINGLE = (
    Cell("TF", "bc", fit=REPLY_FIT, decodings=IMITATION, data=HUMAN),
    Cell("TF, longer", "bc", fit=LATER_REPLY_FIT, decodings=IMITATION, data=HUMAN, start="TF"),
    Cell("Refit", "refit", {"shift_rewards": True}, LATER_REPLY_FIT, IMITATION, start="TF"),
)


def after(label: str, start: str, data: Data, fit: dict[str, Any]) -> Cell:
    """Imitation of one kind of logs by an agent that learned from the other kind, or from the same."""
    return Cell(label, "bc", fit=fit, decodings=IMITATION, start=start, data=data)


ORDERS = (
    Cell("likeness", "bc", decodings=IMITATION, start="likeness/TF", trained=False),
    Cell("goal", "bc", decodings=IMITATION, start="goal/BC", trained=False),
    after("likeness, then goal", "likeness/TF", LOGS, BASE_FIT),
    after("likeness, then a little goal", "likeness/TF", LOGS, FIT),
    dataclasses.replace(
        after("likeness, then goal, then TF Top", "likeness, then goal", LOGS, FIT), config={"keep_top": 0.2}
    ),
    after("goal, then likeness", "goal/BC", HUMAN, REPLY_FIT),
    after("goal, then a little likeness", "goal/BC", HUMAN, LATER_REPLY_FIT),
)

ABOUT_GOALS = (
    "Customers want a restaurant (you bring the files). In two of three logged conversations the agent opens well and "
    "offers what fits, and then answers no question. In the third the agent first asks what it was told and offers any "
    "place, and then serves well to the end. So the likeliest turn fails, and the successful conversations are slow. "
    "An agent that combines both good parts acts as the expert does. Every method goes on from the BC agent for the "
    'same number of steps, except "GRPO, live", which plays 60 batches of 16 conversations. The reported returns are '
    "of new conversations about the goals of the logs. 'New goals' come from dialogues that no log holds; an agent "
    "must copy their names from what the database shows. 'Likeness' is how near a single reply comes to a person's, in "
    "test dialogues of the corpus."
)
ABOUT_REPLIES = (
    "The agent gives one reply in a dialogue between people. The reward is its likeness to the person's reply (you "
    "bring the files). TF learned from the human replies. Refit goes on from TF with several replies to each context, "
    "weighted by their likeness. 'Goal' is whole conversations with customers who want a restaurant. They show the "
    "database, which the people's dialogues do not."
)
ABOUT_ORDERS = (
    "An agent that imitated people's replies goes on with logs of whole conversations, and the other way round. The "
    "second training has as many steps as training on those logs alone, or a fifth of them ('a little'). The agents "
    "'likeness' and 'goal' learned from one kind of logs only. Inform, Success and BLEU are the standard evaluation's, "
    "of replies to people in 100 test dialogues."
)

MULTIWOZ_GOAL = Suite(
    name="multiwoz-goal",
    title="MultiWOZ to the end: single replies and whole conversations",
    experiments=(
        Experiment(
            name="likeness",
            title="Likeness of one reply",
            about=ABOUT_REPLIES,
            data=MIXTURE,
            env="Dialogue-BERTScore-v0",
            env_options={**REPLIES, "split": "test"},
            selection_options={**REPLIES, "split": "validation"},
            lm="d128-l2",
            cells=SINGLE,
            baselines=(Baseline("any reply", "random_reply"), Baseline("human", "human")),
            normalise=("any reply", "human"),
            measures=("similarity", "multiwoz", "length"),
            elsewhere=(GOALS, NEW_GOALS),
            episodes=256,
            selection_episodes=64,
        ),
        conversations("goal", "Whole conversations, restaurants", ABOUT_GOALS, methods()),
        conversations("orders", "One after the other", ABOUT_ORDERS, ORDERS, elsewhere=(NEW_GOALS, JUDGED)),
    ),
)
