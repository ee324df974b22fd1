"""The suites: every setting of every benchmark, as plain data to be read and edited here.

``lang-envs bench quick`` shows in minutes that everything runs and what it learns; ``trap`` is the multi-step
experiment of Snell et al. 2023 (arXiv 2206.11871, section 5) on the full word list; ``wordle-small`` compares returns
on a game that small models learn to play; ``trap-paper`` is the trap at the paper's own expectile.
"""

from __future__ import annotations

from typing import Any

from agents.benchmark.experiment import Baseline, Cell, Data, Experiment, Suite

GREEDY: tuple[dict[str, Any], ...] = ({"greedy": True},)


def weights(*advantage_weights: float, clip: float | None = 0.0) -> tuple[dict[str, Any], ...]:
    """Greedy decodings to choose among; clipped at 0 (the paper's setting) values only ever push a token down."""
    return tuple({"greedy": True, "advantage_weight": w, "advantage_clip": clip} for w in advantage_weights)


# --- MovieReview: small enough that the optimum is known exactly ---

REVIEW_FIT = {"steps": 500, "batch_size": 64, "lr": 3e-3, "warmup_steps": 20}
REVIEW_VALUES = {"gamma": 1.0, "cql_weight": 0.001, "bc_weight": 0.3, "target_rate": 0.05, "num_q": 1}

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
        Cell("SARSA", "sarsa", REVIEW_VALUES, REVIEW_FIT, weights(32, clip=None)),
        Cell("Monte Carlo", "monte_carlo", REVIEW_VALUES, REVIEW_FIT, weights(32, clip=None)),
        Cell("ILQL", "ilql", {**REVIEW_VALUES, "tau": 0.99}, REVIEW_FIT, weights(32, clip=None)),
    ),
    baselines=(Baseline("random", "random"), Baseline("logged reviewers", "reviewer"), Baseline("optimal", "optimal")),
    normalise=("random", "optimal"),
    episodes=512,
    exact_values=True,
)

# --- The Wordle trap: the rank test ---

TRAP_FIT: dict[str, Any] = {
    "steps": 1600,
    "schedule_steps": 2500,
    "batch_size": 128,
    "lr": 2e-3,
    "final_lr": 0.1,
    "warmup_steps": 100,
    "betas": (0.9, 0.95),
    "weight_decay": 0.01,
}
# Their values, where they have any, need no time to spread; SARSA trains as long as ILQL for the sake of comparison.
TRAP_SHORT_FIT: dict[str, Any] = {**TRAP_FIT, "steps": 400, "schedule_steps": None, "batch_size": 64}
TRAP_VALUES = {
    "gamma": 0.99,
    "cql_weight": 0.001,
    "bc_weight": 0.15,
    "target_rate": 0.05,
    "num_q": 1,
    "zero_init": True,
    "bias_init": -3.0,
}
TRAP_WEIGHTS = weights(1, 4, 16)

TRAP_ABOUT = (
    "The logs hold expert games, games that branch off an expert's after two guesses and then lose, and games of a "
    "mediocre player. Averaged over the logs an expert's first word is worth less than a mediocre player's; followed "
    "by the expert's later guesses it is worth more. The rank test asks which of the two a value function prefers, at "
    "each token of the word. Returns are reported beside it and are not what this experiment is about: the logs are no "
    "trap for %BC, and a small model does not learn in minutes to spell consistent words from a long list."
)


def trap(name: str, words: str, data: Data, cells: tuple[Cell, ...], **settings: Any) -> Experiment:
    """The multi-step experiment on a word list."""
    options: dict[str, Any] = {"words": words}
    return Experiment(
        name=name,
        title="The Wordle trap: multi-step against one-step improvement",
        about=TRAP_ABOUT,
        data=data,
        env="Wordle-Paper-v0",
        env_options=options,
        cells=cells,
        baselines=(
            Baseline("random letters", "random"),
            Baseline("random consistent", "random_consistent"),
            Baseline("mediocre player", "mixture", {"p": 0.5}),
            Baseline("optimal", "optimal"),
        ),
        normalise=("random letters", "optimal"),
        rank_test=True,
        compare_taus=(0.7, 0.8, 0.9),
        **settings,
    )


TRAP_ILQL = {**TRAP_VALUES, "tau": 0.95, "monte_carlo_steps": 400}
TRAP_SARSA = {**TRAP_VALUES, "monte_carlo_steps": 400}

