"""Scripted questioners of different habits for visual dialogue, which read a dialogue from its tokens alone.

Each takes the environment's ``tokenizer`` if that is not the task's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from lang_envs.corpora.scenes.bank import bank
from lang_envs.corpora.scenes.world import SceneWorld
from lang_envs.corpora.visdial.world import VisdialWorld
from lang_envs.policies.any_task import Generators, Histories
from lang_envs.policies.visual_dialogue_beliefs import Beliefs
from lang_envs.rollout import Turn
from lang_envs.speech import Speech
from lang_envs.tasks.visual_dialogue import VisualDialogue
from lang_envs.utterances import spell

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

T = TypeVar("T")


class RandomQuestions:
    """Asks uniformly random questions, of the built-in bank or of those that people asked."""

    def __init__(self, task: VisualDialogue, tokenizer: PreTrainedTokenizerFast | None = None) -> None:
        world = task.world
        self._wordings = [(q,) for q in world.questions] if isinstance(world, VisdialWorld) else list(bank().values())
        self._voice = _Voice(task, tokenizer)

    def act(self, histories: Histories, rngs: Generators) -> list[Turn]:
        """One question for each history."""
        return [self._voice.say(_one(_one(self._wordings, rng), rng)) for rng in rngs]


class YesNo:
    """Asks as most people do: mostly yes/no questions, and no question twice.

    Args:
        task: visual dialogue on the built-in scenes.
        tokenizer: the environment's, if it is not the task's own.
        share: the probability of a yes/no question.

    Raises:
        ValueError: ``share`` is not a probability, or the task has real dialogues.
    """

    def __init__(
        self, task: VisualDialogue, tokenizer: PreTrainedTokenizerFast | None = None, share: float = 0.85
    ) -> None:
        if not 0 <= share <= 1:
            raise ValueError(f"share must be a probability from 0 to 1, got {share}")
        self.world, self.share, self._voice = _built_in(task), share, _Voice(task, tokenizer)
        self._open = [question for question in bank() if question.is_open]
        self._closed = [question for question in bank() if not question.is_open]

    def act(self, histories: Histories, rngs: Generators) -> list[Turn]:
        """One question for each history."""
        return [
            self._voice.say(self._choose(asked, rng))
            for asked, rng in zip(self._voice.asked(histories), rngs, strict=True)
        ]

    def _choose(self, asked: Sequence[str], rng: np.random.Generator) -> str:
        known = {self.world.understand(text) for text in asked}
        kind = self._closed if rng.random() < self.share else self._open
        fresh = [question for question in kind if self.world.number(question) not in known]
        return _one(bank()[_one(fresh, rng)], rng)


class Repetitive:
    """Often repeats an earlier question word for word; its other questions are random.

    Args:
        task: visual dialogue of either kind.
        tokenizer: the environment's, if it is not the task's own.
        again: the probability of an earlier question, from the second question on.

    Raises:
        ValueError: ``again`` is not a probability.
    """

    def __init__(
        self, task: VisualDialogue, tokenizer: PreTrainedTokenizerFast | None = None, again: float = 0.6
    ) -> None:
        if not 0 <= again <= 1:
            raise ValueError(f"again must be a probability from 0 to 1, got {again}")
        self.again = again
        self._voice, self._random = _Voice(task, tokenizer), RandomQuestions(task, tokenizer)

    def act(self, histories: Histories, rngs: Generators) -> list[Turn]:
        """One question for each history."""
        turns = []
        for asked, rng in zip(self._voice.asked(histories), rngs, strict=True):
            repeat = asked and rng.random() < self.again
            turns.append(self._voice.say(_one(asked, rng)) if repeat else self._random.act([histories[0]], [rng])[0])
        return turns


class Informative:
    """The expert: greedily asks the question whose answer is expected to rule out the largest weight of scenes.

    A scene of the pool is weighted by how well it fits the dialogue. By default a question's value is divided by the
    expected cost of the turn, with the penalty of its answer. So it asks open questions if "yes" and "no" cost extra.

    Args:
        task: visual dialogue on the built-in scenes. The policy knows the pool, but not the guesser's random hunches.
        tokenizer: the environment's, if it is not the task's own.
        slack: it draws a question whose value is within this share of the best one, so that its questions vary.
        thrifty: whether it takes the penalty into account.

    Raises:
        ValueError: ``slack`` is negative, or the task has real dialogues.
    """

    def __init__(
        self,
        task: VisualDialogue,
        tokenizer: PreTrainedTokenizerFast | None = None,
        slack: float = 0.05,
        thrifty: bool = True,
    ) -> None:
        if slack < 0:
            raise ValueError(f"slack must not be negative, got {slack}")
        self.slack, self._voice = slack, _Voice(task, tokenizer)
        self._beliefs = Beliefs(_built_in(task), list(bank()), task.penalised if thrifty else None)

    def act(self, histories: Histories, rngs: Generators) -> list[Turn]:
        """One question for each history."""
        worth = self._beliefs.worth(self._voice.read(histories))  # [n, K]
        good = worth >= (1 - self.slack) * worth.max(axis=1, keepdims=True)
        return [
            self._voice.say(_one(bank()[self._beliefs.questions[_one(np.flatnonzero(row), rng)]], rng))
            for row, rng in zip(good, rngs, strict=True)
        ]


class _Voice:
    """Reads histories and writes questions as tokens."""

    def __init__(self, task: VisualDialogue, tokenizer: PreTrainedTokenizerFast | None = None) -> None:
        self._tokenizer = task.tokenizer() if tokenizer is None else tokenizer
        self._limit, self._speech = task.max_utterance_tokens, Speech(task, self._tokenizer)
        self._spelled: dict[str, Turn] = {}

    def say(self, question: str) -> Turn:
        if question not in self._spelled:
            self._spelled[question] = Turn(spell(self._tokenizer, question, self._limit))
        return self._spelled[question]

    def read(self, histories: Histories) -> list[list[str]]:
        """The caption of each dialogue, then questions and answers in turn."""
        return [[message.content for message in messages] for messages in self._speech.read(histories)]

    def asked(self, histories: Histories) -> list[list[str]]:
        return [texts[1::2] for texts in self.read(histories)]


def _built_in(task: VisualDialogue) -> SceneWorld:
    if not isinstance(task.world, SceneWorld):
        raise ValueError("this questioner knows the built-in scenes only; RandomQuestions asks about real images too")
    return task.world


def _one(choices: Sequence[T] | NDArray[Any], rng: np.random.Generator) -> T:
    return choices[int(rng.random() * len(choices))]
