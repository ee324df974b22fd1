"""Splits a chat template into pieces: what it writes before, between and after the contents of a conversation.

The template is rendered for every conversation of at most four messages; marks stand for its special tokens. Episodes
are written turn by turn, and past turns stay unchanged. So a template is refused if its short conversations do not show
how it writes a longer one.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Hashable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from lang_envs.conversation import Message, Role, assistant, to_json, user
from lang_envs.tokenizers import remembered

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

_PROBED = 4  # the longest conversation that the template is rendered for, in messages
_FIRST_MARK = 0xD800  # lone surrogates, which no text holds, stand for special tokens
_MOST_MARKS = 2048
_MOST_TEMPLATES = 64  # whose pieces are remembered


class MarkupError(ValueError):
    """Episodes cannot be written by a chat template."""


class TemplatePieces:
    """The pieces that a tokenizer's chat template writes around contents; :func:`pieces_of` returns one.

    In each piece, a mark stands for each special token. A mark is a lone surrogate (half a character), which no text
    can hold.

    Args:
        tokenizer: a tokenizer with a chat template.

    Attributes:
        between: (role before, role after) -> the piece between two contents. The role before the first content is
            None. The role after the last content is None too; that piece asks the agent to speak. Pairs that the
            template does not write are missing.
        closing: role -> the piece after the last content if the agent is not asked to speak.
        strips: role -> whether the template strips blanks from the ends of contents.
        marks: special token -> its mark.
        end: the special token that closes a turn of the agent.
        lead: text between the prompt and a reply, which the agent says; a blank in some templates.

    Raises:
        MarkupError: episodes cannot be written by the template.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self._tokenizer = tokenizer
        special = _special_tokens(tokenizer)
        self._special = re.compile("|".join(map(re.escape, sorted(special, key=len, reverse=True))) or r"(?!)")
        self._takes_blanks = [token for token, takes_blanks in special.items() if takes_blanks]
        self.marks: dict[str, str] = {}
        self.between: dict[tuple[Role | None, Role | None], str] = {}
        self.closing: dict[Role, str] = {}
        self._take_apart()
        self.strips: dict[Role, bool] = {role: self._stripped(role) for role in ("system", "user", "assistant")}
        self._check_thoughts()
        self.end, self.lead = self._end(), self._lead()
        del self._tokenizer  # the pieces are cached and must not keep a tokenizer alive

    @property
    def asking(self) -> str:
        """The text that asks the agent to speak, from its last special token on."""
        piece = self.between["user", None]
        return piece[max((place for place, letter in enumerate(piece) if self._is_mark(letter)), default=0) :]

    def _take_apart(self) -> None:
        """Renders the template for every short conversation.

        Raises:
            MarkupError: it writes the same turns in another way when others follow, or fails for all conversations.
        """
        told: Exception | None = None
        for roles in _conversations(("user", "assistant")):
            told = self._probe(roles) or told
        if (None, "user") not in self.between or ("user", None) not in self.between:
            raise MarkupError(f"the chat template cannot be rendered ({told})")
        before = dict(self.between), dict(self.closing), dict(self.marks)
        try:
            for roles in _conversations(("system", "user", "assistant")):
                self._probe(roles)
            if (None, "system") not in self.between:
                raise MarkupError("it has no system messages")
        except MarkupError:  # it has no system messages, or writes them elsewhere, for example into the user's turn
            self.between, self.closing, self.marks = before
        if not self.between.get((None, None), "").endswith(self.asking):
            self.between.pop((None, None), None)  # the template does not ask the agent to speak first

    def _probe(self, roles: Sequence[Role]) -> Exception | None:
        """Keeps the pieces around the contents of one conversation; returns the template's error if it refuses it."""
        contents = [f"\u27e8{i}\u27e9" for i in range(len(roles))]
        messages = [Message(role, content) for role, content in zip(roles, contents, strict=True)]
        try:
            text, closed = self._render(messages, True), self._render(messages, False)
        except Exception as error:  # templates raise errors of any type
            return error
        around: list[str] = []
        for content in contents:
            piece, found, text = text.partition(content)
            if not found:
                raise MarkupError(_REWRITES)
            around.append(piece)
        ends: list[Role | None] = [None, *roles, None]
        for pair, piece in zip(itertools.pairwise(ends), [*around, text], strict=True):
            if self.between.setdefault(pair, piece) != piece:
                raise MarkupError(_REWRITES)
        if roles:
            behind = closed.rpartition(contents[-1])[2]
            self.closing.setdefault(roles[-1], _common(text, behind))
        return None

    def _render(self, messages: Iterable[Message], prompts: bool) -> str:
        texts: Any = self._tokenizer.apply_chat_template(
            [to_json(messages)], tokenize=False, add_generation_prompt=prompts, continue_final_message=False
        )
        marked = self._special.sub(lambda token: self._mark(token[0]), texts[0])
        return re.sub(f"([{self._greedy}])\\s+", r"\1", marked) if self._greedy else marked

    @property
    def _greedy(self) -> str:
        """The marks of special tokens that take in the blanks after them."""
        return "".join(self.marks[token] for token in self._takes_blanks if token in self.marks)

    def _mark(self, token: str) -> str:
        if token not in self.marks and len(self.marks) >= _MOST_MARKS:
            raise MarkupError(f"the chat template has more than {_MOST_MARKS} special tokens")
        return self.marks.setdefault(token, chr(_FIRST_MARK + len(self.marks)))

    def _stripped(self, role: Role) -> bool:
        """Whether the template strips blanks from the ends of contents of this role."""
        padded = Message(role, " \u27e80\u27e9 ")
        turns = {"system": [padded, user("x")], "user": [padded], "assistant": [user("x"), padded, user("x")]}[role]
        try:
            return padded.content not in self._render(turns, True)
        except Exception:  # the template has no such role
            return False

    def _check_thoughts(self) -> None:
        thought = "<think>\u27e80\u27e9</think>\u27e81\u27e9"
        if thought not in self._render([user("x"), assistant(thought), user("x")], True):
            raise MarkupError(_REWRITES)

    def _end(self) -> str:
        """The special token that closes the agent's turn."""
        roles: tuple[Role | None, ...] = ("assistant", None)
        for following in roles:
            if not any(map(self._is_mark, self.between.get(("user", following), ""))):
                raise MarkupError(
                    "the chat template closes the user's turn with plain text, which a user could say. Choose another "
                    "markup: markup='plain', or 'chatml' where the tokenizer has it"
                )
        piece = self.between.get(("assistant", "user"), "")
        if not self._is_mark(piece[:1]):
            raise MarkupError(
                "the chat template does not close the agent's turn with a special token: nobody could tell its end "
                "from what is said. Choose another markup: markup='plain', or 'chatml' where the tokenizer has it"
            )
        return next(token for token, mark in self.marks.items() if mark == piece[0])

    def _lead(self) -> str:
        prompt, piece = self.between["user", None], self.between["user", "assistant"]
        lead = piece.removeprefix(prompt)
        if not piece.startswith(prompt) or any(map(self._is_mark, lead)):
            raise MarkupError(_REWRITES)
        return lead

    def _is_mark(self, letter: str) -> bool:
        return letter in self.marks.values()


