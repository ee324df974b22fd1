"""Built-in posts and comments, so that the Reddit task runs with no files.

It is a world of small talk, not a copy of Reddit. There are ten topics, four tones from kind to toxic (mild insults
only), comments on the topic or off it, and some jokes. The score follows tone, relevance and humour, with heavy-tailed
noise, so upvotes can be predicted only in part. Kind comments use words such as "stupid" about the speaker or a thing,
and some toxic comments contain no bad word, so a list of words does not separate them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, TypeVar, get_args

import numpy as np

from lang_envs.corpora.reddit.comment import Comment, Comments
from lang_envs.corpora.reddit.tones import CLOSERS, OPENERS, REMARKS
from lang_envs.corpora.reddit.topics import POSTSCRIPTS, TOPICS, Topic

Tone = Literal["kind", "neutral", "rude", "toxic"]
TONES: tuple[Tone, ...] = get_args(Tone)
SHARES = {"kind": 0.3, "neutral": 0.35, "rude": 0.2, "toxic": 0.15}
"""The probability of each tone."""
MEAN_SCORE = {"kind": 4.0, "neutral": 1.5, "rude": -2.0, "toxic": -5.0}
"""The mean score of an ordinary comment of each tone; relevance and humour add to it."""

T = TypeVar("T")


@lru_cache(maxsize=4)
def generate(threads: int = 2_000, replies: int = 4, seed: int = 0) -> Comments:
    """Posts, each with some comments on it.

    Args:
        threads: number of posts.
        replies: number of comments on each post.
        seed: the same seed gives the same comments.

    Returns:
        threads * replies comments; those on one post are consecutive. ``label`` is the tone.
    """
    if threads < 1 or replies < 1:
        raise ValueError(f"threads and replies must be at least 1, got {threads} and {replies}")
    rng = np.random.default_rng((seed, 17))
    rows: list[Comment] = []
    for thread in range(threads):
        topic = pick(rng, TOPICS)
        thing = pick(rng, topic.things)
        post = " ".join([pick(rng, topic.posts).format(thing=thing), pick(rng, POSTSCRIPTS)]).strip()
        for reply in range(replies):
            tone = TONES[int(rng.choice(len(TONES), p=list(SHARES.values())))]
            relevant, funny = rng.random() < 0.8, rng.random() < 0.25
            about: tuple[Topic, str | None] = (topic, thing) if relevant else (pick(rng, TOPICS), None)
            text = write(rng, tone, *about, funny)
            score = _score(rng, tone, relevant, funny)
            rows.append(Comment(f"{thread}-{reply}", post, text, score, tone, topic.name))
    return Comments(tuple(rows))


def write(rng: np.random.Generator, tone: Tone, topic: Topic, thing: str | None = None, funny: bool = False) -> str:
    """A comment on a thing; None draws one of the topic's things."""
    thing = pick(rng, topic.things) if thing is None else thing
    parts = [pick(rng, OPENERS[tone])]
    if rng.random() < 0.5:
        parts.append(pick(rng, REMARKS[tone]))
    if tone in ("kind", "neutral") or rng.random() < 0.3:
        parts.append(pick(rng, topic.tips))
    if funny:
        parts.append(pick(rng, topic.jokes))
    if rng.random() < 0.5:
        parts.append(pick(rng, CLOSERS[tone]))
    text = " ".join(part for part in parts if part).format(thing=thing)
    return text.lower().rstrip(".") if rng.random() < 0.2 else text


def subject_of(text: str) -> tuple[Topic, str] | None:
    """The topic and the first thing of any topic that a text names; None if it names none."""
    said = text.lower()
    found = [(said.index(thing), topic, thing) for topic in TOPICS for thing in topic.things if thing in said]
    return min(found, key=lambda place: place[0])[1:] if found else None


def pick(rng: np.random.Generator, items: Sequence[T]) -> T:
    """One of the items, all equally likely."""
    return items[int(rng.integers(len(items)))]


def _score(rng: np.random.Generator, tone: Tone, relevant: bool, funny: bool) -> int:
    mean = MEAN_SCORE[tone] + (1.0 if relevant else -2.5) + (2.0 if funny and tone != "toxic" else 0.0)
    return round(mean + 2.0 * float(rng.standard_t(3)))
