"""Playing whole episodes: the policy protocol and ``rollout``."""

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
    """One agent utterance as it was chosen: its tokens, the end token last, and their log-probabilities where known."""

    tokens: NDArray[np.int32]  # [n]
    logprobs: NDArray[np.float32] | None = None  # [n]
    info: Mapping[str, Any] | None = None  # JSON-able facts on it: what a model thought before it spoke, say


class Policy(Protocol):
    """Anything that can speak."""

    def act(self, histories: Sequence[NDArray[np.int32]], rngs: Sequence[np.random.Generator]) -> list[Turn]:
        """Chooses one utterance for each history (all tokens of the episode so far).

        ``rngs`` holds a generator for each episode and is the only source of chance a policy may use: what happens in
        an episode then depends on its seed alone, never on its neighbours in the batch, on the batch's size, or on
        where an interrupted recording was resumed.
        """
        ...


class Start(NamedTuple):
    """Where an episode starts."""

    seed: int
    """of the environment"""
    policy_seed: int | None = None
    """of the policy's generator; by default ``seed``, of which policies have a stream of their own"""
    said: Sequence[NDArray[np.int32]] = ()
    """utterances replayed before the policy takes over: how an episode is branched"""
    context: int | None = None
    """the task's starting point; by default it is drawn"""


def rollout(env: TokenVectorEnv, policy: Policy, starts: Iterable[int | Start]) -> Iterator[Episode]:
    """Plays one exact episode for each start and yields them in that order.

    All rows of ``env`` are kept busy: a finished episode makes room for the next start at once. The environment
    belongs to the rollout until it is exhausted. ``Episode.info`` holds the seed of the start, the info of the task's
    last reply, and for each key of the turns' info a list with an entry for each utterance.

    Args:
        env: where to play; its autoreset mode does not matter.
        policy: who speaks.
        starts: where to start; an int is the seed of a plain :class:`Start`. They may be endless.

    Raises:
        ValueError: naming the policy, where it says what is no utterance, or an episode ends before its replay does.
        TypeError: where it does not return turns.
    """
    name = type(policy).__name__
    waiting = enumerate(start if isinstance(start, Start) else Start(index(start)) for start in starts)
    playing: dict[int, tuple[int, Start, Iterator[NDArray[np.int32]]]] = {}  # row -> place, start, still to be replayed
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
    """One turn for each history: what is replayed there, or what the policy chooses."""
    asked = [i for i, tokens in enumerate(replayed) if tokens is None]
    chosen = policy.act([histories[i] for i in asked], rngs.take(asked)) if asked else []
    if len(chosen) != len(asked) or not all(isinstance(turn, Turn) for turn in chosen):
        got = f"{len(chosen)} of {sorted({type(turn).__name__ for turn in chosen})}"
        raise TypeError(f"{type(policy).__name__}.act must return a Turn for each of {len(asked)} histories, got {got}")
    answers = iter(chosen)
    return [next(answers) if tokens is None else Turn(np.asarray(tokens)) for tokens in replayed]


def _by_key(infos: Sequence[Mapping[str, Any] | None]) -> dict[str, list[Any]]:
    """The info of an episode's turns: for each key a list, with None for the turns that do not have it."""
    keys = dict.fromkeys(key for info in infos if info for key in info)
    return {key: [(info or {}).get(key) for info in infos] for key in keys}


def _keep(
    logprobs: NDArray[np.float32], rows: Sequence[int], lengths: Sequence[int], turns: Sequence[Turn], name: str
) -> None:
    """Writes the turns to ``logprobs`` [N, T], each where its history ended; what has no place there is dropped."""
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
