"""MovieReview: small enough that the optimum is known exactly."""

from __future__ import annotations

from agents.benchmark.experiment import Baseline, Cell, Data, Experiment
from agents.benchmark.suites.settings import IMITATION, LEARNED, perturbed

REVIEW_FIT = {"steps": 400, "batch_size": 64, "lr": 1e-3, "warmup_steps": 20}
REVIEW_WEIGHTS = perturbed(4, 16, 32, top_p=(1.0, 0.95))

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
        Cell("BC", "bc", fit=REVIEW_FIT, decodings=IMITATION),
        Cell("%BC", "bc", {"keep_top": 0.1}, REVIEW_FIT, IMITATION),
        Cell("SARSA", "sarsa", LEARNED, REVIEW_FIT, REVIEW_WEIGHTS),
        Cell("Monte Carlo", "monte_carlo", LEARNED, REVIEW_FIT, REVIEW_WEIGHTS),
        Cell("ILQL", "ilql", {**LEARNED, "tau": 0.99}, REVIEW_FIT, REVIEW_WEIGHTS),
    ),
    baselines=(
        Baseline("random words", "random"),
        Baseline("logged reviewers", "reviewer"),
        Baseline("optimal", "optimal"),
    ),
    normalise=("random words", "optimal"),
    episodes=512,
    exact_values=True,
    advantage_quality=True,
)
