"""Plays whole episodes: the policy protocol and ``rollout``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import index
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from lang_envs.episode import Episode
from lang_envs.random_generators import OF_POLICY, Generators

if TYPE_CHECKING:
    from lang_envs.vector import TokenVectorEnv


class Turn(NamedTuple):
    """One utterance as the policy chose it: its tokens, the end token last, and their log-probabilities if known."""

    tokens: NDArray[np.int32]  # [n]
    logprobs: NDArray[np.float32] | None = None  # [n]
    info: Mapping[str, Any] | None = None  # JSON-able facts, for example what a model thought before it spoke


class Policy(Protocol):
    """Chooses utterances for episodes."""

    def act(self, histories: Sequence[NDArray[np.int32]], rngs: Sequence[np.random.Generator]) -> list[Turn]:
        """Chooses one utterance for each history (all tokens of the episode so far).

        ``rngs`` holds a generator for each episode. It is the only source of randomness that a policy may use. Then an
        episode depends on its seed alone. It does not depend on the other episodes in the batch, on the batch's size,
        or on where an interrupted recording was resumed.
        """
        ...


class Start(NamedTuple):
    """How an episode starts."""

    seed: int
    """seed of the environment"""
    policy_seed: int | None = None
    """seed of the policy's generator; by default ``seed``, of which the policy uses another stream"""
    said: Sequence[NDArray[np.int32]] = ()
    """utterances that are replayed before the policy speaks, to branch an episode"""
    context: int | None = None
    """number of the task's starting point; None: it is drawn"""


def rollout(env: TokenVectorEnv, policy: Policy, starts: Iterable[int | Start]) -> Iterator[Episode]:
    """Plays one exact episode for each start and yields the episodes in that order.

    When an episode ends, its row begins the next start at once, so that all rows stay in use. The environment must not
    be used elsewhere until the rollout is exhausted. ``Episode.info`` holds the seed of the start, the info of the
    task's last reply, and for each key of the turns' info a list with an entry for each utterance.

    Args:
        env: the environment to play in; its autoreset mode does not matter.
        policy: the policy that plays.
        starts: the starts; an int is the seed of a plain :class:`Start`. There may be endlessly many.

    Raises:
        ValueError: the policy returns something that is not a whole utterance (the message names the policy), or an
            episode ends before all its replayed utterances are said.
        TypeError: the policy does not return turns.
    """
    name = type(policy).__name__
    waiting = enumerate(start if isinstance(start, Start) else Start(index(start)) for start in starts)
    playing: dict[int, tuple[int, Start, Iterator[NDArray[np.int32]]]] = {}  # row -> place, start, replay left
    told: dict[int, list[Mapping[str, Any] | None]] = {}  # row -> the info of each of its turns
    streams: list[Any] = [None] * env.num_envs
    logprobs = np.full((env.num_envs, env.max_tokens), np.nan, np.float32)  # [N, T]
    finished: dict[int, Episode] = {}  # place -> episode
    due = 0
    while True:
        idle = [row for row in range(env.num_envs) if row not in playing]
        begun = dict(zip(idle, waiting, strict=False))  # row -> place, start
        if begun:
            logprobs[list(begun)] = np.nan
            env.begin(
                list(begun), [start.seed for _, start in begun.values()], [start.context for _, start in begun.values()]
            )
        for row, (place, start) in begun.items():
            playing[row], told[row] = (place, start, iter(start.said)), []
            streams[row] = start.seed if start.policy_seed is None else start.policy_seed
        if not playing:
            return
        rows = list(playing)
        histories = [env.history(row) for row in rows]
        replayed = [next(playing[row][2], None) for row in rows]
        turns = _turns(policy, histories, replayed, Generators(streams, rows, OF_POLICY))
        env.say(rows, [turn.tokens for turn in turns], speaker=name)
        _keep(logprobs, rows, list(map(len, histories)), turns, name)
        for row, turn in zip(rows, turns, strict=True):
            told[row].append(turn.info)
        for row in np.asarray(rows)[env.finished[rows]].tolist():
            place, start, said = playing.pop(row)
            if next(said, None) is not None:
                raise ValueError(f"the episode of seed {start.seed} was over before all replayed utterances were said")
            record = logprobs[row, : len(env.history(row))]
            known = None if np.isnan(record).all() else record.copy()
            finished[place] = env.episode(row, known, _by_key(told[row]) | {"seed": int(start.seed)})
        while due in finished:
            yield finished.pop(due)
            due += 1


def _turns(
    policy: Policy,
    histories: Sequence[NDArray[np.int32]],
    replayed: Sequence[NDArray[np.int32] | None],
    rngs: Generators,
) -> list[Turn]:
    """One turn for each history: the utterance to replay, or what the policy chooses."""
    asked = [i for i, tokens in enumerate(replayed) if tokens is None]
    chosen = policy.act([histories[i] for i in asked], rngs.take(asked)) if asked else []
    if len(chosen) != len(asked) or not all(isinstance(turn, Turn) for turn in chosen):
        got = f"{len(chosen)} of {sorted({type(turn).__name__ for turn in chosen})}"
        raise TypeError(f"{type(policy).__name__}.act must return a Turn for each of {len(asked)} histories, got {got}")
    answers = iter(chosen)
    return [next(answers) if tokens is None else Turn(np.asarray(tokens)) for tokens in replayed]


def _by_key(infos: Sequence[Mapping[str, Any] | None]) -> dict[str, list[Any]]:
    """The info of an episode's turns: for each key a list with an entry per turn, None if the turn lacks the key."""
    keys = dict.fromkeys(key for info in infos if info for key in info)
    return {key: [(info or {}).get(key) for info in infos] for key in keys}


def _keep(
    logprobs: NDArray[np.float32], rows: Sequence[int], lengths: Sequence[int], turns: Sequence[Turn], name: str
) -> None:
    """Writes the turns' log-probabilities to ``logprobs`` [N, T], each where its history ended; the rest is dropped."""
    known = [
        (row, start, len(turn.tokens), turn.logprobs)
        for row, start, turn in zip(rows, lengths, turns, strict=True)
        if turn.logprobs is not None
    ]
    if not known:
        return
    for _, _, size, values in known:
        if np.shape(values) != (size,):
            raise ValueError(f"{name}: {size} tokens need as many log-probabilities, got shape {np.shape(values)}")
    row, start, size = np.array([facts[:3] for facts in known]).T  # each [k]
    within = np.arange(size.sum()) - np.repeat(np.cumsum(size) - size, size)  # [sum of sizes] place in its turn
    column = np.repeat(start, size) + within
    fits = column < logprobs.shape[1]
    values = np.concatenate([values for *_, values in known])  # [sum of sizes]
    logprobs[np.repeat(row, size)[fits], column[fits]] = values[fits]
