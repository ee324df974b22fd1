"""MovieReview: small enough that the optimum is known exactly."""

from __future__ import annotations

from agents.benchmark.experiment import Baseline, Cell, Data, Experiment
from agents.benchmark.suites.settings import ONE_TOKEN, weights

REVIEW_FIT = {"steps": 400, "batch_size": 64, "lr": 1e-3, "warmup_steps": 20}
REVIEW_VALUES = {
    "cql_weight": 0.01,
    "target_rate": 0.1,
    "num_q": 1,
    "zero_init": True,
    "bias_init": 0.0,
    "value_unit": 1.0,
}
REVIEW_WEIGHTS = weights(2, 4, 8, 16, clip=None)

MOVIE_REVIEW = Experiment(
    name="movie-review",
    title="MovieReview: the notional MDP, beside its exact optimum",
    about=(
        'Opening with "the movie was" is good on average; opening with "the movie wasn\'t" is bad on average but leads '
        "to the very best review. One step of improvement over the logged behaviour takes the first, several steps the "
        "second. The task is small enough for its optimal values to be known exactly."
    ),
    data=Data("movie-review", episodes=4000),
    env="MovieReview-v0",
    cells=(
        Cell("BC", "bc", fit=REVIEW_FIT),
        Cell("%BC", "bc", {"keep_top": 0.1}, REVIEW_FIT),
        Cell("SARSA", "sarsa", {**REVIEW_VALUES, **ONE_TOKEN}, REVIEW_FIT, REVIEW_WEIGHTS),
        Cell("Monte Carlo", "monte_carlo", REVIEW_VALUES, REVIEW_FIT, REVIEW_WEIGHTS),
        Cell("ILQL", "ilql", {**REVIEW_VALUES, "tau": 0.99}, REVIEW_FIT, REVIEW_WEIGHTS),
    ),
    baselines=(Baseline("random", "random"), Baseline("logged reviewers", "reviewer"), Baseline("optimal", "optimal")),
    normalise=("random", "optimal"),
    episodes=512,
    exact_values=True,
)
