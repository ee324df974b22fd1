"""Reference returns of each environment, and returns on a common scale: 0 for random tokens, 1 for the expert.

The numbers in :data:`MEASURED` and those of Wordle were measured with :func:`measure`, and the tests compare them with
it. The numbers of MovieReview follow from its table of rewards.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
from numpy.typing import ArrayLike, NDArray

from lang_envs.make import language_vec
from lang_envs.policies import multiwoz_goal, service_desk
from lang_envs.policies.any_task import RandomTokens, Say
from lang_envs.policies.clarifying_qa import AskThenAnswer
from lang_envs.policies.dialogue import HumanReply
from lang_envs.policies.maze import ShortestPath
from lang_envs.policies.reddit import Commenter
from lang_envs.policies.visual_dialogue import Informative
from lang_envs.policies.wordle import Optimal
from lang_envs.rollout import Policy, rollout
from lang_envs.seeds import RECORDING
from lang_envs.task import Task
from lang_envs.tasks.clarifying_qa import ClarifyingQA
from lang_envs.tasks.dialogue import Dialogue
from lang_envs.tasks.maze import Maze
from lang_envs.tasks.movie_review import OFF_GRAMMAR, REVIEWS, VOCABULARY, MovieReview
from lang_envs.tasks.multiwoz_goal import MultiWOZGoal
from lang_envs.tasks.reddit import Reddit
from lang_envs.tasks.service_desk import ServiceDesk
from lang_envs.tasks.visual_dialogue import VisualDialogue
from lang_envs.tasks.wordle import Wordle
from lang_envs.vector import TokenVectorEnv

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


@dataclass(frozen=True)
class Reference:
    """Mean returns to compare others with."""

    random: float
    """mean return of random tokens"""
    expert: float
    """mean return of the policy that :func:`expert` makes"""
    optimum: float | None
    """the highest expected return of any policy; None if unknown"""
    how: str
    """how the numbers were measured or computed"""


HOW_WORDLE = (
    "expert: mean of 40,000 episodes, standard error below 0.005, by measure(env_id, expert(task), 40_000); "
    "random: a guess hits the word with probability 35^-6, so that all are lost"
)
WORDLE_EXPERT = {
    ("Wordle-v0", "english"): -2.671,
    ("Wordle-v0", "english-400"): -1.933,
    ("Wordle-v0", "english-200"): -1.723,
    ("Wordle-v0", "english-100"): -1.541,
    ("Wordle-v0", "english-30"): -1.167,
    ("Wordle-Paper-v0", "english"): -2.685,
    ("Wordle-Paper-v0", "english-400"): -1.933,
    ("Wordle-Paper-v0", "english-200"): -1.729,
    ("Wordle-Paper-v0", "english-100"): -1.542,
    ("Wordle-Paper-v0", "english-30"): -1.167,
}
"""Mean return of the expert by id and word list."""

HOW_DIALOGUE = (
    "means of 2,000 episodes, standard errors of at most 0.005, by measure(env_id, None, 2_000) and "
    "measure(env_id, expert(task), 2_000)"
)


HOW_MULTIWOZ = (
    "with MultiWOZ 2.1's validation dialogues alone: means of 200 episodes by measure(env_id, None, 200) and of 1,000 "
    "by measure(env_id, expert(task), 1_000), standard errors below 0.004"
)
HOW_REDDIT = (
    "expert: mean of 500 episodes by measure(env_id, expert(task), 500), standard error at most 0.08; random: mean of "
    "200 episodes by measure(env_id, None, 200), all of them alike"
)
HOW_VISUAL_DIALOGUE = (
    "expert: mean of 10,000 episodes, standard errors below 0.04, by measure(env_id, expert(task), 10_000); "
    "random: mean of 1,024, by measure(env_id, None, 1_024)"
)


HOW_MAZE = (
    "expert: exact, over all starts; random: mean of 2,000 episodes, standard error 1.3, by "
    "measure(env_id, None, 2_000)"
)

MEASURED: dict[str, Reference] = {
    "Maze-v0": Reference(-356.97, -6.84, -6.84, HOW_MAZE),
    "Maze-PO-v0": Reference(-356.97, -7.24, -7.24, HOW_MAZE),
    "Reddit-Toxicity-v0": Reference(-10.0, -0.400, None, HOW_REDDIT),
    "Reddit-NoisedToxicity-v0": Reference(-10.0, -0.320, None, HOW_REDDIT),
    "Reddit-Upvotes-v0": Reference(0.0, 9.940, None, HOW_REDDIT),
    "ClarifyingQA-v0": Reference(
        0.0, 1.0, 1.0, "expert: exact, over all questions; random: none of 20,000 episodes stated the answer"
    ),
    "ServiceDesk-v0": Reference(
        -0.04,
        0.895,
        0.895,
        "expert: exact, by lang_envs.tasks.service_desk_values; random: mean of 2,000 episodes, standard error 0.0005, "
        "by measure(env_id, None, 2_000)",
    ),
    "Dialogue-BERTScore-v0": Reference(-0.169, 0.964, None, HOW_DIALOGUE),
    "Dialogue-BERTClick-v0": Reference(0.0, 0.956, None, HOW_DIALOGUE),
    "Dialogue-BLEU-v0": Reference(0.003, 0.949, None, HOW_DIALOGUE),
    "Dialogue-chrF-v0": Reference(0.136, 0.957, None, HOW_DIALOGUE),
    "Dialogue-METEOR-v0": Reference(0.008, 0.961, None, HOW_DIALOGUE),
    "MultiWOZ-Goal-v0": Reference(-0.060, 0.872, None, HOW_MULTIWOZ),
    "VisualDialogue-v0": Reference(-9.0, -2.636, None, HOW_VISUAL_DIALOGUE),
    "VisualDialogue-YesNo-v0": Reference(-9.004, -3.352, None, HOW_VISUAL_DIALOGUE),
    "VisualDialogue-ConservativeYesNo-v0": Reference(-29.0, -4.771, None, HOW_VISUAL_DIALOGUE),
}
"""Reference returns of an id with its default options."""


def reference(env_id: str, **options: Any) -> Reference:
    """The committed reference returns of an environment.

    Args:
        env_id: a registered id.
        **options: options of the environment. There are numbers for the packaged Wordle lists, but for no other option.

    Raises:
        ValueError: there are none for this environment; :func:`measure` measures them.
    """
    if env_id == "MovieReview-v0" and not options:
        return _movie_review()
    if env_id in MEASURED and not options:
        return MEASURED[env_id]
    words = options.get("words", "english")
    if options.keys() <= {"words"} and isinstance(words, str) and (env_id, words) in WORDLE_EXPERT:
        return Reference(-float(Wordle.max_turns), WORDLE_EXPERT[env_id, words], None, HOW_WORDLE)
    raise ValueError(
        f"There are no reference returns of {env_id!r} with the options {options}, only of MovieReview-v0, "
        f"{', '.join(MEASURED)} and of {sorted(WORDLE_EXPERT)}. "
        f"lang_envs.scores.measure({env_id!r}, ...) measures them."
    )


def normalised(env_id: str, returns: ArrayLike, **options: Any) -> NDArray[np.float64]:
    """Returns on the scale where 0 is random tokens and 1 is the expert, in the shape of ``returns``.

    Raises:
        ValueError: as :func:`reference`.
    """
    scale = reference(env_id, **options)
    return (np.asarray(returns, np.float64) - scale.random) / (scale.expert - scale.random)


def expert(env_or_task: str | Task[Any] | TokenVectorEnv | gym.Env[Any, Any]) -> Policy:
    """The best scripted policy for an environment (or its id, or its task), in the tokens of the environment.

    The experts of MovieReview, Wordle and Maze speak only their task's own tokens.

    Raises:
        ValueError: there is no expert for the task.
    """
    task, tokenizer = _task(env_or_task)
    if isinstance(task, MovieReview):
        return Say(max(REVIEWS, key=lambda review: review.reward).text, task)
    if isinstance(task, Wordle):
        return Optimal(task, first_word="greedy")
    if isinstance(task, Maze):
        return ShortestPath(task)
    if isinstance(task, ClarifyingQA):
        return AskThenAnswer(task, tokenizer)
    if isinstance(task, ServiceDesk):
        return service_desk.Expert(task, tokenizer)
    if isinstance(task, Dialogue):
        return HumanReply(task, tokenizer)
    if isinstance(task, VisualDialogue) and task.is_built_in:
        return Informative(task, tokenizer)
    if isinstance(task, MultiWOZGoal):
        return multiwoz_goal.Expert(task, tokenizer)
    if isinstance(task, Reddit):
        return Commenter(task, "kind", tokenizer)
    raise ValueError(f"There is no expert for {type(task).__name__}; pass a policy of your own.")


def measure(env_id: str, policy: Policy | None, episodes: int, **options: Any) -> tuple[float, float]:
    """The mean return of a policy and its standard error, over the seeds from 0.

    Those are seeds of recordings, so use it only for a policy that has learned from no episode.

    Args:
        env_id: a registered id.
        policy: the policy that plays; None for random tokens.
        episodes: number of episodes, at least 2.
        **options: options of the environment.
    """
    env = language_vec(env_id, min(episodes, 256), **options)
    policy = RandomTokens(env.task, env.tokenizer) if policy is None else policy
    returns = np.array([episode.ret for episode in rollout(env, policy, RECORDING.episodes(episodes))])
    return float(returns.mean()), float(returns.std(ddof=1) / math.sqrt(episodes))


def _movie_review() -> Reference:
    # Random tokens write a review of n tokens, its end included, with probability V^-n; other texts are off grammar.
    chance = [len(VOCABULARY) ** -(len(review.text.split()) + 1.0) for review in REVIEWS]
    random = OFF_GRAMMAR + sum(p * (review.reward - OFF_GRAMMAR) for p, review in zip(chance, REVIEWS, strict=True))
    best = MovieReview().optimal_return
    return Reference(random, best, best, "exact: the task's table of rewards")


def _task(
    env_or_task: str | Task[Any] | TokenVectorEnv | gym.Env[Any, Any],
) -> tuple[Task[Any], PreTrainedTokenizerFast | None]:
    """The task, and the tokenizer of its environment; None for a task alone."""
    if isinstance(env_or_task, Task):
        return env_or_task, None
    env = gym.make(env_or_task) if isinstance(env_or_task, str) else env_or_task
    task = getattr(env.unwrapped, "task", None)
    if not isinstance(task, Task):
        raise ValueError(f"{env_or_task!r} is no environment of a language task.")
    return task, getattr(env.unwrapped, "tokenizer", None)
