"""How the logged games of Wordle are made: the trap of Snell et al. (2023) and two simpler data sets."""

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

_BLOCK_GAMES = 4096  # about so many to a block


def expert(env: TokenVectorEnv, seed: int) -> Block:
    """Games of the strongest scripted player."""
    first, policy = first_seed(seed), Optimal(_game(env))

    def block(k: int) -> Iterator[Episode]:
        return played(env, policy, range(first + k * _BLOCK_GAMES, first + (k + 1) * _BLOCK_GAMES), "expert")

    return block


def trap(env: TokenVectorEnv, seed: int, n_adversarial: int = 5, n_suboptimal: int = 5) -> Block:
    """Games in which what leads to the best outcome usually leads to the worst.

    One round is an expert game; where it had at least three guesses, ``n_adversarial`` games that go on from its first
    two and then only repeat one of these, so that all are lost; and ``n_suboptimal`` games of a middling player. The
    opening of an expert is then worth less under the data than that of the middling player, though the best games begin
    with it: one step of policy improvement avoids it, several steps find it.

    Args:
        env: a game of Wordle.
        seed: of the recording.
        n_adversarial: lost games that branch from one expert game.
        n_suboptimal: middling games for one expert game.

    Raises:
        ValueError: where a number is negative.
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
        adversarial = iter(list(lost))  # the environment is one rollout's at a time
        middling = (seed + 1 + n_adversarial + i for seed in seeds for i in range(n_suboptimal))
        suboptimal = played(env, players[2], middling, "suboptimal")
        for game, own in zip(experts, branches, strict=True):
            yield game
            yield from (next(adversarial) for _ in own)
            yield from (next(suboptimal) for _ in range(n_suboptimal))

    return block


def mixed(env: TokenVectorEnv, seed: int, skills: Sequence[float] = (0.0, 0.25, 0.5, 0.75, 1.0)) -> Block:
    """Games of players of different skill; each game's player is drawn.

    Args:
        env: a game of Wordle.
        seed: of the recording.
        skills: for each player, how likely it is to guess a word that agrees with the feedback rather than any word.

    Raises:
        ValueError: where there is no player, or a skill is no probability.
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
    """What the agent said, one array for each utterance that reached its end token."""
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
