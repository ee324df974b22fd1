"""Scripted desks for :class:`~lang_envs.tasks.service_desk.ServiceDesk`. They know a conversation by its text.

Each chooses an act by how things stand (:class:`~lang_envs.tasks.service_desk_acts.View`), then one of the ways to do
it, then words. Two have a bad habit: what one does well the other does badly.
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
    """Says what a policy over acts would do.

    Args:
        task: the task.
        chances: the probability of each act, by how things stand and the turn, from 0. What cannot be done is chat.
        tokenizer: of the environment.
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
    """Asks for what is missing, offers what fits, answers, asks for what it needs to book, books: the best script."""

    def __init__(self, task: ServiceDesk, tokenizer: PreTrainedTokenizerFast | None = None) -> None:
        super().__init__(task, expert, tokenizer)


class Guesser(Acting):
    """Opens as the expert, then books at once: what the user has not said of the booking it guesses."""

    def __init__(self, task: ServiceDesk, tokenizer: PreTrainedTokenizerFast | None = None) -> None:
        super().__init__(task, guesser, tokenizer)


class Hasty(Acting):
    """Offers at once whatever may fit, asks again what it was told until the user complains; then as the expert."""

    def __init__(self, task: ServiceDesk, tokenizer: PreTrainedTokenizerFast | None = None) -> None:
        super().__init__(task, hasty, tokenizer)


class AnyAct(Acting):
    """Any act, all equally likely."""

    def __init__(self, task: ServiceDesk, tokenizer: PreTrainedTokenizerFast | None = None) -> None:
        super().__init__(task, any_act, tokenizer)


def expert(view: View, turn: int) -> Mapping[Act, float]:
    """What :class:`Expert` does."""
    if not view.accepted:
        return _ONLY[Act.ASK if view.matches > 1 else Act.OFFER if view.matches else Act.DENY]
    if view.pending:
        return _ONLY[Act.TELL]
    return _ONLY[Act.ARRANGE if view.missing else Act.BOOK]


def guesser(view: View, turn: int) -> Mapping[Act, float]:
    """What :class:`Guesser` does."""
    return _ONLY[Act.BOOK] if view.accepted and not view.pending else expert(view, turn)


def hasty(view: View, turn: int) -> Mapping[Act, float]:
    """What :class:`Hasty` does."""
    if view.accepted or not view.matches:
        return expert(view, turn)
    return _ONLY[Act.REPEAT if view.matches == 1 and not view.annoyed else Act.OFFER]


def any_act(view: View, turn: int) -> Mapping[Act, float]:
    """What :class:`AnyAct` does."""
    return _ANY_ACT


def slipping(chances: ActPolicy, slips: float) -> ActPolicy:
    """The same, but any act with the probability ``slips`` in each turn."""
    if not slips:
        return chances

    def slipped(view: View, turn: int) -> Mapping[Act, float]:
        found = dict.fromkeys(Act, slips / len(Act))
        for act, chance in chances(view, turn).items():
            found[act] += (1 - slips) * chance
        return found

    return slipped


def seen(messages: Conversation) -> Desk:
    """What a desk knows of a conversation by its text.

    Raises:
        ValueError: where there is no screen in it.
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
    """The screen and the user's words: where a template has no system messages, the screen opens the user's turn."""
    *before, words = content.split("\n\n")
    return (before[-1] if before else screen), words


def _fact_asked_for(service: int, words: str) -> int:
    """The fact that a user asks for, in the last sentence; ``ANY`` for none."""
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
