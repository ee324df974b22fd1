"""Wordle: the rank test on the trap of Snell et al. 2023 (arXiv 2206.11871, section 5), and returns on a short list."""

from __future__ import annotations

from typing import Any

from agents.benchmark.experiment import Baseline, Cell, Data, Experiment, Suite
from agents.benchmark.suites.settings import ONE_TOKEN, SAMPLED, weights

TRAP_FIT: dict[str, Any] = {
    "steps": 2500,
    "batch_size": 128,
    "lr": 2e-3,
    "final_lr": 0.1,
    "warmup_steps": 100,
    "betas": (0.9, 0.95),
    "weight_decay": 0.01,
}
# For those without values, which the rank test is not about; all that have values train equally long.
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
            (Cell("ILQL", "ilql", {**TRAP_VALUES, "tau": 0.7}, TRAP_FIT, weights(4)),),
            episodes=128,
            selection_episodes=64,
        ),
    ),
)

# Which words agree with the feedback is learned all at once, after about 1,000 steps of this size.
PLAY_FIT = {**TRAP_FIT, "steps": 2000, "batch_size": 64, "lr": 5e-3}
GO_ON_FIT = {**PLAY_FIT, "steps": 500, "lr": 1e-3, "warmup_steps": 20}
PLAY_VALUES = {**TRAP_VALUES, "bc_weight": 1.0, "bias_init": -2.0}
PLAY_WEIGHTS = weights(0.25, 0.5, 1, 2, clip=None)

WORDLE_OPTIONS: dict[str, Any] = {"words": "english-30"}
WORDLE = Suite(
    name="wordle",
    title="Wordle on a short word list",
    seeds=5,
    experiments=(
        Experiment(
            name="wordle",
            title="Wordle on a short list: returns from mixed-skill logs",
            about=(
                "The logs hold players of mixed skill, as tweets would, on a list of 30 words, so that a small model "
                "learns to play within minutes. Every method goes on from BC for as many steps. All say the likeliest "
                "letter but 'BC, sampled'. The strength of the values is chosen on other games than those reported, "
                "whose hidden words are drawn with fresh seeds."
            ),
            data=Data("wordle-mixed", episodes=50_000, options={"env_id": "Wordle-v0", **WORDLE_OPTIONS}),
            env="Wordle-v0",
            env_options=WORDLE_OPTIONS,
            cells=(
                Cell("BC", "bc", fit=PLAY_FIT),
                Cell("BC, sampled", "bc", decodings=SAMPLED, start="BC", trained=False),
                Cell("BC, longer", "bc", fit=GO_ON_FIT, start="BC"),
                Cell("%BC", "bc", {"keep_top": 0.2}, GO_ON_FIT, start="BC"),
                Cell("SARSA", "sarsa", {**PLAY_VALUES, **ONE_TOKEN}, GO_ON_FIT, PLAY_WEIGHTS, start="BC"),
                Cell("Monte Carlo", "monte_carlo", PLAY_VALUES, GO_ON_FIT, PLAY_WEIGHTS, start="BC"),
                Cell("ILQL", "ilql", {**PLAY_VALUES, "tau": 0.8}, GO_ON_FIT, PLAY_WEIGHTS, start="BC"),
            ),
            baselines=(
                Baseline("random letters", "random"),
                Baseline("random word", "random_word"),
                Baseline("random consistent", "random_consistent"),
                Baseline("optimal", "optimal"),
            ),
            normalise=("random letters", "optimal"),
        ),
    ),
)
