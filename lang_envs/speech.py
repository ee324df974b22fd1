"""What a task and an agent say, as tokens: the one place where an environment's texts are spelled."""

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

_TURNS_BESIDE = 4  # of a context that is as long as the task's own limit, whose markup is not counted
_SHORT = 16  # tokens of an utterance that may well be said again
_MOST_SHORT = 2**13  # of them are remembered: some megabytes


def tokenizer_of(
    task: Task[Any], tokenizer: PreTrainedTokenizerFast | str | os.PathLike[str] | None, markup: str | None = None
) -> PreTrainedTokenizerFast:
    """The tokenizer that a task is played with: its own, or another one made fit for it.

    Args:
        task: what is played.
        tokenizer: where it is not the task's own: a tokenizer, a folder, or a name on the hub.
        markup: how conversations are written; see :func:`lang_envs.adoption.set_markup`. By default as the
            tokenizer's own chat template says, and in plain text where it has none and the task is a conversation.

    Raises:
        ValueError: where conversations cannot be written that way.
    """
    if tokenizer is None and markup is None:
        return task.tokenizer()
    found = adopt(task.tokenizer() if tokenizer is None else tokenizer, markup)
    return adopt(found, "plain") if task.conversational and not found.chat_template else found


class Speech:
    """What is said in one task, in the tokens of one tokenizer.

    A task that says plain texts (``str``) is spelled as it stands where the tokenizer has no chat template; else what
    it says is the user's, in the words of ``Task.in_words``. Where conversations are written in another way than the
    packaged tokenizer's, the task's instruction is the system message, unless ``Task.instructs`` says otherwise; and a
    user opens them, with what the task shows (a caption), or else with the instruction.

    Attributes:
        context_limit: tokens of an opening, of which the oldest turns are left out; None for no limit.
        max_tokens: of a whole episode. Both are the task's own, and room for what its tokenizer does not need: the
            instruction, and what stands around each turn where that is written in another way.
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
        self._texts: dict[str, list[int]] = {}  # of texts met before: a corpus says the same things again and again
        self._opened: dict[str, list[int]] = {}
        self._heard: dict[tuple[int, ...], str] = {}  # of short utterances met before
        self._said: dict[str, list[int]] = {}

    def openings(self, said: Sequence[Observation]) -> list[list[int]]:
        """The tokens of opening observations.

        Raises:
            ValueError: where one has no room within the limit, or the tokenizer cannot spell it.
        """
        if self.markup is None:
            spelled = self._spelled([self._text(text) for text in said])
            return [opening(tokens, self._before, self.context_limit) for tokens in spelled]
        return [self.markup.opening(self._opening(text), self.context_limit) for text in said]

    def answers(self, said: Sequence[Observation], ended: Sequence[bool], over: Sequence[bool]) -> list[list[int]]:
        """The tokens of what the environment says back.

        Args:
            said: by the task, to each utterance.
            ended: whether the utterance has its end token; one that was cut at its limit has not.
            over: whether the episode is.
        """
        if self.markup is None:
            return self._spelled([self._text(text) for text in said])
        return [
            self.markup.answer(self._messages(text), bool(whole), bool(last))
            for text, whole, last in zip(said, ended, over, strict=True)
        ]

    def opening(self, said: Observation, max_tokens: int) -> list[int]:
        """What :meth:`openings` gives for one; it is remembered, and not to be changed.

        Raises:
            ValueError: it is empty, or leaves no room for an utterance in ``max_tokens``.
        """
        tokens = self._opened.get(said) if isinstance(said, str) else None
        if not tokens:
            tokens = self.openings([said])[0]  # of messages, the markup remembers it
            if isinstance(said, str):
                remembered(self._opened, said, tokens, MOST_SPELLINGS)
        if not 1 <= len(tokens) < max_tokens:
            raise ValueError(
                f"the opening observation has {len(tokens)} tokens; it needs at least 1 and must leave room in "
                f"max_tokens={max_tokens}"
            )
        return tokens

    def answer(self, said: Observation, ended: bool, over: bool) -> list[int]:
        """What :meth:`answers` gives for one; it is remembered, and not to be changed."""
        known = self._texts.get(said) if self.markup is None and isinstance(said, str) else None
        return self.answers([said], [ended], [over])[0] if known is None else known

    def hear(self, utterance: Sequence[int]) -> str:
        """What :meth:`heard` gives for one; of a short one it is remembered."""
        if len(utterance) > _SHORT:
            return self.heard([utterance])[0]
        key = tuple(utterance)
        text = self._heard.get(key)
        return remembered(self._heard, key, self.heard([utterance])[0], _MOST_SHORT) if text is None else text

    def spell(self, text: str) -> list[int]:
        """The tokens of an utterance, as :func:`lang_envs.utterances.spell` has them; not to be changed."""
        tokens = self._said.get(text)
        if tokens is None:
            tokens = spell(self.tokenizer, text, self.task.max_utterance_tokens).tolist()
            if len(tokens) <= _SHORT:
                remembered(self._said, text, tokens, _MOST_SHORT)
        return tokens

    def heard(self, utterances: Sequence[Sequence[int] | NDArray[Any]]) -> list[str]:
        """What the task hears of the agent's utterances, their end tokens left out."""
        texts = decode(self.tokenizer, utterances)
        return texts if self.markup is None else [self.markup.said(text) for text in texts]

    def read(self, histories: Sequence[Sequence[int] | NDArray[Any]]) -> list[Conversation]:
        """The messages of each history, the instruction left out.

        Raises:
            ValueError: where the tokenizer has no chat template to read them by.
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
        # Nobody has spoken: chat models answer a user, who shows what there is to see, or just asks.
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
        known = self._texts  # another thread may put another one in its place
        unknown = [text for text in dict.fromkeys(texts) if text not in known]
        if unknown:
            if len(known) + len(unknown) > MOST_SPELLINGS:
                known = {text: known[text] for text in texts if text in known}
            known |= zip(unknown, encode(self.tokenizer, unknown), strict=True)
            self._texts = known
        return [known[text] for text in texts]
