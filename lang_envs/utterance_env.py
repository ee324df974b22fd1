"""UtteranceEnv: a task as a gymnasium environment over text, one utterance per step."""

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
    """A task, played one utterance at a time, as text.

    An action is the text of an utterance without its end token. The observation is what the environment says (at first
    the opening). The text is turned into tokens, and the outcome is that of :class:`lang_envs.token_env.TokenEnv` with
    these tokens. Text after ``max_utterance_tokens`` is not said. A character that the tokenizer does not know arrives
    as its unknown token. An utterance for which the context has no room truncates the episode, without a reply and
    without a reward.

    Args:
        task: the rules.
        tokenizer: a tokenizer, a folder or a name on the hub; None: the task's own.
        max_tokens: most tokens of a whole episode; by default the task's number, plus room for the markup of another
            tokenizer.
        render_mode: "ansi" (``render`` returns the transcript), "human" (the transcript is printed as it grows) or
            None.
        markup: how conversations are written (:func:`lang_envs.adoption.set_markup`); by default by the tokenizer's
            chat template, or as plain text if it has none.

    Attributes:
        acted: number of tokens up to and including the agent's last token; 0 if the agent has said nothing yet.
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
        # In a text, a token is at most as long as in the vocabulary, plus one blank between words.
        longest = max(map(len, self.tokenizer.get_vocab())) + 1
        self.max_characters = longest * task.max_utterance_tokens
        self.action_space = Utterance(self.max_characters)
        self.observation_space = Utterance(longest * self.max_tokens)
        self._tokens: list[int] = []
        self._plain: list[Message] = []  # the messages, if the tokenizer has no chat template to read them by
        self.acted = 0
        self._over = True  # until an episode is begun

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Starts a new episode; all of its randomness comes from ``seed``.

        ``options={"context": i}`` starts it from the task's starting point i.

        Raises:
            ValueError: the seed is negative, or the task does not have this starting point.
            TypeError: a seed or an option is of another type.
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
            ValueError: the text is longer than the action space allows or holds half a character, no episode was begun,
                or the episode is over.
            TypeError: the action is not a text.
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
        """All tokens of the episode so far, the agent's and the environment's. The caller must not change them."""
        return self._tokens

    def render(self) -> str | None:
        """The transcript so far, in render mode "ansi"."""
        return transcripts(self.tokenizer, [self._tokens])[0] if self.render_mode == "ansi" else None

    def conversation(self) -> Conversation:
        """The episode so far as messages; plain texts are messages of the user, in the words of ``Task.in_words``."""
        if self._speech.markup is not None:
            return self._speech.read([self._tokens])[0] if self._tokens else ()
        agents = [message.role == "assistant" for message in self._plain]
        said = [m if own else user(self.task.in_words(m.content)) for m, own in zip(self._plain, agents, strict=True)]
        return tuple(message for message, own in zip(said, agents, strict=True) if own or message.content)

    def _read(self, text: Any) -> list[int]:
        """The tokens of an utterance, with its end token last if there is room for it."""
        if not isinstance(text, str):
            raise TypeError(f"an utterance must be a text (str), got {type(text).__name__}")
        if len(text) > self.max_characters:
            raise ValueError(f"an utterance has at most {self.max_characters} characters, got {len(text)}")
        return self._speech.spell(text)
