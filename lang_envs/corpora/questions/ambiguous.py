"""A built-in world of ambiguous questions, which cannot be answered without a clarifying question."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np

from lang_envs.corpora.questions import Question
from lang_envs.corpora.questions.domains import DOMAINS, Domain, Need

TRAIN, TEST = 4096, 1024
"""Numbers of questions in the two pools. They come from one stream without repeats, so that none is in both."""

_KINDS = ("one", "stated", "two")
_WORD = re.compile(r"[a-z]+")
_NO_MATTER = ("That makes no difference to me.", "I do not mind either way.")
_NOT_UNDERSTOOD = ("I do not know what to say to that.", "I am not sure what you mean.")


@dataclass(frozen=True)
class AmbiguousCase:
    """An ambiguous question, and the needs of its asker."""

    question: Question
    domain: Domain
    varied: tuple[Need, ...]
    """the one or two needs in which the choices differ"""
    values: tuple[tuple[int, ...], ...]
    """for each choice the value of each varied need that it serves"""
    stated: int | None
    """index of the varied need that the question states; None if it states none"""
    way: int
    """which of two wordings the asker uses, 0 or 1"""

    def reply(self, asked: str, nth: int) -> str:
        """The asker's answer to a clarifying question, which is only about the first need that it mentions."""
        need = need_asked(self.domain.name, asked)
        if need is None:
            return _NOT_UNDERSTOOD[self.way]
        for place, varied in enumerate(self.varied):
            if varied.name == need:
                return varied.values[self.values[self.question.answer][place]].said[self.way]
        return _NO_MATTER[self.way]

    def remaining(self, replies: Sequence[str]) -> tuple[int, ...]:
        """The choices that agree with the question and the asker's replies."""
        known = self._known(replies)
        return tuple(
            i for i, served in enumerate(self.values) if all(served[place] == value for place, value in known.items())
        )

    def worth_asking(self, replies: Sequence[str]) -> tuple[str, ...]:
        """Questions whose answers are new: those about the first need that is still open."""
        known = self._known(replies)
        return next((need.questions for place, need in enumerate(self.varied) if place not in known), ())

    @property
    def idle_questions(self) -> tuple[str, ...]:
        """Questions whose answers do not help: those about needs in which the choices do not differ."""
        return tuple(asked for need in self.domain.needs if need not in self.varied for asked in need.questions)

    def _known(self, replies: Sequence[str]) -> dict[int, int]:
        """The values of varied needs (index -> value) that are known from the question and the replies."""
        said = " ".join((self.question.text, *replies))
        return {
            place: value
            for place, need in enumerate(self.varied)
            for value, row in enumerate(need.values)
            if any(way in said for way in row.said)
        }


@lru_cache(maxsize=2**16)
def need_asked(domain: str, asked: str) -> str | None:
    """The name of the need that a clarifying question mentions first; None if it mentions none."""
    needs = _NEEDS[domain]
    return next((needs[word] for word in _WORD.findall(asked.lower()) if word in needs), None)


_NEEDS = {domain.name: {word: need.name for need in domain.needs for word in need.words} for domain in DOMAINS}


def cases(pool: str = "train", shuffled: bool = True) -> tuple[AmbiguousCase, ...]:
    """The questions of a pool, "train" or "test"; always the same ones.

    There are three kinds, about a third each. In the first, the 3 or 4 choices differ in one need that is not stated.
    In the second, 3 to 5 choices differ in two needs and one of these is stated, which excludes one or two choices. In
    the third, 4 choices differ in two needs and none is stated.

    Args:
        pool: "train" or "test"; no question is in both.
        shuffled: whether the choices are in a random order. If not, they are in the order of the values that they
            serve. Then only one question in fourteen is about one need, because there are fewer distinct ones.

    Raises:
        ValueError: the pool is another one.
    """
    if pool not in ("train", "test"):
        raise ValueError(f"a pool is 'train' or 'test', got {pool!r}")
    return _stream(shuffled)[:TRAIN] if pool == "train" else _stream(shuffled)[TRAIN:]


@lru_cache(maxsize=2)
def _stream(shuffled: bool) -> tuple[AmbiguousCase, ...]:
    rng = np.random.default_rng(2025)
    found: dict[tuple[str, tuple[str, ...]], AmbiguousCase] = {}
    while len(found) < TRAIN + TEST:
        case = _drawn(rng, len(found), shuffled)
        found.setdefault((case.question.text, case.question.choices), case)
    stream = tuple(found.values())
    if shuffled:
        return stream
    return tuple(stream[i] for i in rng.permutation(len(stream)))  # the rare kind is at the beginning


def _drawn(rng: np.random.Generator, number: int, shuffled: bool) -> AmbiguousCase:
    kind = _KINDS[rng.integers(len(_KINDS))]
    domain = DOMAINS[rng.integers(len(DOMAINS))]
    places = rng.permutation(len(domain.needs))[: 1 if kind == "one" else 2]
    varied = tuple(domain.needs[i] for i in places)
    values = _values(rng, kind)
    answer, way = int(rng.integers(len(values))), int(rng.integers(2))
    stated = None
    if kind == "stated":
        answer, stated = int(rng.integers(np.sum([v[1] == values[0][1] for v in values]))), 1
    order = rng.permutation(len(values)).tolist() if shuffled else sorted(range(len(values)), key=lambda i: values[i])
    values, answer = tuple(values[i] for i in order), order.index(answer)
    wanted = [need.values[value] for need, value in zip(varied, values[answer], strict=True)]
    before, after = domain.requests[rng.integers(len(domain.requests))]
    known = "" if stated is None else wanted[stated].said[1 - way] + " "
    choices = tuple(
        f"{domain.noun} {', '.join(need.values[v].choice for need, v in zip(varied, served, strict=True))}"
        for served in values
    )
    hint = " ".join(value.said[way] for place, value in enumerate(wanted) if place != stated)
    question = Question(f"{domain.name}-{number}", f"{before} {known}{after}", choices, answer, hint=hint)
    return AmbiguousCase(question, domain, varied, values, stated, way)


def _values(rng: np.random.Generator, kind: str) -> tuple[tuple[int, ...], ...]:
    """The values that each choice serves. In the kind "stated", choices with the stated (second) value come first."""
    first, second = rng.permutation(4).tolist(), rng.permutation(4).tolist()
    if kind == "one":
        return tuple((value,) for value in first[: rng.integers(3, 5)])
    if kind == "two":
        return tuple(product(first[:2], second[:2]))
    plausible, others = int(rng.integers(2, 4)), int(rng.integers(1, 3))
    fitting = [(value, second[0]) for value in first[:plausible]]
    return (*fitting, *((first[i], second[1]) for i in range(others)))
