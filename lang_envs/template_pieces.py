"""A chat template taken apart: what it writes before, between and behind the contents of a conversation.

It is rendered for every short conversation, its special tokens told from text by marks, and refused where that does not
say how a longer one is written: episodes are written turn by turn, and what was said stays as it was said.
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
_FIRST_MARK = 0xD800  # half characters, which no text holds, stand for special tokens
_MOST_MARKS = 2048
_MOST_TEMPLATES = 64  # whose pieces are remembered


class MarkupError(ValueError):
    """A chat template that episodes cannot be written by."""


class TemplatePieces:
    """What a tokenizer's chat template writes around contents; get one from :func:`pieces_of`.

    Special tokens are marks in all of it: half characters, which no text can hold.

    Args:
        tokenizer: with a chat template.

    Attributes:
        between: by the roles of the content before and behind; None before the first and behind the last, where the
            agent is asked to speak. Pairs that the template does not write are missing.
        closing: by role, behind the last content where the agent is not asked to speak.
        strips: by role, whether the template takes blanks off the ends of contents.
        marks: special token -> the half character that stands for it.
        end: the special token that closes a turn of the agent.
        lead: text between the prompt to speak and a reply, said by the agent: a blank, in some templates.

    Raises:
        MarkupError: where episodes cannot be written by the template.
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
        del self._tokenizer  # these are remembered for longer

    @property
    def asking(self) -> str:
        """What asks the agent to speak, from its last special token on."""
        piece = self.between["user", None]
        return piece[max((place for place, letter in enumerate(piece) if self._is_mark(letter)), default=0) :]

    def _take_apart(self) -> None:
        """Renders the template for every short conversation.

        Raises:
            MarkupError: where it writes the same turns in another way when others follow, or fails for all.
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
        except MarkupError:  # system messages are unknown to it, or written elsewhere: into the user's turn, say
            self.between, self.closing, self.marks = before
        if not self.between.get((None, None), "").endswith(self.asking):
            self.between.pop((None, None), None)  # nobody is asked to speak where nobody has spoken

    def _probe(self, roles: Sequence[Role]) -> Exception | None:
        """Keeps what stands around the contents of one conversation; what the template said where it has none such."""
        contents = [f"\u27e8{i}\u27e9" for i in range(len(roles))]
        messages = [Message(role, content) for role, content in zip(roles, contents, strict=True)]
        try:
            text, closed = self._render(messages, True), self._render(messages, False)
        except Exception as error:  # templates raise what they like
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
        """The marks of special tokens that take the blanks behind them."""
        return "".join(self.marks[token] for token in self._takes_blanks if token in self.marks)

    def _mark(self, token: str) -> str:
        if token not in self.marks and len(self.marks) >= _MOST_MARKS:
            raise MarkupError(f"the chat template has more than {_MOST_MARKS} special tokens")
        return self.marks.setdefault(token, chr(_FIRST_MARK + len(self.marks)))

    def _stripped(self, role: Role) -> bool:
        """Whether the template takes blanks off the ends of such contents."""
        padded = Message(role, " \u27e80\u27e9 ")
        turns = {"system": [padded, user("x")], "user": [padded], "assistant": [user("x"), padded, user("x")]}[role]
        try:
            return padded.content not in self._render(turns, True)
        except Exception:  # it has no such role
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
    """What both begin with."""
    return "".join(x for x, _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(a, b, strict=False)))
