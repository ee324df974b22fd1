"""MonteCarlo: a Wordle player that looks ahead by simulated games."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lang_envs.policies.wordle_histories import read
from lang_envs.rollout import Policy, Turn
from lang_envs.tasks.wordle import Wordle
from lang_envs.tasks.wordle_game import ALPHABET, END, VOCABULARY, WordleState
from lang_envs.tasks.wordle_patterns import choose, colours
from lang_envs.tokenizers import decode, encode


class MonteCarlo:
    """Simulates ``n`` games to their end with another policy, and says the first word with the best mean return.

    The simulated games continue the history. The hidden word of each is drawn from the words that agree with the
    history, which is the exact posterior of the true word. Of words that tie, it says the one that was played first.

    Args:
        n: number of simulated games for each utterance.
        policy: the policy that plays them; its first word should be random.
        task: the game.
    """

    def __init__(self, n: int, policy: Policy, task: Wordle) -> None:
        if n < 1:
            raise ValueError(f"n must be at least 1, got {n}.")
        self.n, self.policy, self.task = n, policy, task

    def act(self, histories: Sequence[NDArray[np.int32]], rngs: Sequence[np.random.Generator]) -> list[Turn]:
        """One utterance for each history."""
        games = self._imagine(histories, rngs)
        self._play(games)
        return [_best(games[i * self.n : (i + 1) * self.n]) for i in range(len(histories))]

    def _imagine(self, histories: Sequence[NDArray[np.int32]], rngs: Sequence[np.random.Generator]) -> list[_Game]:
        """``n`` simulated games that continue each history."""
        known = read(histories)
        games = []
        for row, history in enumerate(histories):
            turns = np.flatnonzero(known.answered[:, row])
            state = WordleState(
                turn=int(known.turns[row]),
                guesses=tuple("".join(ALPHABET[c] for c in known.letters[:, k, row]) for k in turns),
                feedback=tuple(colours(int(known.patterns[k, row])) for k in turns),
            )
            consistent = self.task.consistent(state)[None]  # [1, W]
            # Each game has its own seed, so that its randomness does not depend on how long the others last.
            for seed in rngs[row].integers(2**63, size=self.n).tolist():
                rng = np.random.default_rng(seed)
                fixed = self.task.hidden == "fixed"
                hidden = self.task.words[choose(consistent, [rng])[0]] if fixed else None
                games.append(_Game(state._replace(hidden=hidden), history, rng))
        return games

    def _play(self, games: list[_Game]) -> None:
        tokenizer = self.task.tokenizer()
        playing = games
        while playing:
            turns = self.policy.act([game.history for game in playing], [game.rng for game in playing])
            said = decode(tokenizer, [turn.tokens[turn.tokens != VOCABULARY[END]] for turn in turns])
            states, rngs = [game.state for game in playing], [game.rng for game in playing]
            replies = self.task.reply_batch(states, said, rngs)
            answers = encode(tokenizer, [str(reply.text) for reply in replies])
            for game, turn, reply, answer in zip(playing, turns, replies, answers, strict=True):
                game.state, game.over = reply.state, reply.terminated
                game.history = np.concatenate([game.history, turn.tokens, np.array(answer, np.int32)])
                game.ret += reply.reward
                game.first = game.first or turn
            playing = [game for game in playing if not game.over]


@dataclass
class _Game:
    state: WordleState
    history: NDArray[np.int32]
    rng: np.random.Generator
    first: Turn | None = None
    ret: float = 0.0
    over: bool = False


def _best(games: list[_Game]) -> Turn:
    returns: dict[bytes, list[float]] = {}
    turns: dict[bytes, Turn] = {}
    for game in games:
        assert game.first is not None
        key = game.first.tokens.tobytes()
        turns.setdefault(key, game.first)
        returns.setdefault(key, []).append(game.ret)
    return turns[max(returns, key=lambda key: np.mean(returns[key]))]
