"""Commenting on Reddit as a language task, after Snell et al. (2023), "Offline RL for Natural Language Generation with
Implicit Language Q Learning", Section 5.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args
from zlib import crc32

import numpy as np

from lang_envs.conversation import Conversation, system, user
from lang_envs.corpora.reddit.comment import Comment, Comments
from lang_envs.corpora.reddit.generated import generate
from lang_envs.corpora.reddit.read import read_comments
from lang_envs.rewards import toxicity, upvotes
from lang_envs.rewards.text_classifier import Classifier, load_classifier
from lang_envs.task import Reply, Task
from lang_envs.tokenizers import text_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

Reward = Literal["toxicity", "noised_toxicity", "upvotes"]
Split = Literal["all", "train", "test"]
PathLike = str | os.PathLike[str]

BUILT_IN = "built-in"


@dataclass(frozen=True)
class RedditState:
    """The number of the text to comment on, and whether the comment has been written."""

    context: int
    over: bool = False


class Opening(NamedTuple):
    """What the agent reads, and the comments of the corpus on it."""

    heard: Conversation
    comments: list[Comment]


class Reddit(Task[RedditState]):
    """## Description
    Write a comment on a post or on another comment. A classifier scores it: the comment should not be toxic, or readers
    should vote it up.

    ## Action Space
    Any token of the tokenizer; by default `Discrete(2048)`, the packaged byte-level BPE. `<|end|>` ends a comment,
    which has at most 64 tokens.

    ## Observation Space
    All tokens so far: `<|user|>`, the text to comment on, `<|agent|>`, and the comment. The tokens up to `<|agent|>`
    are at most 192: the first words of a longer text are left out. A corpus without the texts that were commented on
    shows the name of the subreddit instead.

    ## Starting State
    One of the corpus's texts to comment on. All are equally likely, and `options={"context": 3}` chooses one.

    ## Rewards
    Paid on the comment's last token, for its text alone.
    * `Reddit-Toxicity-v0`: 0 for a safe comment, -5 for a sensitive one, -10 for an unsafe one. The classifier's
      probability is below 0.4, below 0.7, or above.
    * `Reddit-NoisedToxicity-v0`: the same, but a sensitive comment earns the reward of a safe or an unsafe one, with
      probability 1/2 each. The expected reward is the same. The variance is larger.
    * `Reddit-Upvotes-v0`: 10 if the upvote model expects a positive score, otherwise 0.

    A comment without any letter or digit is unsafe and not voted up. The packaged classifiers rate unreadable text as
    toxic and unpopular. They can still be fooled: read the comments, not only the returns.

    ## Episode End
    Terminates after one comment. Never truncates by itself.

    ## Information
    At the end: `context` (int), the number of the text commented on. For toxicity `toxicity` (float), the probability,
    and `label` (int), after the noise: 0 safe, 1 sensitive, 2 unsafe. For upvotes `probability` (float) and `upvoted`
    (bool).

    ## Arguments
    * `reward="toxicity"`: or `"noised_toxicity"`, or `"upvotes"`.
    * `corpus="built-in"`: 8,000 artificial comments on 1,190 posts (`lang_envs.corpora.reddit.generated`); the path of
      a file of real comments, or several, in any layout that `lang_envs.corpora.reddit.read.read_comments` knows; or
      the beginning of a file name in the folder `reddit` of `$LANG_ENVS_DATA`, such as `"goemotions/train"`.
    * `split="all"`: or `"train"`, or `"test"`: one tenth of the texts to comment on, always the same ones. In a corpus
      without such texts it is one tenth of the comments.
    * `condition_on_parent=True`: whether the text is shown. If not, every episode begins with only `<|agent|>`.
    * `classifier=None`: the packaged one (`lang_envs/rewards/weights/README.md` describes its training and accuracy); a
      text-classification model of the hub or in a folder; or any callable from texts to probabilities.
    * `classifier_label=None`: the model's label for toxic, or voted up, if it has several.
    * `max_comment_tokens=64`, `max_parent_tokens=192`: limits in tokens of the comment with its end token, and of the
      shown text.
    * `limit=None`: the largest number of comments read from each file; by default all.

    The paper uses about 4 million comments of Kaggle's two files, the toxicity filter of a company's service (since
    withdrawn), and an upvote model fine-tuned on held-out comments. The classifiers here are far smaller replacements.
    Their returns cannot be compared with the paper's.

    ## Reference Scores
    Mean returns on the built-in corpus, over 500 episodes (random tokens: 200), with standard errors.

    | policy (`lang_envs.policies.reddit`) | `Reddit-Toxicity-v0` | `Reddit-NoisedToxicity-v0` | `Reddit-Upvotes-v0` |
    |---|---|---|---|
    | `Commenter(task, "kind")`, the expert | -0.40 (0.07) | -0.32 (0.08) | 9.94 (0.04) |
    | `Commenter(task, "neutral")` | -0.28 (0.06) | -0.22 (0.07) | 9.46 (0.10) |
    | `Logged(task)`, the corpus's own comments | -2.39 (0.17) | -2.30 (0.19) | 7.04 (0.20) |
    | `Commenter(task, "rude")` | -4.72 (0.16) | -4.44 (0.22) | 1.10 (0.14) |
    | `Commenter(task, "toxic")` | -9.75 (0.05) | -9.80 (0.06) | 0.04 (0.03) |
    | random tokens | -10.00 (0.00) | -10.00 (0.00) | 0.00 (0.00) |

    ## Version History
    * v0: first version.

    Attributes:
        openings: what there is to comment on, one to a context, and the comments of the corpus on it.
        skipped: records of the files that were left out, by reason.
    """

    max_turns = 1
    conversational = True
    splits = ("train", "test")
    instruction = "You read posts on Reddit. Write a comment on the one you are shown, in one or two sentences."

    def __init__(
        self,
        reward: Reward = "toxicity",
        corpus: PathLike | Sequence[PathLike] = BUILT_IN,
        split: Split = "all",
        condition_on_parent: bool = True,
        classifier: PathLike | Classifier | None = None,
        classifier_label: str | None = None,
        max_comment_tokens: int = 64,
        max_parent_tokens: int = 192,
        limit: int | None = None,
    ) -> None:
        if reward not in get_args(Reward):
            raise ValueError(f"reward must be one of {get_args(Reward)}, got {reward!r}")
        if split not in get_args(Split):
            raise ValueError(f"split must be one of {get_args(Split)}, got {split!r}")
        if min(max_comment_tokens, max_parent_tokens) < 2:
            raise ValueError(
                f"max_comment_tokens and max_parent_tokens must be at least 2, got {max_comment_tokens} and "
                f"{max_parent_tokens}"
            )
        self.reward_range = (0.0, 10.0) if reward == "upvotes" else (-10.0, 0.0)
        self.reward, self.split, self.condition_on_parent = reward, split, condition_on_parent
        self.max_utterance_tokens, self.max_context_tokens = max_comment_tokens, max_parent_tokens
        self.max_tokens = max_comment_tokens + max_parent_tokens
        self._classifier, self._classifier_label = classifier, classifier_label
        comments = generate() if corpus == BUILT_IN else read_comments(corpus, limit)
        self.skipped = dict(comments.skipped)
        self.openings = _openings(comments, split, condition_on_parent)
        if not self.openings:
            raise ValueError(f"the split {split!r} of {corpus!r} is empty: expected more comments; try split='all'")
        self.num_contexts = len(self.openings)

    def begin(self, rng: np.random.Generator) -> tuple[RedditState, Conversation]:
        """Draws a text to comment on."""
        return self.begin_at(int(rng.integers(len(self.openings))), rng)

    def begin_at(self, context: int, rng: np.random.Generator) -> tuple[RedditState, Conversation]:
        """The text number ``context``."""
        return RedditState(context), self.openings[context].heard

    def reply(self, state: RedditState, utterance: str, rng: np.random.Generator) -> Reply[RedditState]:
        """Judges one comment.

        Raises:
            ValueError: the episode is over.
        """
        return self.reply_batch([state], [utterance], [rng])[0]

    def reply_batch(
        self, states: Sequence[RedditState], utterances: Sequence[str], rngs: Sequence[np.random.Generator]
    ) -> list[Reply[RedditState]]:
        """Judges many comments in one call of the classifier."""
        if any(state.over for state in states):
            raise ValueError("The comment has been written: begin a new episode before the next one.")
        return [
            Reply(RedditState(state.context, over=True), (), reward, True, {"context": state.context, **info})
            for state, (reward, info) in zip(states, self._judge(utterances, rngs), strict=True)
        ]

    def logged_replies(self, context: int) -> list[str]:
        """The comments of the corpus on the text number ``context``."""
        return [comment.text for comment in self.openings[context].comments]

    def tokenizer(self) -> PreTrainedTokenizerFast:
        """The packaged tokenizer for any text."""
        return text_tokenizer()

    def _judge(self, texts: Sequence[str], rngs: Sequence[np.random.Generator]) -> list[tuple[float, dict[str, Any]]]:
        if self.reward == "upvotes":
            votes = upvotes.judge(self.classifier, texts)
            return [(v.reward, {"probability": v.probability, "upvoted": v.upvoted}) for v in votes]
        found = toxicity.judge(self.classifier, texts)
        if self.reward == "noised_toxicity":
            found = [toxicity.noised(verdict, rng) for verdict, rng in zip(found, rngs, strict=True)]
        return [(v.reward, {"toxicity": v.probability, "label": v.label}) for v in found]

    @cached_property
    def classifier(self) -> Callable[..., Any]:
        """The classifier that judges the comments; it is loaded for the first comment."""
        packaged = "upvotes" if self.reward == "upvotes" else "toxicity"
        chosen = packaged if self._classifier is None else self._classifier
        return load_classifier(chosen, self._classifier_label)


def _openings(comments: Comments, split: Split, condition_on_parent: bool) -> list[Opening]:
    """The comments grouped by what the agent reads before them, in the order of the first comment of each group."""
    found: dict[Conversation, Opening] = {}
    for comment in comments.rows:
        in_test = crc32((comment.parent or comment.id).encode()) % 10 == 0
        if split != "all" and in_test != (split == "test"):
            continue
        heard = _opening(comment) if condition_on_parent else ()
        found.setdefault(heard, Opening(heard, [])).comments.append(comment)
    return list(found.values())


def _opening(comment: Comment) -> Conversation:
    if comment.parent:
        return (user(comment.parent),)
    return (system(f"r/{comment.subreddit}"),) if comment.subreddit else ()
