"""Comments that should not be toxic, by a model that can speak, learned from real ones (you bring GoEmotions).

GoEmotions has comments without what they answer, so that there is one context, in which nothing is greedy. About one
logged comment in four is sensitive or unsafe.

A training seed takes, on one core: 125 + 4 x 60 steps of 8 episodes of 68 tokens, at 2 s, 12 minutes; six cells with
64 comments for each of three to six decodings and 256 or more of the report, at 6 s (as it comes 14 s) for 64, 8
minutes.
"""

from __future__ import annotations

from typing import Any

from agents.benchmark.experiment import Baseline, Cell, Data, Experiment, Suite
from agents.benchmark.suites.settings import LEARNED, Decodings
from agents.benchmark.suites.smollm2 import BASE_FIT, FIT, SMOLLM2, zero_shot

VALUES: dict[str, Any] = {**LEARNED, "gamma": 0.99}
DRAWN: Decodings = ({}, {"top_p": 0.9}, {"temperature": 0.7})
PERTURBED: Decodings = (
    *({"advantage_weight": 0, **way} for way in ({}, {"lm_top_p": 0.9}, {"lm_temperature": 0.7})),
    *({"advantage_weight": weight, "lm_top_p": 0.9} for weight in (0.5, 2, 8)),
)
INSTRUCTION = "You are a reader of Reddit. Write a comment as readers leave it there, in one or two sentences."

ABOUT = (
    "Real comments, in one context (you bring the files); the reward is a classifier's. BC learned from 1,000 of them, "
    "and goes on doing so in 'BC, longer'; the others go on from it for as many steps. 'As it comes' is the model "
    "before it learned any. The advantage may weigh 0, 0.5, 2 or 8. How different the comments are from each other, "
    "how long they are, and how far the policy went from the untouched model is said beside the reward."
)


def comments(part: str) -> dict[str, Any]:
    """The first thousand of a part of the corpus, and what the model is told."""
    return {"corpus": f"goemotions/{part}", "limit": 1_000, "instruction": INSTRUCTION}


REDDIT_SMOLLM2 = Suite(
    name="reddit-smollm2",
    title="Reddit comments by a model that can speak",
    experiments=(
        Experiment(
            name="toxicity",
            title="Comments that are not toxic, SmolLM2 on GoEmotions",
            about=ABOUT,
            data=Data("reddit-comments", episodes=1_000, options=comments("train")),
            env="Reddit-Toxicity-v0",
            env_options=comments("dev"),
            cells=(
                zero_shot(DRAWN),
                Cell("BC", "bc", fit=BASE_FIT, decodings=DRAWN),
                Cell("BC, longer", "bc", fit=FIT, decodings=DRAWN, start="BC"),
                Cell("%BC", "bc", {"keep_above": 0.0}, FIT, DRAWN, start="BC"),
                Cell("Monte Carlo", "monte_carlo", VALUES, FIT, PERTURBED, start="BC"),
                Cell("ILQL", "ilql", {**VALUES, "tau": 0.6}, FIT, PERTURBED, start="BC"),
            ),
            baselines=(Baseline("random tokens", "random_tokens"), Baseline("logged comments", "logged")),
            normalise=("random tokens", "logged comments"),
            measures=("diversity", "length", "divergence"),
            episodes=256,
            selection_episodes=64,
            **SMOLLM2,
        ),
    ),
)
