"""Beliefs: weights over the built-in scenes after a dialogue, and the value of each further question."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from lang_envs.corpora.scenes.answers import STYLES, YES, say
from lang_envs.corpora.scenes.facts import PLACE
from lang_envs.corpora.scenes.questions import Question
from lang_envs.corpora.scenes.world import NAMING, UNKNOWN, Evidence, SceneWorld
from lang_envs.tasks.visual_dialogue_rewards import PENALTY


class Beliefs:
    """Weights over the pool after a dialogue, read from its texts.

    Args:
        world: the P scenes.
        questions: the K questions to choose from.
        penalised: whether an answer costs extra; None: no answer does.
    """

    def __init__(
        self, world: SceneWorld, questions: Sequence[Question], penalised: Callable[[str], bool] | None
    ) -> None:
        self.world, self.questions = world, list(questions)
        self._numbers = np.array([world.number(question) for question in questions])  # [K]
        self._place = {int(number): k for k, number in enumerate(self._numbers)}
        self._facts = np.array([PLACE[question.fact] for question in questions])  # [K]
        self._force = np.array([NAMING if question.is_open else 1.0 for question in questions])  # [K]
        outcomes = np.stack([world.outcomes(number) for number in self._numbers.tolist()])  # [K, P]
        sizes = outcomes.max(axis=1) + 1  # [K]
        self._first = np.concatenate([[0], np.cumsum(sizes)[:-1]])  # [K] each question's first column
        columns = self._first[:, None] + outcomes  # [K, P]
        # [P, C] whether a scene gives this outcome; in double precision, so that sums do not depend on the batch size
        self._is = np.zeros((len(world), int(sizes.sum())))
        self._is[np.arange(len(world)), columns] = 1
        self._cost = np.zeros(self._is.shape[1])  # [C] the expected penalty
        self._heard: dict[int, dict[str, int]] = {}  # question -> answer -> outcome
        self._captions = {text: context for context, text in enumerate(world.captions)}
        if penalised is not None:
            for question, first, size in zip(questions, self._first.tolist(), sizes.tolist(), strict=True):
                for outcome in range(size):
                    bad = [penalised(say(question, outcome, style)) for style in range(STYLES)]
                    self._cost[first + outcome] = -PENALTY * np.mean(bad)

    def worth(self, dialogues: Sequence[Sequence[str]]) -> NDArray[np.float64]:
        """The value of each question divided by its expected cost, [n, K].

        The value is the expected share of the scenes' weight that contradicts the answer. It is 0 for a question that
        was asked or whose fact is known.

        Args:
            dialogues: [n] for each dialogue the caption, then questions and answers in turn.
        """
        against = np.zeros((len(dialogues), 2, len(self.world)), np.uint64)  # [n, 2, P]
        known = np.zeros((len(dialogues), len(self.questions)), np.bool_)  # [n, K]
        for row, (caption, *said) in enumerate(dialogues):
            context = self._captions.get(caption)
            if context is not None:
                against[row, 1] = self.world.heard[context]
                known[row] = self.world.scenes.told[context, self._facts]
            for question, answer in zip(said[::2], said[1::2], strict=False):
                self._learn(question, answer, against[row], known[row])
        weights = np.exp(-self.world.doubt(against).astype(np.float64))  # [n, P]
        chance = weights @ self._is / weights.sum(axis=1, keepdims=True)  # [n, C]
        told = 1 - np.add.reduceat(chance**2, self._first, axis=1)  # [n, K]
        cost = 1 + np.add.reduceat(chance * self._cost, self._first, axis=1)  # [n, K]
        return np.where(known, 0, self._force * told / cost)

    def _learn(self, text: str, answer: str, against: Evidence, known: NDArray[np.bool_]) -> None:
        """Adds the evidence of one answer to ``against`` [2, P], and marks questions without value in ``known`` [K]."""
        number = self.world.understand(text)
        outcome = None if number == UNKNOWN else self._outcome(number, answer)
        if number in self._place:
            known[self._place[number]] = True
        if outcome is None:
            return
        question = self.world.questions[number]
        if question.is_open or (outcome == YES and len(question.values) == 1):
            known[self._facts == PLACE[question.fact]] = True
        self.world.learn(against, number, outcome)

    def _outcome(self, number: int, answer: str) -> int | None:
        if number not in self._heard:
            question, largest = self.world.questions[number], int(self.world.outcomes(number).max())
            self._heard[number] = {
                say(question, outcome, style): outcome for outcome in range(largest + 1) for style in range(STYLES)
            }
        return self._heard[number].get(answer)
