"""SceneWorld: the answerer and the guesser of the built-in scenes, over tables.

The answerer looks a question up in the table of facts. The guesser has a belief in each scene of the pool. It begins
with a random prior for each caption. It subtracts 1 for every fact on which the scene contradicts a yes or a no, and
``NAMING`` for every fact on which it contradicts only a named value (a colour, a count, a place; also in the caption),
because names are easily confused. A fact counts once, however often it is asked about. No scene is ever excluded.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, lru_cache
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from lang_envs.corpora.scenes.answers import STYLES, say
from lang_envs.corpora.scenes.facts import NAMES, PLACE, code
from lang_envs.corpora.scenes.questions import Question, parse
from lang_envs.corpora.scenes.scene import SPLITS, Scenes, generate

UNKNOWN = -1
"""The number of a question that was not understood."""
_BLOCK = 32  # number of dialogues whose arrays fit in the processor's cache
_CACHED_TEXTS = 100_000
_say = lru_cache(maxsize=_CACHED_TEXTS)(say)
_CACHED_BITS = 4_000
NAMING = 0.6
"""The weight of an open answer, relative to a yes or a no; with it an open question tells about as much, not more."""
Evidence = NDArray[np.uint64]
"""[..., 2, P] a bit for each fact on which the scene contradicts an answer: first of yes or no, then a named value"""


class SceneWorld:
    """A pool of scenes to ask about.

    Args:
        pool: P, the number of scenes; each can be the hidden one, which the guesser must tell from the others.
        difficulty: the standard deviation of the guesser's random prior, in contradicted facts. The larger it is, the
            more questions are needed before the answers outweigh the prior.
        split: the split of :func:`lang_envs.corpora.scenes.scene.generate`.
        seed: seed of the scenes and of the prior.

    Raises:
        ValueError: the pool is below 2, the difficulty is negative or not a number, or the split is unknown.

    Attributes:
        scenes: the pool.
        captions: the caption of each scene.
        prior: [P, P] float32, the guesser's prior; row i is its belief in each scene if scene i is hidden.
        heard: [P, P] bits for the facts on which each scene (column) contradicts each caption (row).
        style: [P] the style of the answers about each scene.
    """

    def __init__(self, pool: int = 1000, difficulty: float = 3.0, split: str = "train", seed: int = 0) -> None:
        if not (np.isfinite(difficulty) and difficulty >= 0):
            raise ValueError(f"difficulty is a number >= 0, got {difficulty}")
        self.scenes: Scenes = generate(pool, split, seed)
        self.captions: tuple[str, ...] = self.scenes.captions
        rng = np.random.default_rng((seed, SPLITS.index(split), 1))
        self.prior = (difficulty * rng.standard_normal((pool, pool))).astype(np.float32)  # [P, P]
        self.style = rng.integers(STYLES, size=pool)  # [P]
        self.heard = _contradicted(self.scenes)  # [P, P]
        self._number: dict[Question, int] = {}
        self.questions: list[Question] = []
        self._outcomes: list[NDArray[np.int8]] = []
        self._manners: list[int] = []
        self._bits: dict[tuple[int, int], NDArray[np.uint64]] = {}  # (question, outcome) -> [P]
        self._texts: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self.captions)

    # The answerer

    def understand(self, text: str) -> int:
        """The number of the question that a text asks, the same for all wordings; ``UNKNOWN`` if it asks none."""
        number = self._texts.get(text)
        if number is None:
            question = parse(text)
            number = UNKNOWN if question is None else self.number(question)
            if len(self._texts) >= _CACHED_TEXTS:
                self._texts.clear()
            self._texts[text] = number
        return number

    def number(self, question: Question) -> int:
        """The number of a question: its row in :meth:`outcomes`."""
        if question not in self._number:
            self._number[question] = len(self.questions)
            self.questions.append(question)
            self._outcomes.append(self._outcome(question))
            # The style varies between questions, but it is always the same for one question.
            self._manners.append(crc32("|".join((question.fact, *question.values, *question.needs)).encode()) % 3)
        return self._number[question]

    def outcomes(self, number: int) -> NDArray[np.int8]:
        """[P] the outcome of a question in each scene, numbered as in :mod:`lang_envs.corpora.scenes.answers`."""
        return self._outcomes[number]

    def say(self, context: int, number: int) -> str:
        """The text of the answer to a question about one scene."""
        if number == UNKNOWN:
            return _say(None, 0, int(self.style[context]))
        style = (int(self.style[context]) + self._manners[number]) % STYLES
        return _say(self.questions[number], int(self._outcomes[number][context]), style)

    # The guesser

    def begin(self, contexts: Sequence[int]) -> tuple[Evidence, NDArray[np.float64]]:
        """The guesser's view [n, 2, P] of each of n dialogues after the caption, and its percentiles [n]."""
        return self._captioned(contexts), self.opening[np.asarray(contexts, np.int64)]

    def ask(
        self, contexts: Sequence[int], views: Sequence[Evidence], questions: Sequence[str]
    ) -> tuple[list[str], Evidence, NDArray[np.float64]]:
        """Answers one question about each scene, and updates the guesser.

        Args:
            contexts: the n hidden scenes.
            views: the guesser's views so far, n of [2, P].
            questions: n texts.

        Returns:
            The n answers, the guesser's views [n, 2, P] after them, and its percentiles [n].
        """
        scenes = np.asarray(contexts, np.int64)
        numbers = [self.understand(text) for text in questions]
        answers = [self.say(scene, number) for scene, number in zip(scenes.tolist(), numbers, strict=True)]
        against = np.empty((len(scenes), 2, len(self)), np.uint64)
        percentiles = np.empty(len(scenes))
        for start in range(0, len(scenes), _BLOCK):
            rows = range(start, min(start + _BLOCK, len(scenes)))
            for row in rows:
                against[row] = views[row]
                if numbers[row] != UNKNOWN:
                    self.learn(against[row], numbers[row], int(self._outcomes[numbers[row]][contexts[row]]))
            block = slice(rows.start, rows.stop)
            percentiles[block] = self.percentile(scenes[block], against[block])
        return answers, against, percentiles

    def learn(self, against: Evidence, number: int, outcome: int) -> None:
        """Adds to the evidence [2, P] the facts on which each scene contradicts the outcome of a question."""
        bits = self._bits.get((number, outcome))
        question = self.questions[number]
        if bits is None:
            fact = np.uint64(1 << PLACE[question.fact])
            thing = np.uint64(1 << PLACE[question.needs[0] or question.fact])
            there = self._outcomes[number]  # [P]
            # If one of the two scenes has no such thing, they differ in its existence, otherwise in the fact itself.
            bits = np.where((there == 0) | (outcome == 0), thing, fact) * (there != outcome)
            if len(self._bits) >= _CACHED_BITS:
                self._bits.clear()
            self._bits[number, outcome] = bits
        against[int(question.is_open)] |= bits

    def doubt(self, against: Evidence) -> NDArray[np.float32]:
        """What the evidence [n, 2, P] subtracts from the belief in each scene, [n, P]."""
        denied, named = against[:, 0], against[:, 1]
        return np.bitwise_count(denied) + np.float32(NAMING) * np.bitwise_count(named & ~denied)

    def percentile(self, scenes: NDArray[np.int64], against: Evidence) -> NDArray[np.float64]:
        """1 - rank / P of the hidden ``scenes`` [n] under the evidence [n, 2, P]; the best rank is 1.

        Scenes with the same belief share the mean of their ranks; without a prior there are many such scenes.
        """
        belief = self.prior[scenes] - self.doubt(against)  # [n, P]
        own = belief[np.arange(len(scenes)), scenes][:, None]  # [n, 1]
        return 1 - (1 + (belief > own).sum(axis=1) + (belief >= own).sum(axis=1)) / (2 * len(self))

    @cached_property
    def opening(self) -> NDArray[np.float64]:
        """[P] the percentile of each scene after its caption."""
        return np.concatenate([self.percentile(np.array([i]), self._captioned([i])) for i in range(len(self))])

    def _captioned(self, contexts: Sequence[int]) -> Evidence:
        named = self.heard[np.asarray(contexts, np.int64)]  # [n, P]
        return np.stack([np.zeros_like(named), named], axis=1)

    def _outcome(self, question: Question) -> NDArray[np.int8]:
        """[P] the outcome of one question in each scene."""
        column = self.scenes.table[:, PLACE[question.fact]]
        outcome = column
        if not question.is_open:
            wanted = np.isin(column, [code(question.fact, value) for value in question.values])
            outcome = np.where(column == 0, 0, np.where(wanted, 1, 2))
        fact, value = question.needs
        if fact:
            outcome = np.where(self.scenes.table[:, PLACE[fact]] == code(fact, value), outcome, 0)
        return outcome.astype(np.int8)


def _contradicted(scenes: Scenes) -> NDArray[np.uint64]:
    """[P, P] a bit for each fact that the caption of the row's scene tells and the column's scene contradicts."""
    against = np.zeros((len(scenes.table),) * 2, np.uint64)
    for place in range(len(NAMES)):
        column = scenes.table[:, place]
        differ = scenes.told[:, place, None] & (column != column[:, None])
        against |= differ.astype(np.uint64) << np.uint64(place)
    return against
