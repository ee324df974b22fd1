"""A built-in world of questions that cannot be answered before one has asked back."""

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
"""Questions of the two pools. They come from one stream without repeats, so that none is in both."""

_KINDS = ("one", "stated", "two")
_WORD = re.compile(r"[a-z]+")
_NO_MATTER = ("That makes no difference to me.", "I do not mind either way.")
_NOT_UNDERSTOOD = ("I do not know what to say to that.", "I am not sure what you mean.")


@dataclass(frozen=True)
class AmbiguousCase:
    """An ambiguous question and what its asker has in mind."""

    question: Question
    domain: Domain
    varied: tuple[Need, ...]
    """the one or two needs in which the choices differ"""
    values: tuple[tuple[int, ...], ...]
    """for each choice, which value of each varied need it serves"""
    stated: int | None
    """the place, among the varied needs, of the one that the question states; None where it states none"""
    way: int
    """which of their ways of speaking the asker prefers, 0 or 1"""

    def reply(self, asked: str, nth: int) -> str:
        """What the asker says to a clarifying question: only ever about the first need it mentions."""
        need = need_asked(self.domain.name, asked)
        if need is None:
            return _NOT_UNDERSTOOD[self.way]
        for place, varied in enumerate(self.varied):
            if varied.name == need:
                return varied.values[self.values[self.question.answer][place]].said[self.way]
        return _NO_MATTER[self.way]

    def remaining(self, replies: Sequence[str]) -> tuple[int, ...]:
        """The choices that agree with what the asker has said; without replies, with the question alone."""
        known = self._known(replies)
        return tuple(
            i for i, served in enumerate(self.values) if all(served[place] == value for place, value in known.items())
        )

    def worth_asking(self, replies: Sequence[str]) -> tuple[str, ...]:
        """Questions that tell something new: about the first need that is still open."""
        known = self._known(replies)
        return next((need.questions for place, need in enumerate(self.varied) if place not in known), ())

    @property
    def idle_questions(self) -> tuple[str, ...]:
        """Questions that tell nothing: about needs in which the choices do not differ."""
        return tuple(asked for need in self.domain.needs if need not in self.varied for asked in need.questions)

    def _known(self, replies: Sequence[str]) -> dict[int, int]:
        """The values of varied needs (place -> value) that can be read from the question and the replies."""
        said = " ".join((self.question.text, *replies))
        return {
            place: value
            for place, need in enumerate(self.varied)
            for value, row in enumerate(need.values)
            if any(way in said for way in row.said)
        }


@lru_cache(maxsize=2**16)
def need_asked(domain: str, asked: str) -> str | None:
    """The name of the need that a clarifying question mentions first; None where it mentions none."""
    needs = _NEEDS[domain]
    return next((needs[word] for word in _WORD.findall(asked.lower()) if word in needs), None)


_NEEDS = {domain.name: {word: need.name for need in domain.needs for word in need.words} for domain in DOMAINS}


def cases(pool: str = "train", shuffled: bool = True) -> tuple[AmbiguousCase, ...]:
    """The questions of a pool, "train" or "test"; always the same ones.

    About a third each: the choices (3 or 4) differ in one need that is not stated; in two needs of which one is
    stated, so that one or two of 3 to 5 choices are out of the question; in two needs of which none is stated (4
    choices).

    Args:
        pool: of which; no question is in both.
        shuffled: whether the choices stand in a drawn order; if not, what serves a value always stands before what
            serves the next one. There are fewer such questions about one need: one in fourteen.

    Raises:
        ValueError: for another pool.
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
    return tuple(stream[i] for i in rng.permutation(len(stream)))  # the rarer kind runs out, and stands in front


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
    """What each choice serves. Of kind "stated" those that serve the stated value (the second) come first."""
    first, second = rng.permutation(4).tolist(), rng.permutation(4).tolist()
    if kind == "one":
        return tuple((value,) for value in first[: rng.integers(3, 5)])
    if kind == "two":
        return tuple(product(first[:2], second[:2]))
    plausible, others = int(rng.integers(2, 4)), int(rng.integers(1, 3))
    fitting = [(value, second[0]) for value in first[:plausible]]
    return (*fitting, *((first[i], second[1]) for i in range(others)))
