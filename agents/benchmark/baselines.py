"""Makes policies that are not trained, by the names that experiments use for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lang_envs.plugins import find
from lang_envs.policies.any_task import RandomTokens
from lang_envs.rollout import Policy, Turn

if TYPE_CHECKING:
    from lang_envs.tasks.movie_review import MovieReview
    from lang_envs.vector import TokenVectorEnv

Histories = Sequence[NDArray[np.int32]]
Make = Callable[..., Policy]
"""``make(env, **options)`` -> a policy in the environment's tokens."""


def make_policy(name: str, env: TokenVectorEnv, **options: Any) -> Policy:
    """A policy that is not trained, by its name.

    Args:
        name: "random_tokens", which plays every task; a name in ``POLICIES`` for the environment's task; or a name that
            an installed package registers, or "module:Name", of a ``Make``.
        env: the environment it plays in.
        **options: arguments of the policy.

    Raises:
        ValueError: the task has no policy of that name.
    """
    return _maker(name, env)(env, **options)


def check_policy(name: str, env: TokenVectorEnv, options: dict[str, Any]) -> None:
    """Checks that a policy can be made.

    Raises:
        ValueError, TypeError: the task has no policy of that name, or the policy does not take the options.
    """
    make = _maker(name, env)
    if options:  # a policy without options is not made here, because some take long
        make(env, **options)


def _maker(name: str, env: TokenVectorEnv) -> Make:
    task = type(env.task).__name__
    known = {"random_tokens": _in_tokens(RandomTokens), **(POLICIES[task]() if task in POLICIES else {})}
    return find("policies", name, known, f"policy for {task}", callable)


def _wordle_policies() -> dict[str, Make]:
    from lang_envs.policies import wordle

    return {
        "random": _of_task(wordle.RandomLegal),
        "random_word": _of_task(wordle.RandomValid),
        "random_consistent": _of_task(wordle.RandomConsistent),
        "mixture": _of_task(wordle.RandomMixture),
        "optimal": _of_task(wordle.Optimal),
    }


def _movie_review_policies() -> dict[str, Make]:
    from lang_envs.policies import movie_review

    found = {"random": RandomReview, "reviewer": movie_review.Reviewer, "optimal": OptimalReview}
    return {name: _of_task(kind) for name, kind in found.items()}


def _dialogue_policies() -> dict[str, Make]:
    from lang_envs.policies import dialogue

    found: dict[str, Callable[..., Policy]] = {
        "human": dialogue.HumanReply,
        "paraphrase": dialogue.Paraphrase,
        "random_reply": dialogue.RandomReply,
    }
    return {"nearest": _nearest_reply, **{name: _in_tokens(kind) for name, kind in found.items()}}


def _nearest_reply(env: TokenVectorEnv, logged_split: str = "train") -> Policy:
    """Says the reply to the nearest context of ``logged_split``, which is the split that agents have logs of."""
    from lang_envs.policies.dialogue import NearestReply
    from lang_envs.tasks.dialogue import Dialogue

    task: Any = env.task
    logged = Dialogue("chrf", task.corpus, logged_split, task.path)  # any reward: it is never computed
    return NearestReply(task, env.tokenizer, logged)


def _speakers(**kinds: Callable[..., Policy]) -> dict[str, Make]:
    """Policies that are made with the task and the tokenizer, by name."""
    return {name: _in_tokens(kind) for name, kind in kinds.items()}


def _visual_dialogue_policies() -> dict[str, Make]:
    from lang_envs.policies import visual_dialogue

    return _speakers(
        informative=visual_dialogue.Informative,
        yes_no=visual_dialogue.YesNo,
        random_questions=visual_dialogue.RandomQuestions,
        repetitive=visual_dialogue.Repetitive,
    )


def _maze_policies() -> dict[str, Make]:
    from lang_envs.policies import maze

    return {
        "random": _of_task(maze.RandomWalk),
        "walker": _of_task(maze.Walker),
        "optimal": _of_task(maze.ShortestPath),
    }


def _reddit_policies() -> dict[str, Make]:
    from lang_envs.policies import reddit

    return {"commenter": _in_tokens(reddit.Commenter), "logged": _in_tokens(reddit.Logged)}


def _clarifying_policies() -> dict[str, Make]:
    from lang_envs.policies import clarifying_qa

    return _speakers(
        ask_then_answer=clarifying_qa.AskThenAnswer,
        answer_at_once=clarifying_qa.AnswerAtOnce,
        ask_irrelevant=clarifying_qa.AskIrrelevant,
        random_answer=clarifying_qa.RandomAnswer,
    )


def _desk_policies() -> dict[str, Make]:
    from lang_envs.policies import service_desk

    return _speakers(
        expert=service_desk.Expert,
        guesser=service_desk.Guesser,
        hasty=service_desk.Hasty,
        any_act=service_desk.AnyAct,
    )


def _multiwoz_policies() -> dict[str, Make]:
    from lang_envs.policies import multiwoz_goal

    return _speakers(**{name.replace("-", "_"): kind for name, kind in multiwoz_goal.AGENTS.items()})


POLICIES: dict[str, Callable[[], dict[str, Make]]] = {
    "Wordle": _wordle_policies,
    "Maze": _maze_policies,
    "MovieReview": _movie_review_policies,
    "Dialogue": _dialogue_policies,
    "VisualDialogue": _visual_dialogue_policies,
    "Reddit": _reddit_policies,
    "ClarifyingQA": _clarifying_policies,
    "ServiceDesk": _desk_policies,
    "MultiWOZGoal": _multiwoz_policies,
}
"""Scripted policies by task and name; their modules are imported on use."""


def _of_task(kind: Callable[..., Policy]) -> Make:
    """A ``Make`` of policies that use their task's own tokens."""
    return lambda env, **options: kind(env.task, **options)


def _in_tokens(kind: Callable[..., Policy]) -> Make:
    """A ``Make`` of policies that use the environment's tokens."""

    def make(env: TokenVectorEnv, **options: Any) -> Policy:
        return kind(env.task, tokenizer=env.tokenizer, **options)

    return make


class RandomReview:
    """Writes a review token by token; all tokens that continue to some review are equally likely."""

    def __init__(self, task: MovieReview) -> None:
        self.task = task

    def act(self, histories: Histories, rngs: Sequence[np.random.Generator]) -> list[Turn]:
        """One review for each history."""
        return [Turn(self._review(rng)) for rng in rngs]

    def _review(self, rng: np.random.Generator) -> NDArray[np.int32]:
        said: list[int] = []
        while not said or said[-1] != self.task.end_id:
            legal = self.task.legal_tokens(None, said, self.task.tokenizer())
            assert legal is not None  # the tokenizer is the task's own
            said.append(int(rng.choice(np.flatnonzero(legal))))
        return np.array(said, np.int32)


class OptimalReview:
    """Writes a review token by token, always the token with the highest exact value."""

    def __init__(self, task: MovieReview) -> None:
        self.task = task

    def act(self, histories: Histories, rngs: Sequence[np.random.Generator]) -> list[Turn]:
        """One review for each history."""
        return [Turn(self._review(history)) for history in histories]

    def _review(self, history: NDArray[np.int32]) -> NDArray[np.int32]:
        said: list[int] = []
        while not said or said[-1] != self.task.end_id:
            said.append(int(self.task.optimal_q([*history, *said]).argmax()))
        return np.array(said, np.int32)
