"""The histories of N episodes in arrays: what a vector environment writes while they are played."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]
"""[n] which of the N episodes a call is about"""


class Record:
    """N episodes of at most T tokens; row i holds the tokens, actions and rewards of episode i so far."""

    def __init__(self, num_envs: int, max_tokens: int, pad_id: int) -> None:
        shape = (num_envs, max_tokens)
        self.pad_id = pad_id
        self.tokens = np.full(shape, pad_id, np.int32)  # [N, T] right-padded
        self.mask = np.zeros(shape, np.int8)  # [N, T] 1 where there is a token
        self.is_action = np.zeros(shape, np.bool_)  # [N, T]
        self.rewards = np.zeros(shape, np.float32)  # [N, T]
        self.length = np.zeros(num_envs, np.int64)  # [N] 0 in a row that was never begun
        self._first = np.arange(num_envs) * max_tokens  # [N] where each row starts in the flattened arrays
        self._input_ids = self.tokens.astype(np.int64)  # [N, T] what is shown without a copy

    def clear(self, rows: Rows) -> None:
        """Empties ``rows``."""
        self.tokens[rows] = self.pad_id
        self.mask[rows] = 0
        self.is_action[rows] = False
        self.rewards[rows] = 0
        self.length[rows] = 0

    def append_one(self, rows: Rows, tokens: NDArray[np.integer[Any]]) -> None:
        """Adds one action [n] to each of ``rows``; they must have room."""
        at = self._first[rows] + self.length[rows]  # [n]
        self.tokens.reshape(-1)[at] = tokens
        self.mask.reshape(-1)[at] = 1
        self.is_action.reshape(-1)[at] = True
        self.length[rows] += 1

    def append(self, rows: Rows, tokens: NDArray[np.int32], lengths: Rows, *, is_action: bool) -> None:
        """Adds the first ``lengths`` [n] of ``tokens`` [n, R] to each of ``rows``; they must have room."""
        offsets = np.arange(tokens.shape[1])  # [R]
        real = offsets < lengths[:, None]  # [n, R]
        at = ((self._first[rows] + self.length[rows])[:, None] + offsets)[real]  # [sum of lengths]
        self.tokens.reshape(-1)[at] = tokens[real]
        self.mask.reshape(-1)[at] = 1
        if is_action:
            self.is_action.reshape(-1)[at] = True
        self.length[rows] += lengths

    def last(self, rows: Rows, lengths: Rows) -> NDArray[np.int32]:
        """The last ``lengths`` [n] tokens of each of ``rows``, [n, L] right-padded."""
        offsets = np.arange(lengths.max())  # [L]
        at = (self._first[rows] + self.length[rows] - lengths)[:, None] + offsets  # [n, L]
        tokens = self.tokens.reshape(-1).take(at, mode="clip")
        tokens[offsets >= lengths[:, None]] = self.pad_id
        return tokens

    def pay(self, rows: Rows, rewards: NDArray[np.float32]) -> None:
        """Puts ``rewards`` [n] on the last token of each of ``rows``."""
        self.rewards[rows, self.length[rows] - 1] = rewards

    def num_actions(self, rows: Rows) -> Rows:
        """How many tokens the agent chose, [n]."""
        return np.count_nonzero(self.is_action[rows], axis=1)

    def history(self, row: int) -> NDArray[np.int32]:
        """All tokens of one row, [t]: a read-only view."""
        shown = self.tokens[row, : self.length[row]]
        shown.flags.writeable = False
        return shown

    def observation(self, rows: Rows | slice, copy: bool = True) -> dict[str, NDArray[Any]]:
        """What an agent sees of ``rows``, each [n, T]; without ``copy``, of all rows in one buffer."""
        if copy:
            mask = self.mask[rows]
            return {"input_ids": self.tokens[rows].astype(np.int64), "attention_mask": mask.copy()}
        np.copyto(self._input_ids, self.tokens)
        return {"input_ids": self._input_ids, "attention_mask": self.mask}
