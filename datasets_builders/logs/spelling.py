"""Turns the conversations of a log into episodes: tokenizes them, places the rewards, and applies the limits."""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from datasets_builders.logs.limits import Limits
from datasets_builders.logs.talk import Fault, Talk, without_replies_in_a_row
from lang_envs.conversation import Conversation, assistant, user
from lang_envs.episode import Episode
from lang_envs.markup import markup_of
from lang_envs.tokenizers import decode, encode, opening_tokens, size_and_unused
from lang_envs.utterances import check_tokens, opening

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

_SHORTEST_OPENING = 8  # tokens; with less room for what the agent reads, the conversation is left out


class _Turn(NamedTuple):
    """A reply of the agent, what is heard after it, both as tokens, and their messages."""

    said: list[int]
    heard: list[int]
    reward: float | None
    messages: Conversation


class Spelling:
    """Writes conversations as episodes in the tokens of one tokenizer.

    Attributes:
        cut: number of replies that were cut so far.
        shortened: number of conversations so far whose oldest turns were left out.

    Args:
        tokenizer: the tokenizer.
        limits: the limits of an episode.
        plain: whether a prompt that is a text is tokenized as it is, names of special tokens included. Otherwise it
            becomes a message of the user.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast, limits: Limits, plain: bool = False) -> None:
        self.tokenizer, self.limits, self.plain = tokenizer, limits, plain
        self.markup, self.end = markup_of(tokenizer), int(tokenizer.eos_token_id)
        self.before, (self.size, self.unused) = opening_tokens(tokenizer), size_and_unused(tokenizer)
        self.in_a_row = self.markup is not None and self.markup.allows_replies_in_a_row
        self.cut = self.shortened = 0

    def in_turns(self, talk: Talk) -> Talk:
        """The conversation, with consecutive replies joined unless the chat template allows replies in a row.

        Raises:
            Fault: the template does not allow them, and the prompt ends with a reply.
        """
        if self.markup is None or self.in_a_row or talk.ids is not None:
            return talk
        return without_replies_in_a_row(talk)

    def episode(self, talk: Talk, policy: str) -> Episode:
        """The episode of a conversation.

        Raises:
            Fault: the conversation exceeds the limits, or the tokenizer cannot write it.
        """
        if talk.ids is not None:
            return self._exact(talk, policy)
        turns = self._turns(talk)
        heard, first = self._within(talk, turns)
        tokens, acted, rewards = list(heard), [False] * len(heard), [0.0] * len(heard)
        for turn in turns[first:]:
            tokens += turn.said + turn.heard
            acted += [True] * len(turn.said) + [False] * len(turn.heard)
            rewards += [0.0] * (len(turn.said) - 1) + [turn.reward or 0.0] + [0.0] * len(turn.heard)
        return Episode(
            np.array(tokens, np.int32),
            np.array(acted, np.bool_),
            np.array(rewards, np.float32),
            terminated=True,
            info={"policy": policy},
        )

    def messages(self, talk: Talk) -> tuple[Conversation, list[float | None]]:
        """A conversation as messages, and for each message of the agent its rating or None."""
        if talk.ids is not None:
            return self._read(talk.ids.tokens, talk.ids.is_action, talk.rewards[0])
        opening = talk.opening
        if self.plain and self.markup and isinstance(talk.prompt, str):
            opening = self.markup.read(self._opening(talk.prompt, None))
        rest = tuple(m if m.role != "assistant" else m._replace(content=self._words(m.content)) for m in talk.rest)
        before = [None for message in opening if message.role == "assistant"]
        return (*opening, *rest), [*before, *talk.rewards]

    def forget(self) -> None:
        """Empties the cache of tokenized texts, because the texts of a log seldom occur again."""
        if self.markup is not None:
            self.markup.forget()

    # Turns

    def _turns(self, talk: Talk) -> list[_Turn]:
        places = [i for i, message in enumerate(talk.rest) if message.role == "assistant"]
        found = []
        for place, after, reward in zip(places, [*places[1:], len(talk.rest)], talk.rewards, strict=True):
            said, ended = self._reply(talk.rest[place].content)
            messages = talk.rest[place + 1 : after]
            heard = self._answer(messages, ended, over=after == len(talk.rest))
            found.append(_Turn(said, heard, reward, talk.rest[place:after]))
        return found

    def _words(self, text: str) -> str:
        """The words of a reply; with ``plain``, an end token at the end of the text is taken off."""
        return text.removesuffix(str(self.tokenizer.eos_token)) if self.plain else text

    def _reply(self, text: str) -> tuple[list[int], bool]:
        """The tokens of a reply, and whether the end token is among them (not if the reply was cut)."""
        text, most = self._words(text), self.limits.utterance
        spelled = self.markup.reply(text) if self.markup else encode(self.tokenizer, [text], literally=True)[0]
        if len(spelled) < most:
            return [*spelled, self.end], True
        if self.limits.longer == "skip":
            raise Fault(f"a reply of more than {most} tokens", f"it has {len(spelled) + 1}")
        self.cut += 1
        return spelled[:most], False

    def _answer(self, messages: Conversation, ended: bool, over: bool) -> list[int]:
        if self.markup is not None:
            try:
                return self.markup.answer(messages, ended, over)
            except (ValueError, KeyError) as error:
                raise Fault("the chat template has no such order of messages", str(error)) from error
        if messages or not over:
            raise Fault("the tokenizer has no chat template to write messages by")
        return []

    # What the agent reads first

    def _within(self, talk: Talk, turns: list[_Turn]) -> tuple[list[int], int]:
        """The opening as tokens, and the index of the first turn whose reply is an action.

        If the conversation is too long, the oldest turns without a reward become part of the opening. If the opening
        is too long, its oldest messages are left out.
        """
        prompt: str | Conversation = talk.prompt
        for first, turn in enumerate(turns):
            room = self.limits.tokens - sum(len(other.said) + len(other.heard) for other in turns[first:])
            if room >= _SHORTEST_OPENING and (heard := self._fitted(prompt, room)) is not None:
                return heard, first
            if turn.reward is not None:
                break
            prompt = (*((user(prompt),) if isinstance(prompt, str) else prompt), *turn.messages)
        raise Fault(f"more than {self.limits.tokens} tokens")

    def _fitted(self, prompt: str | Conversation, room: int) -> list[int] | None:
        whole = self._opening(prompt, None)
        if len(whole) <= room:
            return whole
        try:
            shorter = self._opening(prompt, room)
        except Fault:
            return None
        self.shortened += 1
        return shorter

    def _opening(self, prompt: str | Conversation, limit: int | None) -> list[int]:
        try:
            if isinstance(prompt, str) and (self.plain or self.markup is None):
                found = opening(encode(self.tokenizer, [prompt])[0], self.before, limit)
            elif self.markup is None:
                raise Fault("the tokenizer has no chat template to write messages by")
            else:
                found = self.markup.opening((user(prompt),) if isinstance(prompt, str) else prompt, limit)
        except Fault:
            raise
        except (ValueError, KeyError) as error:
            raise Fault("the tokenizer cannot write the prompt", str(error)) from error
        if not found:
            raise Fault("no prompt")
        return found

    # Tokens as they were logged

    def _exact(self, talk: Talk, policy: str) -> Episode:
        ids = talk.ids
        assert ids is not None
        tokens, acted = np.array(ids.tokens, np.int64), np.array(ids.is_action, np.bool_)
        if len(tokens) > self.limits.tokens:
            raise Fault(f"more than {self.limits.tokens} tokens", f"it has {len(tokens)}")
        try:
            check_tokens(tokens, self.size, "the log", self.unused)
            episode = Episode(
                tokens.astype(np.int32),
                acted,
                np.array(ids.rewards, np.float32),
                terminated=True,
                logprobs=None if ids.logprobs is None else np.array(ids.logprobs, np.float32),
                info={"policy": policy},
            )
        except ValueError as error:
            raise Fault("no episode", str(error)) from error
        if any(span.stop - span.start > self.limits.utterance for span in episode.utterances(self.end)):
            raise Fault(f"a reply of more than {self.limits.utterance} tokens")
        return episode

    def _read(
        self, tokens: list[int], acted: list[bool], reward: float | None
    ) -> tuple[Conversation, list[float | None]]:
        if self.markup is not None:
            messages = self.markup.read(tokens)
        else:
            spans = [
                (own, [token for _, token in some])
                for own, some in groupby(zip(acted, tokens, strict=True), itemgetter(0))
            ]
            if spans[0][0]:
                spans.insert(0, (False, []))
            texts = decode(self.tokenizer, [span for _, span in spans])
            messages = tuple((assistant if own else user)(text) for (own, _), text in zip(spans, texts, strict=True))
        count = sum(message.role == "assistant" for message in messages)
        return messages, [*[None] * (count - 1), reward][:count]
