"""A task as a gymnasium environment over text: one utterance a step."""

from __future__ import annotations

import os
from collections.abc import Sequence
from ctypes import c_float
from typing import TYPE_CHECKING, Any

import gymnasium as gym

from lang_envs import contexts
from lang_envs.arguments import no_step, options_of, render_mode_of, seed_of
from lang_envs.conversation import Conversation, Message, assistant, user
from lang_envs.replies import check_reply
from lang_envs.screen import Screen
from lang_envs.spaces import Utterance, max_tokens_of
from lang_envs.speech import Speech, tokenizer_of
from lang_envs.task import Task
from lang_envs.tokenizers import decode, transcripts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


class UtteranceEnv(gym.Env[str, str]):
    """A task one utterance at a time, as text.

    An action is the text of an utterance without its end token; the observation is what the environment says back (at
    first the opening). The text is read as tokens, exactly as :class:`lang_envs.token_env.TokenEnv` would be told it:
    what follows an end token or ``max_utterance_tokens`` is not said, what the tokenizer cannot spell arrives as its
    unknown token, and an utterance that the context has no room for truncates the episode unanswered and unpaid.

    Args:
        task: the rules.
        tokenizer: the task's own by default; else a tokenizer, a folder or a hub name.
        max_tokens: of a whole episode; the task's by default, and room for what another tokenizer's markup takes.
        render_mode: "ansi" (``render`` returns the transcript), "human" (it is written out as it grows) or None.
        markup: how conversations are written (:func:`lang_envs.adoption.set_markup`); by default as the tokenizer's
            chat template says, and in plain text where it has none.

    Attributes:
        acted: how far the history goes up to the agent's last token; 0 where it said nothing yet.
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
        # No token is longer in a text than in the vocabulary, but for a blank between words.
        longest = max(map(len, self.tokenizer.get_vocab())) + 1
        self.max_characters = longest * task.max_utterance_tokens
        self.action_space = Utterance(self.max_characters)
        self.observation_space = Utterance(longest * self.max_tokens)
        self._tokens: list[int] = []
        self._plain: list[Message] = []  # what was said, where tokens are no conversation
        self.acted = 0
        self._over = True  # until one is begun

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Starts a new episode; all of its chance comes from ``seed``.

        ``options={"context": i}`` starts it from the task's starting point i.

        Raises:
            ValueError: for a negative seed, or a starting point that the task does not have.
            TypeError: for a seed or an option of another type.
        """
        context = contexts.check_context(self.task, options_of(options).get("context"))
        super().reset(seed=seed_of(seed))
        self._state, text = contexts.begin(self.task, self.np_random, context)
        self._tokens = [*self._speech.opening(text, self.max_tokens)]
        self._turns, self.acted, self._over = 0, 0, False
        self._screen.begin(self._tokens)
        if not isinstance(text, str) or self._speech.markup is not None or self.task.max_context_tokens is not None:
            text = transcripts(self.tokenizer, [self._tokens])[0]
        self._plain = [user(text)] if self._speech.markup is None else []
        return text, {}

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Says one utterance.

        Raises:
            ValueError: for a text that is longer than the action space allows or holds half a character, and before
                the first or after the end of an episode.
            TypeError: where the action is no text.
        """
        if self._over:
            raise no_step(bool(self._tokens))
        said = self._read(action)
        room = self.max_tokens - len(self._tokens)
        self._tokens += said[:room]
        self.acted = len(self._tokens)
        if len(said) > room:
            self._over = True
            self._screen.show(self._tokens, self._over)
            self._plain.append(assistant(action))
            return "", 0.0, False, True, {}
        ended = said[-1] == self.end_id
        text = self._speech.hear(said[:-1] if ended else said)
        reply = self.task.reply(self._state, text, self.np_random)
        check_reply(reply, type(self.task).__name__, self._turns + 1, text)
        self._state, self._turns = reply.state, self._turns + 1
        terminated = bool(reply.terminated)
        answer = self._speech.answer(reply.text, ended, terminated)
        room = self.max_tokens - len(self._tokens)
        if isinstance(reply.text, str) and self._speech.markup is None and len(answer) <= room:
            heard = reply.text
        else:
            heard = decode(self.tokenizer, [answer[:room]])[0]
        self._tokens += answer[:room]
        if self._speech.markup is None:
            self._plain += [assistant(text), user(heard)]
        cut = len(self._tokens) >= self.max_tokens or self._turns >= self.task.max_turns
        self._over = terminated or cut
        self._screen.show(self._tokens, self._over)
        return heard, c_float(reply.reward).value, terminated, cut and not terminated, dict(reply.info)

    @property
    def history(self) -> Sequence[int]:
        """All tokens of the episode so far, the agent's and the environment's; not to be changed."""
        return self._tokens

    def render(self) -> str | None:
        """The transcript so far, in render mode "ansi"."""
        return transcripts(self.tokenizer, [self._tokens])[0] if self.render_mode == "ansi" else None

    def conversation(self) -> Conversation:
        """The episode so far as messages: plain texts are the user's, in the words of ``Task.in_words``."""
        if self._speech.markup is not None:
            return self._speech.read([self._tokens])[0] if self._tokens else ()
        agents = [message.role == "assistant" for message in self._plain]
        said = [m if own else user(self.task.in_words(m.content)) for m, own in zip(self._plain, agents, strict=True)]
        return tuple(message for message, own in zip(said, agents, strict=True) if own or message.content)

    def _read(self, text: Any) -> list[int]:
        """The tokens of an utterance, its end token last where there is room for one."""
        if not isinstance(text, str):
            raise TypeError(f"an utterance must be a text (str), got {type(text).__name__}")
        if len(text) > self.max_characters:
            raise ValueError(f"an utterance has at most {self.max_characters} characters, got {len(text)}")
        return self._speech.spell(text)
