"""A benchmark: do values find better reviews than imitation?"""

from agents.benchmark import SUITES, Baseline, Cell, Data, Experiment, Suite
from agents.benchmark.suites.settings import IMITATION, perturbed

FIT = {"steps": 300, "batch_size": 64, "lr": 1e-3}

REVIEWS = Experiment(
    name="reviews",
    title="Reviews that pay",
    about="Do values find what imitation does not?",
    data=Data("movie-review", episodes=2000),  # or a recipe of yours, "module:RECIPE", or Data(path="data/mine")
    env="MovieReview-v0",  # or "module:Id-v0"
    cells=(
        Cell("BC", "bc", fit=FIT, decodings=IMITATION),
        Cell("ILQL", "ilql", {"tau": 0.99}, FIT, perturbed(4, 16)),  # or an agent of yours, "module:Class"
    ),
    baselines=(Baseline("random words", "random"), Baseline("optimal", "optimal")),
    normalise=("random words", "optimal"),
    episodes=256,
)

MY_SUITE = Suite(name="my-suite", title="My suite", experiments=(REVIEWS,), seeds=3)
SUITES[MY_SUITE.name] = MY_SUITE
