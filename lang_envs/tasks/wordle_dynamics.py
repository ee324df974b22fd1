"""WordleDynamics: many games of Wordle at once, with arrays; each seed gives the same game as ``Wordle`` as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lang_envs.dynamics import Replies
from lang_envs.tasks.wordle_game import ALPHABET, END, OVER, REPLY_END, START, VOCABULARY, Rules, WordleState
from lang_envs.tasks.wordle_patterns import NUM_PATTERNS, SOLVED, WORD_LENGTH, below, choose, colours, feedback

_BLOCK = 64  # number of rows whose [n, W] arrays fit in the processor's cache


class WordleDynamics:
    """The states of N games in columns. See :class:`lang_envs.dynamics.Dynamics`."""

    def __init__(self, rules: Rules, num_envs: int) -> None:
        self.rules, self.lexicon = rules, rules.lexicon
        self._replies = np.empty((NUM_PATTERNS, WORD_LENGTH + 2), np.int32)  # five colours, </s>, </eod>
        for pattern in range(NUM_PATTERNS):
            self._replies[pattern, :WORD_LENGTH] = [VOCABULARY[f"<{c}>"] for c in colours(pattern)]
        self._replies[:, WORD_LENGTH:] = VOCABULARY[REPLY_END], VOCABULARY[OVER]

        self._turn = np.zeros(num_envs, np.int64)  # [N] number of utterances so far
        self._over = np.ones(num_envs, np.bool_)  # [N]
        self._guesses = np.zeros((WORD_LENGTH, rules.max_turns, num_envs), np.uint8)
        self._patterns = np.zeros((rules.max_turns, num_envs), np.uint8)
        self._valid = np.zeros((rules.max_turns, num_envs), np.bool_)
        self._hidden = np.zeros(num_envs, np.int64)  # [N] index in the list; unused if it is drawn at every turn
        # [N, W] whether each word agrees with all feedback of the game so far; kept only if hidden words are drawn anew
        self._consistent = np.zeros((num_envs, len(self.lexicon)), np.bool_) if rules.resample else None

    def begin(
        self, rows: NDArray[np.int64], rngs: Sequence[np.random.Generator], contexts: Sequence[int | None] = ()
    ) -> Replies:
        """Starts new games in ``rows``."""
        if self._consistent is None:
            self._hidden[rows] = self._hide(rngs, contexts)
        else:
            self._consistent[rows] = True
        self._turn[rows] = 0
        self._over[rows] = False
        self._valid[:, rows] = False
        n = len(rows)
        start = np.full((n, 1), VOCABULARY[START], np.int32)
        return Replies(start, np.ones(n, np.int64), np.zeros(n, np.float32), np.zeros(n, np.bool_))

    def reply(
        self,
        rows: NDArray[np.int64],
        utterances: NDArray[np.int32],
        lengths: NDArray[np.int64],
        rngs: Sequence[np.random.Generator],
    ) -> Replies:
        """Answers one guess in each of ``rows``.

        Raises:
            ValueError: one of the games is over.
        """
        if self._over[rows].any():
            row = rows[self._over[rows]][0]
            raise ValueError(f"The game in row {row} is over: begin a new one before the next guess.")
        guesses, valid = self._read(utterances, lengths)  # [5, n], [n]
        if self.rules.require_dictionary:
            valid &= self.lexicon.find(guesses) >= 0
        patterns = self._feedback(rows, guesses, valid, rngs)
        turn = self._turn[rows]
        self._guesses[:, turn, rows], self._patterns[turn, rows], self._valid[turn, rows] = guesses, patterns, valid
        self._turn[rows] = turn + 1

        success = valid & (patterns == SOLVED)
        over = success | (turn + 1 == self.rules.max_turns)
        self._over[rows] = over
        tokens = self._replies.take(patterns, axis=0)  # [n, 7]
        tokens[~valid, 0] = VOCABULARY[OVER]
        said = valid * (WORD_LENGTH + 1) + over
        info: dict[str, NDArray[Any]] = {"success": success, "valid": valid}
        if self._consistent is None:
            info["context"] = self._hidden[rows]
        return Replies(tokens, said, success.astype(np.float32) - 1, over, info)

    def state(self, row: int) -> WordleState:
        """The game in ``row`` as the value that ``Wordle.reply`` returns."""
        from lang_envs.tasks.wordle_game import WordleState

        turns = np.flatnonzero(self._valid[:, row])
        return WordleState(
            turn=int(self._turn[row]),
            guesses=tuple("".join(ALPHABET[c] for c in self._guesses[:, t, row]) for t in turns),
            feedback=tuple(colours(int(self._patterns[t, row])) for t in turns),
            hidden=self.lexicon.words[self._hidden[row]] if self._consistent is None else None,
        )

    def _hide(self, rngs: Sequence[np.random.Generator], contexts: Sequence[int | None]) -> NDArray[np.int64]:
        """The indices [n] of the words to hide: ``contexts``, and drawn words for None."""
        if not any(context is not None for context in contexts):
            return below(len(self.lexicon), rngs)
        hidden = np.array([-1 if context is None else context for context in contexts], np.int64)
        for i in np.flatnonzero(hidden < 0).tolist():
            hidden[i] = below(len(self.lexicon), [rngs[i]])[0]
        return hidden

    def _read(
        self, utterances: NDArray[np.int32], lengths: NDArray[np.int64]
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """The letters [5, n] of each utterance, and whether it is one guess of five letters [n]."""
        n, width = utterances.shape
        if width < WORD_LENGTH:
            utterances = np.pad(utterances, ((0, 0), (0, WORD_LENGTH - width)), constant_values=VOCABULARY[END])
        ended = utterances[np.arange(n), lengths - 1] == VOCABULARY[END]
        letters = np.ascontiguousarray(utterances[:, :WORD_LENGTH].T)
        valid = (lengths - ended == WORD_LENGTH) & (letters.max(axis=0) < 26)
        if not valid.all():
            letters[:, ~valid] = 0
        return letters.astype(np.uint8), valid

    def _feedback(
        self,
        rows: NDArray[np.int64],
        guesses: NDArray[np.uint8],
        valid: NDArray[np.bool_],
        rngs: Sequence[np.random.Generator],
    ) -> NDArray[np.uint8]:
        """The patterns [n]. If the hidden word is drawn at every turn, it is not drawn for an invalid guess."""
        if self._consistent is None:
            return feedback(guesses, self.lexicon.letters.take(self._hidden[rows], axis=1), self.rules.feedback)
        patterns = np.zeros(len(rows), np.uint8)
        asked = np.flatnonzero(valid)
        for start in range(0, len(asked), _BLOCK):
            block = asked[start : start + _BLOCK]
            patterns[block] = self._drawn_feedback(rows[block], guesses[:, block], [rngs[i] for i in block.tolist()])
        return patterns

    def _drawn_feedback(
        self, rows: NDArray[np.int64], guesses: NDArray[np.uint8], rngs: Sequence[np.random.Generator]
    ) -> NDArray[np.uint8]:
        assert self._consistent is not None
        consistent = self._consistent[rows]  # [n, W]
        patterns = feedback(guesses, self.lexicon.letters[:, choose(consistent, rngs)], self.rules.feedback)
        self._consistent[rows] = consistent & self.lexicon.agreeing(guesses, patterns, self.rules.feedback)
        return patterns
