"""Speech: turns the texts of a task and its agent into tokens and back; every environment uses it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from lang_envs.adoption import adopt
from lang_envs.chat_templates import PACKAGED
from lang_envs.conversation import Conversation, system, user
from lang_envs.markup import MOST_SPELLINGS, markup_of
from lang_envs.tokenizers import decode, encode, opening_tokens, remembered
from lang_envs.utterances import opening, spell

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from lang_envs.task import Task

Observation = str | Conversation

_TURNS_BESIDE = 4  # turns for whose markup a context gets room beyond the task's own limit
_SHORT = 16  # tokens; shorter utterances are cached, because they may occur again
_MOST_SHORT = 2**13  # short utterances in the cache, which takes some megabytes


def tokenizer_of(
    task: Task[Any], tokenizer: PreTrainedTokenizerFast | str | os.PathLike[str] | None, markup: str | None = None
) -> PreTrainedTokenizerFast:
    """The tokenizer that a task is played with: its own, or another one made fit for an environment.

    Args:
        task: the task.
        tokenizer: a tokenizer, a folder, or a name on the hub; None: the task's own.
        markup: how conversations are written; see :func:`lang_envs.adoption.set_markup`. By default the tokenizer's
            own chat template is used, or "plain" if it has none and the task is a conversation.

    Raises:
        ValueError: the tokenizer cannot write conversations with this markup.
    """
    if tokenizer is None and markup is None:
        return task.tokenizer()
    found = adopt(task.tokenizer() if tokenizer is None else tokenizer, markup)
    return adopt(found, "plain") if task.conversational and not found.chat_template else found


class Speech:
    """Writes and reads the utterances of one task in the tokens of one tokenizer.

    If the tokenizer has no chat template, the plain texts (``str``) of a task are tokenized as they are. Otherwise a
    plain text is a message of the user, in the words of ``Task.in_words``. If the chat template is not the packaged
    one, the task's instruction is the system message, unless ``Task.instructs`` says otherwise. A conversation then
    opens with a message of the user: what the task shows (a caption), or if it shows nothing, the instruction.

    Attributes:
        context_limit: most tokens of an opening, of which the oldest turns are left out; None for no limit.
        max_tokens: most tokens of a whole episode. Both are the task's own numbers plus room for the instruction and
            for the markup around each turn, if the task's own tokenizer does not need these.
    """

    def __init__(self, task: Task[Any], tokenizer: PreTrainedTokenizerFast) -> None:
        self.task, self.tokenizer, self.markup = task, tokenizer, markup_of(tokenizer)
        self._before = opening_tokens(tokenizer) if self.markup is None else []
        packaged = self.markup is None or tokenizer.chat_template == PACKAGED
        self.instructs = bool(task.instruction) and (not packaged if task.instructs is None else task.instructs)
        around = 0
        if self.markup is not None and not packaged and tokenizer.chat_template != task.tokenizer().chat_template:
            around = len(self.markup.answer((user(""),), False, False))
        told = len(encode(tokenizer, [task.instruction])[0]) + around if self.instructs else 0
        beside = told + _TURNS_BESIDE * around
        self.context_limit = None if task.max_context_tokens is None else task.max_context_tokens + beside
        self.max_tokens = task.max_tokens + beside + task.max_turns * around
        self._texts: dict[str, list[int]] = {}  # text -> tokens; the texts of a corpus occur again and again
        self._opened: dict[str, list[int]] = {}
        self._heard: dict[tuple[int, ...], str] = {}  # tokens of a short utterance -> text
        self._said: dict[str, list[int]] = {}

    def openings(self, said: Sequence[Observation]) -> list[list[int]]:
        """The tokens of opening observations.

        Raises:
            ValueError: an opening has no room within the limit, or the tokenizer cannot write it.
        """
        if self.markup is None:
            spelled = self._spelled([self._text(text) for text in said])
            return [opening(tokens, self._before, self.context_limit) for tokens in spelled]
        return [self.markup.opening(self._opening(text), self.context_limit) for text in said]

    def answers(self, said: Sequence[Observation], ended: Sequence[bool], over: Sequence[bool]) -> list[list[int]]:
        """The tokens of the task's replies to n utterances.

        Args:
            said: [n] the replies of the task.
            ended: [n] whether the utterance has its end token; an utterance that was cut at its limit has none.
            over: [n] whether the episode is over.
        """
        if self.markup is None:
            return self._spelled([self._text(text) for text in said])
        return [
            self.markup.answer(self._messages(text), bool(whole), bool(last))
            for text, whole, last in zip(said, ended, over, strict=True)
        ]

    def opening(self, said: Observation, max_tokens: int) -> list[int]:
        """The result of :meth:`openings` for one opening. It is cached, so the caller must not change it.

        Raises:
            ValueError: the opening is empty, or leaves no room for an utterance in ``max_tokens``.
        """
        tokens = self._opened.get(said) if isinstance(said, str) else None
        if not tokens:
            tokens = self.openings([said])[0]  # the markup caches the openings of conversations
            if isinstance(said, str):
                remembered(self._opened, said, tokens, MOST_SPELLINGS)
        if not 1 <= len(tokens) < max_tokens:
            raise ValueError(
                f"the opening observation has {len(tokens)} tokens; it needs at least 1 and must leave room in "
                f"max_tokens={max_tokens}"
            )
        return tokens

    def answer(self, said: Observation, ended: bool, over: bool) -> list[int]:
        """The result of :meth:`answers` for one reply. It is cached, so the caller must not change it."""
        known = self._texts.get(said) if self.markup is None and isinstance(said, str) else None
        return self.answers([said], [ended], [over])[0] if known is None else known

    def hear(self, utterance: Sequence[int]) -> str:
        """The result of :meth:`heard` for one utterance; it is cached for a short one."""
        if len(utterance) > _SHORT:
            return self.heard([utterance])[0]
        key = tuple(utterance)
        text = self._heard.get(key)
        return remembered(self._heard, key, self.heard([utterance])[0], _MOST_SHORT) if text is None else text

    def spell(self, text: str) -> list[int]:
        """The tokens of an utterance (:func:`lang_envs.utterances.spell`); the caller must not change them."""
        tokens = self._said.get(text)
        if tokens is None:
            tokens = spell(self.tokenizer, text, self.task.max_utterance_tokens).tolist()
            if len(tokens) <= _SHORT:
                remembered(self._said, text, tokens, _MOST_SHORT)
        return tokens

    def heard(self, utterances: Sequence[Sequence[int] | NDArray[Any]]) -> list[str]:
        """The texts of the agent's utterances as the task gets them; ``utterances`` are without their end tokens."""
        texts = decode(self.tokenizer, utterances)
        return texts if self.markup is None else [self.markup.said(text) for text in texts]

    def read(self, histories: Sequence[Sequence[int] | NDArray[Any]]) -> list[Conversation]:
        """The messages of each history, without the instruction.

        Raises:
            ValueError: the tokenizer has no chat template, by which histories are read.
        """
        if self.markup is None:
            raise ValueError("the tokenizer has no chat template: histories cannot be read as conversations")
        return [self._without_instruction(self.markup.read(history)) for history in histories]

    def _without_instruction(self, messages: Conversation) -> Conversation:
        told = self.task.instruction
        if not told or not messages or not messages[0].content.startswith(told):
            return messages
        first = messages[0]._replace(content=messages[0].content[len(told) :].lstrip("\n"))
        return (first, *messages[1:]) if first.content else messages[1:]

    def _opening(self, said: Observation) -> Conversation:
        messages = self._messages(said)
        if not self.instructs:
            return messages
        told = [message.content for message in messages if message.role == "system"]
        turns = tuple(message for message in messages if message.role != "system")
        if turns:
            return (system("\n\n".join([self.task.instruction, *told])), *turns)
        # Neither side has spoken. Chat models answer a user, so the user shows what the task shows, or the instruction.
        return (system(self.task.instruction), user("\n\n".join(told))) if told else (user(self.task.instruction),)

    def _messages(self, said: Observation) -> Conversation:
        if not isinstance(said, str):
            return said
        words = self.task.in_words(said)
        return (user(words),) if words else ()

    def _text(self, said: Observation) -> str:
        if isinstance(said, str):
            return said
        raise ValueError(
            f"{type(self.task).__name__} speaks in messages, and its tokenizer has no chat template to write them by: "
            "set tokenizer.chat_template, or make the environment with markup='plain'"
        )

    def _spelled(self, texts: Sequence[str]) -> list[list[int]]:
        known = self._texts  # another thread may replace the attribute meanwhile
        unknown = [text for text in dict.fromkeys(texts) if text not in known]
        if unknown:
            if len(known) + len(unknown) > MOST_SPELLINGS:
                known = {text: known[text] for text in texts if text in known}
            known |= zip(unknown, encode(self.tokenizer, unknown), strict=True)
            self._texts = known
        return [known[text] for text in texts]
