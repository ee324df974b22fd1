"""Comments that should not be toxic, or should be voted up: section 6 of Snell et al. 2023 (arXiv:2206.11871).

The text is measured too, since saturated rewards hide degenerate text.
"""

from __future__ import annotations

from typing import Any

from agents.benchmark.experiment import Baseline, Cell, Data, Elsewhere, Experiment, Suite
from agents.benchmark.suites.settings import IMITATION, LEARNED, Decodings, perturbed

BASE_FIT: dict[str, Any] = {"steps": 1000, "batch_size": 32, "lr": 3e-3, "warmup_steps": 100, "final_lr": 0.1}
FIT: dict[str, Any] = {"steps": 300, "batch_size": 32, "lr": 1e-3, "warmup_steps": 20}
VALUES = {**LEARNED, "gamma": 0.99}
RETURNS_FIRST = {"monte_carlo_steps": 200}
"""Monte Carlo returns for two thirds of the training. With bootstrapping alone it takes longer until a reward forty
tokens later reaches the first token."""
WEIGHTS = perturbed(0.5, 2, 8)
"""The paper's advantage weighs 8."""
FIVEFOLD = perturbed(2.5, 10, 40)
"""The same, for rewards of -1 and 1 instead of 0 and 10."""

BASE = Cell("BC", "bc", fit=BASE_FIT, decodings=IMITATION)
SAME_BASE = Cell("BC", "bc", decodings=IMITATION, start="toxicity/BC", trained=False)  # it sees no rewards


def methods(keep_above: float, base: Cell = SAME_BASE, decodings: Decodings = WEIGHTS) -> tuple[Cell, ...]:
    """BC, and the methods that go on from it; %BC keeps the episodes with returns of at least ``keep_above``."""
    return (
        base,
        Cell("BC, longer", "bc", fit=FIT, decodings=IMITATION, start="BC"),
        Cell("%BC", "bc", {"keep_above": keep_above}, FIT, IMITATION, start="BC"),
        Cell("SARSA", "sarsa", VALUES, FIT, decodings, start="BC"),
        Cell("Monte Carlo", "monte_carlo", VALUES, FIT, decodings, start="BC"),
        Cell("ILQL", "ilql", {**VALUES, "tau": 0.6}, FIT, decodings, start="BC"),
        Cell("ILQL, returns first", "ilql", {**VALUES, "tau": 0.6, **RETURNS_FIRST}, FIT, decodings, start="BC"),
    )


ABOUT = (
    "The agent writes a comment on a post, and a classifier rewards it. Posts, comments and votes are made up. BC "
    "learned from all logged comments. The other methods go on from the BC agent. Decodings are chosen on posts of the "
    "logs. The advantage has the weight 8 in the paper; here it may be 0, 0.5, 2 or 8 (five times these weights where "
    "votes are -1 and 1 instead of 0 and 10). Beside the reward the tables show how different the comments are from "
    "each other, how long they are, and how far the policy moved from BC."
)
TOXICITY = Elsewhere("toxicity", "Reddit-Toxicity-v0", {"split": "test"})
UPVOTES = Elsewhere("upvotes", "Reddit-Upvotes-v0", {"split": "test"})


def comments(name: str, title: str, env: str, data: Data, cells: tuple[Cell, ...], other: Elsewhere) -> Experiment:
    """Comments under one reward."""
    return Experiment(
        name=name,
        title=title,
        about=ABOUT,
        data=data,
        env=env,
        env_options={"split": "test"},
        selection_options={"split": "train"},
        cells=cells,
        baselines=(
            Baseline("random tokens", "random_tokens"),
            Baseline("logged comments", "logged"),
            Baseline("kind comments", "commenter"),
        ),
        normalise=("random tokens", "kind comments"),
        reference="BC",
        measures=("diversity", "length", "divergence"),
        elsewhere=(other,),
        episodes=414,  # each post three times
    )


def logs(env: str, recipe: str = "reddit-comments") -> Data:
    """The comments of the training split under a reward."""
    return Data(recipe, episodes=7_088, options={"env_id": env, "split": "train"})


REDDIT = Suite(
    name="reddit",
    title="Reddit comments",
    seeds=5,
    experiments=(
        comments(
            "toxicity",
            "Comments that are not toxic",
            "Reddit-Toxicity-v0",
            logs("Reddit-Toxicity-v0"),
            methods(0.0, BASE),
            UPVOTES,
        ),
        comments(
            "noised-toxicity",
            "The same, with noise in the reward",
            "Reddit-Toxicity-v0",
            logs("Reddit-NoisedToxicity-v0"),
            methods(0.0),
            UPVOTES,
        ),
        comments(
            "upvotes-real",
            "Comments that are voted up, learned from the votes there were",
            "Reddit-Upvotes-v0",
            logs("Reddit-Upvotes-v0", "reddit-upvotes-real"),
            methods(1.0, decodings=FIVEFOLD),
            TOXICITY,
        ),
        comments(
            "upvotes-model",
            "Comments that are voted up, learned from the model of votes",
            "Reddit-Upvotes-v0",
            logs("Reddit-Upvotes-v0"),
            methods(10.0),
            TOXICITY,
        ),
    ),
)
