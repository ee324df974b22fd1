"""TokenEnv: a task as a gymnasium environment over tokens, one token per step."""

from __future__ import annotations

import os
from collections.abc import Sequence
from ctypes import c_float
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from lang_envs import contexts
from lang_envs.arguments import no_step, options_of, render_mode_of, seed_of, shown, token_id
from lang_envs.replies import check_reply
from lang_envs.screen import Screen
from lang_envs.spaces import history_space, max_tokens_of, said_ids, token_space
from lang_envs.speech import Speech, tokenizer_of
from lang_envs.task import Task
from lang_envs.tokenizers import size_and_unused, transcripts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


class TokenEnv(gym.Env[dict[str, Any], np.int64]):
    """A task, played one token at a time.

    An action is a token id. The observation holds all tokens of the episode so far
    (:func:`lang_envs.spaces.history_space`). The reward of an utterance is paid on its last token: its end token, or
    the token that reaches ``max_utterance_tokens``. Rewards are rounded to float32, as in the record of an episode.
    Info is empty within an utterance. At its end, info is that of the task's reply.

    Args:
        task: the rules.
        tokenizer: a tokenizer, a folder or a name on the hub; None: the task's own.
        max_tokens: most tokens of a whole episode; by default the task's number, plus room for the markup of another
            tokenizer.
        render_mode: "ansi" (``render`` returns the transcript), "human" (the transcript is printed as it grows) or
            None.
        markup: how conversations are written (:func:`lang_envs.adoption.set_markup`); by default by the tokenizer's
            chat template, or as plain text if it has none.
    """

    metadata = {"render_modes": ["ansi", "human"], "render_fps": 4}  # noqa: RUF012  # gymnasium declares it without ClassVar

    def __init__(
        self,
        task: Task[Any],
        tokenizer: PreTrainedTokenizerFast | str | os.PathLike[str] | None = None,
        max_tokens: int | None = None,
        render_mode: str | None = None,
        markup: str | None = None,
    ) -> None:
        self.task = task
        self.tokenizer = tokenizer_of(task, tokenizer, markup)
        self._speech = Speech(task, self.tokenizer)
        self.max_tokens = max_tokens_of(self._speech.max_tokens if max_tokens is None else max_tokens)
        self.end_id, self.pad_id = int(self.tokenizer.eos_token_id), int(self.tokenizer.pad_token_id)
        self.render_mode = render_mode_of(render_mode)
        self._screen = Screen(self.tokenizer, render_mode == "human")
        self.vocabulary_size, self.unused = size_and_unused(self.tokenizer)
        self.action_space = token_space(self.vocabulary_size, self.unused)
        self.observation_space = history_space(self.vocabulary_size, self.max_tokens)
        self._holes = frozenset(self.unused.tolist())
        self._tokens: list[int] = []
        self._ids = np.full(self.max_tokens, self.pad_id, np.int64)  # [T] the same tokens, padded as in an observation
        self._mask = np.zeros(self.max_tokens, np.int8)  # [T]
        self._acted = 0  # number of tokens up to the end of the last whole utterance
        self._began = self._last = 0  # the first position of the current utterance, and its last possible position
        self._shows = render_mode == "human"
        self._over = True  # until an episode is begun

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Starts a new episode; all of its randomness comes from ``seed``.

        ``options={"context": i}`` starts it from the task's starting point i.

        Raises:
            ValueError: the seed is negative, or the task does not have this starting point.
            TypeError: a seed or an option is of another type.
        """
        context = contexts.check_context(self.task, options_of(options).get("context")) if options is not None else None
        super().reset(seed=seed_of(seed))
        self._state, text = contexts.begin(self.task, self.np_random, context)
        opening = self._speech.opening(text, self.max_tokens)
        self._ids.fill(self.pad_id)
        self._mask.fill(0)
        self._tokens = []
        self._append(opening)
        self._turns, self._acted, self._over = 0, 0, False
        if self._shows:
            self._screen.begin(self._tokens)
        return self._observation(), {}

    def step(self, action: int | np.integer[Any]) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Says one token.

        Raises:
            ValueError: the token is out of range, no episode was begun, or the episode is over.
            TypeError: the action is not an integer.
        """
        if self._over:
            raise no_step(bool(self._tokens))
        token = action if type(action) is int else token_id(action)
        if not 0 <= token < self.vocabulary_size or token in self._holes:
            raise self._refused(token)
        ids, mask, tokens = self._ids, self._mask, self._tokens
        at = len(tokens)
        ids[at] = token
        mask[at] = 1
        tokens.append(token)
        if token == self.end_id or at >= self._last:
            return self._end_utterance(token == self.end_id)
        if self._shows:
            self._screen.show(tokens)
        return {"input_ids": ids.copy(), "attention_mask": mask.copy()}, 0.0, False, False, {}

    @property
    def history(self) -> Sequence[int]:
        """All tokens of the episode so far, the agent's and the environment's. The caller must not change them."""
        return self._tokens

    @property
    def acted(self) -> int:
        """The number of tokens up to and including the agent's last token; 0 if the agent has said nothing yet."""
        return self._acted if self._began == len(self._tokens) else len(self._tokens)

    def action_masks(self) -> NDArray[np.bool_]:
        """Whether each token may come next, [V], as sb3-contrib expects it; all may if the task does not know."""
        legal = None
        if not self._over:
            legal = self.task.legal_tokens(self._state, self._tokens[self._began :], self.tokenizer)
        return said_ids(self.vocabulary_size, self.unused) if legal is None else legal

    def render(self) -> str | None:
        """The transcript so far, in render mode "ansi"."""
        return transcripts(self.tokenizer, [self._tokens])[0] if self.render_mode == "ansi" else None

    def _end_utterance(self, ended: bool) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        task, tokens, turn = self.task, self._tokens, self._turns + 1
        if not ended and len(tokens) - self._began < task.max_utterance_tokens:
            return self._cut()
        self._acted = len(tokens)
        text = self._speech.hear(tokens[self._began : -1] if ended else tokens[self._began :])
        reply = task.reply(self._state, text, self.np_random)
        check_reply(reply, type(task).__name__, turn, text)
        self._state, self._turns = reply.state, turn
        terminated = bool(reply.terminated)
        self._append(self._speech.answer(reply.text, ended, terminated))
        cut = len(tokens) >= self.max_tokens or turn >= task.max_turns
        self._over = terminated or cut
        if self._shows:
            self._screen.show(tokens, self._over)
        reward = c_float(reply.reward).value
        return self._observation(), reward, terminated, cut and not terminated, {**reply.info}

    def _cut(self) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Ends an episode whose context is full before the utterance ends; it gets no reply and no reward."""
        self._over = True
        if self._shows:
            self._screen.show(self._tokens, True)
        return self._observation(), 0.0, False, True, {}

    def _append(self, tokens: list[int]) -> None:
        """Appends tokens of the environment, as far as there is room; the agent's next utterance begins after them."""
        first, most = len(self._tokens), self.max_tokens
        began = first + len(tokens)
        if began > most:
            tokens, began = tokens[: most - first], most
        self._tokens += tokens
        self._ids[first:began] = tokens
        self._mask[first:began].fill(1)
        full = began + self.task.max_utterance_tokens
        self._began, self._last = began, (full if full < most else most) - 1

    def _observation(self) -> dict[str, Any]:
        return {"input_ids": self._ids.copy(), "attention_mask": self._mask.copy()}

    def _refused(self, token: int) -> ValueError:
        if token in self._holes:
            return ValueError(f"id {token} belongs to no token of the vocabulary, and cannot be said")
        return ValueError(
            f"token {shown(token)} is out of range; the vocabulary has ids 0 to {self.vocabulary_size - 1}"
        )
