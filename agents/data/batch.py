"""Episodes as tensors with one column for each of the agent's actions: ``Batch`` and ``collate``.

Position j of an episode is the state "prefix x_0 .. x_j" and its action is x_{j+1} (Snell et al. 2023,
arXiv 2206.11871). Tokens of the environment are never actions. The state after an utterance is the one that ends with
the environment's reply, so backups skip the environment's tokens and do not discount for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lang_envs.episode import Episode, Episodes
from lang_envs.turns import turn_begins

Per = Literal["token", "turn"]


@dataclass
class Batch:
    """B episodes, T tokens, A >= 1 actions, padded on the right. Every field but ``input_ids`` is 0 in the padding.

    Action i of episode b is the token ``action[b, i]``, chosen in the state that ends at position ``state[b, i]``. The
    next state ends at ``next_state[b, i]``. That is the state of action i + 1, or the last position of the episode.
    """

    input_ids: Tensor
    """int64 [B, T]"""
    attention_mask: Tensor
    """int64 [B, T], 1 for real tokens"""
    state: Tensor
    """int64 [B, A], position of s_i"""
    next_state: Tensor
    """int64 [B, A], position of s_{i+1}, after any reply of the environment"""
    action: Tensor
    """int64 [B, A], token id"""
    reward: Tensor
    """float32 [B, A]"""
    discount: Tensor
    """float32 [B, A], 0 where the episode terminated with this action, otherwise 1, also where it was truncated"""
    mask: Tensor
    """float32 [B, A], 1 for real actions"""
    turn: Tensor
    """int64 [B, A], index of the utterance the action belongs to, from 0"""
    logprob: Tensor
    """float32 [B, A], log-probability under the policy that acted, 0 where unknown"""
    known: Tensor
    """float32 [B, A], 1 for real actions whose ``logprob`` was recorded; a recorded 0 means probability 1"""

    def __len__(self) -> int:
        return len(self.input_ids)

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on ``device``."""
        return Batch(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})

    def split(self, parts: int) -> list[Batch]:
        """At most ``parts`` batches with the same episodes in the same order, each cut to its own longest episode."""
        size = -(-len(self) // parts)
        return [self._part(slice(start, start + size)) for start in range(0, len(self), size)]

    def _part(self, rows: slice) -> Batch:
        tokens, actions = (max(1, int(m[rows].sum(1).max())) for m in (self.attention_mask, self.mask))
        width = {f.name: tokens if f.name in ("input_ids", "attention_mask") else actions for f in fields(self)}
        return Batch(**{name: getattr(self, name)[rows, :w] for name, w in width.items()})

    @cached_property
    def real(self) -> Tensor:
        """int64 [K], which of the B * A actions are real, one episode after another."""
        with torch.inference_mode(False):  # the cached tensor may be made in inference mode and used in training
            return self.mask.flatten().nonzero().squeeze(-1)

    @cached_property
    def ends(self) -> Tensor:
        """int64, which of the K real actions are the last of their episode; an episode without actions has none."""
        with torch.inference_mode(False):
            counts = self.mask.sum(1).long()  # [B]
            return (counts.cumsum(0) - 1)[counts > 0]

    def flat(self, x: Tensor) -> Tensor:
        """The entries of the real actions: x [B, A, ...] -> [K, ...]."""
        return x.flatten(0, 1).index_select(0, self.real)

    def in_rows(self, x: Tensor) -> Tensor:
        """The reverse of ``flat``: x [K] -> [B, A], 0 in the padding."""
        return x.new_zeros(self.mask.numel()).index_copy(0, self.real, x).view_as(self.mask)

    def places(self, index: Tensor) -> Tensor:
        """Positions [B, A] in each row of [B, T] -> those of the K real actions in [B * T]: ``places(batch.state)``."""
        first = torch.arange(len(self), device=index.device)[:, None] * self.input_ids.shape[1]  # [B, 1]
        return self.flat(index + first)

    def mean(self, x: Tensor) -> Tensor:
        """Mean of ``x`` [K] or [B, A] over the real actions; 0 if there are none."""
        total = x.sum() if x.ndim == 1 else (x * self.mask).sum()
        return total / self.mask.sum().clamp(min=1)

    def at(self, x: Tensor, index: Tensor) -> Tensor:
        """``x`` [B, T, ...] at the positions ``index`` [B, A] -> [B, A, ...]: ``batch.at(hidden, batch.state)``."""
        first = torch.arange(len(x), device=x.device)[:, None] * x.shape[1]  # [B, 1] where each row starts in [B * T]
        return x.flatten(0, 1).index_select(0, (index + first).flatten()).unflatten(0, index.shape)  # [B, A, ...]

    def over_turns(self, x: Tensor) -> Tensor:
        """The sum of ``x`` over the utterance of each action: [B, A] -> [B, A]."""
        return torch.zeros_like(x).scatter_add(1, self.turn, x).gather(1, self.turn)

    def gammas(self, gamma: float, per: Per = "token") -> Tensor:
        """The discount factor between action i and action i + 1, [B, A]; the field ``discount`` is not part of it.

        ``per="token"``: ``gamma`` at every action, as in the paper. ``per="turn"``: ``gamma`` at the last action of an
        utterance and 1 inside it; the last action of an episode counts as the end of its utterance.
        """
        if per == "token":
            return torch.full_like(self.reward, gamma)  # [B, A]
        if per != "turn":
            raise ValueError(f"per must be 'token' or 'turn', not {per!r}.")
        return torch.where(self.inside(), 1.0, gamma).to(self.reward.dtype)  # [B, A]

    def inside(self) -> Tensor:
        """Whether action i + 1 is in the utterance of action i, bool [B, A]; False at the last action."""
        inside = torch.zeros_like(self.mask, dtype=torch.bool)  # [B, A]
        inside[:, :-1] = (self.turn[:, 1:] == self.turn[:, :-1]) & (self.mask[:, 1:] > 0)
        return inside

    def returns_to_go(self, gamma: float, per: Per = "token") -> Tensor:
        """Discounted sum of the rewards from each action on, [B, A]: G_i = r_i + gamma_i G_{i+1}.

        The sum of a truncated episode ends where it was truncated; nothing is bootstrapped there.
        """
        return backward_sum(self.reward, self.gammas(gamma, per)) * self.mask  # [B, A]


def backward_sum(x: Tensor, factor: Tensor) -> Tensor:
    """y_i = x_i + factor_i y_{i+1}, with y = 0 after the end: x [B, A], factor [B, A] -> [B, A].

    It takes log2 A steps on whole columns, in double precision.
    """
    total, ahead_by = x.double(), factor.double()  # [B, A] each
    step = 1
    while step < total.shape[1]:  # doubles the reach: after k rounds y_i holds the terms of 2^k actions
        ahead, further = torch.zeros_like(total), torch.zeros_like(ahead_by)  # [B, A] each
        ahead[:, :-step], further[:, :-step] = total[:, step:], ahead_by[:, step:]
        total, ahead_by, step = total + ahead_by * ahead, ahead_by * further, 2 * step
    return total.to(x.dtype)


def collate(episodes: Episodes | Sequence[Episode], pad_id: int, end_id: int, limit: int | None = None) -> Batch:
    """Lays episodes out as a ``Batch``, on the processor.

    Turns are those of :func:`~lang_envs.turns.turn_begins`. All computation is on the K actions and N tokens of all
    episodes, one after another, which are put into rows at the end.

    Args:
        episodes: B episodes of any lengths.
        pad_id: fills the rows of shorter episodes; no result depends on it.
        end_id: the token that ends an utterance.
        limit: the environment's ``max_utterance_tokens``; None if no utterance was truncated.

    Raises:
        ValueError: if there are no episodes.
    """
    if not isinstance(episodes, Episodes):
        episodes = Episodes.from_list(list(episodes))
    offsets = episodes.offsets  # [B + 1]
    size = len(offsets) - 1
    if size == 0:
        raise ValueError("collate needs at least one episode, and got none.")
    lengths = offsets[1:] - offsets[:-1]  # [B]
    taken = episodes.is_action.nonzero()[0]  # [K] positions of the actions among the N tokens
    first = taken.searchsorted(offsets)  # [B + 1] where each episode's actions start among the K
    counts = first[1:] - first[:-1]  # [B]
    acted = counts > 0  # [B] an episode may have no action at all
    last = first[1:][acted] - 1  # [<= B] each episode's last action

    state = taken - (offsets[:-1] + 1).repeat(counts)  # [K]
    next_state = np.empty_like(state)  # [K]
    next_state[:-1] = state[1:]
    next_state[last] = lengths[acted] - 1
    discount = np.ones(len(taken), np.float32)  # [K]
    discount[last] = ~episodes.terminated[acted]
    action = episodes.tokens[taken]  # [K]
    turn = turn_begins(taken, action, end_id, limit).cumsum()  # [K] over all episodes at first
    turn -= turn[first[:-1][acted]].repeat(counts[acted])

    is_token = np.arange(lengths.max()) < lengths[:, None]  # [B, T]
    is_real = np.arange(max(1, counts.max())) < counts[:, None]  # [B, A]; A >= 1, so that no model meets an empty one
    recorded = None if episodes.logprobs is None else episodes.logprobs[taken]  # [K] NaN where unknown
    return Batch(
        input_ids=_rows(episodes.tokens, is_token, np.int64, pad_id),
        attention_mask=torch.from_numpy(is_token.astype(np.int64)),
        state=_rows(state, is_real, np.int64),
        next_state=_rows(next_state, is_real, np.int64),
        action=_rows(action, is_real, np.int64),
        reward=_rows(episodes.rewards[taken], is_real, np.float32),
        discount=_rows(discount, is_real, np.float32),
        mask=torch.from_numpy(is_real.astype(np.float32)),
        turn=_rows(turn, is_real, np.int64),
        logprob=_rows(None if recorded is None else np.nan_to_num(recorded), is_real, np.float32),
        known=_rows(None if recorded is None else ~np.isnan(recorded), is_real, np.float32),
    )


def _rows(values: NDArray[Any] | None, real: NDArray[np.bool_], dtype: type[np.generic], fill: int = 0) -> Tensor:
    """A tensor of the shape of ``real``: ``values`` where it is True, ``fill`` elsewhere, or everywhere if None."""
    out = np.full(real.shape, fill, dtype) if fill else np.zeros(real.shape, dtype)
    if values is not None:
        out[real] = values
    return torch.from_numpy(out)
