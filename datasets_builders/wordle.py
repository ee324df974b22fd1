"""Records logs of Wordle: the trap of Snell et al. (2023) and two simpler data sets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from datasets_builders.block_workers import Block
from datasets_builders.recorder import first_seed, played
from datasets_builders.shares import in_turn
from lang_envs.episode import Episode
from lang_envs.policies.wordle import Optimal, RandomMixture, Repeat
from lang_envs.rollout import Start
from lang_envs.tasks.wordle import Wordle
from lang_envs.vector import TokenVectorEnv

_BLOCK_GAMES = 4096  # approximate


def expert(env: TokenVectorEnv, seed: int) -> Block:
    """Games of the strongest scripted player."""
    first, policy = first_seed(seed), Optimal(_game(env))

    def block(k: int) -> Iterator[Episode]:
        return played(env, policy, range(first + k * _BLOCK_GAMES, first + (k + 1) * _BLOCK_GAMES), "expert")

    return block


def trap(env: TokenVectorEnv, seed: int, n_adversarial: int = 5, n_suboptimal: int = 5) -> Block:
    """Games in which the opening of the best games usually leads to a lost game.

    A round begins with an expert game. If it has at least three guesses, ``n_adversarial`` games follow that start with
    its first two guesses and then only repeat one of these, so that they are lost. Then follow ``n_suboptimal`` games
    of a mediocre player. In these data the expert's opening has a lower mean return than the mediocre player's,
    although the best games begin with it. One step of policy improvement avoids this opening, several steps find it.

    Args:
        env: a game of Wordle.
        seed: of the recording.
        n_adversarial: number of lost games that branch from one expert game.
        n_suboptimal: number of mediocre games per expert game.

    Raises:
        ValueError: a number is negative.
    """
    if min(n_adversarial, n_suboptimal) < 0:
        raise ValueError(f"n_adversarial and n_suboptimal must not be negative, got {n_adversarial} and {n_suboptimal}")
    first = first_seed(seed)
    task = _game(env)
    players = Optimal(task), Repeat(task, first_n=2), RandomMixture(task, p=0.5)
    games = 1 + n_adversarial + n_suboptimal  # of one round, each with a seed of its own
    rounds = max(1, _BLOCK_GAMES // games)

    def block(k: int) -> Iterator[Episode]:
        seeds = range(first + k * rounds * games, first + (k + 1) * rounds * games, games)
        experts = list(played(env, players[0], seeds, "expert"))
        openings = [utterances(game, env.end_id) for game in experts]
        branches = [
            [Start(seed, seed + 1 + i, said[:2]) for i in range(n_adversarial if len(said) >= 3 else 0)]
            for seed, said in zip(seeds, openings, strict=True)
        ]
        lost = played(env, players[1], (start for own in branches for start in own), "adversarial")
        adversarial = iter(list(lost))  # a list: only one rollout at a time may use the environment
        middling = (seed + 1 + n_adversarial + i for seed in seeds for i in range(n_suboptimal))
        suboptimal = played(env, players[2], middling, "suboptimal")
        for game, own in zip(experts, branches, strict=True):
            yield game
            yield from (next(adversarial) for _ in own)
            yield from (next(suboptimal) for _ in range(n_suboptimal))

    return block


def mixed(env: TokenVectorEnv, seed: int, skills: Sequence[float] = (0.0, 0.25, 0.5, 0.75, 1.0)) -> Block:
    """Games of players of different skill; the player of each game is drawn.

    Args:
        env: a game of Wordle.
        seed: of the recording.
        skills: for each player the probability that it guesses a word that agrees with the feedback, not a random word.

    Raises:
        ValueError: there is no player, or a skill is not a probability.
    """
    if not skills:
        raise ValueError("skills must name at least one player, got none")
    first, players = first_seed(seed), [(f"mixture-{p:g}", RandomMixture(_game(env), p)) for p in skills]

    def block(k: int) -> Iterator[Episode]:
        seeds = range(first + k * _BLOCK_GAMES, first + (k + 1) * _BLOCK_GAMES)
        drawn = np.random.default_rng((seeds[0], 2)).integers(len(players), size=len(seeds))  # [games]
        yield from in_turn(env, players, seeds, drawn.tolist())

    return block


def utterances(game: Episode, end_id: int) -> list[NDArray[np.int32]]:
    """The agent's utterances, one array for each that has its end token."""
    said = game.tokens[game.is_action]
    return np.split(said, np.flatnonzero(said == end_id) + 1)[:-1]


def _game(env: TokenVectorEnv) -> Wordle:
    if not isinstance(env.task, Wordle):
        raise ValueError(f"this recipe needs a game of Wordle, got the task {type(env.task).__name__}")
    if not env.task.speaks(env.tokenizer):
        raise ValueError(
            f"the scripted players speak Wordle's own tokens, got another tokenizer ({len(env.tokenizer)} tokens); "
            "record without tokenizer=, or what a model of that tokenizer says"
        )
    return env.task
