"""Comments that should not be toxic, by a pretrained model, learned from real comments (you bring GoEmotions).

GoEmotions has comments without the posts that they answer. So there is only one context, and every agent samples: a
greedy agent would repeat one comment. About one logged comment in four is sensitive or unsafe.

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
    "The logs hold real comments, all in one context (you bring the files). A classifier gives the reward. BC learned "
    "from 1,000 comments, and 'BC, longer' goes on in the same way. The other methods go on from the BC agent for the "
    "same number of steps. 'As it comes' is the model without any training. The weight of the advantage may be 0, 0.5, "
    "2 or 8. Beside the reward the tables show how different the comments are from each other, how long they are, and "
    "how far the policy moved from the untrained model."
)


def comments(part: str) -> dict[str, Any]:
    """The first thousand comments of a part of the corpus, and the instruction to the model."""
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
