"""LMRL-Gym's maze: walk to the goal of a small maze (Abdulhai et al. 2023, arXiv:2311.18232).

The agent sees either its position or only the walls around it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from lang_envs.task import Reply, Task
from lang_envs.tokenizers import text_tokenizer, word_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

Observed = Literal["position", "walls"]
Style = Literal["words", "lmrl"]

MAP = (
    "#############",
    "#.....#.....#",
    "###.#####.###",
    "###.#####.###",
    "###.#####.###",
    "###.......###",
    "######.######",
    "######.######",
    "######.######",
    "#############",
)
CELLS = tuple((y, x) for y, row in enumerate(MAP) for x, square in enumerate(row) if square == ".")
"""the free squares, row and column from 0, in reading order; the goal is the last"""
GOAL = CELLS.index((8, 6))
STEPS = {"right": (0, 1), "left": (0, -1), "up": (-1, 0), "down": (1, 0)}
DIRECTIONS = tuple(STEPS)
_PLACES = {"right": "to your right", "left": "to your left", "up": "above you", "down": "below you"}
LIMIT = 100
"""the number of steps after which any utterance ends the episode"""
END, PAD, SUCCESS = "</s>", "<pad>", "success"


def _next(cell: int, direction: str) -> int:
    (y, x), (dy, dx) = CELLS[cell], STEPS[direction]
    return CELLS.index((y + dy, x + dx)) if (y + dy, x + dx) in CELLS else cell


NEXT = np.array([[_next(cell, direction) for direction in DIRECTIONS] for cell in range(len(CELLS))])  # [26, 4]
"""the cell to which each step leads from each cell; behind a wall, the cell itself"""


def _walls(cell: int) -> tuple[str, ...]:
    return tuple(direction for direction, to in zip(DIRECTIONS, NEXT[cell].tolist(), strict=True) if to == cell)


def _sentence(cell: int, observed: Observed) -> str:
    """The observation of a cell in LMRL-Gym's words."""
    places = [_PLACES[direction] for direction in _walls(cell)]
    walls = f"There are walls {', '.join(places)}." if len(places) > 1 else f"There is a wall {places[0]}."
    if observed == "walls":
        return walls
    goal, here = (", ".join(" ".join(str(n)) for n in CELLS[c]) for c in (GOAL, cell))  # digits stand apart
    return f"The goal is at position {goal}. Your current position is at position {here}. {walls}"


def _word(cell: int, observed: Observed) -> str:
    """The observation of a cell as one word."""
    y, x = CELLS[cell]
    return f"{y},{x}" if observed == "position" else f"walls:{','.join(_walls(cell))}"


_SEEN = [_word(cell, observed) for observed in get_args(Observed) for cell in range(GOAL)]
VOCABULARY = {token: i for i, token in enumerate((PAD, END, *DIRECTIONS, *dict.fromkeys(_SEEN), SUCCESS))}


class MazeState(NamedTuple):
    """A walk so far."""

    start: int
    """the cell the walk began in"""
    cell: int
    """the cell the agent is in now"""
    said: int = 0
    """number of utterances"""


