"""The recipes of the named data sets, and ``build``, which records one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from datasets_builders import (
    clarifying_qa,
    dialogue,
    multiwoz_goal,
    reddit,
    service_desk,
    visual_dialogue,
    wordle,
    wordle_tweets,
)
from datasets_builders.block_workers import Block, Executor, Workers
from datasets_builders.dataset import EpisodeDataset
from datasets_builders.provenance import plain, provenance_of
from datasets_builders.recorder import first_seed, make_env, played, write_blocks
from lang_envs.episode import Episode
from lang_envs.plugins import find
from lang_envs.policies.maze import GOOD_STEPS, Walker
from lang_envs.policies.movie_review import Reviewer
from lang_envs.rollout import Policy
from lang_envs.tasks.maze import Maze
from lang_envs.tasks.movie_review import MovieReview
from lang_envs.vector import TokenVectorEnv

_BLOCK_EPISODES = 4096
_MANY = 2**62  # a number of episodes that never limits how many are played at once


@dataclass(frozen=True)
class Recipe:
    """The recipe of a named data set.

    Attributes:
        name: the name of the data set.
        env_id: the default environment.
        description: a description for the card and for lists.
        blocks: makes the block function from an environment, a seed and the options.
        options: the recipe's own options and their defaults; all other options are the environment's.
        size: the number of episodes, from the environment and the options above; None: they have no end.
    """

    name: str
    env_id: str
    description: str
    blocks: Callable[..., Block]
    options: dict[str, Any] = field(default_factory=dict)
    size: Callable[..., int] | None = None


def episodes_of(make: Callable[[TokenVectorEnv], Policy], name: str) -> Callable[[TokenVectorEnv, int], Block]:
    """The ``blocks`` of a recipe that records one policy: made for the environment, and called ``name`` in the log."""

    def blocks(env: TokenVectorEnv, seed: int) -> Block:
        first, policy, size = first_seed(seed), make(env), _BLOCK_EPISODES

        def block(k: int) -> Iterator[Episode]:
            return played(env, policy, range(first + k * size, first + (k + 1) * size), name)

        return block

    return blocks


def _reviewer(env: TokenVectorEnv) -> Policy:
    if not isinstance(env.task, MovieReview):
        raise ValueError(f"this recipe needs the environment MovieReview, got the task {type(env.task).__name__}")
    return Reviewer(env.task)


def _walks(env: TokenVectorEnv, seed: int, good: float) -> Block:
    if not isinstance(env.task, Maze):
        raise ValueError(f"this recipe needs the environment Maze, got the task {type(env.task).__name__}")
    if not env.task.speaks(env.tokenizer):
        raise ValueError("the walkers use the maze's own tokens: record without tokenizer= and style=")
    walker = Walker(env.task, good)
    return episodes_of(lambda _: walker, "walker")(env, seed)


RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            "movie-review",
            "MovieReview-v0",
            'Short reviews. Those that begin with "the movie was" are good on average. Those that begin with "the '
            "movie wasn't\" are bad on average, but one of them is the best review.",
            episodes_of(_reviewer, "reviewer"),
        ),
        Recipe(
            "wordle-expert",
            "Wordle-Paper-v0",
            "Games of a player that maximises information gain and opens with a curated word.",
            wordle.expert,
        ),
        Recipe(
            "wordle-trap",
            "Wordle-Paper-v0",
            "Games of an expert, games that follow an expert for two guesses and then lose, and games of a mediocre "
            "player. The opening of the best games has the lowest mean return, so one step of policy improvement "
            "avoids it.",
            wordle.trap,
            {"n_adversarial": 5, "n_suboptimal": 5},
        ),
        Recipe(
            "wordle-mixed",
            "Wordle-Paper-v0",
            "Games of players of different skill, from random words to words that agree with all feedback.",
            wordle.mixed,
            {"skills": (0.0, 0.25, 0.5, 0.75, 1.0)},
        ),
        Recipe(
            "maze",
            "Maze-v0",
            "Walks in a maze with a small share of good steps; the other steps are random. The mean return is -83, as "
            "in LMRL-Gym's data (env_id= chooses what the walker sees).",
            _walks,
            {"good": GOOD_STEPS},
        ),
        Recipe(
            "clarifying-qa",
            "ClarifyingQA-v0",
            "Several conversations about each ambiguous question. Some assistants ask what matters, some ask what does "
            "not matter, and some answer at once or at random.",
            clarifying_qa.mixture,
            {"per_context": 4, "assistants": tuple(clarifying_qa.ASSISTANTS)},
        ),
        Recipe(
            "multiwoz-goal",
            "MultiWOZ-Goal-v0",
            "Conversations with simulated customers who have goals of MultiWOZ. Some agents serve well. Some open well "
            "and then answer no question. Some open badly and then serve well.",
            multiwoz_goal.mixture,
            {"agents": tuple(multiwoz_goal.AGENTS)},
        ),
        Recipe(
            "service-desk",
            "ServiceDesk-v0",
            "Conversations at a service desk. Some desks open well and then guess the booking, some open badly and end "
            "well, and some do random acts. No desk serves well from the first turn to the last.",
            service_desk.mixture,
            {"shares": service_desk.SHARES, "slips": 0.0},
        ),
        Recipe(
            "wordle-tweets",
            "Wordle-Paper-v0",
            "Games with the colours of shared grids and words that fit them. tweets= names a table of people's grids. "
            "Without it the grids are simulated: 40,000 games of a player who guesses random words of 2,268 that agree "
            "with all feedback.",
            wordle_tweets.retrofitted,
            {"tweets": None, "answers": None, "player": "independent"},
        ),
        Recipe(
            "dialogue-human",
            "Dialogue-BERTScore-v0",
            "The human reply to each context, once.",
            dialogue.human,
            size=dialogue.human_size,
        ),
        Recipe(
            "dialogue-mixture",
            "Dialogue-BERTScore-v0",
            "Several replies to each context: the human one, the human reply to the nearest other context, a random "
            "one of the corpus, and in the built-in corpus the human one in other words.",
            dialogue.mixture,
            size=dialogue.mixture_size,
        ),
        Recipe(
            "taskmaster-feedback",
            "Dialogue-BERTScore-v0",
            "Replies in Taskmaster dialogues with people's verdicts as rewards (corpus='taskmaster-feedback').",
            dialogue.feedback,
            {"api_calls": False},
            dialogue.feedback_size,
        ),
        Recipe(
            "reddit-comments",
            "Reddit-Toxicity-v0",
            "The comments of the corpus, each with the reward of the environment (env_id= chooses the reward).",
            reddit.comments,
            size=reddit.size,
        ),
        Recipe(
            "reddit-upvotes-real",
            "Reddit-Upvotes-v0",
            "The comments of the corpus with a reward from their real votes: +1 for a positive score, otherwise -1.",
            reddit.real_upvotes,
            size=reddit.size,
        ),
        Recipe(
            "visual-dialogue",
            "VisualDialogue-v0",
            "Dialogues about built-in scenes by questioners of different habits; most ask yes/no questions (env_id= "
            "chooses the reward).",
            visual_dialogue.mixture,
            {"shares": (0.55, 0.2, 0.15, 0.1), "thrifty": False},
        ),
        Recipe(
            "visual-dialogue-human",
            "VisualDialogue-v0",
            "People's questions about real images, with the answers that people gave (world= names the file).",
            visual_dialogue.human,
            size=visual_dialogue.human_size,
        ),
    )
}


def build(
    name: str,
    episodes: int | None,
    out: str | os.PathLike[str],
    seed: int = 0,
    *,
    env_id: str | None = None,
    progress: bool = True,
    workers: int = 1,
    executor: Executor = "processes",
    **options: Any,
) -> EpisodeDataset:
    """Records a named data set. After an interruption, the same call resumes and produces the same bytes.

    Args:
        name: a name in ``RECIPES`` or of an installed package, or "module:NAME".
        episodes: the number of episodes; None for all, if the recipe has a finite number.
        out: the folder to make.
        seed: of the recording, in [0, 2**28); see :data:`lang_envs.seeds.RECORDING`.
        env_id: an environment that replaces the recipe's.
        progress: whether to show the progress on standard error (``lang_envs.progress``).
        workers: number of processes, each with its own environment; the bytes do not depend on it.
        executor: ``processes`` of this machine, or ``ray`` for those of a cluster.
        **options: of the recipe (``RECIPES[name].options``) and of its environment (``words=`` ...).

    Raises:
        ValueError: the name is unknown, or an option is invalid.
        TypeError: neither the recipe nor the environment has an option.
        FileExistsError: ``out`` exists.
        OSError: the disk is full; the complete files stay, and the same call resumes.
    """
    opening = _Opening(name, seed, {**options, "env_id": env_id})
    recipe, own, env_id, options = parts(name, opening.options)
    env = make_env(env_id, _MANY, **options)
    try:
        made_by = {"name": name, "options": plain(own)}
        facts = provenance_of(env, seed=seed, name=recipe.name, description=recipe.description, recipe=made_by)
        blocks, count = recipe.blocks(env, seed, **own), how_many(recipe, episodes, env, own)
        spread = Workers(opening, workers, executor)
        return write_blocks(blocks, count, out, facts, env.tokenizer, progress, spread)
    finally:
        env.close()


@dataclass(frozen=True)
class _Opening:
    """How a worker begins with a recipe."""

    name: str
    seed: int
    options: dict[str, Any]

    def __call__(self) -> Block:
        recipe, own, env_id, options = parts(self.name, self.options)
        return recipe.blocks(make_env(env_id, _MANY, **options), self.seed, **own)


def recipe_of(name: str) -> Recipe:
    """The recipe of that name: one of ``RECIPES``, or of an installed package, or at "module:NAME".

    Raises:
        ValueError: there is none.
    """
    return find("recipes", name, RECIPES, "recipe", lambda found: isinstance(found, Recipe))


def parts(name: str, options: dict[str, Any]) -> tuple[Recipe, dict[str, Any], str, dict[str, Any]]:
    """The recipe of that name, its options, its environment, and the environment's options.

    Raises:
        ValueError: there is no such recipe.
    """
    recipe, rest = recipe_of(name), dict(options)
    own = {key: rest.pop(key, default) for key, default in recipe.options.items()}
    env_id = rest.pop("env_id", None) or recipe.env_id
    return recipe, own, env_id, rest


def how_many(recipe: Recipe, episodes: int | None, env: TokenVectorEnv, own: dict[str, Any]) -> int:
    """The number of episodes to record: as asked for, or all.

    Raises:
        ValueError: there are fewer, or the recipe has no end and no number is given.
    """
    if recipe.size is None:
        if episodes is None:
            raise ValueError(f"the data set {recipe.name} has no end: say how many episodes to record")
        return episodes
    there_are = recipe.size(env, **own)
    if episodes is not None and episodes > there_are:
        raise ValueError(f"the data set {recipe.name} has {there_are} episodes, {episodes} were asked for")
    return there_are if episodes is None else episodes
