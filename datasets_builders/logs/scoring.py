"""Rates the replies of conversations that have no rating, by a reward function or a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from datasets_builders.logs.talk import Talk
from lang_envs.conversation import to_json
from lang_envs.rewards.checks import checked
from lang_envs.rewards.reply_rewards import Messages, ReplyReward

AT_ONCE = 256
"""number of conversations that are scored together"""


def scored(talks: Sequence[Talk], score: ReplyReward) -> list[Talk]:
    """The same conversations, in which every reply of a conversation without ratings has one.

    Conversations that are token ids are left as they are.

    Raises:
        ValueError: the function gives another number of ratings, or a rating that is not finite.
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
    left = iter(checked(score(prompts, replies), len(replies)).tolist())
    return [
        replace(talk, rewards=tuple(next(left) for _ in talk.rewards)) if without else talk
        for talk, without in zip(talks, bare, strict=True)
    ]
