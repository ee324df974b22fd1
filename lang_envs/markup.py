"""Markup: turns conversations into tokens, and tokens into conversations, by the pieces of a tokenizer's chat template.

A template (Jinja2, ``tokenizer.chat_template``) writes a whole conversation at once. An episode is written turn by
turn: the model's tokens stay as they were sampled, and the environment's texts are tokenized once and appended. So the
template is split into pieces (:mod:`lang_envs.template_pieces`), which are what it writes around each content. A
conversation is put together from these pieces. This gives exactly the tokens of the template's own rendering; a
template for which it does not is refused.

Contents are tokenized without special tokens, so that a user cannot write control tokens: a user's ``<|im_end|>`` is
ten ordinary characters. Every turn of the agent closes with one special token, the environment's end token.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from lang_envs.conversation import Conversation, Message, Role, user
from lang_envs.template_pieces import MarkupError as MarkupError
from lang_envs.template_pieces import pieces_of
from lang_envs.tokenizers import ONE_SPELLS, remembered, whole, without_special

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

MOST_SPELLINGS = 2**17
"""Number of texts whose tokens are cached; they take some tens of megabytes."""


class Markup:
    """Writes and reads episodes by a tokenizer's chat template; get one from :func:`markup_of`.

    Attributes:
        end: the special token that closes a turn of the agent.
        prompt: the tokens that ask the agent to speak, from their last special token on. No content can contain them.
        lead: text between the prompt and a reply, which the agent says; a blank in some templates.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self._backend, self._pieces = tokenizer.backend_tokenizer, pieces_of(tokenizer)
        self._between, self._closing = self._pieces.between, self._pieces.closing
        self.end, self.lead = self._pieces.end, self._pieces.lead
        self._specials = {t.content: i for i, t in tokenizer.added_tokens_decoder.items() if t.special}
        self._unknown = tokenizer.unk_token_id
        self._special = re.compile("|".join(map(re.escape, self._specials)))
        self._named = {mark: token for token, mark in self._pieces.marks.items()}
        self._mark_of_id = {self._specials[token]: mark for mark, token in self._named.items()}
        self._a_mark = re.compile(f"[{''.join(map(re.escape, self._named))}]")
        self._ids: dict[tuple[str, str, str], list[int]] = {}  # special token, text, special token -> the text's tokens
        self._openings: dict[tuple[Conversation, int | None], list[int]] = {}
        self._answers: dict[tuple[Conversation, bool, bool], list[int]] = {}
        self.prompt = self._spelled(self._pieces.asking)

    @property
    def opens(self) -> list[str]:
        """The special tokens that open a turn."""
        pieces = [self._between.get(("assistant", role), "")[1:] for role in ("user", "assistant")]
        return list(dict.fromkeys(self._named[mark[0]] for piece in pieces if (mark := self._a_mark.search(piece))))

    @property
    def allows_replies_in_a_row(self) -> bool:
        """Whether the agent may speak twice in a row.

        It may if the template writes a second turn exactly as it asks the agent to speak.
        """
        asks = self._between.get(("assistant", None))
        return asks is not None and self._between.get(("assistant", "assistant")) == asks + self.lead

    # From conversations to tokens

    def opening(self, conversation: Conversation, limit: int | None = None) -> list[int]:
        """The tokens that an episode opens with, up to where the agent speaks.

        If there are more than ``limit``, the oldest turns are left out. If the last turn alone is too long, its first
        words are left out. System messages stay.

        Raises:
            ValueError: the limit leaves no room for a single word, or the template cannot write this conversation.
        """
        key = (conversation, limit)
        known = self._openings.get(key)
        return known or remembered(self._openings, key, self._opening(conversation, limit), MOST_SPELLINGS)

    def answer(self, messages: Conversation, ended: bool, over: bool) -> list[int]:
        """The tokens that the environment appends after a turn of the agent.

        Args:
            messages: the messages that follow the turn.
            ended: whether the agent said the end token; otherwise the end token is appended first.
            over: whether the episode is over, so that the agent is not asked to speak again. Without messages, nothing
                is appended then.
        """
        if over and not messages:
            return []
        key = (messages, ended, over)
        if (known := self._answers.get(key)) is not None:
            return known
        if ("assistant", "system") not in self._between:
            messages = _without_system(messages)
        ids = self._spelled(self._written("assistant", self._merged(messages), over))
        return remembered(self._answers, key, ids[1:] if ended else ids, MOST_SPELLINGS)

    def reply(self, text: str) -> list[int]:
        """The tokens of an agent's turn, without its end token."""
        asking, end = self._pieces.asking, self._pieces.marks[self.end]
        text = self.lead + self._content_of("assistant", text)
        alone, whole_turn = self._segment(asking[0], asking[1:], ""), self._segment(asking[0], asking[1:] + text, end)
        if whole_turn[: len(alone)] == alone:
            return whole_turn[len(alone) :]
        return self._segment("", text, end)  # before this text, the prompt itself would get other tokens

    def forget(self) -> None:
        """Empties the caches."""
        for known in (self._ids, self._openings, self._answers):
            known.clear()

    def said(self, text: str) -> str:
        """The content of a turn of the agent, from the text of its tokens without the end token."""
        return text.removeprefix(self.lead)

    def _fitted(self, conversation: Conversation) -> Conversation:
        """The conversation in a form that the template can write.

        If the template has no system role, a system message becomes the beginning of the user's next turn. If roles
        must alternate, consecutive messages of one role are joined. If the user must speak first, an empty message of
        the user is added.

        Raises:
            ValueError: the template cannot write a message of one role after one of another.
        """
        if (None, "system") not in self._between:
            conversation = _without_system(conversation)
        conversation = self._merged(conversation)
        first = conversation[0].role if conversation else None
        if first == "assistant" and (None, "assistant") not in self._between:
            conversation = (user(""), *conversation)
        if not conversation and (None, None) not in self._between:
            conversation = (user(""),)
        for a, b in itertools.pairwise(m.role for m in conversation):
            if (a, b) not in self._between:
                raise ValueError(f"the chat template has no {b!r} message behind one of {a!r}; choose another markup")
        return conversation

    # From tokens to conversations

    def read(self, history: Sequence[int] | NDArray[np.int32]) -> Conversation:
        """The messages of an episode so far, the reverse of :meth:`opening` and :meth:`answer`.

        If the agent has begun to speak, the last message is what it has said so far.
        """
        text, found, at = self._marked(history), [], 0
        role, at = self._first(text)
        while role is not None:
            content, following, at = self._content(text, role, at)
            found.append(Message(role, self.said(content) if role == "assistant" else content))
            role = following
        if found and found[-1] == ("assistant", "") and not text.endswith(self._pieces.marks[self.end]):
            found.pop()
        return tuple(found)

    def _first(self, text: str) -> tuple[Role | None, int]:
        starts = [(len(piece), b) for (a, b), piece in self._between.items() if a is None and text.startswith(piece)]
        unopened: Role = "system" if "system" in self._closing else "user"  # of a text that the template did not write
        length, role = max(starts, key=lambda start: start[0], default=(0, unopened))
        return ("assistant" if role is None else role), length

    def _content(self, text: str, role: Role, at: int) -> tuple[str, Role | None, int]:
        """The content that begins at ``at``, the role of the next message, and where its content begins."""
        ends = {self._closing[role], *([self._pieces.marks[self.end]] if role == "assistant" else [])}
        for mark in self._a_mark.finditer(text, at):
            found: list[tuple[int, int, Role | None]] = []
            for piece, following in [*self._behind(role), *((end, None) for end in ends)]:
                first = self._a_mark.search(piece)
                start = mark.start() - first.start() if first else -1
                if start >= at and text.startswith(piece, start) and (following or start + len(piece) == len(text)):
                    found.append((len(piece), start, following))
            if found:
                length, start, following = max(found, key=lambda one: (one[2] is None, one[0]))
                return self._plain(text[at:start]), following, start + length
        return self._plain(text[at:]), None, len(text)

    def _behind(self, role: Role) -> list[tuple[str, Role]]:
        """The pieces that may follow a content of that role, each with the role of the next message."""
        pieces = [(piece, b) for (a, b), piece in self._between.items() if a == role]
        return [(piece, b or "assistant") for piece, b in pieces if b or piece.endswith(self._pieces.asking)]

    def _marked(self, history: Sequence[int] | NDArray[np.int32]) -> str:
        """The text of tokens, in which a mark stands for each special token of the template."""
        ids, runs, run = np.asarray(history, np.int64).tolist(), [], []
        for token in ids:
            mark = self._mark_of_id.get(token)
            if mark is None:
                run.append(token)
            else:
                runs += [self._decoded(run), mark]
                run = []
        return "".join([*runs, self._decoded(run)])

    def _decoded(self, ids: list[int]) -> str:
        return self._backend.decode(ids, skip_special_tokens=False) if ids else ""

    def _plain(self, text: str) -> str:
        return self._a_mark.sub(lambda mark: self._named[mark[0]], text)

    # Spelling

    def _opening(self, conversation: Conversation, limit: int | None) -> list[int]:
        ids = self._spelled(self._written(None, self._fitted(conversation), over=False))
        while limit is not None and len(ids) > limit:
            conversation = self._shortened(conversation, limit, len(ids))
            ids = self._spelled(self._written(None, self._fitted(conversation), over=False))
        return ids

    def _shortened(self, conversation: Conversation, limit: int, length: int) -> Conversation:
        """The conversation without its oldest turn, or if it has only one, without the first words of that."""
        turns = [i for i, message in enumerate(conversation) if message.role != "system"]
        if len(turns) > 1:
            return (*conversation[: turns[0]], *conversation[turns[0] + 1 :])
        place = turns[0] if turns else len(conversation) - 1
        words = conversation[place].content.split(" ") if conversation else []
        if not any(words):
            raise ValueError(f"an opening of at most {limit} tokens has no room for a word: {length} is the least")
        fewer = max(1, min(len(words) - 1, (length - limit) // 8))  # few words have more than 8 tokens
        rest = Message(conversation[place].role, " ".join(words[fewer:]) if len(words) > 1 else "")
        return (*conversation[:place], rest, *conversation[place + 1 :])

    def _merged(self, conversation: Conversation) -> Conversation:
        """The conversation with consecutive messages of one role joined, unless the template can write both."""
        found: list[Message] = []
        for message in conversation:
            pair = (found[-1].role, message.role) if found else None
            if pair and pair[0] == pair[1] and pair not in self._between:
                found[-1] = Message(message.role, f"{found[-1].content}\n\n{message.content}".strip())
            else:
                found.append(message)
        return tuple(found)

    def _written(self, before: Role | None, messages: Conversation, over: bool) -> str:
        """The text of fitted messages after a content of the role ``before``, with marks for special tokens."""
        pieces: list[str] = []
        for role, content in messages:
            pieces += [self._piece(before, role), self._content_of(role, content)]
            before = role
        pieces.append(self._closing[before] if over and before else self._piece(before, None))
        return "".join(pieces)

    def _content_of(self, role: Role, content: str) -> str:
        if not whole(content):
            raise ValueError(f"the text {content[:60]!r} holds half a character, which no tokenizer can spell")
        return content.strip() if self._pieces.strips[role] else content

    def _piece(self, a: Role | None, b: Role | None) -> str:
        return self._between[a, b]

    def _spelled(self, written: str) -> list[int]:
        ids: list[int] = []
        texts, marks = self._a_mark.split(written), ["", *self._a_mark.findall(written), ""]
        for i, text in enumerate(texts):
            if text:
                ids += self._segment(marks[i], text, marks[i + 1])
            if marks[i + 1]:
                ids.append(self._specials[self._named[marks[i + 1]]])
        return ids

    def _segment(self, before: str, text: str, after: str) -> list[int]:
        """The tokens of a text as the tokenizer writes it between two special tokens ("" for none)."""
        if not text:
            return []
        key = (before, text, after)
        if (known := self._ids.get(key)) is not None:
            return known
        literal = self._special.search(text) is not None
        before, after = ("", "") if literal else (self._named.get(before, ""), self._named.get(after, ""))
        with ONE_SPELLS:
            self._backend.encode_special_tokens = literal
            try:
                ids = self._backend.encode(before + text + after, add_special_tokens=False).ids
            finally:
                self._backend.encode_special_tokens = False
        if literal:
            ids = without_special(ids, self._specials.values(), self._unknown)
        return remembered(self._ids, key, ids[bool(before) : len(ids) - bool(after)], MOST_SPELLINGS)


_MARKUPS: WeakKeyDictionary[Any, tuple[tuple[Any, Any], Markup]] = WeakKeyDictionary()


def markup_of(tokenizer: PreTrainedTokenizerFast) -> Markup | None:
    """The markup of a tokenizer; None if it has no chat template.

    Raises:
        MarkupError: episodes cannot be written by its template.
    """
    if not tokenizer.chat_template:
        return None
    made_from = (str(tokenizer.chat_template), tokenizer.eos_token)
    known = _MARKUPS.get(tokenizer)
    if known is None or known[0] != made_from:
        known = _MARKUPS[tokenizer] = (made_from, Markup(tokenizer))
    return known[1]


def _without_system(conversation: Conversation) -> Conversation:
    """The conversation with each system message at the beginning of the user's next turn, or as a turn of the user."""
    found: list[Message] = []
    told: list[str] = []
    for message in conversation:
        if message.role == "system":
            told.append(message.content)
        elif message.role == "user":
            found.append(user("\n\n".join([*told, message.content])))
            told = []
        else:
            found += [user("\n\n".join(told))] * bool(told) + [message]
            told = []
    return (*found, *([user("\n\n".join(told))] if told else []))
