"""Scripted desks for :class:`~lang_envs.tasks.service_desk.ServiceDesk`, which read a conversation from its text.

Each desk chooses an act by its view of the conversation (:class:`~lang_envs.tasks.service_desk_acts.View`), then one of
the ways to do it, then words. Two desks have a bad habit: ``Guesser`` opens well and ends badly, ``Hasty`` opens badly
and ends well.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from lang_envs.corpora.dialogues.desk import ANY, FACTS, services, wordings
from lang_envs.policies.any_task import Generators, Histories
from lang_envs.rollout import Turn
from lang_envs.speech import Speech
from lang_envs.tasks.service_desk import ServiceDesk
from lang_envs.tasks.service_desk_acts import Act, Desk, View, screens, ways
from lang_envs.tasks.service_desk_speech import ways_to_say
from lang_envs.utterances import spell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedTokenizerFast

    from lang_envs.conversation import Conversation
    from lang_envs.tasks.service_desk_values import ActPolicy

T = TypeVar("T")
_MOST_CONVERSATIONS = 2**14


class Acting:
    """Plays a policy over acts.

    Args:
        task: the task.
        chances: returns the probability of each act, from the view and the number of the turn (from 0). An act that
            is not possible becomes chat.
        tokenizer: the environment's, if it is not the task's own.
    """

    def __init__(self, task: ServiceDesk, chances: ActPolicy, tokenizer: PreTrainedTokenizerFast | None = None) -> None:
        self.chances, self._limit = chances, task.max_utterance_tokens
        self._tokenizer = task.tokenizer() if tokenizer is None else tokenizer
        self._speech, self._turns = Speech(task, self._tokenizer), dict[str, Turn]()
        self._read = lru_cache(maxsize=_MOST_CONVERSATIONS)(self._conversation)

    def act(self, histories: Histories, rngs: Generators) -> list[Turn]:
        """One turn in each conversation."""
        return [
            self._say(self._words(*self._read(history.tobytes()), rng))
            for history, rng in zip(histories, rngs, strict=True)
        ]

    def _words(self, desk: Desk, turn: int, rng: np.random.Generator) -> str:
        chances = self.chances(desk.view, turn)
        act = next(iter(chances)) if len(chances) == 1 else _drawn(chances, rng)
        heard = _one(ways(desk, act) or ways(desk, Act.CHAT), rng)
        return _one(ways_to_say(desk.service, heard, desk.accepted), rng)

    def _say(self, text: str) -> Turn:
        if text not in self._turns:
            self._turns[text] = Turn(spell(self._tokenizer, text, self._limit))
        return self._turns[text]

    def _conversation(self, history: bytes) -> tuple[Desk, int]:
        [messages] = self._speech.read([np.frombuffer(history, np.int32)])
        return seen(messages), sum(message.role == "assistant" for message in messages)


class Expert(Acting):
    """The best script: asks for what is missing, offers what fits, answers, asks for the booking's facts, and books."""

    def __init__(self, task: ServiceDesk, tokenizer: PreTrainedTokenizerFast | None = None) -> None:
        super().__init__(task, expert, tokenizer)


class Guesser(Acting):
    """Opens as the expert does, then books at once and guesses what the user has not said of the booking."""

    def __init__(self, task: ServiceDesk, tokenizer: PreTrainedTokenizerFast | None = None) -> None:
        super().__init__(task, guesser, tokenizer)


class Hasty(Acting):
    """Offers whatever may fit, and asks again what it was told, until the user complains; then acts as the expert."""

    def __init__(self, task: ServiceDesk, tokenizer: PreTrainedTokenizerFast | None = None) -> None:
        super().__init__(task, hasty, tokenizer)


class AnyAct(Acting):
    """Does uniformly random acts."""

    def __init__(self, task: ServiceDesk, tokenizer: PreTrainedTokenizerFast | None = None) -> None:
        super().__init__(task, any_act, tokenizer)


def expert(view: View, turn: int) -> Mapping[Act, float]:
    """The probability of each act of :class:`Expert`."""
    if not view.accepted:
        return _ONLY[Act.ASK if view.matches > 1 else Act.OFFER if view.matches else Act.DENY]
    if view.pending:
        return _ONLY[Act.TELL]
    return _ONLY[Act.ARRANGE if view.missing else Act.BOOK]


def guesser(view: View, turn: int) -> Mapping[Act, float]:
    """The probability of each act of :class:`Guesser`."""
    return _ONLY[Act.BOOK] if view.accepted and not view.pending else expert(view, turn)


def hasty(view: View, turn: int) -> Mapping[Act, float]:
    """The probability of each act of :class:`Hasty`."""
    if view.accepted or not view.matches:
        return expert(view, turn)
    return _ONLY[Act.REPEAT if view.matches == 1 and not view.annoyed else Act.OFFER]


def any_act(view: View, turn: int) -> Mapping[Act, float]:
    """The probability of each act of :class:`AnyAct`."""
    return _ANY_ACT


def slipping(chances: ActPolicy, slips: float) -> ActPolicy:
    """The policy ``chances``, which in each turn with probability ``slips`` does a uniformly random act instead."""
    if not slips:
        return chances

    def slipped(view: View, turn: int) -> Mapping[Act, float]:
        found = dict.fromkeys(Act, slips / len(Act))
        for act, chance in chances(view, turn).items():
            found[act] += (1 - slips) * chance
        return found

    return slipped


def seen(messages: Conversation) -> Desk:
    """What a desk knows of a conversation from its text.

    Raises:
        ValueError: the conversation shows no screen.
    """
    screen, words, annoyed = "", "", 0
    for role, content in messages:
        if role == "system":
            screen = content
        elif role == "user":
            screen, words = _screen_in(content, screen)
            annoyed += words.startswith(wordings()["grumble"])
    desk = screens().get(screen.rsplit("\n", 1)[-1])
    if desk is None:
        raise ValueError(f"the last screen of the history is none of a service desk: {screen[:80]!r}")
    pending = ANY if desk.accepted == ANY else _fact_asked_for(desk.service, words)
    return desk._replace(pending=pending, annoyed=annoyed)


def _screen_in(content: str, screen: str) -> tuple[str, str]:
    """The screen and the user's words; if a template has no system messages, the user's turn begins with the screen."""
    *before, words = content.split("\n\n")
    return (before[-1] if before else screen), words


def _fact_asked_for(service: int, words: str) -> int:
    """The fact that a user asks for in the last sentence; ``ANY`` if there is none."""
    asked = (FACTS + i for i, fact in enumerate(services()[service].facts) if words.endswith(fact.ask))
    return next(asked, ANY)


def _drawn(chances: Mapping[Act, float], rng: np.random.Generator) -> Act:
    left = rng.random() * sum(chances.values())
    for act, chance in chances.items():
        left -= chance
        if left < 0:
            return act
    return act


def _one(choices: Sequence[T], rng: np.random.Generator) -> T:
    return choices[int(rng.random() * len(choices))]


_ONLY: dict[Act, Mapping[Act, float]] = {act: {act: 1.0} for act in Act}
_ANY_ACT: Mapping[Act, float] = {act: 1 / len(Act) for act in Act}
