"""MovieReview: a tiny task on which imitation, one step of improvement, and planning over the whole text differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lang_envs.task import Reply, Task
from lang_envs.tokenizers import word_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

OPENING = "review :"
END, PAD = "</s>", "<pad>"
OFF_GRAMMAR = -2.0
"""Reward of any text that is not a review of the table; it is below the reward of every review."""


class Review(NamedTuple):
    """A review that can be written."""

    text: str
    reward: float
    share: float
    """share of the logged reviews, which :class:`lang_envs.policies.movie_review.Reviewer` writes"""


REVIEWS = (
    Review("the movie was good", 0.5, 0.30),
    Review("the movie was fine", 0.3, 0.20),
    Review("the movie was great", 0.6, 0.10),
    Review("the movie was dull", -0.1, 0.10),
    Review("the movie wasn't good", -0.5, 0.14),
    Review("the movie wasn't bad", 0.1, 0.06),
    Review("the movie wasn't good it was awful", -1.0, 0.08),
    Review("the movie wasn't good it was superb", 1.0, 0.02),
)
VOCABULARY = (PAD, END, *dict.fromkeys(f"{OPENING} {' '.join(review.text for review in REVIEWS)}".split()))


class MovieReview(Task[None]):
    """## Description
    Write one short review of a movie. Reviews that begin with "the movie was" are good on average and never the best.
    Reviews that begin with "the movie wasn't" are bad on average, because most of them end badly, but the best review
    begins like this. Imitation writes the average review. One step of improvement on the behaviour's values chooses
    "was". Only values of the best continuation in the data find "wasn't good it was superb". This is the notional
    example of the ILQL paper (Snell et al. 2022, arXiv:2206.11871) as a language task. All its values are known
    exactly.

    ## Action Space
    `Discrete(16)`: the words below, `</s>` (ends the review) and `<pad>`. A review has at most 12 tokens.

    ## Observation Space
    All tokens so far, at most 16: `review :` and what was written.

    ## Starting State
    Always `review :`. There is no other starting point.

    ## Rewards
    Paid on the last token, by this table. Any other text pays -2.

    | review | reward | share of the logged reviews |
    |---|---|---|
    | the movie was good | 0.5 | 0.30 |
    | the movie was fine | 0.3 | 0.20 |
    | the movie was great | 0.6 | 0.10 |
    | the movie was dull | -0.1 | 0.10 |
    | the movie wasn't good | -0.5 | 0.14 |
    | the movie wasn't bad | 0.1 | 0.06 |
    | the movie wasn't good it was awful | -1.0 | 0.08 |
    | the movie wasn't good it was superb | 1.0 | 0.02 |

    ## Episode End
    Terminates with the review. Never truncates, unless `max_tokens` is lowered.

    ## Information
    At the end: `success` (bool), true for the best review; `grammatical` (bool), true for any review of the table;
    `context` (int), always 0.

    ## Arguments
    Only those of every environment: `level`, `tokenizer`, `max_tokens`, `render_mode`.

    ## Reference Scores
    | policy | mean return | how |
    |---|---|---|
    | random tokens | -2.00 | 10,000 episodes |
    | logged reviews (`Reviewer`) | 0.136 | exact |
    | best continuation of "was" | 0.6 | exact |
    | optimum | 1.0 | exact |

    ## Version History
    * v0: first version.
    """

    max_turns = 1
    instruction = "Go on with the review of a movie, in a few small words, without a full stop."
    max_utterance_tokens = 12
    max_tokens = 16
    reward_range = (OFF_GRAMMAR, max(review.reward for review in REVIEWS))
    num_contexts = 1

    def __init__(self) -> None:
        self._tokenizer: PreTrainedTokenizerFast | None = None
        ids = {word: i for i, word in enumerate(VOCABULARY)}
        self.end_id = ids[END]
        self.opening = tuple(ids[word] for word in OPENING.split())
        self.reviews = tuple((*(ids[word] for word in review.text.split()), self.end_id) for review in REVIEWS)
        """the tokens of each of ``REVIEWS``, the end token included"""

    def begin(self, rng: np.random.Generator) -> tuple[None, str]:
        """Always the same."""
        return None, OPENING

    def begin_at(self, context: int, rng: np.random.Generator) -> tuple[None, str]:
        """Always the same."""
        return None, OPENING

    def reply(self, state: None, utterance: str, rng: np.random.Generator) -> Reply[None]:
        """Looks the review up."""
        text = " ".join(utterance.split())
        reward = next((review.reward for review in REVIEWS if review.text == text), OFF_GRAMMAR)
        info = {"success": reward == self.optimal_return, "grammatical": reward != OFF_GRAMMAR, "context": 0}
        return Reply(None, "", reward, True, info)

    def tokenizer(self) -> PreTrainedTokenizerFast:
        """One token per word."""
        if self._tokenizer is None:
            self._tokenizer = word_tokenizer(VOCABULARY, end_token=END, pad_token=PAD)
        return self._tokenizer

    def legal_tokens(
        self, state: None, said: Sequence[int], tokenizer: PreTrainedTokenizerFast
    ) -> NDArray[np.bool_] | None:
        """Whether each token [16] continues to a review; all true if none does. None for another tokenizer."""
        if tokenizer.get_vocab() != {word: i for i, word in enumerate(VOCABULARY)}:
            return None
        legal = np.zeros(len(VOCABULARY), np.bool_)
        for tokens, _ in self._continuations(tuple(said)):
            legal[tokens[0]] = True
        return legal if legal.any() else ~legal

    # Exact values. A history is all tokens so far [t], as from ``env.history(row)``; discounts are per agent token.

    @property
    def optimal_return(self) -> float:
        """The return of the best review."""
        return max(review.reward for review in REVIEWS)

    @property
    def behaviour_return(self) -> float:
        """The mean return of the logged reviews."""
        return sum(review.share * review.reward for review in REVIEWS)

    def optimal_q(self, history: ArrayLike, gamma: float = 1.0) -> NDArray[np.float64]:
        """Q* of each next token, [16].

        Raises:
            ValueError: the history does not begin with the opening, or is over.
        """
        said = self._said(history)
        # After a token off the grammar, the best continuation delays the penalty to the last possible token.
        q = np.full(len(VOCABULARY), gamma ** (self.max_utterance_tokens - len(said) - 1) * OFF_GRAMMAR)
        q[self.end_id] = OFF_GRAMMAR
        for tokens, review in self._continuations(said):
            q[tokens[0]] = max(q[tokens[0]], gamma ** (len(tokens) - 1) * review.reward)
        return q

    def optimal_value(self, history: ArrayLike, gamma: float = 1.0) -> float:
        """V* of a history."""
        return float(self.optimal_q(history, gamma).max())

    def behaviour_policy(self, history: ArrayLike) -> NDArray[np.float64]:
        """The probability of each next token in the logged reviews, [16]; zeros if none of them has this history."""
        mass = np.zeros(len(VOCABULARY))
        for tokens, review in self._continuations(self._said(history)):
            mass[tokens[0]] += review.share
        return mass / max(mass.sum(), np.finfo(float).tiny)

    def behaviour_q(self, history: ArrayLike, gamma: float = 1.0) -> NDArray[np.float64]:
        """Q of each next token under the logged reviews' policy, [16]; NaN for tokens that the log does not have."""
        said = self._said(history)
        mass, total = np.zeros(len(VOCABULARY)), np.zeros(len(VOCABULARY))
        for tokens, review in self._continuations(said):
            mass[tokens[0]] += review.share
            total[tokens[0]] += review.share * gamma ** (len(tokens) - 1) * review.reward
        return np.divide(total, mass, out=np.full_like(total, np.nan), where=mass > 0)

    def behaviour_value(self, history: ArrayLike, gamma: float = 1.0) -> float:
        """V of a history under the logged reviews' policy; NaN if no logged review has this history."""
        policy = self.behaviour_policy(history)
        if not policy.any():
            return float("nan")
        return float(np.nansum(policy * self.behaviour_q(history, gamma)))

    def _said(self, history: ArrayLike) -> tuple[int, ...]:
        tokens = tuple(np.asarray(history).tolist())
        n = len(self.opening)
        if tokens[:n] != self.opening:
            raise ValueError(f"a history begins with the tokens {self.opening} of the opening, got {tokens}")
        said = tokens[n:]
        if self.end_id in said or len(said) >= self.max_utterance_tokens:
            raise ValueError(f"the review is over, it has no value: {tokens}")
        return said

    def _continuations(self, said: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], Review]]:
        """For each review that begins with ``said``, the remaining tokens and the review."""
        for tokens, review in zip(self.reviews, REVIEWS, strict=True):
            if tokens[: len(said)] == said and len(tokens) > len(said):
                yield tokens[len(said) :], review