class Maze(Task[MazeState]):
    """## Description
    Walk to the goal of a maze, one step at a time. The maze and the goal are always the same. The task is LMRL-Gym's
    (Abdulhai et al. 2023, arXiv:2311.18232) with the same rules. With `style="lmrl"` it has LMRL-Gym's texts too.

    ```text
    #############
    #.....#.....#
    ###.#####.###
    ###.#####.###
    ###.#####.###
    ###.......###
    ######.######
    ######.######
    ######G######
    #############
    ```

    ## Action Space
    `Discrete(39)`: `<pad>`, `</s>`, `right`, `left`, `up`, `down` (0-5), and the words of the observations. A
    direction is a step. An utterance is a single token, so no end token is needed. The agent may also say any other
    token, and then stays where it is. `action_masks()` allows the directions.

    ## Observation Space
    All tokens of the walk so far, at most 203. In `Maze-v0` a word gives the agent's position, row and column from 0
    (`5,9`). In `Maze-PO-v0` a word gives the walls around the agent (`walls:up,down`). At the goal it is `success`.

    LMRL-Gym shows the agent only its last observation (`Maze-v0`), or the last 40 texts (`Maze-PO-v0`, where a text
    that is no action also deletes all earlier texts). Here the agent reads its whole episode, as in every environment.
    In `Maze-v0` the last observation contains all information except the number of steps left, so the optimum is the
    same. In `Maze-PO-v0` the agent may remember more than 20 steps. The best walker needs no more than 20.

    ## Starting State
    Any free square except the goal. All 25 are equally likely. Each of them, in reading order, is a starting point of
    `reset(options={"context": 7})`.

    ## Rewards
    0 for the step that reaches the goal. -1 for any other step. A step into a wall also costs 1, and leaves the agent
    where it is. -4 for a text that is no step. Rewards are paid on the last token of the utterance.

    ## Episode End
    Terminates at the goal. After 100 steps the next utterance leaves the agent where it is, costs 1 and ends the walk.
    The lowest return of a walk of steps is therefore -101. Such a walk is truncated, because no observation shows how
    many steps are left. Values that depend only on the last observation are those of a walk that goes on.

    ## Information
    After each utterance: `success` (bool), whether the agent has reached the goal; `valid` (bool), whether the
    utterance was a step; `context` (int), the starting point.

    ## Arguments
    * `observed="position"`: what the agent sees, its position or the `"walls"`.
    * `style="words"`: one word for each observation and each direction, as above. Small models learn them from scratch
      in minutes. `"lmrl"`: the texts of LMRL-Gym, for models with other tokenizers. An observation is then `The goal is
      at position 8, 6. Your current position is at position 5, 9. There are walls to your right, below you.`, and an
      action is `move left`. The default tokenizer is the packaged one for any text.

    `Maze-v0` shows the position, `Maze-PO-v0` the walls.

    ## Reference Scores
    Mean returns over all starting points. They are exact (backward induction), except those marked as measured.

    | policy (`lang_envs.policies.maze`) | `Maze-v0` | `Maze-PO-v0` |
    |---|---|---|
    | `ShortestPath(task)`, the optimum | -6.84 | -7.24 |
    | `Walker(task)`, the walker of the logs: one good step in sixty, the others random | -82.99 | -82.9 (measured) |
    | `RandomWalk(task)` | -85.89 | -85.89 |
    | random tokens | -357 (measured) | -357 (measured) |

    LMRL-Gym normalises scores by the lowest return, the mean return of its data and a best return: 0 at -101, 50 at
    -83, 100 at -6.84 (`Maze-v0`) or -25.75 (`Maze-PO-v0`), and linear between these points. In `Maze-PO-v0` the optimum
    is higher than this best return. The recipe `maze` records `Walker`, because LMRL-Gym's own data are not available.

    ## Version History
    * v0: first version.
    """

    max_turns = LIMIT + 1
    reward_range = (-4.0, 0.0)
    num_contexts = GOAL

    def __init__(self, observed: Observed = "position", style: Style = "words") -> None:
        if observed not in get_args(Observed):
            raise ValueError(f"observed must be one of {get_args(Observed)}, got {observed!r}.")
        if style not in get_args(Style):
            raise ValueError(f"style must be one of {get_args(Style)}, got {style!r}.")
        self.observed, self.style = observed, style
        sentences = [_sentence(cell, observed) for cell in range(GOAL)]
        if style == "words":
            self.texts = [_word(cell, observed) for cell in range(GOAL)]
            self.steps = {direction: i for i, direction in enumerate(DIRECTIONS)}
            self.success, self.failure = SUCCESS, ""
            self.max_utterance_tokens = 1
            self.max_tokens = 1 + (LIMIT + 1) * 2  # an observation, each step and the observation after it
        else:
            self.texts = [f"{sentence}\n" for sentence in sentences]
            self.steps = {f"move {direction}": i for i, direction in enumerate(DIRECTIONS)}
            self.success, self.failure = "Success\n", "Failure\n"
            self.max_utterance_tokens = 8
            self.max_tokens = (LIMIT + 1) * (64 if observed == "position" else 32)
        self._in_words = dict(zip(self.texts, sentences, strict=True))
        example = ", ".join(map(repr, self.steps))
        self.instruction = (
            f"Find the goal of a maze in as few steps as you can. Say one of {example}, and nothing else."
        )
        self._tokenizer: PreTrainedTokenizerFast | None = None

    def begin(self, rng: np.random.Generator) -> tuple[MazeState, str]:
        """Draws the cell in which the walk begins."""
        return self.begin_at(int(rng.integers(self.num_contexts)), rng)

    def begin_at(self, context: int, rng: np.random.Generator) -> tuple[MazeState, str]:
        """Begins in cell ``context``, in reading order."""
        return MazeState(context, context), self.texts[context]

    def reply(self, state: MazeState, utterance: str, rng: np.random.Generator) -> Reply[MazeState]:
        """Takes one step.

        Raises:
            ValueError: the walk is over.
        """
        if state.cell == GOAL or state.said > LIMIT:
            raise ValueError("The walk is over: begin a new one before the next step.")
        step = self.steps.get(utterance.removesuffix("\n"))  # the end of the utterance stands for LMRL-Gym's line break
        if state.said == LIMIT:
            return self._reply(state, state.cell, -1.0, self.failure or self.texts[state.cell], step is not None)
        if step is None:
            return self._reply(state, state.cell, -4.0, self.texts[state.cell], False)
        cell = int(NEXT[state.cell, step])
        if cell == GOAL:
            return self._reply(state, cell, 0.0, self.success, True)
        return self._reply(state, cell, -1.0, self.texts[cell], True)

    def tokenizer(self) -> PreTrainedTokenizerFast:
        """A tokenizer with one token for each word; in LMRL-Gym's style the packaged tokenizer for any text."""
        if self._tokenizer is None:
            own = self.style == "words"
            self._tokenizer = (
                word_tokenizer(list(VOCABULARY), end_token=END, pad_token=PAD) if own else text_tokenizer()
            )
        return self._tokenizer

    def in_words(self, observation: str) -> str:
        """An observation as LMRL-Gym's sentences."""
        return self._in_words.get(observation, observation.removesuffix("\n"))

    def legal_tokens(
        self, state: MazeState | None, said: Sequence[int], tokenizer: PreTrainedTokenizerFast
    ) -> NDArray[np.bool_] | None:
        """The tokens [39] of the directions; None for a tokenizer that is not the maze's own.

        They do not depend on the state and on what was said.
        """
        if not self.speaks(tokenizer):
            return None
        legal = np.zeros(len(VOCABULARY), np.bool_)
        legal[[VOCABULARY[direction] for direction in DIRECTIONS]] = True
        return legal

    def speaks(self, tokenizer: PreTrainedTokenizerFast) -> bool:
        """Whether a tokenizer is the maze's own, whose tokens the scripted walkers read and write."""
        own = self.style == "words"
        return own and (tokenizer is self._tokenizer or tokenizer.get_vocab() == VOCABULARY)

    def _reply(self, state: MazeState, cell: int, reward: float, text: str, valid: bool) -> Reply[MazeState]:
        info = {"success": cell == GOAL, "valid": valid, "context": state.start}
        return Reply(MazeState(state.start, cell, state.said + 1), text, reward, cell == GOAL, info)
