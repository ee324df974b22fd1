"""What a reply is worth in its conversation: a function that somebody names, or a trained model.

A reward of replies is a callable ``(conversations, replies) -> array [n]``, the conversations as messages.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lang_envs.conversation import Conversation
from lang_envs.make import NAMED_CODE, import_named
from lang_envs.pretrained import load_config
from lang_envs.rewards.regression import SequenceRegression
from lang_envs.rewards.text_classifier import HubClassifier

ReplyReward = Callable[[Sequence[Conversation], Sequence[str]], ArrayLike]
"""(what was said before, the replies) -> [n]"""


def reply_reward(source: str) -> ReplyReward:
    """The reward at ``module:function``, or of the model at a path.

    A model of one output reads the conversation, a line ``role: text`` for each message, and the reply as a pair of
    texts. Any other classifier reads the reply alone and gives the probability of its second label.

    Raises:
        ValueError: there is none.
    """
    found = NAMED_CODE.fullmatch(source)
    return _model(source) if found is None else _function(*found.groups())


def checked(rewards: ArrayLike, count: int) -> NDArray[np.float64]:
    """What a reward gave [n], in double precision.

    Raises:
        ValueError: it is not one finite number for each reply.
    """
    found = np.asarray(rewards, np.float64)
    if found.shape != (count,) or not np.isfinite(found).all():
        raise ValueError(f"the reward must give one finite number for each of {count} replies, got {found!r}")
    return found


def _function(module: str, name: str) -> ReplyReward:
    import_named(module)
    found = getattr(sys.modules[module], name, None)
    if not callable(found):
        raise ValueError(f"expected the reward as 'module:function', and {module} has no function {name!r}")
    return found


@lru_cache(maxsize=8)  # a model is loaded once for all environments
def _model(path: str) -> ReplyReward:
    if load_config(path).num_labels == 1:
        pairs = SequenceRegression(path)
        return lambda conversations, replies: pairs(replies, [_lines(messages) for messages in conversations])
    classifier = HubClassifier(path)
    return lambda conversations, replies: classifier(replies)


def _lines(conversation: Conversation) -> str:
    return "\n".join(f"{role}: {content}" for role, content in conversation)
