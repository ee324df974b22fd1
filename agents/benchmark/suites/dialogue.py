"""Dialogue response generation: the comparison of Sodhi et al. 2023 (arXiv:2307.12425), with further controls."""

from __future__ import annotations

import dataclasses
from typing import Any

from agents.benchmark.experiment import Baseline, Cell, Data, Experiment, Samples, Suite
from agents.benchmark.suites.settings import (
    GREEDY,
    IMITATION,
    LEARNED,
    OFFLINE_GRPO,
    ONE_TOKEN,
    SLOW_HEADS,
    VALUES,
    Decodings,
    perturbed,
    ranked,
    weights,
)

BASE_FIT: dict[str, Any] = {"steps": 2000, "batch_size": 32, "lr": 2e-3, "warmup_steps": 100, "final_lr": 0.1}
# For methods that go on from the base model: every offline method has the same number of steps.
FIT: dict[str, Any] = {"steps": 300, "batch_size": 32, "lr": 5e-4, "warmup_steps": 20}
GENTLE: dict[str, Any] = {**FIT, "lr": 1e-4}
VALUE_WEIGHTS = weights(0, 1, 4, 16)

HUMAN = Data("dialogue-human", episodes=15_760)
MIXTURE = Data("dialogue-mixture", episodes=63_040)
BASELINES = (
    Baseline("random tokens", "random_tokens"),
    Baseline("any reply", "random_reply"),
    Baseline("nearest context's reply", "nearest"),
    Baseline("human", "human"),
)


def methods(
    human: Data,
    logs: Samples | None = None,
    values: dict[str, Any] = VALUES,
    ahead: dict[str, Any] = ONE_TOKEN,
    heads: dict[str, Any] = SLOW_HEADS,
    imitation: Decodings = GREEDY,
    weighed: Decodings = VALUE_WEIGHTS,
) -> tuple[Cell, ...]:
    """Every method.

    Args:
        human: the human replies alone.
        logs: what methods other than TF learn from; None: the experiment's own logs.
        values: how values are learned.
        ahead: how far ILQL looks before it bootstraps.
        heads: how fast the value heads learn.
        imitation: decodings of methods without values, and of the decision transformer, which is conditioned on a
            return.
        weighed: decodings of methods with values.
    """

    def cell(
        label: str, agent: str, config: dict[str, Any] | None = None, fit: dict[str, Any] = FIT, **more: Any
    ) -> Cell:
        return Cell(label, agent, config or {}, fit, **{"decodings": imitation, "start": "TF", "data": logs, **more})

    return (
        Cell("TF", "bc", fit=BASE_FIT, decodings=imitation, data=human),
        cell("TF, longer", "bc", data=human),
        cell("TF All", "bc"),
        cell("TF Top 0.6", "bc", {"keep_above": 0.6}),
        cell("TF Top 0.9", "bc", {"keep_above": 0.9}),
        cell("DT, 2 bins", "decision_transformer", {"edges": (0.6,)}),
        cell("DT, 4 bins", "decision_transformer", {"bins": 4}),
        cell("DT, 8 bins", "decision_transformer", {"bins": 8}),
        cell("Refit", "refit", {"shift_rewards": True}),
        cell("Swift", "swift", {"reference": "start"}, GENTLE),
        cell("Swift, tapered", "swift", {"negatives": "taper", "reference": "start"}, GENTLE),
        cell("DPO", "dpo", {"pairs_per_context": 1}, GENTLE),
        cell("MC", "monte_carlo", values, {**FIT, **heads}, decodings=weighed),
        cell("ILQL", "ilql", {**values, **ahead, "tau": 0.7}, {**FIT, **heads}, decodings=weighed),
        Cell("MC ranks TF", "monte_carlo", decodings=ranked("q"), start="MC", trained=False, candidates_from="TF"),
        Cell("ILQL ranks TF", "ilql", decodings=ranked("q", "v"), start="ILQL", trained=False, candidates_from="TF"),
        Cell("PPO", "ppo", {"kl_coef": 0.05}, {"steps": 30, "lr": 1e-4}, imitation, start="TF", live=1.0),
    )


def newer(logs: Samples | None = None) -> tuple[Cell, ...]:
    """Methods of later papers, for suites whose results are made anew; the arguments are those above."""

    def cell(label: str, agent: str, config: dict[str, Any], fit: dict[str, Any]) -> Cell:
        return Cell(label, agent, config, fit, IMITATION, start="TF", data=logs)

    return (
        cell("KTO", "kto", {}, GENTLE),
        cell("GRPO, logged", "grpo", OFFLINE_GRPO, GENTLE),
        cell("ArCHer", "archer", {"tau": 0.7}, FIT),
    )


