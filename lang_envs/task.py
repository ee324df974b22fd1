"""What the author of a language task writes: text in, text out, and the state as a plain value."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from lang_envs.conversation import Conversation

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from lang_envs.dynamics import Dynamics

S = TypeVar("S")
_NO_FACTS: dict[str, Any] = {}  # where none are passed; each reply gets a dictionary of its own


@dataclass(frozen=True)
class Reply(Generic[S]):
    """What the environment does with one utterance.

    Attributes:
        state: the next state. A value (never mutated), so an episode can be branched, pickled and replayed.
        text: what the environment says back: messages, or plain text; empty where it says nothing.
        reward: paid for the whole utterance; it lands on the utterance's last token. A finite number, not a bool, which
            is rounded to float32.
        terminated: whether the task itself is over.
        info: facts about this turn, with the same keys in every reply of a task; finite numbers, booleans or strings.

    An environment refuses a reply of another kind where it is given, with the turn and the utterance
    (:func:`lang_envs.replies.check_reply`).
    """

    state: S
    text: str | Conversation
    reward: float
    terminated: bool
    info: dict[str, Any] = field(default_factory=dict)

    def __init__(
        self, state: S, text: str | Conversation, reward: float, terminated: bool, info: dict[str, Any] = _NO_FACTS
    ) -> None:
        # At once: a frozen dataclass sets its fields one by one, which took a tenth of a turn.
        self.__dict__.update(
            state=state, text=text, reward=reward, terminated=terminated, info={} if info is _NO_FACTS else info
        )


class Task(ABC, Generic[S]):
    """A language task: rules over text. Everything else (tokens, spaces, batching, recording) is derived from it.

    A task owns no mutable state and no random generator: both are passed in, so one task object may serve any number
    of episodes at once.

    Attributes:
        max_turns: agent utterances after which an episode is truncated, where the task has not ended it before.
        max_utterance_tokens: tokens of one agent utterance, its end token included; it ends there at the latest.
        max_tokens: tokens of a whole episode, observations included; an episode that fills them is truncated.
        reward_range: the least and the most that one utterance is paid; None where nobody knows.
        needs_corpus: the kind and the name of the downloaded corpus that it is made of, where its option ``path`` names
            no other (:func:`lang_envs.corpora.by_name.downloaded`); None where it can be made with no files.
        splits: the values of the option ``split``, whose starting points have nothing in common; none where the task
            has no such option.
        max_context_tokens: the opening observation has at most so many tokens: of a conversation the oldest turns are
            left out, of a plain text the first tokens; None for no limit.
        num_contexts: how many starting points there are to choose from, where they can be numbered; None where they are
            drawn freely. The info of such a task's replies holds ``"context"``, the number of the starting point.
        pays: whether its rewards mean anything; False where nobody says what an utterance is worth, and all are 0.
        conversational: whether it says messages (:mod:`lang_envs.conversation`) and not plain texts.
        instruction: what a person would be told: the rules, and the form of an answer.
        instructs: whether the instruction is the system message; None where that is left to the tokenizer: it is,
            unless conversations are written as by the packaged one.
    """

    max_turns: int
    max_utterance_tokens: int
    max_tokens: int
    reward_range: tuple[float, float] | None = None
    needs_corpus: tuple[str, str] | None = None
    splits: tuple[str, ...] = ()
    max_context_tokens: int | None = None
    num_contexts: int | None = None
    pays: bool = True
    conversational: bool = False
    instruction: str = ""
    instructs: bool | None = None

    @abstractmethod
    def begin(self, rng: np.random.Generator) -> tuple[S, str | Conversation]:
        """Draws the initial state and the opening observation, messages or plain text.

        A plain text is not empty: the agent acts from some text. Messages may be none, where the agent opens.
        """

    def begin_at(self, context: int, rng: np.random.Generator) -> tuple[S, str | Conversation]:
        """As :meth:`begin`, from starting point ``context``, 0 <= context < ``num_contexts``.

        Override it where ``num_contexts`` is set. Every sample of one context can then be compared with the others.
        """
        raise NotImplementedError(f"{type(self).__name__} sets num_contexts and must override begin_at")

    @abstractmethod
    def reply(self, state: S, utterance: str, rng: np.random.Generator) -> Reply[S]:
        """Answers one agent utterance; ``utterance`` is its text without the end token, and may be any text at all."""

    def reply_batch(
        self, states: Sequence[S], utterances: Sequence[str], rngs: Sequence[np.random.Generator]
    ) -> list[Reply[S]]:
        """Answers many episodes at once. Override it where scoring in one batch is cheaper (a reward model, say)."""
        return [self.reply(s, u, r) for s, u, r in zip(states, utterances, rngs, strict=True)]

    @abstractmethod
    def tokenizer(self) -> PreTrainedTokenizerFast:
        """The task's own tokenizer, whose ``eos_token`` ends an utterance; ``make`` takes any other."""

    def in_words(self, observation: str) -> str:
        """A plain text of this task as a person would read it: how it is said in a conversation."""
        return observation

    def legal_tokens(
        self, state: S, said: Sequence[int], tokenizer: PreTrainedTokenizerFast
    ) -> NDArray[np.bool_] | None:
        """Which tokens [V] may follow those ``said`` so far in this utterance; None where the task does not know."""
        return None

    def dynamics(self, tokenizer: PreTrainedTokenizerFast, num_envs: int) -> Dynamics | None:
        """The same rules for ``num_envs`` episodes at once, over tokens: override it where arrays can compute them.

        None, the default, has them played through :meth:`reply_batch` and text (:mod:`lang_envs.text_dynamics`).
        """
        return None
