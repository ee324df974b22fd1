"""Inserts tokens that the environment does not have, such as return tokens, into batches and histories.

Their ids are behind the environment's vocabulary. A ``Batch`` knows which tokens are the agent's. A policy gets only
the tokens so far, so ``Prompted`` remembers where its own utterances began.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import PreTrainedModel

from agents.data.batch import Batch
from agents.models.resizing import resize
from lang_envs.rollout import Policy, Turn

REMEMBERED = 4096  # number of turns that ``Prompted`` remembers; many times the number of episodes in a rollout


def grow(model: PreTrainedModel, extra: int, seed: int) -> None:
    """Gives a model ``extra`` more tokens that ``generate`` never samples, and twice the positions, in place.

    Only a table of positions (GPT-2's) grows. At most one token is inserted before each token of an episode, so twice
    the positions are always enough. Rotary and relative positions have no table.
    """
    size = cast(nn.Embedding, model.get_input_embeddings()).num_embeddings
    table = getattr(model.base_model, "wpe", None)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        resize(model, size + extra, None if table is None else 2 * table.num_embeddings)
    if model.generation_config is not None:
        model.generation_config.suppress_tokens = list(range(size, size + extra))


def begins(batch: Batch) -> Tensor:
    """Which actions begin an utterance, bool [B, A]."""
    first = torch.ones_like(batch.turn, dtype=torch.bool)  # [B, A]
    first[:, 1:] = batch.turn[:, 1:] != batch.turn[:, :-1]
    return (batch.mask > 0) & first


def prompts(input_ids: Tensor, prompt: Sequence[int]) -> Tensor:
    """Whether the tokens ``prompt`` end at a position, bool [B, T]."""
    found = torch.zeros_like(input_ids, dtype=torch.bool)  # [B, T]
    k = len(prompt)
    if input_ids.shape[1] >= k:
        wanted = torch.tensor(prompt, device=input_ids.device)  # [k]
        found[:, k - 1 :] = (input_ids.unfold(1, k, 1) == wanted).all(-1)
    return found


def insert(batch: Batch, before: Tensor, pad_id: int) -> Batch:
    """Inserts ``before[b, t]`` before token t of episode b, or nothing where it is -1.

    The state of an action then ends with the token that was inserted before it.

    Args:
        batch: B episodes.
        before: int64 [B, T], the tokens to insert.
        pad_id: fills the rows of shorter episodes.
    """
    some = before >= 0  # [B, T]
    moved = some.long().cumsum(1)  # [B, T] number of positions by which each token moves
    wide = before.shape[1] + int(moved[:, -1].max())
    place = torch.arange(before.shape[1], device=before.device) + moved  # [B, T]
    ids = batch.input_ids.new_full((len(batch), wide), pad_id).scatter_(1, place, batch.input_ids)  # [B, wide]
    row, t = some.nonzero(as_tuple=True)  # [N] each
    ids[row, place[row, t] - 1] = before[row, t]
    real = batch.attention_mask.new_zeros(ids.shape).scatter_(1, place, batch.attention_mask)  # [B, wide]
    real[row, place[row, t] - 1] = 1
    moved = torch.cat([moved, moved[:, -1:]], 1)  # [B, T + 1] nothing is inserted after the last token

    def after(state: Tensor) -> Tensor:
        """The new positions of states [B, A], with what was inserted before the next token."""
        return (state + moved.gather(1, state + 1)) * batch.mask.long()  # [B, A]

    return dataclasses.replace(
        batch, input_ids=ids, attention_mask=real, state=after(batch.state), next_state=after(batch.next_state)
    )


class Prompted:
    """A policy that inserts ``token`` before each of its turns and asks another policy for the utterance.

    It remembers where its newest ``REMEMBERED`` turns began. Other turns, such as replayed utterances, are
    observation. In an observation ``best`` is inserted after every ``prompt``.

    Args:
        speaker: the policy that reads the longer histories; it never samples inserted tokens.
        token: the token before the policy's own turns.
        prompt: the tokens of the environment after which an agent speaks; empty if it has none.
        best: the token before turns in the observation.
    """

    def __init__(self, speaker: Policy, token: int, prompt: Sequence[int], best: int) -> None:
        self.speaker, self.token, self.prompt, self.best = speaker, token, prompt, best
        self._known: dict[bytes, NDArray[np.int32]] = {}  # episode up to a turn's end -> the same with inserted tokens

    def act(self, histories: Sequence[NDArray[np.int32]], rngs: Sequence[np.random.Generator]) -> list[Turn]:
        """One utterance for each history, as the speaker's."""
        prompted = self.prompted(histories)
        turns = self.speaker.act(prompted, rngs)
        for history, longer, turn in zip(histories, prompted, turns, strict=True):
            key = np.concatenate([history, turn.tokens], dtype=np.int32).tobytes()
            self._known.pop(key, None)  # so that it comes last
            self._known[key] = np.concatenate([longer, turn.tokens], dtype=np.int32)
        for old in list(self._known)[: -max(REMEMBERED, len(turns))]:
            del self._known[old]
        return turns

    def prompted(self, histories: Sequence[NDArray[np.int32]]) -> list[NDArray[np.int32]]:
        """The histories with inserted tokens, which the speaker reads."""
        lengths = sorted({len(key) for key in self._known}, reverse=True)  # in bytes
        return [self._prompt(np.asarray(history, np.int32), lengths) for history in histories]

    def _prompt(self, history: NDArray[np.int32], lengths: list[int]) -> NDArray[np.int32]:
        said = history.tobytes()
        known = next((n for n in lengths if said[:n] in self._known and n <= len(said)), 0)
        past = self._known[said[:known]] if known else history[:0]
        heard = history[known // history.itemsize :]
        ends = prompts(torch.tensor(heard)[None], self.prompt)[0].numpy() if self.prompt else heard < 0
        opens = np.flatnonzero(ends) + 1
        opens = opens[opens < len(heard)]  # the prompt of this very turn gets ``token``
        return np.concatenate([past, np.insert(heard, opens, self.best), [self.token]], dtype=np.int32)


class Prefixed:
    """A policy that inserts ``token`` before the whole episode and asks another policy for the utterance."""

    def __init__(self, speaker: Policy, token: int) -> None:
        self.speaker, self.token = speaker, np.array([token], np.int32)

    def act(self, histories: Sequence[NDArray[np.int32]], rngs: Sequence[np.random.Generator]) -> list[Turn]:
        """One utterance for each history, as the speaker's."""
        return self.speaker.act([np.concatenate([self.token, history], dtype=np.int32) for history in histories], rngs)


class PrefixTable(nn.Module):
    """Embeddings in which the token ``slope`` is w R + b, where w is its own row, b the next one, and R is ``value``.

    Args:
        table: the embeddings of all tokens; it is not copied.
        slope: the token's id.
        value: R: a number for all episodes, or [B].
    """

    def __init__(self, table: nn.Module, slope: int, value: float | Tensor) -> None:
        super().__init__()
        self.table, self.slope, self.value = table, slope, torch.as_tensor(value)

    def forward(self, ids: Tensor) -> Tensor:
        """Token ids [B, T] -> [B, T, d]."""
        w, b = self.table(torch.tensor([self.slope, self.slope + 1], device=ids.device))  # [d] each
        prefix = self.value.to(w).reshape(-1, 1, 1) * w + b  # [B or 1, 1, d]
        return torch.where((ids == self.slope)[..., None], prefix, self.table(ids))
