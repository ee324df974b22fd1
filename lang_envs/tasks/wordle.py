"""Wordle as a language task: the official game, and the one of Snell et al. (2023), "Offline RL for Natural Language
Generation with Implicit Language Q Learning", Section 5.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from lang_envs import words as word_lists
from lang_envs.dynamics import Dynamics
from lang_envs.task import Reply, Task
from lang_envs.tasks.wordle_dynamics import WordleDynamics
from lang_envs.tasks.wordle_game import ALPHABET, END, OVER, PAD, REPLY_END, START, VOCABULARY, Rules, WordleState
from lang_envs.tasks.wordle_patterns import (
    NUM_PATTERNS,
    SOLVED,
    WORD_LENGTH,
    Feedback,
    choose,
    colours,
    letters_of,
    marks_of,
    pattern_of,
    word_list,
)
from lang_envs.tokenizers import character_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

Hidden = Literal["fixed", "resample"]

_SOLVED = colours(SOLVED)
_COLOURED = {  # colours -> the reply with them
    seen: "".join(f"<{colour}>" for colour in seen) + REPLY_END for seen in map(colours, range(NUM_PATTERNS))
}


class Wordle(Task[WordleState]):
    """## Description
    Find a hidden five-letter word in six guesses. The agent writes a word. The environment answers with one colour per
    letter: green if the letter is in its place, yellow if it is elsewhere in the word, black if it is not in the word.

    ## Action Space
    `Discrete(35)`: a..z (0-25), `<g>` 26, `<b>` 27, `<y>` 28, `<|pad|>` 29, `</a>` 30, `</s>` 31, `<s>` 32, `<a>` 33,
    `</eod>` 34. A guess is five letters and `</a>`, which is an action too. A guess has at most six tokens. Any other
    text is an invalid guess: it costs a turn and gets no answer. `action_masks()` marks the tokens that keep a guess
    valid.

    ## Observation Space
    All tokens of the game so far, at most 74. `<a>`, then for each turn `a r o s e </a> <b> <y> <b> <b> <g>
    </s>`, and `</eod>` once the game is over.

    ## Starting State
    A word of the list. All are equally likely. The observation is `<a>`. With a fixed word, each word of the sorted
    list is a starting point: `reset(options={"context": 7})` hides the eighth. With `hidden="resample"` there are no
    starting points to choose from.

    ## Rewards
    -1 for each guess and 0 for the guess that solves the game, paid on the guess's last token. The return is 1 - n for
    a game solved by guess n, and -6 for a lost game.

    ## Episode End
    Terminates when the word is found, or after the sixth guess. Never truncates by itself.

    ## Information
    At the end of each guess: `success` (bool), whether it solved the game; `valid` (bool), whether it was five letters
    and, if required, a word of the list. With a fixed word also `context` (int), its place in the list.

    ## Arguments
    * `words="english"`: a packaged list (`english` 2,268 words, `english-400`, `english-200`, `english-100`,
      `english-30`), the path of a file with one word per line, or the words themselves. Lines of a file that are not
      five letters a-z are left out and counted in `skipped`.
    * `feedback="official"`: each letter of the hidden word gives at most one colour, as in the published game. With
      `"simple"`, every copy of a letter that occurs in the word is yellow, as in the paper.
    * `require_dictionary=True`: whether a guess must be in the list. If not, any five letters are valid.
    * `hidden="fixed"`: one word for the whole game. With `"resample"`, a word is drawn before each feedback from the
      words that agree with all feedback so far. The returns of a policy have the same distribution in both.

    `Wordle-v0` is the official game. `Wordle-Paper-v0` is the paper's: `feedback="simple"`, `require_dictionary=False`,
    `hidden="resample"`.

    LMRL-Gym's game (Abdulhai et al. 2023, arXiv:2311.18232) is `Wordle-Paper-v0` with `require_dictionary=True` and
    `words=` its list, `wordle_official_400.txt` of its repository (431 words, not packaged here). Its data are games of
    one mixture player: the recipe `wordle-mixed` with these options and `skills=(0.5,)`; what share of its guesses
    agree with the feedback is not published. Nor are the returns that its normalised scores rest on: BC 79.9, %BC 79.1,
    Monte-Carlo returns 94.9, ILQL 97.7, where 50 is the mean of its data and 100 its best return.

    ## Reference Scores
    Mean returns over 40,000 games, with standard errors below 0.008. The optimum of `english` is not known.

    | policy (`lang_envs.policies.wordle`), list `english` | `Wordle-v0` | `Wordle-Paper-v0` |
    |---|---|---|
    | `Optimal(task, "greedy")`, the expert | -2.671 | -2.685 |
    | `Optimal(task)`, opening with a start word | -2.695 | -2.705 |
    | `RandomConsistent(task)` | -3.125 | -3.171 |
    | `RandomMixture(task, 0.5)` | -4.232 | -4.258 |
    | `RandomValid(task)` | -5.991 | -5.992 |
    | random tokens | -6.000 | -6.000 |

    The expert on `english-400`, `english-200`, `english-100` and `english-30`: -1.933, -1.723, -1.541 and -1.167
    (`Wordle-v0`); the exact optimum: -1.915, -1.725, -1.540 and -1.167.

    ## Version History
    * v0: first version.

    Attributes:
        words: the words that can be hidden, sorted.
        skipped: lines of a word file that were left out.
    """

    max_turns = 6
    reward_range = (-1.0, 0.0)
    instruction = (
        "Find a hidden English word of five letters in six guesses. Say one word of five small letters at a time, and "
        "nothing else. You are answered with five letters: g where your letter is right and in its place, y where the "
        "word has it elsewhere, b where the word does not have it."
    )
    max_utterance_tokens = WORD_LENGTH + 1
    max_tokens = 74  # <a>, 6 x (5 letters, </a>, 5 colours, </s>), </eod>

    def __init__(
        self,
        words: str | os.PathLike[str] | Sequence[str] = "english",
        feedback: Feedback = "official",
        require_dictionary: bool = True,
        hidden: Hidden = "fixed",
    ) -> None:
        if feedback not in get_args(Feedback):
            raise ValueError(f"feedback must be one of {get_args(Feedback)}, got {feedback!r}.")
        if hidden not in get_args(Hidden):
            raise ValueError(f"hidden must be one of {get_args(Hidden)}, got {hidden!r}.")
        self.words, self.skipped = word_lists.load(words)
        self.feedback, self.require_dictionary, self.hidden = feedback, bool(require_dictionary), hidden
        self.lexicon = word_list(self.words)
        self.num_contexts = len(self.words) if hidden == "fixed" else None
        self._tokenizer: PreTrainedTokenizerFast | None = None
        self._legal: dict[tuple[int, ...], NDArray[np.bool_]] = {}

    def begin(self, rng: np.random.Generator) -> tuple[WordleState, str]:
        """Draws the hidden word if it is fixed."""
        hidden = self.words[int(rng.random() * len(self.words))] if self.hidden == "fixed" else None  # as ``below``
        return WordleState(hidden=hidden), START

    def begin_at(self, context: int, rng: np.random.Generator) -> tuple[WordleState, str]:
        """Hides word number ``context`` of the list."""
        return WordleState(hidden=self.words[context]), START

    def reply(self, state: WordleState, utterance: str, rng: np.random.Generator) -> Reply[WordleState]:
        """Answers one guess.

        Raises:
            ValueError: the game is over.
        """
        if state.solved or state.turn >= self.max_turns:
            raise ValueError("The game is over: begin a new one before the next guess.")
        turn = state.turn + 1
        valid = utterance in self.lexicon.places if self.require_dictionary else _is_word(utterance)
        guesses, seen, said = state.guesses, state.feedback, ""
        if valid:
            target = state.hidden or self.words[choose(self.consistent(state)[None], [rng])[0]]
            told = marks_of(utterance, target, self.feedback)
            guesses, seen, said = (*guesses, utterance), (*seen, told), _COLOURED[told]
        solved = valid and told == _SOLVED
        over = solved or turn == self.max_turns
        info: dict[str, Any] = {"success": solved, "valid": valid}
        if state.hidden is not None:
            info["context"] = self.lexicon.places[state.hidden]
        after = WordleState(turn, guesses, seen, state.hidden)
        return Reply(after, said + OVER * over, float(solved) - 1, over, info)

    def tokenizer(self) -> PreTrainedTokenizerFast:
        """A tokenizer with one token per letter and nine markers; ``</a>`` ends an utterance."""
        if self._tokenizer is None:
            self._tokenizer = character_tokenizer(list(VOCABULARY), end_token=END, pad_token=PAD)
        return self._tokenizer

    def in_words(self, observation: str) -> str:
        """The colours of a guess as five letters g, y, b, without the mark of the game's end; empty for the opening."""
        marks = observation.removesuffix(OVER).removesuffix(REPLY_END).removeprefix(START)
        return marks.replace("<", "").replace(">", "")

    def legal_tokens(
        self, state: WordleState | None, said: Sequence[int], tokenizer: PreTrainedTokenizerFast
    ) -> NDArray[np.bool_] | None:
        """Whether each token [35] keeps the guess valid: letters (with a dictionary, those of a word), then the end.

        If a guess cannot become valid any more, any letter is legal while there is room, then the end. None for a
        tokenizer that is not Wordle's own. The state is not used, so it may be None.
        """
        if not self.speaks(tokenizer):
            return None
        prefix = tuple(int(token) for token in said)
        if prefix not in self._legal:
            self._legal[prefix] = self._legal_after(prefix)
        return self._legal[prefix]

    def dynamics(self, tokenizer: PreTrainedTokenizerFast, num_envs: int) -> Dynamics | None:
        """Array dynamics if the tokenizer is Wordle's own, otherwise None."""
        if not self.speaks(tokenizer):
            return None
        resample = self.hidden == "resample"
        rules = Rules(self.lexicon, self.feedback, self.require_dictionary, resample, self.max_turns)
        return WordleDynamics(rules, num_envs)

    def consistent(self, state: WordleState) -> NDArray[np.bool_]:
        """Whether each word [W] agrees with all feedback of a game."""
        patterns = np.array([pattern_of(marks) for marks in state.feedback], np.uint8)  # [k]
        agree = self.lexicon.agreeing(letters_of(state.guesses), patterns, self.feedback)  # [k, W]
        return np.logical_and.reduce(agree, axis=0)

    def speaks(self, tokenizer: PreTrainedTokenizerFast) -> bool:
        """Whether a tokenizer is Wordle's own, whose tokens the scripted players read and write."""
        if tokenizer is self._tokenizer:
            return True
        return len(tokenizer) == len(VOCABULARY) and tokenizer.get_vocab() == VOCABULARY

    def _legal_after(self, prefix: tuple[int, ...]) -> NDArray[np.bool_]:
        legal = np.zeros(len(VOCABULARY), np.bool_)
        if len(prefix) >= WORD_LENGTH or max(prefix, default=0) >= len(ALPHABET):
            legal[VOCABULARY[END]] = True
        else:
            letters = (
                self._letters_after("".join(ALPHABET[token] for token in prefix)) if self.require_dictionary else []
            )
            legal[letters or slice(len(ALPHABET))] = True
        legal.flags.writeable = False
        return legal

    def _letters_after(self, prefix: str) -> list[int]:
        first, last = bisect_left(self.words, prefix), bisect_left(self.words, prefix + "~")
        return [ALPHABET.index(c) for c in sorted({word[len(prefix)] for word in self.words[first:last]})]


def _is_word(utterance: str) -> bool:
    """Whether an utterance is five letters a-z, in a list or not."""
    return len(utterance) == WORD_LENGTH and utterance.isascii() and utterance.isalpha() and utterance.islower()
