"""Wordle: the rank test on the trap of Snell et al. 2023 (arXiv 2206.11871, section 5), and returns on a short list."""

from __future__ import annotations

from typing import Any

from agents.benchmark.experiment import Baseline, Cell, Data, ExactLearner, Experiment, Suite
from agents.benchmark.suites.settings import (
    IMITATION,
    LEARNED,
    OFFLINE_GRPO,
    ONE_TOKEN,
    Q_WEIGHTS,
    SLOW_HEADS,
    Decodings,
    perturbed,
    weights,
)

TRAP_FIT: dict[str, Any] = {
    "steps": 2500,
    "batch_size": 128,
    "lr": 2e-3,
    "final_lr": 0.1,
    "warmup_steps": 100,
    "betas": (0.9, 0.95),
    "weight_decay": 0.01,
    **SLOW_HEADS,
}
# For methods without values, which the rank test does not measure. All methods with values train for the same steps.
TRAP_SHORT_FIT: dict[str, Any] = {**TRAP_FIT, "steps": 400, "batch_size": 64}
TRAP_VALUES = {
    "gamma": 0.99,
    "cql_weight": 0.001,
    "bc_weight": 0.15,
    "target_rate": 0.05,
    "num_q": 1,
    "zero_init": True,
    "bias_init": -3.0,
    "value_unit": 1.0,
    "trunk_gradient": 1.0,
}
TRAP_WEIGHTS = weights(1, 4, 16)

