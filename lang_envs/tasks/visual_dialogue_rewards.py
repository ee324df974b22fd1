"""The penalties for answers in the three rewards of Snell et al. (2023), Section 6."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal

RewardName = Literal["standard", "yes_no", "conservative"]
Rule = Literal["paper", "words"]

PENALTY = -2.0
AVOIDED = ("not", "don't", "can't", "don’t", "can’t", "cannot", "fairly", "could", "think so", "okay", "maybe", "yes",
           "no", "looks", "appears", "tell", "mostly just")  # fmt: skip
"""The words that the conservative reward penalises in an answer."""
_AVOIDED_WORDS = re.compile(rf"\b({'|'.join(AVOIDED)})\b")


@lru_cache(maxsize=100_000)
def penalised(answer: str, reward: RewardName, rule: Rule) -> bool:
    """Whether an answer costs ``PENALTY``, in any letter case.

    Args:
        answer: the text.
        reward: "standard" penalises no answer; "yes_no" an answer that is only "yes" or "no"; "conservative" an answer
            that contains one of ``AVOIDED``.
        rule: "paper": words are found as substrings, so that "snow" contains "no", and only the bare texts "yes" and
            "no" are yes/no answers; "words": only whole words count, and punctuation around them is ignored.
    """
    answer = answer.lower()
    if reward == "standard":
        return False
    if reward == "yes_no":
        return (answer if rule == "paper" else answer.strip(" .,!?")) in ("yes", "no")
    if rule == "paper":
        return any(part in answer for part in AVOIDED)
    return _AVOIDED_WORDS.search(answer) is not None
