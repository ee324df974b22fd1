"""Wordle's arithmetic: words as columns of letters, feedback as numbers, and the words that agree with feedback.

Letters are the numbers 0-25. Word w is the column ``letters[:, w]``, because numpy is fast over long last axes. A
pattern is the feedback to one guess as a number below 3**5: black is 0, yellow 1, green 2, and the first letter is the
lowest digit.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Feedback = Literal["official", "simple"]

WORD_LENGTH = 5
NUM_PATTERNS = 3**WORD_LENGTH
SOLVED = NUM_PATTERNS - 1
_COLOURS = "byg"
_DIGITS = (3 ** np.arange(WORD_LENGTH)).astype(np.uint8)  # [5]
_PLACES = np.arange(WORD_LENGTH)
_LOWER = np.tri(WORD_LENGTH, k=-1, dtype=np.bool_)  # [5, 5] whether place j is before place i


def colours(pattern: int) -> str:
    """The pattern as five of the letters g, y and b: ``colours(SOLVED) == "ggggg"``."""
    return "".join(_COLOURS[pattern // 3**i % 3] for i in range(WORD_LENGTH))


def pattern_of(marks: str) -> int:
    """The inverse of :func:`colours`."""
    return sum(_COLOURS.index(mark) * 3**i for i, mark in enumerate(marks))


def letters_of(words: Sequence[str]) -> NDArray[np.uint8]:
    """Words of five letters a-z as letters [5, n]."""
    letters = np.frombuffer("".join(words).encode("ascii"), np.uint8) - ord("a")
    return np.ascontiguousarray(letters.reshape(-1, WORD_LENGTH).T)


def feedback(guesses: NDArray[np.uint8], targets: NDArray[np.uint8], rule: Feedback) -> NDArray[np.uint8]:
    """The patterns [...] of guesses [5, ...] against targets [5, ...], broadcast against each other.

    Both rules mark a letter in its place green. ``"simple"`` (Snell et al., 2023) marks any other letter that occurs in
    the target yellow. In ``"official"`` each letter of the target gives at most one mark: first a green one, otherwise
    a yellow one, from left to right.
    """
    equal = guesses[:, None] == targets[None]  # [5, 5, ...] whether the guess's letter i is the target's letter j
    green = equal[_PLACES, _PLACES]  # [5, ...]
    if rule == "simple":
        found = equal.any(axis=1)  # includes the green letters
        marks = found.view(np.uint8) + green.view(np.uint8)
    else:
        elsewhere = ~green
        equal &= elsewhere[None]
        unclaimed = np.add.reduce(equal.view(np.uint8), axis=1, dtype=np.uint8)
        before = guesses[:, None] == guesses[None]
        before &= _LOWER.reshape(_LOWER.shape + (1,) * (guesses.ndim - 1))
        claimed = np.add.reduce((before & elsewhere[None]).view(np.uint8), axis=1, dtype=np.uint8)
        yellow = elsewhere & (unclaimed > claimed)
        marks = yellow.view(np.uint8) + 2 * green.view(np.uint8)
    digits = _DIGITS.reshape(-1, *[1] * (marks.ndim - 1))
    return np.add.reduce(marks * digits, axis=0, dtype=np.uint8)


def marks_of(guess: str, target: str, rule: Feedback) -> str:
    """The result of :func:`feedback` for one guess, as five of the letters g, y and b; ten times as fast as arrays."""
    marks = ""
    for letter, own in zip(guess, target):  # noqa: B905  # words of five letters
        if letter == own:
            marks += "g"
        elif letter not in target:
            marks += "b"
        elif rule == "simple" or guess.count(letter) == 1:
            marks += "y"
        else:
            marks += "y" if _is_claimed(letter, guess, target, len(marks)) else "b"
    return marks


def _is_claimed(letter: str, guess: str, target: str, place: int) -> bool:
    """Whether the ``letter`` at a place of the guess, which is not green, is marked yellow by the official rule."""
    others = [(g, t) for g, t in zip(guess, target, strict=True) if g != t]
    before = [(g, t) for g, t in zip(guess[:place], target[:place], strict=True) if g != t]
    return [t for _, t in others].count(letter) > [g for g, _ in before].count(letter)


class WordList:
    """Sorted words, their letters, and the feedback between all of them, which is computed when it is first needed.

    Attributes:
        words: sorted, each once.
        letters: uint8 [5, W].
    """

    def __init__(self, words: tuple[str, ...]) -> None:
        self.words = words
        self.letters = letters_of(words)
        # A trie of two levels: three letters give a row, two more the word's index in it. Row 0 is for no word.
        starts, endings = self._split(self.letters)
        known, row = np.unique(starts, return_inverse=True)
        self._rows = np.zeros(26**3, np.int32)
        self._rows[known] = np.arange(1, len(known) + 1)
        self._places = np.full((len(known) + 1) * 26**2, -1, np.int32)
        self._places[(row + 1) * 26**2 + endings] = np.arange(len(words))

    def __len__(self) -> int:
        return len(self.words)

    @cached_property
    def places(self) -> dict[str, int]:
        """The index of each word in the list."""
        return {word: place for place, word in enumerate(self.words)}

    def find(self, letters: NDArray[np.uint8]) -> NDArray[np.int32]:
        """The indices [n] of words given as letters [5, n]; -1 for words that are not in the list."""
        starts, endings = self._split(letters)
        return self._places[self._rows[starts] * 26**2 + endings]

    def patterns(self, rule: Feedback) -> NDArray[np.uint8]:
        """uint8 [W, W]; entry [i, j] is the feedback to guess i if word j is hidden. It takes 5 MB for 2,315 words."""
        return self._official if rule == "official" else self._simple

    def agreeing(self, guesses: NDArray[np.uint8], patterns: NDArray[np.uint8], rule: Feedback) -> NDArray[np.bool_]:
        """Whether each word as the hidden word gives these guesses [5, n] these patterns [n]; returns [n, W].

        The guesses need not be in the list.
        """
        places = self.find(guesses)
        agree = self.patterns(rule)[places] == patterns[:, None]  # [n, W]
        unlisted = np.flatnonzero(places < 0)
        if len(unlisted):
            given = feedback(guesses[:, unlisted, None], self.letters[:, None], rule)
            agree[unlisted] = given == patterns[unlisted, None]
        return agree

    @cached_property
    def _official(self) -> NDArray[np.uint8]:
        return self._matrix("official")

    @cached_property
    def _simple(self) -> NDArray[np.uint8]:
        return self._matrix("simple")

    def _matrix(self, rule: Feedback) -> NDArray[np.uint8]:
        matrix = np.empty((len(self), len(self)), np.uint8)
        for start in range(0, len(self), 8):  # the intermediate arrays of a block fit in the processor's cache
            block = slice(start, start + 8)
            matrix[block] = feedback(self.letters[:, block, None], self.letters[:, None], rule)
        return matrix

    @staticmethod
    def _split(letters: NDArray[np.uint8]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        a, b, c, d, e = letters.astype(np.int32)
        return (a * 26 + b) * 26 + c, d * 26 + e


@lru_cache(maxsize=8)
def word_list(words: tuple[str, ...]) -> WordList:
    """The :class:`WordList` of a list; there is one in each process, so that tasks and policies share its matrices."""
    return WordList(words)


def below(counts: NDArray[np.int64] | int, rngs: Sequence[np.random.Generator]) -> NDArray[np.int64]:
    """A random number [n] below each of ``counts`` ([n] or one for all), drawn from that row's generator.

    Scaling a float takes half the time of ``rng.integers``, and 1,024 resets spend most of their time on it.
    """
    return (np.array([rng.random() for rng in rngs]) * counts).astype(np.int64)


def choose(mask: NDArray[np.bool_], rngs: Sequence[np.random.Generator]) -> NDArray[np.int64]:
    """A uniformly random true column of each row of ``mask`` [n, W]; every row must have one."""
    n, width = mask.shape
    padded = np.zeros((n, width + -width % 8), np.bool_)  # so that eight booleans can be counted as one number
    padded[:, :width] = mask
    counts = np.bitwise_count(padded.view(np.uint64)).cumsum(axis=1, dtype=np.int32)  # [n, W / 8]
    drawn = below(counts[:, -1], rngs)
    rows = np.arange(n)
    octet = np.add.reduce(counts <= drawn[:, None], axis=1, dtype=np.int64)  # the first octet whose count is above it
    before = np.where(octet > 0, counts[rows, octet - 1], 0)
    inside = padded.reshape(n, -1, 8)[rows, octet].cumsum(axis=1)  # [n, 8]
    return octet * 8 + (inside > (drawn - before)[:, None]).argmax(axis=1)


def choose_with(mask: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.int64]:
    """As :func:`choose`, with one generator for all rows."""
    counts = mask.sum(axis=1)  # [n]
    columns = np.flatnonzero(mask) % mask.shape[1]
    first = np.cumsum(counts) - counts
    return columns[first + (rng.random(len(mask)) * counts).astype(np.int64)]
