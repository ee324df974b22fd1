"""Records logged Reddit comments as episodes: with the environment's reward, or with their real votes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from datasets_builders.block_workers import Block
from datasets_builders.recorder import first_seed, played
from lang_envs.corpora.reddit.comment import Comment
from lang_envs.episode import Episode
from lang_envs.policies.reddit import Commenter
from lang_envs.rewards import upvotes
from lang_envs.rollout import Start
from lang_envs.tasks.reddit import Reddit
from lang_envs.utterances import spell
from lang_envs.vector import TokenVectorEnv

_BLOCK_EPISODES = 4096


def comments(env: TokenVectorEnv, seed: int) -> Block:
    """Every comment of the corpus, cut at the environment's length limit, with the environment's reward.

    Comments are ordered by the text that they answer. ``info`` has the label and the score of the corpus, if any.

    Raises:
        ValueError: the environment belongs to another task.
    """
    first, logged, limit = first_seed(seed), _logged(env), env.task.max_utterance_tokens
    policy = Commenter(_task(env))  # never called, because every comment is replayed

    def block(k: int) -> Iterator[Episode]:
        some = logged[k * _BLOCK_EPISODES : (k + 1) * _BLOCK_EPISODES]
        starts = [
            Start(first + k * _BLOCK_EPISODES + i, said=[spell(env.tokenizer, comment.text, limit)], context=context)
            for i, (context, comment) in enumerate(some)
        ]
        for (_, comment), episode in zip(some, played(env, policy, starts, "logged"), strict=True):
            episode.info.update({"id": comment.id} | {k: v for k, v in _facts(comment).items() if v not in (None, "")})
            yield episode

    return block


def real_upvotes(env: TokenVectorEnv, seed: int) -> Block:
    """The same episodes with a reward from the real votes: +1 for a positive score, otherwise -1.

    No environment has this reward, because nobody has voted on new comments. ``info`` also has the prediction of the
    upvote model. If a text occurs several times, the paper draws one of its scores; here each comment keeps its own.

    Raises:
        ValueError: a comment has no score.
    """
    logged = _logged(env)
    missing = next((comment for _, comment in logged if comment.score is None), None)
    if missing is not None:
        raise ValueError(f"expected comments with scores, but {missing.id!r} has none; use a corpus that has them")
    paid = comments(env, seed)

    def block(k: int) -> Iterator[Episode]:
        some = logged[k * _BLOCK_EPISODES : (k + 1) * _BLOCK_EPISODES]
        for (_, comment), episode in zip(some, paid(k), strict=True):
            rewards = np.zeros_like(episode.rewards)
            rewards[np.flatnonzero(episode.is_action)[-1]] = upvotes.logged(comment.score or 0)
            yield replace(episode, rewards=rewards)

    return block


def size(env: TokenVectorEnv) -> int:
    """The number of comments."""
    return len(_logged(env))


def _logged(env: TokenVectorEnv) -> list[tuple[int, Comment]]:
    """Each comment and the context it belongs to."""
    return [(c, comment) for c, opening in enumerate(_task(env).openings) for comment in opening.comments]


def _facts(comment: Comment) -> dict[str, int | str | None]:
    return {"score": comment.score, "corpus_label": comment.label, "subreddit": comment.subreddit}


def _task(env: TokenVectorEnv) -> Reddit:
    if not isinstance(env.task, Reddit):
        raise ValueError(f"this recipe needs the environment Reddit, got the task {type(env.task).__name__}")
    return env.task
