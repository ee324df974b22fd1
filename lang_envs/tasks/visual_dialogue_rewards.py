"""Which answers cost the questioner extra: the three rewards of Snell et al. (2023), Section 6."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal

RewardName = Literal["standard", "yes_no", "conservative"]
Rule = Literal["paper", "words"]

PENALTY = -2.0
AVOIDED = ("not", "don't", "can't", "don’t", "can’t", "cannot", "fairly", "could", "think so", "okay", "maybe", "yes",
           "no", "looks", "appears", "tell", "mostly just")  # fmt: skip
"""What a conservative questioner does not want to hear."""
_AVOIDED_WORDS = re.compile(rf"\b({'|'.join(AVOIDED)})\b")


@lru_cache(maxsize=100_000)
def penalised(answer: str, reward: RewardName, rule: Rule) -> bool:
    """Whether an answer costs ``PENALTY``, in any letter case.

    Args:
        answer: the text.
        reward: "standard": never; "yes_no": the answer is nothing but "yes" or "no"; "conservative": it holds one of
            ``AVOIDED``.
        rule: "paper": to hold is to contain as a substring, so that "snow" holds "no", and only the bare "yes" and
            "no" are nothing but that; "words": whole words count, and punctuation around them does not.
    """
    answer = answer.lower()
    if reward == "standard":
        return False
    if reward == "yes_no":
        return (answer if rule == "paper" else answer.strip(" .,!?")) in ("yes", "no")
    if rule == "paper":
        return any(part in answer for part in AVOIDED)
    return _AVOIDED_WORDS.search(answer) is not None
