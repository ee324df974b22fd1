"""Reference values by playing on, for tasks without known values: the mean return of imitation after each choice.

The agent's language model, without the values, plays an episode. A state is drawn from this episode, and the utterances
that are compared are sampled in this state. The value of an utterance's first token is the mean return of games in
which the language model finishes the utterance and plays on. The value of its last token is the mean return of games
that go on after the whole utterance. All games of a state have the hidden facts of the episode, for example the same
image. The reference therefore depends on facts that the agent cannot know, which lowers the attainable correlation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from agents.agent import Agent
from agents.data.batch import collate
from agents.decoding.policy import LMPolicy
from agents.evaluation.advantage import Alternatives, Floats, Tokens
from lang_envs.episode import Episode
from lang_envs.progress import counted
from lang_envs.rollout import Start, rollout
from lang_envs.vector import TokenVectorEnv


def played_values(
    agent: Agent, env: TokenVectorEnv, starts: Sequence[Start], utterances: int = 6, games: int = 16
) -> list[Alternatives]:
    """One state from each start, with the values of the first and of the last token of several utterances.

    Args:
        agent: an agent with values; ``gamma`` and ``discount_per`` of its configuration are used.
        env: the environment to play in.
        starts: starts of the episodes that states are drawn from; an episode without an utterance gives no state.
        utterances: number of utterances sampled in each state; equal ones count once.
        games: number of games for each value, an even number.

    Raises:
        ValueError: the number of games is odd or below 2, or the agent's policy is no ``LMPolicy``.
    """
    if games < 2 or games % 2:
        raise ValueError(f"games must be even and at least 2, because two halves are compared; got {games}.")
    imitation = agent.policy(**({"advantage_weight": 0.0} if agent.needs_values else {}))
    if not isinstance(imitation, LMPolicy):
        raise ValueError(f"{agent.name} has no language model whose utterances could be played on.")
    played = list(counted("playing for reference values", len(starts), rollout(env, imitation, starts)))
    spoken = [(episode, start) for episode, start in zip(played, starts, strict=True) if episode.is_action.any()]
    states = [_State(env, episode, start) for episode, start in spoken]
    for state in states:
        state.alternatives = _distinct(_drawn(imitation, [state.history] * utterances, state.rng))
    asked = [(s, k, first) for s in states for k in range(len(s.alternatives)) for first in (True, False)]
    branches = [branch for s, k, first in asked for branch in s.branches(imitation, k, first, games)]
    returns = np.fromiter(_returns(agent, env, imitation, branches, asked, games), np.float64, len(branches))
    return list(_gathered(states, returns.reshape(len(asked), games)))


class _State:
    """A state drawn from an episode: where the agent's turn begins."""

    def __init__(self, env: TokenVectorEnv, episode: Episode, start: Start) -> None:
        self.start, self.limit = start, env.task.max_utterance_tokens
        self.rng = np.random.default_rng((start.seed, 7))
        turns = list(episode.utterances(env.end_id, self.limit))
        turn = int(self.rng.integers(len(turns)))
        self.history: Tokens = episode.tokens[: turns[turn].start]
        self.said = [episode.tokens[span] for span in turns[:turn]]
        self.before = int(episode.is_action[: turns[turn].start].sum())  # actions
        self.alternatives: list[Tokens] = []

    def branches(self, policy: LMPolicy, k: int, first: bool, games: int) -> list[Start]:
        """The starts of games after the first token of alternative ``k``, or after all of it."""
        utterance = self.alternatives[k]
        said = [utterance] * games
        if first and len(utterance) > 1:
            head = utterance[:1]
            rest = _drawn(policy, [np.append(self.history, head)] * games, self.rng)
            said = [np.append(head, tail)[: self.limit].astype(np.int32) for tail in rest]
        seeds = self.rng.integers(2**62, size=games).tolist()
        return [
            self.start._replace(policy_seed=seed, said=(*self.said, u)) for seed, u in zip(seeds, said, strict=True)
        ]


def _drawn(policy: LMPolicy, histories: Sequence[Tokens], rng: np.random.Generator) -> list[Tokens]:
    """Samples one utterance for each history."""
    return [turn.tokens for turn in policy.act(histories, rng.spawn(len(histories)))]


def _distinct(utterances: Sequence[Tokens]) -> list[Tokens]:
    return list({u.tobytes(): u for u in utterances}.values())


def _returns(
    agent: Agent,
    env: TokenVectorEnv,
    policy: LMPolicy,
    branches: Sequence[Start],
    asked: Sequence[tuple[_State, int, bool]],
    games: int,
) -> Iterator[float]:
    """The discounted return of each game, from the evaluated token on."""
    c, tokenizer = agent.config, env.tokenizer
    for i, game in enumerate(counted("playing for reference values", len(branches), rollout(env, policy, branches))):
        state, k, first = asked[i // games]
        batch = collate([game], tokenizer.pad_token_id, env.end_id, state.limit)
        action = state.before + (0 if first else len(state.alternatives[k]) - 1)
        yield float(batch.returns_to_go(c.gamma, c.discount_per)[0, action])


def _gathered(states: Sequence[_State], returns: Floats) -> Iterator[Alternatives]:
    """The alternatives with their values; ``returns`` [2 x alternatives of all states, games]."""
    rows = iter(returns)
    for state in states:
        of = [(next(rows), next(rows)) for _ in state.alternatives]
        whole, odd, even = (
            [
                _at_both_ends(u, first[part].mean(), last[part].mean())
                for u, (first, last) in zip(state.alternatives, of, strict=True)
            ]
            for part in (slice(None), slice(0, None, 2), slice(1, None, 2))
        )
        yield Alternatives(state.history, state.alternatives, whole, (odd, even))


def _at_both_ends(utterance: Tokens, first: float, last: float) -> Floats:
    """Values of an utterance's tokens; only those of the first and of the last token are known."""
    values = np.full(len(utterance), np.nan)
    values[-1], values[0] = last, first
    return values
