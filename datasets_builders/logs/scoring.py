"""Ratings for conversations that have none: by a function that a person named, or by a model."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from datasets_builders.logs.talk import Talk
from lang_envs.conversation import to_json
from lang_envs.pretrained import load_config
from lang_envs.rewards.regression import SequenceRegression
from lang_envs.rewards.text_classifier import HEADS, load_classifier

Messages = list[dict[str, str]]
Score = Callable[[list[Messages], list[str]], Sequence[float]]
"""n prompts and n replies to n numbers."""
AT_ONCE = 256
"""conversations that are scored together"""


def score_by(named: str | Score) -> Score:
    """What a person named, as a function of prompts and replies.

    Args:
        named: "module:function", whose module is imported; the name of a packaged classifier, or the path of a model:
            one of a single output reads prompt and reply, a classifier the reply alone. Or a function.

    Raises:
        ValueError: there is no such function or model.
    """
    if callable(named):
        return named
    module, colon, function = named.rpartition(":")
    if colon and not Path(named).exists():
        return _function(module, function)
    if named not in HEADS and Path(named).suffix != ".safetensors" and load_config(named).num_labels == 1:
        regression = SequenceRegression(named)
        return lambda prompts, replies: regression(replies, [_as_text(prompt) for prompt in prompts]).tolist()
    classifier = load_classifier(named)
    return lambda prompts, replies: classifier(replies).tolist()


def _function(module: str, name: str) -> Score:
    try:
        found: Any = importlib.import_module(module)
    except (ImportError, ValueError, TypeError) as error:
        raise ValueError(f"the module {module!r} of --reward cannot be imported: {error}") from error
    function = getattr(found, name, None)
    if not callable(function):
        raise ValueError(f"the module {module!r} has no function {name!r}; --reward takes module:function")
    return function


def _as_text(prompt: Messages) -> str:
    return "\n\n".join(message["content"] for message in prompt)


def scored(talks: Sequence[Talk], score: Score) -> list[Talk]:
    """The same conversations; each reply of those that have no rating has one. Token ids are left as they are.

    Raises:
        ValueError: the function gives another number of ratings, or one that is not finite.
    """
    prompts, replies = list[Messages](), list[str]()
    bare = [not talk.rated and talk.ids is None for talk in talks]
    for talk, without in zip(talks, bare, strict=True):
        if without:
            messages = (*talk.opening, *talk.rest)
            for i in range(len(talk.opening), len(messages)):
                if messages[i].role == "assistant":
                    prompts.append(to_json(messages[:i]))
                    replies.append(messages[i].content)
    if not replies:
        return list(talks)
    found = np.asarray(score(prompts, replies), np.float64)
    if found.shape != (len(replies),) or not np.isfinite(found).all():
        raise ValueError(f"--reward must give a finite number for each of {len(replies)} replies, got {found!r:.200}")
    left = iter(found.tolist())
    return [
        replace(talk, rewards=tuple(next(left) for _ in talk.rewards)) if without else talk
        for talk, without in zip(talks, bare, strict=True)
    ]