TRAP_ABOUT = (
    "The logs hold three kinds of games: those of an expert, those that follow an expert for two guesses and then "
    "lose, and those of a mediocre player. Averaged over the logs, an expert's first word has a lower value than a "
    "mediocre player's. Followed by the expert's later guesses, it has a higher value. The rank test asks which of the "
    "two words a value function prefers, at each token of the word. Returns are reported too, but this experiment is "
    "not about them: filtering by return (%BC) avoids the trap, and a small model does not learn in minutes to spell "
    "consistent words from a long list."
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


TRAP_ILQL = {**TRAP_VALUES, **ONE_TOKEN, "tau": 0.95, "monte_carlo_steps": 400}
TRAP_SARSA = {**TRAP_VALUES, "monte_carlo_steps": 400}

TRAP = Suite(
    name="trap",
    title="Multi-step improvement on the Wordle trap",
    seeds=5,
    experiments=(
        trap(
            "trap",
            "english",
            Data("wordle-trap", episodes=200_000, options={"words": "english"}),
            (
                Cell("BC", "bc", fit=TRAP_SHORT_FIT),
                Cell("%BC", "bc", {"keep_top": 0.2}, TRAP_SHORT_FIT),
                Cell("SARSA", "sarsa", {**TRAP_SARSA, **ONE_TOKEN}, TRAP_FIT, TRAP_WEIGHTS),
                Cell("Monte Carlo", "monte_carlo", TRAP_VALUES, TRAP_FIT, TRAP_WEIGHTS),
                Cell("ILQL", "ilql", TRAP_ILQL, TRAP_FIT, TRAP_WEIGHTS),
            ),
            episodes=512,
            selection_episodes=128,
        ),
    ),
)

TRAP_PAPER = Suite(
    name="trap-paper",
    title="The Wordle trap at an expectile of 0.7",
    seeds=5,
    experiments=(
        trap(
            "trap-paper",
            "english",
            Data("wordle-trap", episodes=200_000, options={"words": "english"}),
            (Cell("ILQL", "ilql", {**TRAP_VALUES, **ONE_TOKEN, "tau": 0.7}, TRAP_FIT, weights(4)),),
            episodes=128,
            selection_episodes=64,
        ),
    ),
)

# Models learn all at once which words agree with the feedback, after about 1,000 steps of this size.
PLAY_FIT: dict[str, Any] = {
    "steps": 2000,
    "batch_size": 64,
    "lr": 5e-3,
    "final_lr": 0.1,
    "warmup_steps": 100,
    "betas": (0.9, 0.95),
    "weight_decay": 0.01,
}
GO_ON_FIT = {**PLAY_FIT, "steps": 800, "batch_size": 128, "lr": 1e-3, "warmup_steps": 20}
PLAY_VALUES: dict[str, Any] = {**LEARNED, "gamma": 0.99}
PLAY_WEIGHTS = perturbed(2, 8, 16, 32)
AHEAD: dict[str, Any] = {"backup": "utterance"}
"""Targets are means over what follows: the return of a guess is largely chance, and an expectile takes luck for
skill."""

EXACT = (
    ExactLearner("BC", "bc"),
    ExactLearner("%BC, 20%", "bc", keep_top=0.2),
    ExactLearner("%BC, 50%", "bc", keep_top=0.5),
    ExactLearner("SARSA", "sarsa"),
    ExactLearner("Monte Carlo", "monte_carlo"),
    ExactLearner("ILQL, τ 0.8", "ilql", tau=0.8),
)

TWEETS_ABOUT = (
    "The logs hold games with simulated colours, such as people share after their games, and words that fit these "
    "colours. The words of a game are drawn without regard to its earlier words, so the likeliest guess is not yet a "
    "good one. This leaves something to learn from the returns, whether an agent plays greedily or samples. "
)
MIXED_ABOUT = (
    "The logs hold players of mixed skill. They draw their mistakes uniformly from all words, so the likeliest guess "
    "is free of mistakes. Greedy imitation therefore leaves nothing to gain here. "
)
PLAY_ABOUT = (
    "Every method goes on from the BC agent for the same number of steps. Each agent's decoding is chosen on other "
    "games than the reported ones. Exact learners have a table with an entry for every state of the log. They show how "
    "much can be gained from the log, before any model is trained."
)


def methods(fit: dict[str, Any]) -> tuple[Cell, ...]:
    """Every method with one setting, each from the same BC."""

    def imitation(label: str, **config: Any) -> Cell:
        return Cell(label, "bc", config, GO_ON_FIT, IMITATION, start="BC")

    def values(label: str, agent: str, decodings: Decodings = PLAY_WEIGHTS, **config: Any) -> Cell:
        return Cell(label, agent, {**PLAY_VALUES, **config}, GO_ON_FIT, decodings, start="BC")

    return (
        Cell("BC", "bc", fit=fit, decodings=IMITATION),
        imitation("BC, longer"),
        imitation("%BC, 20%", keep_top=0.2),
        imitation("%BC, 50%", keep_top=0.5),
        values("SARSA", "sarsa", **AHEAD),
        values("Monte Carlo", "monte_carlo"),
        values("ILQL, τ 0.8", "ilql", tau=0.8, **AHEAD),
        values("AWR", "awr", IMITATION, tau=0.8, awr_temperature=0.25, **AHEAD),
        values("CQL", "cql", cql_weight=0.1, **AHEAD),
        values("ArCHer", "archer", IMITATION, tau=0.8, awr_temperature=0.25),
        Cell("OREO", "oreo", {"beta": 0.1}, GO_ON_FIT, IMITATION, start="BC"),
        Cell("GRPO, logged", "grpo", OFFLINE_GRPO, GO_ON_FIT, IMITATION, start="BC"),
        Cell("KTO", "kto", {}, GO_ON_FIT, IMITATION, start="BC"),
        Cell("Q-SFT", "q_sft", {}, GO_ON_FIT, Q_WEIGHTS, start="BC"),
    )


def returns(
    name: str, title: str, about: str, recipe: str, words: str, games: int, fit: dict[str, Any], **settings: Any
) -> Experiment:
    """The returns of every method on a word list, learned from the games of a recipe."""
    options: dict[str, Any] = {"words": words}
    return Experiment(
        name=name,
        title=title,
        about=about + PLAY_ABOUT,
        data=Data(recipe, episodes=games, options={"env_id": "Wordle-v0", **options}),
        env="Wordle-v0",
        env_options=options,
        cells=methods(fit),
        baselines=(
            Baseline("random letters", "random"),
            Baseline("random word", "random_word"),
            Baseline("random consistent", "random_consistent"),
            Baseline("optimal", "optimal"),
        ),
        exact=EXACT,
        advantage_quality=True,
        measure_every=200,
        normalise=("random letters", "optimal"),
        **settings,
    )


WORDLE = Suite(
    name="wordle",
    title="Wordle on a short word list",
    seeds=5,
    experiments=(
        returns(
            "tweets-30",
            "Wordle of 30 words: returns from logs like tweets",
            TWEETS_ABOUT,
            "wordle-tweets",
            "english-30",
            100_000,
            PLAY_FIT,
        ),
        returns(
            "tweets-200",
            "Wordle of 200 words: returns from logs like tweets",
            TWEETS_ABOUT,
            "wordle-tweets",
            "english-200",
            200_000,
            {**PLAY_FIT, "steps": 8000},
        ),
        returns(
            "mixed-30",
            "Wordle of 30 words: returns from mixed-skill logs",
            MIXED_ABOUT,
            "wordle-mixed",
            "english-30",
            50_000,
            PLAY_FIT,
        ),
    ),
)