ABOUT = (
    "The agent gives one reply to a user. The reward is how near it comes to a human agent's reply there. TF learned "
    "from the human replies, and 'TF, longer' goes on in the same way. The other methods go on from TF for the same "
    "number of steps. Their logs hold four replies to each context: the human one, the same in other words, the human "
    "reply of the nearest other context, and a random one. Swift and DPO use a fifth of the others' learning rate. "
    "Rankers choose among five samples of TF. PPO learns from live replies, in 30 iterations of 16 updates. All agents "
    "are greedy, except the rankers. Reported contexts belong to dialogues that no log holds. BERTScore is the reward; "
    "the other measures are independent of it."
)


def replies(
    name: str,
    title: str,
    cells: tuple[Cell, ...],
    about: str = ABOUT,
    data: Data = MIXTURE,
    corpus: str = "service",
    episodes: int = 512,
    **settings: Any,
) -> Experiment:
    """A comparison on one corpus."""
    labels = [cell.label for cell in cells]
    return Experiment(
        name=name,
        title=title,
        about=about,
        data=data,
        env="Dialogue-BERTScore-v0",
        env_options={"corpus": corpus, "split": "test"},
        selection_options={"corpus": corpus, "split": "validation"},
        cells=cells,
        baselines=BASELINES,
        normalise=("random tokens", "human"),
        reference="TF" if "TF" in labels else None,
        measures=("similarity", "diversity", "length", "divergence"),
        episodes=episodes,
        selection_episodes=256,
        **settings,
    )


ITS_OWN = Samples("dialogue-small/TF", episodes=18_000, beams=5)
"""the human reply and the five best replies that TF finds, to each of the first 3,000 contexts"""


def there_already(cell: Cell, label: str = "") -> Cell:
    """The cell as the experiment ``dialogue-small`` trained it, there under ``label`` if one is given."""
    return dataclasses.replace(cell, start=f"dialogue-small/{label or cell.label}", trained=False, fit={}, live=0.0)


def own() -> tuple[Cell, ...]:
    """Every method, on replies of TF. Those that do not learn from several replies to a context are trained already."""
    return tuple(
        there_already(cell) if cell.label in ("TF", "TF, longer", "PPO") else cell for cell in methods(HUMAN, ITS_OWN)
    )


def thresholds() -> tuple[Cell, ...]:
    """TF Top and DT at every threshold of the reward."""
    cells = [there_already(Cell("TF", "bc"))]
    for x in (0.3, 0.5, 0.6, 0.7, 0.8, 0.9):
        top = Cell(f"TF Top {x}", "bc", {"keep_above": x}, FIT, start="TF", group="TF Top", line="TF Top", at=x)
        edges = {"edges": (x,)}
        conditioned = Cell(f"DT at {x}", "decision_transformer", edges, FIT, start="TF", group="DT", line="DT", at=x)
        cells.append(there_already(top) if x in (0.6, 0.9) else top)
        cells.append(there_already(conditioned, "DT, 2 bins") if x == 0.6 else conditioned)
    return tuple(cells)