# --- Wordle on a short list: returns ---

# Which words agree with the feedback is learned all at once, after about 1,000 steps of this size.
SMALL_FIT = {**TRAP_FIT, "steps": 2000, "schedule_steps": None, "batch_size": 64, "lr": 5e-3}
SMALL_VALUES = {**TRAP_VALUES, "bc_weight": 1.0, "bias_init": -2.0}
SMALL_WEIGHTS = weights(1, 2, 4, 8)


def small_wordle(name: str, words: str, logged: int, fit: dict[str, Any], **settings: Any) -> Experiment:
    """A Wordle that small models learn to play, from logs of players of mixed skill."""
    options: dict[str, Any] = {"words": words}
    return Experiment(
        name=name,
        title="Wordle on a short list: returns from mixed-skill logs",
        about=(
            "The logs hold players of mixed skill on a short word list, so that a small model learns to play within "
            "minutes. Agents are compared by the return of their games on hidden words drawn with fresh seeds. The "
            "strength of the values in decoding is chosen on other games than those reported."
        ),
        data=Data("wordle-mixed", episodes=logged, options={"env_id": "Wordle-v0", **options}),
        env="Wordle-v0",
        env_options=options,
        cells=(
            Cell("BC", "bc", fit=fit),
            Cell("%BC", "bc", {"keep_top": 0.2}, fit),
            Cell("SARSA", "sarsa", SMALL_VALUES, fit, SMALL_WEIGHTS),
            Cell("Monte Carlo", "monte_carlo", SMALL_VALUES, fit, SMALL_WEIGHTS),
            Cell("ILQL", "ilql", {**SMALL_VALUES, "tau": 0.8}, fit, SMALL_WEIGHTS),
        ),
        baselines=(
            Baseline("random letters", "random"),
            Baseline("random word", "random_word"),
            Baseline("random consistent", "random_consistent"),
            Baseline("optimal", "optimal"),
        ),
        normalise=("random letters", "optimal"),
        **settings,
    )


# --- The suites ---

QUICK = Suite(
    name="quick",
    title="Quick look",
    seeds=1,
    experiments=(
        MOVIE_REVIEW,
        trap(
            "trap-quick",
            "english",
            Data("wordle-trap", episodes=50_000, options={"words": "english"}),
            (
                # SARSA has its final answer by step 400; the full benchmark trains both equally long.
                Cell("SARSA", "sarsa", TRAP_SARSA, {**TRAP_FIT, "steps": 600}, weights(4)),
                Cell("ILQL", "ilql", TRAP_ILQL, {**TRAP_FIT, "steps": 1400}, weights(4)),
            ),
            episodes=128,
            selection_episodes=64,
        ),
    ),
)

TRAP = Suite(
    name="trap",
    title="Multi-step improvement on the Wordle trap",
    seeds=3,
    experiments=(
        trap(
            "trap",
            "english",
            Data("wordle-trap", episodes=200_000, options={"words": "english"}),
            (
                Cell("BC", "bc", fit=TRAP_SHORT_FIT),
                Cell("%BC", "bc", {"keep_top": 0.2}, TRAP_SHORT_FIT),
                Cell("SARSA", "sarsa", TRAP_SARSA, TRAP_FIT, TRAP_WEIGHTS),
                Cell("Monte Carlo", "monte_carlo", TRAP_VALUES, TRAP_SHORT_FIT, TRAP_WEIGHTS),
                Cell("ILQL", "ilql", TRAP_ILQL, TRAP_FIT, TRAP_WEIGHTS),
            ),
            episodes=512,
            selection_episodes=128,
        ),
    ),
)

TRAP_PAPER = Suite(
    name="trap-paper",
    title="The Wordle trap at the paper's own expectile",
    seeds=3,
    experiments=(
        trap(
            "trap-paper",
            "english",
            Data("wordle-trap", episodes=200_000, options={"words": "english"}),
            (Cell("ILQL", "ilql", {**TRAP_VALUES, "tau": 0.7}, TRAP_FIT, weights(4)),),
            episodes=128,
            selection_episodes=64,
        ),
    ),
)

WORDLE_SMALL = Suite(
    name="wordle-small",
    title="Wordle on a short word list",
    seeds=3,
    experiments=(small_wordle("wordle-small", "english-30", 50_000, SMALL_FIT),),
)

SUITES = {suite.name: suite for suite in (QUICK, TRAP, TRAP_PAPER, WORDLE_SMALL)}
