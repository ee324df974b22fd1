"""Ranking: choosing the best of k candidates that another policy proposes.

``Ranked(policy, score, k)`` is a policy. ``agents.decoding.candidate_scores`` has scores by Q, V, likelihood and text;
any other function of histories and candidates can be used. Work on offline training of dialogue models calls it "ILQL
as a ranker" when an agent with values ranks the candidates of a plain language model by ``StateValue``.

``oracle_best_of_k`` uses the rewards. It is no policy, but an upper bound on what ranking can reach.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice, pairwise
from typing import TYPE_CHECKING

import numpy as np

from agents.decoding.beams import BeamSearch
from agents.decoding.candidate_scores import Score, Tokens
from lang_envs.episode import Episode
from lang_envs.rollout import Policy, Start, Turn, rollout

if TYPE_CHECKING:
    from lang_envs.vector import TokenVectorEnv


class Ranked:
    """A policy (see ``lang_envs.Policy``) that returns the candidate with the highest score, the first of equals.

    Its turns have no log-probabilities, because the probability of the best candidate has no closed form.

    Args:
        candidates_from: a policy that proposes ``k`` candidates for each turn, with the episode's own generator; equal
            candidates are scored once. The candidates of a ``BeamSearch`` are its ``k`` best hypotheses.
        score: see ``Score``. It gets the candidates of all histories in one call.
        k: number of candidates for each turn.

    Raises:
        ValueError: fewer than 1 candidate, or more than the number of beams.
    """

    name = "ranked"

    def __init__(self, candidates_from: Policy, score: Score, k: int = 5) -> None:
        if k < 1:
            raise ValueError(f"k must be at least 1 candidate, not {k}.")
        if isinstance(candidates_from, BeamSearch) and k > candidates_from.beams:
            raise ValueError(f"k={k} candidates need as many beams, and there are {candidates_from.beams}.")
        self.candidates_from, self.score, self.k = candidates_from, score, k

    def act(self, histories: Sequence[Tokens], rngs: Sequence[np.random.Generator]) -> list[Turn]:
        """The best candidate for each history.

        Raises:
            ValueError: the scores are not one number for each candidate.
        """
        if not len(histories):
            return []
        found = self.candidates(histories, rngs)  # n lists
        after = [history for history, own in zip(histories, found, strict=True) for _ in own]  # K
        said = [tokens for own in found for tokens in own]  # K
        scores = np.asarray(self.score(after, said), np.float64)  # [K]
        if scores.shape != (len(said),) or np.isnan(scores).any():
            raise ValueError(
                f"A score must be one number for each of {len(said)} candidates, got an array of shape {scores.shape}"
                f"{' with NaN in it' if np.isnan(scores).any() else ''}."
            )
        first = np.cumsum([0, *map(len, found)])  # [n + 1]
        best = [a + int(scores[a:b].argmax()) for a, b in pairwise(first)]
        return [Turn(said[i]) for i in best]

    def candidates(self, histories: Sequence[Tokens], rngs: Sequence[np.random.Generator]) -> list[list[Tokens]]:
        """At most ``k`` different utterances for each history, in the order in which they were proposed."""
        k, source = self.k, self.candidates_from
        if isinstance(source, BeamSearch):
            proposed = [turn for turns in source.candidates(histories) for turn in turns[:k]]  # n * k
        else:
            proposed = source.act([h for h in histories for _ in range(k)], [rng for rng in rngs for _ in range(k)])
        return [
            list({turn.tokens.tobytes(): turn.tokens for turn in proposed[i : i + k]}.values())
            for i in range(0, len(proposed), k)
        ]


def oracle_best_of_k(
    env: TokenVectorEnv, policy: Policy, starts: Iterable[int | Start], k: int = 5
) -> Iterator[Episode]:
    """The best of ``k`` episodes from each start, by their returns: an upper bound, not a policy.

    The first of the ``k`` is the episode that ``rollout`` plays from that start. The others differ in the policy's
    random numbers alone. In episodes of one turn, no ranking of ``k`` candidates of ``policy`` can be better on
    average. In longer episodes it is the upper bound for a choice among ``k`` whole episodes.

    Raises:
        ValueError: fewer than 1 candidate.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1 candidate, not {k}.")

    def branches() -> Iterator[Start]:
        for given in starts:
            start = given if isinstance(given, Start) else Start(int(given))
            seed = start.seed if start.policy_seed is None else start.policy_seed
            yield start
            for state in np.random.SeedSequence(seed).generate_state(k - 1, np.uint64):
                yield start._replace(policy_seed=int(state))

    episodes = rollout(env, policy, branches())
    while own := list(islice(episodes, k)):
        best = max(own, key=lambda episode: episode.ret)  # the first of equals
        yield replace(best, info={**best.info, "candidates": k})
