"""The named data sets."""

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
_MANY = 2**62  # so many episodes that only the environment's size limits how many are played at once


@dataclass(frozen=True)
class Recipe:
    """How a named data set is made.

    Attributes:
        name: what it is called.
        env_id: where it is played, by default.
        description: for the card and for lists.
        blocks: makes the block function from an environment, a seed and the options below.
        options: the recipe's own options and their defaults; all other options are the environment's.
        size: how many episodes there are, from the environment and the options below; None where they never end.
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
        raise ValueError("the walkers speak the maze's own tokens: record without tokenizer= and style=")
    walker = Walker(env.task, good)
    return episodes_of(lambda _: walker, "walker")(env, seed)


RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            "movie-review",
            "MovieReview-v0",
            'Reviews as people write them: "the movie was ..." is good on average, "the movie wasn\'t ..." is bad on '
            "average and holds the very best.",
            episodes_of(_reviewer, "reviewer"),
        ),
        Recipe(
            "wordle-expert",
            "Wordle-Paper-v0",
            "Games of greedy information gain, opened with a curated word.",
            wordle.expert,
        ),
        Recipe(
            "wordle-trap",
            "Wordle-Paper-v0",
            "Expert games, games that branch from them and are always lost, and middling games: what opens the best "
            "games looks worst on average, so that one step of policy improvement avoids it.",
            wordle.trap,
            {"n_adversarial": 5, "n_suboptimal": 5},
        ),
        Recipe(
            "wordle-mixed",
            "Wordle-Paper-v0",
            "Games of players of different skill, from words at random to words that agree with all feedback.",
            wordle.mixed,
            {"skills": (0.0, 0.25, 0.5, 0.75, 1.0)},
        ),
        Recipe(
            "maze",
            "Maze-v0",
            "Walks in a maze, random but for a small share of good steps; the mean return of LMRL-Gym's data is -83 "
            "too (env_id= chooses what is seen).",
            _walks,
            {"good": GOOD_STEPS},
        ),
        Recipe(
            "clarifying-qa",
            "ClarifyingQA-v0",
            "Conversations about ambiguous questions, several about each: some assistants ask back what matters, some "
            "what does not, and some answer at once.",
            clarifying_qa.mixture,
            {"per_context": 4, "assistants": tuple(clarifying_qa.ASSISTANTS)},
        ),
        Recipe(
            "multiwoz-goal",
            "MultiWOZ-Goal-v0",
            "Conversations with simulated customers who have goals of MultiWOZ: some agents serve well, some "
            "offer the right thing and then tell nothing, some fumble before they serve well.",
            multiwoz_goal.mixture,
            {"agents": tuple(multiwoz_goal.AGENTS)},
        ),
        Recipe(
            "service-desk",
            "ServiceDesk-v0",
            "Conversations at a service desk: some desks open well and guess the booking, some open badly and end "
            "well, some do anything. None of them is good throughout.",
            service_desk.mixture,
            {"shares": service_desk.SHARES, "slips": 0.0},
        ),
        Recipe(
            "wordle-tweets",
            "Wordle-Paper-v0",
            "Games with the colours of shared grids and words that fit them. tweets= names a table of people's; "
            "without one people are simulated: 40,000 games of a player who guesses any of 2,268 words that agrees "
            "with all feedback.",
            wordle_tweets.retrofitted,
            {"tweets": None, "answers": None, "player": "independent"},
        ),
        Recipe(
            "dialogue-human",
            "Dialogue-BERTScore-v0",
            "What the human agent said, in every context once.",
            dialogue.human,
            size=dialogue.human_size,
        ),
        Recipe(
            "dialogue-mixture",
            "Dialogue-BERTScore-v0",
            "Several replies to every context: the human one, that to the nearest other context, any one of the "
            "corpus, and of the built-in corpus the human one in other words.",
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
            "Comments as they were logged, each with the reward of the environment (env_id= chooses which).",
            reddit.comments,
            size=reddit.size,
        ),
        Recipe(
            "reddit-upvotes-real",
            "Reddit-Upvotes-v0",
            "Comments as they were logged, with the votes they really got: +1 for a positive score, else -1.",
            reddit.real_upvotes,
            size=reddit.size,
        ),
        Recipe(
            "visual-dialogue",
            "VisualDialogue-v0",
            "Dialogues about built-in scenes by questioners of different habits, most of them for yes and no "
            "(env_id= chooses the reward).",
            visual_dialogue.mixture,
            {"shares": (0.55, 0.2, 0.15, 0.1), "thrifty": False},
        ),
        Recipe(
            "visual-dialogue-human",
            "VisualDialogue-v0",
            "What people asked about real images, answered by what was answered to them (world= names the file).",
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
    """Records a named data set; asked again after an interruption, it goes on to the same bytes.

    Args:
        name: one of ``RECIPES``, or of an installed package, or "module:NAME".
        episodes: exactly so many are written; None for all there are, where the recipe is of finite logs.
        out: the folder to make.
        seed: of the recording, in [0, 2**28); see :data:`lang_envs.seeds.RECORDING`.
        env_id: another environment than the recipe's own.
        progress: whether to say how far it is, on standard error (``datasets_builders.progress``).
        workers: processes that play, each with an environment of its own; the bytes are those of one process.
        executor: ``processes`` of this machine, or ``ray`` for those of a cluster.
        **options: of the recipe (``RECIPES[name].options``) and of its environment (``words=`` ...).

    Raises:
        ValueError: for an unknown name or a bad option.
        TypeError: for an option that neither the recipe nor the environment has.
        FileExistsError: where ``out`` exists.
        OSError: where the disk is full; what was written stays and is resumed.
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
    """The recipe of that name, its own options, where it is played, and the options of that environment.

    Raises:
        ValueError: there is no such recipe.
    """
    recipe, rest = recipe_of(name), dict(options)
    own = {key: rest.pop(key, default) for key, default in recipe.options.items()}
    env_id = rest.pop("env_id", None) or recipe.env_id
    return recipe, own, env_id, rest


def how_many(recipe: Recipe, episodes: int | None, env: TokenVectorEnv, own: dict[str, Any]) -> int:
    """How many episodes are recorded: so many, or all there are.

    Raises:
        ValueError: there are not so many, or there is no end to them.
    """
    if recipe.size is None:
        if episodes is None:
            raise ValueError(f"the data set {recipe.name} has no end of its own: say how many episodes to record")
        return episodes
    there_are = recipe.size(env, **own)
    if episodes is not None and episodes > there_are:
        raise ValueError(f"the data set {recipe.name} has {there_are} episodes, {episodes} were asked for")
    return there_are if episodes is None else episodes
