"""Scripted walkers of the maze. They infer their possible cells from the history alone, and use the maze's own tokens.

    belief b   the cells in which the walker may be, given its observations and steps (at most 25)
    U(b)       the highest return, summed over these cells:   U(b) = max_a sum over s in b of r(s, a)  +  sum_o U(b_ao)

b_ao are the cells to which step a leads from b and whose observation is o. If the position is observed, a belief is one
cell and U is the return of the shortest path. If only walls are observed, several cells have the same observation, and
the walker tells them apart by walking.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from lang_envs.policies.any_task import Generators, Histories, Mixture
from lang_envs.rollout import Turn
from lang_envs.tasks.maze import DIRECTIONS, GOAL, NEXT, VOCABULARY, Maze

Belief = frozenset[int]

TURNS = [Turn(np.array([VOCABULARY[direction]], np.int32)) for direction in DIRECTIONS]
"""each step as an utterance"""
GOOD_STEPS = 0.0167
"""share of good steps in the logs; with it the mean return is -83, as in LMRL-Gym's data"""
_STEP_OF = {VOCABULARY[direction]: i for i, direction in enumerate(DIRECTIONS)}
_SWEEPS = 100  # sweeps of value iteration; the walks of the best walker are much shorter


class RandomWalk:
    """Uniformly random steps, also into walls."""

    def __init__(self, task: Maze) -> None:
        _check(task)

    def act(self, histories: Histories, rngs: Generators) -> list[Turn]:
        """One step for each history."""
        return [TURNS[int(rng.random() * len(TURNS))] for rng in rngs]


class ShortestPath:
    """The optimal walker: the shortest path if the position is observed, else the path that is shortest on average."""

    def __init__(self, task: Maze) -> None:
        _check(task)
        self.looks = {VOCABULARY[text]: _cells(task, text) for text in set(task.texts)}  # token -> cells
        self.sees_all = task.observed == "position"
        self._best, self.optimum = _solved(tuple(self.looks.values()))

    def act(self, histories: Histories, rngs: Generators) -> list[Turn]:
        """One step for each history."""
        return [TURNS[self._best[self.belief(history.tolist())]] for history in histories]

    def belief(self, history: list[int]) -> Belief:
        """The cells in which the walker may be after the tokens of a walk."""
        if self.sees_all:
            return self.looks[history[-1]]
        belief, step = self.looks[history[0]], None
        for token in history[1:]:
            if token in self.looks:
                belief = _moved(belief, step) & self.looks[token]
                step = None
            elif step is None:
                step = _STEP_OF.get(token)
        return belief


class Walker(Mixture):
    """The policy of the logs: a share ``good`` of its steps are those of :class:`ShortestPath`, the rest are random."""

    def __init__(self, task: Maze, good: float = GOOD_STEPS) -> None:
        super().__init__(good, ShortestPath(task), RandomWalk(task))


def _check(task: Maze) -> None:
    if task.style != "words":
        raise ValueError("the scripted walkers speak the maze's own tokens: make it with style='words'")


def _cells(task: Maze, text: str) -> Belief:
    """The cells with this observation."""
    return frozenset(cell for cell, own in enumerate(task.texts) if own == text)


@lru_cache(maxsize=4096)
def _moved(belief: Belief, step: int | None) -> Belief:
    """The cells to which a step leads, without the goal."""
    return belief if step is None else frozenset(NEXT[sorted(belief), step].tolist()) - {GOAL}


@lru_cache(maxsize=4)
def _solved(looks: tuple[Belief, ...]) -> tuple[dict[Belief, int], float]:
    """The best step in every belief that can arise, and the mean return of the best steps over uniform starts."""
    after: dict[Belief, list[list[Belief]]] = {}  # belief -> for each step, the beliefs it may lead to
    waiting = list(looks)
    while waiting:
        belief = waiting.pop()
        if belief not in after:
            moved = [_moved(belief, step) for step in range(len(DIRECTIONS))]
            after[belief] = [[cells & look for look in looks if cells & look] for cells in moved]
            waiting += [b for beliefs in after[belief] for b in beliefs]
    worth = dict.fromkeys(after, 0.0)  # U; the sweeps approach it from above
    for _ in range(_SWEEPS):
        worth = {b: max(_values(b, after[b], worth)) for b in after}
    best = {b: int(np.argmax(_values(b, after[b], worth))) for b in after}
    return best, sum(worth[b] for b in looks) / sum(map(len, looks))


def _values(belief: Belief, after: list[list[Belief]], worth: dict[Belief, float]) -> list[float]:
    """The value of each step, summed over the cells of a belief."""
    stays = [(NEXT[sorted(belief), step] != GOAL).sum() for step in range(len(DIRECTIONS))]
    return [-float(n) + sum(worth[b] for b in beliefs) for n, beliefs in zip(stays, after, strict=True)]
