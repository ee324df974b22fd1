"""Asking before answering, by a pretrained model: OpenBookQA and ARC (you bring the files).

The users of such files have no hidden need. When the assistant asks back, they rule out wrong choices until two remain.
An assistant that asks until two remain and then picks one of them at random is right half of the time. One that picks
at once is right one time in four. A model that knows something about the question does better. The logs hold an
assistant of each kind.

A training seed takes, on one core: 125 + 5 x 60 steps of 8 conversations of 145 tokens, at 4.5 s, 32 minutes; seven
cells with 128 conversations of the report and 128 about ARC, and of ILQL 64 for each of three decodings, at 20 s (as it
comes 30 s) for 64, 13 minutes.
"""

from __future__ import annotations

from typing import Any

from agents.benchmark.experiment import Baseline, Cell, Data, Elsewhere, Experiment, Suite
from agents.benchmark.suites.settings import GREEDY, LEARNED, Decodings
from agents.benchmark.suites.smollm2 import BASE_FIT, FIT, GENTLE, SMOLLM2, zero_shot

WEIGHED: Decodings = tuple({"greedy": True, "advantage_weight": w, "lm_top_p": 0.9} for w in (0, 2, 8))

ABOUT = (
    "A user asks a multiple-choice question. The assistant may ask back, and the user then names wrong choices. The "
    "logs hold four conversations about each of 250 questions of OpenBookQA. The assistant of each is drawn from two: "
    "one asks back and then answers, the other gives any answer. Base learned from all of them. The others go on from "
    "Base for the same number of steps; Swift uses a fifth of their learning rate. 'As it comes' is the model without "
    "any training. It is told the rules, as all agents are. The form of the answer counts for one tenth of the reward. "
    "All agents are greedy. The weight of ILQL's advantage is chosen on other questions than the reported ones. No log "
    "holds either. The column 'ARC' shows the same agents on questions of ARC."
)


def told(corpus: str) -> dict[str, Any]:
    """Three turns about the questions of a corpus."""
    return {"corpus": corpus, "horizon": 3, "format_weight": 0.1}


def logs(episodes: int) -> Data:
    """Four conversations about each question."""
    options = {**told("openbookqa/train"), "assistants": ("asks", "answers-anything")}
    return Data("clarifying-qa", episodes=episodes, options=options)


def cell(label: str, agent: str, config: dict[str, Any] | None = None, fit: dict[str, Any] = FIT, **more: Any) -> Cell:
    """A method that goes on from Base."""
    return Cell(label, agent, config or {}, fit, **{"start": "Base", **more})


CLARIFYING_QA_SMOLLM2 = Suite(
    name="clarifying-qa-smollm2",
    title="Clarifying questions by a model that can read",
    experiments=(
        Experiment(
            name="openbookqa",
            title="Clarifying questions, SmolLM2 on OpenBookQA",
            about=ABOUT,
            data=logs(1_000),
            env="ClarifyingQA-v0",
            env_options=told("openbookqa/dev"),
            cells=(
                zero_shot(GREEDY),
                Cell("Base", "bc", fit=BASE_FIT),
                cell("SFT, all", "bc"),
                cell("SFT, top 1", "bc", {"keep_best": 1}),
                cell("Refit", "refit"),
                cell("Swift, tapered", "swift", {"negatives": "taper", "reference": "start"}, GENTLE),
                cell("ILQL", "ilql", {**LEARNED, "gamma": 1.0, "tau": 0.7}, decodings=WEIGHED),
            ),
            baselines=(
                Baseline("random tokens", "random_tokens"),
                Baseline("any answer", "random_answer"),
                Baseline("asks, then answers", "ask_then_answer"),
            ),
            normalise=("any answer", "asks, then answers"),
            measures=("facts", "diversity", "length", "divergence"),
            elsewhere=(Elsewhere("ARC", "ClarifyingQA-v0", told("arc/ARC-Challenge-Dev")),),
            episodes=128,
            selection_episodes=64,
            **SMOLLM2,
        ),
    ),
)
