"""TokenVectorEnv: N episodes of one task, over tokens, in arrays."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from numpy.typing import ArrayLike, NDArray

from lang_envs.arguments import (
    autoreset_mode_of,
    contexts_of,
    distinct_rows,
    masked_rows,
    options_of,
    seed_of,
    seeds_of,
    shown,
    token_ids,
    typed,
    whole_number,
)
from lang_envs.contexts import check_context
from lang_envs.dynamics import Replies
from lang_envs.episode import Episode
from lang_envs.episode_buffer import EpisodeBuffer, Rows
from lang_envs.infos import collect, collect_final, column, widened
from lang_envs.random_generators import Generators
from lang_envs.replies import check_replies
from lang_envs.spaces import history_space, max_tokens_of, said_ids, token_space
from lang_envs.speech import Speech, tokenizer_of
from lang_envs.text_dynamics import TextDynamics
from lang_envs.tokenizers import decode, size_and_unused, transcripts
from lang_envs.utterances import check_tokens, stack_utterances

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from lang_envs.task import Task

Observation = dict[str, NDArray[Any]]
EVERY_ROW, NO_ROWS = slice(None), np.empty(0, np.int64)
MOST_ENVS = 2**24


class TokenVectorEnv(gym.vector.VectorEnv[Observation, NDArray[np.int64], NDArray[Any]]):
    """N episodes of one task at once, equal in every output to gymnasium's ``SyncVectorEnv`` over N ``TokenEnv``.

    One action is one token. With ``copy=False`` the time of a step does not depend on T, and neither does the time of a
    turn of :func:`lang_envs.rollout`. With ``copy=True`` each observation is a new array of N * T numbers, which the
    caller may keep and change. With N = 16 a step then takes 32 us for T = 128 and 42 us for T = 4096, so the time of
    an episode of T steps grows about as T^1.1.

    Besides gymnasium's interface, whole utterances can be said with :meth:`begin`, :meth:`say` and :meth:`episode`,
    which never reset by themselves; :func:`lang_envs.rollout` uses these.

    Args:
        task: the rules.
        num_envs: N, the number of episodes at once.
        tokenizer: a tokenizer, a folder or a name on the hub; None: the task's own.
        max_tokens: T, the most tokens of a whole episode; by default the task's number, plus room for the markup of
            another tokenizer.
        autoreset_mode: gymnasium's mode: the step after an episode's end resets it (default), the same step, or none.
        copy: whether observations are copies; otherwise they are one buffer that the next step overwrites.
        max_episode_steps: number of agent tokens after which an episode is truncated; None: only the task's limits.
        render_mode: "ansi" or None.
        markup: how conversations are written, as :class:`lang_envs.token_env.TokenEnv` takes it.
    """

    def __init__(
        self,
        task: Task[Any],
        num_envs: int,
        *,
        tokenizer: PreTrainedTokenizerFast | str | os.PathLike[str] | None = None,
        max_tokens: int | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        copy: bool = True,
        max_episode_steps: int | None = None,
        render_mode: str | None = None,
        markup: str | None = None,
    ) -> None:
        num_envs = whole_number(num_envs, "num_envs", least=1, most=MOST_ENVS)
        if max_episode_steps is not None:
            max_episode_steps = whole_number(max_episode_steps, "max_episode_steps", least=1)
        if render_mode is not None and (not isinstance(render_mode, str) or render_mode != "ansi"):
            raise ValueError(f"render_mode of a vector environment is 'ansi' or None, got {shown(render_mode)}")
        self.task, self.num_envs, self.render_mode = task, num_envs, render_mode
        self.copy = typed(copy, bool, "copy")
        self.tokenizer = tokenizer_of(task, tokenizer, markup)
        self.end_id, self.pad_id = int(self.tokenizer.eos_token_id), int(self.tokenizer.pad_token_id)
        self.vocabulary_size, self.unused = size_and_unused(self.tokenizer)
        most = Speech(task, self.tokenizer).max_tokens if max_tokens is None else max_tokens
        self.max_tokens = max_tokens_of(most)
        self.max_episode_steps = max_episode_steps
        self.autoreset_mode = autoreset_mode_of(autoreset_mode)
        self.metadata = {"render_modes": ["ansi"], "render_fps": 4, "autoreset_mode": self.autoreset_mode}
        self.single_action_space = token_space(self.vocabulary_size, self.unused)
        self.single_observation_space = history_space(self.vocabulary_size, self.max_tokens)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self._dynamics = task.dynamics(self.tokenizer, num_envs) or TextDynamics(task, self.tokenizer, num_envs)
        self._streams: list[Any] = [None] * num_envs
        self._buffer = EpisodeBuffer(num_envs, self.max_tokens, self.pad_id, self.copy)
        self._said = np.zeros(num_envs, np.int64)  # [N] number of tokens of the current utterance
        self._turns = np.zeros(num_envs, np.int64)  # [N]
        self._terminated = np.zeros(num_envs, np.bool_)  # [N]
        self._truncated = np.zeros(num_envs, np.bool_)  # [N]
        self._info: dict[str, NDArray[Any]] = {}  # key -> [N], the info of each row's last reply
        self._answered = np.zeros(num_envs, np.bool_)  # [N] whether there was a reply
        self._all_play = False  # True only if an episode is running in every row

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Starts new episodes in all rows, or in those of ``options["reset_mask"]`` (bool [N]).

        Row i is seeded with ``seed + i`` or ``seed[i]``; a row without a seed keeps its generator.
        ``options["context"]`` is the task's starting point for all rows, or a list with one (or None) for each row.

        Raises:
            ValueError: a seed is negative, the task does not have a starting point, or a list has another length.
            TypeError: a seed or an option is of another type.
        """
        options = options_of(options)
        seeds, contexts = seeds_of(seed, self.num_envs), contexts_of(options.get("context"), self.num_envs)
        mask = options.get("reset_mask")
        rows = np.arange(self.num_envs) if mask is None else masked_rows(mask, self.num_envs)
        self._start(rows, [seeds[row] for row in rows], [contexts[row] for row in rows] if contexts else ())
        return self._buffer.observation(), {}

    def step(
        self, actions: ArrayLike
    ) -> tuple[Observation, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Appends one token to each episode.

        Raises:
            ValueError: no episode was begun, a token is out of range, or, without autoreset, an episode is over.
            TypeError: the actions are not integers.
        """
        rows, stale = self._rows_to_step()
        tokens = token_ids(actions, self.num_envs)[rows]  # [n]
        check_tokens(tokens, self.vocabulary_size, "step", self.unused)
        self._all_play = False
        self._buffer.append_one(rows, tokens)
        self._said[rows] += 1
        ended, replies = self._after_actions(rows, tokens)
        if stale.size:
            self._begin(stale)
        rewards = np.zeros(self.num_envs)
        if replies is not None:
            rewards[ended] = replies.rewards
        info = {} if replies is None else replies.info
        terminated, truncated, finished = self._terminated.copy(), self._truncated.copy(), self.finished
        self._all_play = not finished.any()
        if self.autoreset_mode is AutoresetMode.SAME_STEP and not self._all_play:
            over = np.flatnonzero(finished)
            infos = collect_final(finished, self._buffer.last_observation(over), ended, info)
            self._begin(over)
        else:
            infos = collect(self.num_envs, ended, info)
        return self._buffer.observation(), rewards, terminated, truncated, infos

    def action_masks(self) -> NDArray[np.bool_]:
        """Whether each token may come next, [N, V], as sb3-contrib expects it; all may if the task does not know."""
        masks = np.tile(said_ids(self.vocabulary_size, self.unused), (self.num_envs, 1))
        for row in np.flatnonzero((self._buffer.length > 0) & ~self.finished).tolist():
            history = self.history(row)
            said = history[len(history) - self._said[row] :].tolist()
            legal = self.task.legal_tokens(self._dynamics.state(row), said, self.tokenizer)
            if legal is not None:
                masks[row] = legal
        return masks

    def render(self) -> tuple[str, ...] | None:
        """The transcript of each episode so far, in render mode "ansi"."""
        if self.render_mode is None:
            return None
        return tuple(transcripts(self.tokenizer, [self.history(row) for row in range(self.num_envs)]))

    # Whole utterances

    def begin(
        self, rows: Sequence[int] | Rows, seeds: Sequence[int | None], contexts: Sequence[int | None] = ()
    ) -> None:
        """Starts new episodes in ``rows``, each from its own seed; with None the row keeps its generator.

        ``contexts`` has the task's starting point for each episode; None draws it.
        """
        rows = distinct_rows(rows)
        if rows.size:
            self._start(rows, seeds, contexts)

    def say(
        self, rows: Sequence[int] | Rows, utterances: Sequence[NDArray[np.int32]], speaker: str = "the agent"
    ) -> None:
        """Says one whole utterance in each of ``rows``; equal in effect to stepping through its tokens.

        An utterance must end with the end token, have ``max_utterance_tokens`` tokens, or fill the context; tokens
        beyond the context are not said. Errors name the ``speaker``.

        Raises:
            ValueError: an utterance does none of these, is empty, or has tokens after its end token; or a row has no
                running episode, or is in the middle of an utterance.
            TypeError: the tokens are not integers.
        """
        rows = distinct_rows(rows)
        if not rows.size:
            return
        ready = (self._buffer.length[rows] > 0) & ~self.finished[rows] & (self._said[rows] == 0)
        if not ready.all():
            row = rows[ready.argmin()]
            raise ValueError(f"{speaker}: row {row} takes no utterance now: over, not begun, or in the middle of one")
        tokens, lengths = stack_utterances(
            utterances,
            self._room(rows),
            limit=self.task.max_utterance_tokens,
            end_id=self.end_id,
            pad_id=self.pad_id,
            vocabulary_size=self.vocabulary_size,
            unused=self.unused,
            speaker=speaker,
        )
        self._all_play = False
        self._buffer.append(rows, tokens, lengths, is_action=True)
        self._said[rows] = lengths
        self._after_actions(rows, tokens[np.arange(len(rows)), lengths - 1])

    def history(self, row: int) -> NDArray[np.int32]:
        """All tokens of a row's episode so far, [t]: a read-only view, overwritten when a new episode begins."""
        return self._buffer.history(row)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """The number of tokens of each row's episode so far, [N]; 0 if none was begun."""
        return self._buffer.length.copy()

    @property
    def finished(self) -> NDArray[np.bool_]:
        """Whether each row's episode is over, [N]."""
        return self._terminated | self._truncated

    def episode(
        self, row: int, logprobs: NDArray[np.float32] | None = None, info: dict[str, Any] | None = None
    ) -> Episode:
        """The record of a row's episode so far; its info is that of the task's last reply, updated with ``info``."""
        last = {key: column[row] for key, column in self._info.items()} if self._answered[row] else {}
        span = slice(0, self._buffer.length[row])
        return Episode(
            tokens=self._buffer.tokens[row, span].copy(),
            is_action=self._buffer.is_action[row, span].copy(),
            rewards=self._buffer.rewards[row, span].copy(),
            terminated=bool(self._terminated[row]),
            truncated=bool(self._truncated[row]),
            logprobs=logprobs,
            info={key: v.item() if isinstance(v, np.generic) else v for key, v in last.items()} | (info or {}),
        )

    # How episodes go on

    def _start(self, rows: Rows, seeds: Sequence[int | None], contexts: Sequence[int | None]) -> None:
        """Starts episodes. Everything is checked first, so that a refused call changes nothing."""
        own = [seed_of(seed) for seed in seeds]
        contexts = [check_context(self.task, context) for context in contexts]
        for row, seed in zip(rows.tolist(), own, strict=True):
            if seed is not None:
                self._streams[row] = seed
        self._begin(rows, contexts)

    def _begin(self, rows: Rows, contexts: Sequence[int | None] = ()) -> None:
        opening = self._dynamics.begin(rows, Generators(self._streams, rows.tolist()), contexts)
        shortest, longest = opening.lengths.min(), opening.lengths.max()
        if shortest < 1 or longest >= self.max_tokens:
            raise ValueError(
                f"the opening observation has {shortest if shortest < 1 else longest} tokens; it needs at least 1 and "
                f"must leave room in max_tokens={self.max_tokens}"
            )
        self._buffer.clear(rows)
        self._said[rows] = self._turns[rows] = 0
        self._terminated[rows] = self._truncated[rows] = self._answered[rows] = False
        self._buffer.append(rows, opening.tokens, opening.lengths, is_action=False)

    def _room(self, rows: Rows | slice) -> Rows:
        """The number of further actions for which the episodes in ``rows`` have room, [n]."""
        room = self.max_tokens - self._buffer.length[rows]
        if self.max_episode_steps is not None:
            room = np.minimum(room, self.max_episode_steps - self._buffer.num_actions[rows])
        return room

    def _after_actions(self, rows: Rows | slice, last: NDArray[np.integer[Any]]) -> tuple[Rows, Replies | None]:
        """Answers the utterances that the ``last`` tokens [n] have ended; returns the answered rows and the replies."""
        ended = (last == self.end_id) | (self._said[rows] >= self.task.max_utterance_tokens)  # [n]
        self._truncated[rows] = self._room(rows) <= 0  # an utterance that the context cuts gets no reply and no reward
        if not ended.any():
            return NO_ROWS, None
        rows = np.flatnonzero(ended) if isinstance(rows, slice) else rows[ended]
        said = self._said[rows]
        utterances = self._buffer.last(rows, said)  # [n, L]
        replies = self._dynamics.reply(rows, utterances, said, Generators(self._streams, rows.tolist()))
        check_replies(
            replies,
            type(self.task).__name__,
            self._turns[rows] + 1,
            lambda i: decode(self.tokenizer, [utterances[i, : said[i]]])[0],
        )
        self._buffer.pay(rows, replies.rewards)
        fits = np.minimum(replies.lengths, self.max_tokens - self._buffer.length[rows])
        self._buffer.append(rows, replies.tokens, fits, is_action=False)
        self._said[rows] = 0
        self._turns[rows] += 1
        self._terminated[rows] = replies.terminated
        cut = (self._room(rows) <= 0) | (self._turns[rows] >= self.task.max_turns)
        self._truncated[rows] = cut & ~replies.terminated
        self._answered[rows] = True
        for key, values in replies.info.items():
            self._info[key] = widened(self._info.get(key, column(self.num_envs, values)), values)
            self._info[key][rows] = values
        return rows, replies

    # What gymnasium returns beside

    def _rows_to_step(self) -> tuple[Rows | slice, Rows]:
        """The rows that take an action now, and those whose step is a reset."""
        if self._all_play:
            return EVERY_ROW, NO_ROWS
        if not self._buffer.length.all():
            row = self._buffer.length.argmin()
            raise ValueError(f"row {row} has no episode yet: call reset() before step()")
        finished = self.finished
        if self.autoreset_mode is AutoresetMode.DISABLED and finished.any():
            raise ValueError(
                f"the episode in row {finished.argmax()} is over and autoreset is off: call "
                "reset(options={'reset_mask': env.finished}) first"
            )
        return np.flatnonzero(~finished), np.flatnonzero(finished)