_PIECES: dict[Hashable, TemplatePieces] = {}


def pieces_of(tokenizer: PreTrainedTokenizerFast) -> TemplatePieces:
    """The pieces of a tokenizer's chat template; tokenizers that are alike in what they depend on share them.

    Those are its class, which renders, the template, and the special tokens: their names in the template, and those
    that are marks. Ids and the vocabulary have no part in it.

    Raises:
        MarkupError: where episodes cannot be written by the template.
    """
    template = str(tokenizer.chat_template)
    if "strftime_now" in template:  # it may write another date tomorrow
        return TemplatePieces(tokenizer)
    special = *tokenizer.special_tokens_map.items(), *_special_tokens(tokenizer).items()
    key = (type(tokenizer), template, special)
    return _PIECES.get(key) or remembered(_PIECES, key, TemplatePieces(tokenizer), _MOST_TEMPLATES)


def _special_tokens(tokenizer: PreTrainedTokenizerFast) -> dict[str, bool]:
    """The special tokens, in the order of their ids, and whether each takes the blanks behind it."""
    return {token.content: token.rstrip for token in tokenizer.added_tokens_decoder.values() if token.special}


_REWRITES = (
    "the chat template writes what was said in another way once the conversation goes on (it drops thoughts, or moves "
    "the system's words), so that no episode could be kept as it was said. Choose another markup: markup='chatml', or "
    "'plain', or the path of a template of your own"
)


def _conversations(roles: Sequence[Role]) -> Iterable[tuple[Role, ...]]:
    return (some for n in range(_PROBED + 1) for some in itertools.product(roles, repeat=n))


def _common(a: str, b: str) -> str:
    """The longest common beginning of both texts."""
    return "".join(x for x, _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(a, b, strict=False)))
