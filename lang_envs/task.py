"""Task and Reply: what the author of a language task writes, over text, with the state as a plain value."""

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
_NO_FACTS: dict[str, Any] = {}  # the default of ``info``; each reply gets its own dictionary


@dataclass(frozen=True)
class Reply(Generic[S]):
    """The reply of a task to one utterance.

    Attributes:
        state: the next state. It is a value that is never mutated, so that an episode can be branched, pickled and
            replayed.
        text: what the environment says: messages, or plain text; empty if it says nothing.
        reward: the reward of the whole utterance, which is paid on its last token; a finite number, not a bool. It is
            rounded to float32.
        terminated: whether the task itself is over.
        info: facts about this turn, with the same keys in every reply of a task; finite numbers, booleans or strings.

    The environment checks each reply when it is given (:func:`lang_envs.replies.check_reply`). The error names the turn
    and the utterance.
    """

    state: S
    text: str | Conversation
    reward: float
    terminated: bool
    info: dict[str, Any] = field(default_factory=dict)

    def __init__(
        self, state: S, text: str | Conversation, reward: float, terminated: bool, info: dict[str, Any] = _NO_FACTS
    ) -> None:
        # All fields at once: a frozen dataclass sets them one by one, which took a tenth of a turn's time.
        self.__dict__.update(
            state=state, text=text, reward=reward, terminated=terminated, info={} if info is _NO_FACTS else info
        )


class Task(ABC, Generic[S]):
    """A language task: rules over text. Everything else (tokens, spaces, batching, recording) is derived from it.

    A task owns no mutable state and no random generator. Both are passed in, so that one task object may serve any
    number of episodes at once.

    Attributes:
        max_turns: number of agent utterances after which an episode is truncated, unless the task ends it before.
        max_utterance_tokens: most tokens of one agent utterance, its end token included; a longer one is cut there.
        max_tokens: most tokens of a whole episode, observations included; an episode that fills them is truncated.
        reward_range: the smallest and the largest reward of one utterance; None if unknown.
        needs_corpus: the kind and the name of the downloaded corpus that the task needs, unless its option ``path``
            names another (:func:`lang_envs.corpora.by_name.downloaded`); None if it needs no files.
        splits: the values of the option ``split``; splits share no starting points. Empty if the task has no such
            option.
        max_context_tokens: most tokens of the opening observation. Of a longer conversation the oldest turns are left
            out, of a longer plain text the first tokens; None for no limit.
        num_contexts: number of starting points, if they are numbered; None if they are drawn freely. The info of the
            replies of a task with numbered starting points holds ``"context"``, the number of the starting point.
        pays: whether its rewards mean anything; False if utterances are not rated, so that all rewards are 0.
        conversational: whether it says messages (:mod:`lang_envs.conversation`) and not plain texts.
        instruction: what a person would be told: the rules, and the form of an answer.
        instructs: whether the instruction is the system message; None: it is, unless conversations are written by the
            packaged tokenizer's chat template.
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

        A plain text must not be empty. There may be no messages, if the agent speaks first.
        """

    def begin_at(self, context: int, rng: np.random.Generator) -> tuple[S, str | Conversation]:
        """As :meth:`begin`, from starting point ``context``, 0 <= context < ``num_contexts``.

        Override it if ``num_contexts`` is set. Then several episodes of one context can be compared.
        """
        raise NotImplementedError(f"{type(self).__name__} sets num_contexts and must override begin_at")

    @abstractmethod
    def reply(self, state: S, utterance: str, rng: np.random.Generator) -> Reply[S]:
        """Answers one agent utterance; ``utterance`` is its text without the end token and may be any text."""

    def reply_batch(
        self, states: Sequence[S], utterances: Sequence[str], rngs: Sequence[np.random.Generator]
    ) -> list[Reply[S]]:
        """Answers many episodes at once. Override it if scoring in one batch is cheaper, as with a reward model."""
        return [self.reply(s, u, r) for s, u, r in zip(states, utterances, rngs, strict=True)]

    @abstractmethod
    def tokenizer(self) -> PreTrainedTokenizerFast:
        """The task's own tokenizer, whose ``eos_token`` ends an utterance. ``make`` accepts any other tokenizer."""

    def in_words(self, observation: str) -> str:
        """A plain text of this task in words for a person; conversations use these words."""
        return observation

    def legal_tokens(
        self, state: S, said: Sequence[int], tokenizer: PreTrainedTokenizerFast
    ) -> NDArray[np.bool_] | None:
        """Whether each token [V] may follow those ``said`` so far in this utterance; None if the task does not know."""
        return None

    def dynamics(self, tokenizer: PreTrainedTokenizerFast, num_envs: int) -> Dynamics | None:
        """The same rules for ``num_envs`` episodes at once, over tokens. Override it if arrays can compute them.

        None, the default, means that episodes are played as text by :meth:`reply_batch`
        (:mod:`lang_envs.text_dynamics`).
        """
        return None
