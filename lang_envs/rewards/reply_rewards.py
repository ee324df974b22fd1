"""Rewards of replies in their conversations: a function given by its name, or a trained model.

A reward of replies is a callable ``(prompts, replies) -> array [n]``. A prompt is the conversation before the reply, as
messages ``{"role": ..., "content": ...}``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

from numpy.typing import ArrayLike

from lang_envs.make import NAMED_CODE
from lang_envs.plugins import import_named
from lang_envs.pretrained import load_config
from lang_envs.rewards.regression import SequenceRegression
from lang_envs.rewards.text_classifier import HEADS, load_classifier

Messages = list[dict[str, str]]
ReplyReward = Callable[[Sequence[Messages], Sequence[str]], ArrayLike]
"""(prompts, replies) -> [n]"""


def reply_reward(source: str) -> ReplyReward:
    """The reward at ``module:function``, or the reward of the model at a path.

    A model with one output reads a pair of texts: the prompt, whose messages are separated by blank lines, and the
    reply. Any other classifier reads only the reply and gives the probability of its second label. The packaged
    classifiers also read only the reply; they are given by their names.

    Raises:
        ValueError: there is no such function or model.
    """
    found = NAMED_CODE.fullmatch(source)
    return _model(source) if found is None else _function(*found.groups())


def _function(module: str, name: str) -> ReplyReward:
    found = getattr(import_named(module), name, None)
    if not callable(found):
        raise ValueError(f"expected the reward as 'module:function', and {module} has no function {name!r}")
    return found


@lru_cache(maxsize=8)  # a model is loaded once for all environments
def _model(path: str) -> ReplyReward:
    if path not in HEADS and Path(path).suffix != ".safetensors" and load_config(path).num_labels == 1:
        pairs = SequenceRegression(path)
        return lambda prompts, replies: pairs(replies, [_text(messages) for messages in prompts])
    classifier = load_classifier(path)
    return lambda prompts, replies: classifier(replies)


def _text(prompt: Messages) -> str:
    return "\n\n".join(message["content"] for message in prompt)
