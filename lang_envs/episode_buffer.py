"""EpisodeBuffer: arrays into which a vector environment writes the histories of N episodes as they are played."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]
"""[n] the rows (of N) that a call changes or reads"""


class EpisodeBuffer:
    """N episodes of at most T tokens; row i holds the tokens, actions and rewards of episode i so far.

    The time of an append does not depend on T. With ``copy=False`` an observation is the buffer itself, and its time
    does not depend on T either. With ``copy=True`` an observation is a new array of N * T numbers.
    """

    def __init__(self, num_envs: int, max_tokens: int, pad_id: int, copy: bool = True) -> None:
        shape = (num_envs, max_tokens)
        self.pad_id = pad_id
        self.tokens = np.full(shape, pad_id, np.int32)  # [N, T] right-padded
        self.mask = np.zeros(shape, np.int8)  # [N, T] 1 where there is a token
        self.is_action = np.zeros(shape, np.bool_)  # [N, T]
        self.rewards = np.zeros(shape, np.float32)  # [N, T]
        self.length = np.zeros(num_envs, np.int64)  # [N] 0 in a row that was never begun
        self.num_actions = np.zeros(num_envs, np.int64)  # [N] number of tokens that the agent chose
        self._first = np.arange(num_envs) * max_tokens  # [N] where each row starts in the flattened arrays
        self._input_ids = None if copy else self.tokens.astype(np.int64)  # [N, T] the observation if it is not a copy
        self._flatten()

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Makes the flat views of a copied or unpickled buffer anew, so that they view its own arrays."""
        self.__dict__.update(state)
        self._flatten()

    def _flatten(self) -> None:
        """Makes views of the arrays with one dimension."""
        self._ids = [ids.reshape(-1) for ids in (self.tokens, self._input_ids) if ids is not None]  # each [N * T]
        self._is_token, self._is_action = self.mask.reshape(-1), self.is_action.reshape(-1)  # [N * T] each

    def clear(self, rows: Rows) -> None:
        """Empties ``rows``."""
        self.tokens[rows] = self.pad_id
        if self._input_ids is not None:
            self._input_ids[rows] = self.pad_id
        self.mask[rows] = 0
        self.is_action[rows] = False
        self.rewards[rows] = 0
        self.length[rows] = self.num_actions[rows] = 0

    def append_one(self, rows: Rows | slice, tokens: NDArray[np.integer[Any]]) -> None:
        """Adds one action [n] to each of ``rows``; they must have room."""
        at = self._first[rows] + self.length[rows]  # [n]
        for ids in self._ids:
            ids[at] = tokens
        self._is_token[at] = 1
        self._is_action[at] = True
        self.length[rows] += 1
        self.num_actions[rows] += 1

    def append(self, rows: Rows, tokens: NDArray[np.int32], lengths: Rows, *, is_action: bool) -> None:
        """Adds the first ``lengths`` [n] of ``tokens`` [n, R] to each of ``rows``; they must have room."""
        offsets = np.arange(tokens.shape[1])  # [R]
        real = offsets < lengths[:, None]  # [n, R]
        at = ((self._first[rows] + self.length[rows])[:, None] + offsets)[real]  # [sum of lengths]
        for ids in self._ids:
            ids[at] = tokens[real]
        self._is_token[at] = 1
        self.length[rows] += lengths
        if is_action:
            self._is_action[at] = True
            self.num_actions[rows] += lengths

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

    def history(self, row: int) -> NDArray[np.int32]:
        """All tokens of one row, [t]: a read-only view."""
        shown = self.tokens[row, : self.length[row]]
        shown.flags.writeable = False
        return shown

    def observation(self) -> dict[str, NDArray[Any]]:
        """The observation, arrays of [N, T]: a copy, or with ``copy=False`` the buffer itself."""
        if self._input_ids is not None:
            return {"input_ids": self._input_ids, "attention_mask": self.mask}
        return {"input_ids": self.tokens.astype(np.int64), "attention_mask": self.mask.copy()}

    def last_observation(self, rows: Rows) -> dict[str, NDArray[Any]]:
        """A copy of the observation of ``rows``, arrays of [n, T]."""
        return {"input_ids": self.tokens[rows].astype(np.int64), "attention_mask": self.mask[rows]}