def little(first: int) -> tuple[Cell, ...]:
    """TF All, TF Top and DT, from scratch, from the ``first`` logged replies only."""
    steps = max(200, min(1500, first // 8))
    fit = {**BASE_FIT, "steps": steps}
    return (
        Cell(f"TF All, {first:,}", "bc", fit=fit, first=first, line="TF All", at=first),
        Cell(f"TF Top, {first:,}", "bc", {"keep_above": 0.6}, fit, first=first, line="TF Top", at=first),
        Cell(f"DT, {first:,}", "decision_transformer", {"edges": (0.6,)}, fit, first=first, line="DT", at=first),
    )


LITTLE = tuple(cell for first in (630, 3_152, 12_608, 63_040) for cell in little(first))
"""1, 5, 20 and 100 % of the log"""
ABOUT_ITS_OWN = (
    "Can a model improve on its training by human replies, by learning from its own replies? This experiment is like "
    "the one before, with other logs. They hold the human reply and the five best replies of TF, found by beam search, "
    "to each of the first 3,000 contexts that TF learned from. 'TF, longer' and PPO do not learn from these logs. The "
    "human reply has the reward 1, unless it is longer than a reply may be."
)
ABOUT_THRESHOLDS = (
    "From which reward on is a reply worth imitating? TF Top keeps the replies whose reward is at least the threshold. "
    "DT distinguishes them from the others by a token, and is then conditioned on the better class. Every method goes "
    "on from TF for the same number of steps, with the logs of four replies to each context."
)
ABOUT_LITTLE = (
    "How many logged replies does a method need? Each method learns from scratch from the first 1, 5, 20 and 100 % of "
    "the log of four replies to each context. It trains an eighth as many steps as there are replies, at least 200 and "
    "at most 1,500. TF All learns from all of these replies. TF Top learns from those with a reward of at least 0.6. "
    "DT learns from all and is conditioned on the better ones."
)

DIALOGUE = Suite(
    name="dialogue",
    title="Dialogue response generation",
    seeds=5,
    experiments=(replies("dialogue", "Replies to a user, built-in corpus", methods(HUMAN), lm="d128-l2", best_of=5),),
)

DIALOGUE_SMALL = Suite(
    name="dialogue-small",
    title="Dialogue response generation: a smaller model, its own replies, thresholds, few replies",
    seeds=5,
    experiments=(
        replies("dialogue-small", "Replies to a user, half the width", methods(HUMAN), lm="d64-l2"),
        replies(
            "dialogue-own",
            "Learning from its own replies",
            own(),
            about=ABOUT_ITS_OWN,
            data=HUMAN,
            lm="d64-l2",
        ),
        replies(
            "dialogue-thresholds",
            "Replies of at least a reward",
            thresholds(),
            about=ABOUT_THRESHOLDS,
            lm="d64-l2",
            varies="least reward of what is imitated (TF Top) or asked for (DT)",
        ),
        replies(
            "dialogue-little",
            "Learning from few logged replies",
            LITTLE,
            about=ABOUT_LITTLE,
            lm="d64-l2",
            varies="logged replies",
        ),
    ),
)

REAL: dict[str, Any] = {
    "values": {**LEARNED, "gamma": 1.0},
    "ahead": {},
    "heads": {},
    "imitation": IMITATION,
    "weighed": perturbed(1, 4, 16),
}
"""how agents learn from real dialogues and are decoded there"""
TASKMASTER: dict[str, Any] = {"corpus": "taskmaster4"}
ABOUT_TASKMASTER = (
    "The dialogues are coffee orders between people (you bring the files). TF learned from the human replies, and 'TF, "
    "longer' goes on in the same way. The other methods go on from TF for the same number of steps. Their logs hold "
    "three replies to each context: the human one, the human reply of the nearest other context, and a random one. "
    "Swift and DPO use a fifth of the others' learning rate. Rankers choose among five samples of TF. PPO learns from "
    "live replies. Reported contexts belong to dialogues that no log holds."
)
MULTIWOZ = Data("dialogue-human", episodes=5_880, options={"corpus": "multiwoz"})
ITS_OWN_MULTIWOZ = Samples("TF", episodes=18_000, beams=5)
ABOUT_MULTIWOZ = (
    "The corpus is one of those of Sodhi et al., and the logs are made as theirs were (you bring the files). TF "
    "learned from the human replies, and 'TF, longer' goes on in the same way. The other methods go on from TF for the "
    "same number of steps. Their logs hold the human reply and the five best replies of TF, found by beam search, to "
    "each of the first 3,000 contexts that TF learned from. Swift and DPO use a fifth of the others' learning rate. "
    "Human replies have the reward 1, unless they are longer than a reply may be. Rankers choose among five samples of "
    "TF. PPO learns from live replies. Reported contexts belong to dialogues that no log holds."
)

DIALOGUE_REAL = Suite(
    name="dialogue-real",
    title="Dialogue response generation, real dialogues",
    seeds=5,
    experiments=(
        replies(
            "taskmaster",
            "Replies to a customer, Taskmaster 4",
            (*methods(Data("dialogue-human", episodes=2_970, options=TASKMASTER), **REAL), *newer()),
            about=ABOUT_TASKMASTER,
            data=Data("dialogue-mixture", episodes=8_910, options=TASKMASTER),
            corpus="taskmaster4",
            episodes=378,  # each context once
            lm="d128-l2",
            best_of=5,
        ),
        replies(
            "multiwoz",
            "Replies to a tourist, MultiWOZ",
            (*methods(MULTIWOZ, ITS_OWN_MULTIWOZ, **REAL), *newer(ITS_OWN_MULTIWOZ)),
            about=ABOUT_MULTIWOZ,
            data=MULTIWOZ,
            corpus="multiwoz",
            lm="d128-l2",
            best_of=5,
        ),
    ),
)
