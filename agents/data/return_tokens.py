"""Tokens the environment does not have, put between those it has: into batches to learn from, and into histories.

They are embeddings behind the environment's vocabulary. A ``Batch`` knows whose each token is; a policy gets nothing
but the tokens so far, and has to remember where its own utterances began.
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

REMEMBERED = 4096  # turns a policy keeps in mind, or as many as it speaks at once; many times what a rollout has open


def grow(model: PreTrainedModel, extra: int, seed: int) -> None:
    """Gives a model ``extra`` more tokens that it never says in ``generate``, and twice the positions.

    Only a table of positions (GPT-2's) grows: as each token inserted comes before one of the episode, twice is always
    enough. Rotary and relative positions are left alone.
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
    """Where the tokens ``prompt`` end, bool [B, T]."""
    found = torch.zeros_like(input_ids, dtype=torch.bool)  # [B, T]
    k = len(prompt)
    if input_ids.shape[1] >= k:
        wanted = torch.tensor(prompt, device=input_ids.device)  # [k]
        found[:, k - 1 :] = (input_ids.unfold(1, k, 1) == wanted).all(-1)
    return found


def insert(batch: Batch, before: Tensor, pad_id: int) -> Batch:
    """Puts ``before[b, t]`` before token t of episode b, nothing where it is -1: [B, T] -> a batch of longer rows.

    An action whose token has something put before it is then chosen in the state that ends with that.
    """
    some = before >= 0  # [B, T]
    moved = some.long().cumsum(1)  # [B, T] places by which each token moves on
    wide = before.shape[1] + int(moved[:, -1].max())
    place = torch.arange(before.shape[1], device=before.device) + moved  # [B, T]
    ids = batch.input_ids.new_full((len(batch), wide), pad_id).scatter_(1, place, batch.input_ids)  # [B, wide]
    row, t = some.nonzero(as_tuple=True)  # [N] each
    ids[row, place[row, t] - 1] = before[row, t]
    real = batch.attention_mask.new_zeros(ids.shape).scatter_(1, place, batch.attention_mask)  # [B, wide]
    real[row, place[row, t] - 1] = 1
    moved = torch.cat([moved, moved[:, -1:]], 1)  # [B, T + 1] nothing is put behind the last token

    def after(state: Tensor) -> Tensor:
        """Where a state [B, A] ends that goes up to the next token, or to the end."""
        return (state + moved.gather(1, state + 1)) * batch.mask.long()  # [B, A]

    return dataclasses.replace(
        batch, input_ids=ids, attention_mask=real, state=after(batch.state), next_state=after(batch.next_state)
    )


class Prompted:
    """A policy that puts ``token`` before each turn of its own and lets another policy speak.

    Where its turns began it knows of those it spoke itself, the newest ``REMEMBERED``; what others said, such as
    utterances that are replayed, is observation to it. Where it holds ``prompt``, ``best`` stands behind it.

    Args:
        speaker: reads what was inserted, and never says it.
        token: stands before the turn that is spoken.
        prompt: the tokens of the environment after which some agent speaks; none where it has none.
        best: the token for turns in the observation.
    """

    def __init__(self, speaker: Policy, token: int, prompt: Sequence[int], best: int) -> None:
        self.speaker, self.token, self.prompt, self.best = speaker, token, prompt, best
        self._known: dict[bytes, NDArray[np.int32]] = {}  # episode up to a turn's end -> with what is put in

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
        """What the speaker reads in the place of each history."""
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
    """A policy that puts ``token`` before the whole episode and lets another policy speak."""

    def __init__(self, speaker: Policy, token: int) -> None:
        self.speaker, self.token = speaker, np.array([token], np.int32)

    def act(self, histories: Sequence[NDArray[np.int32]], rngs: Sequence[np.random.Generator]) -> list[Turn]:
        """One utterance for each history, as the speaker's."""
        return self.speaker.act([np.concatenate([self.token, history], dtype=np.int32) for history in histories], rngs)


class PrefixTable(nn.Module):
    """Embeddings in which the token ``slope`` is w R + b: w is its own row, b the next, and R is ``value``.

    Args:
        table: reads all rows; it is not copied.
        slope: the token.
        value: R, of all rows read or of each: a number, or [B].
    """

    def __init__(self, table: nn.Module, slope: int, value: float | Tensor) -> None:
        super().__init__()
        self.table, self.slope, self.value = table, slope, torch.as_tensor(value)

    def forward(self, ids: Tensor) -> Tensor:
        """Token ids [B, T] -> [B, T, d]."""
        w, b = self.table(torch.tensor([self.slope, self.slope + 1], device=ids.device))  # [d] each
        prefix = self.value.to(w).reshape(-1, 1, 1) * w + b  # [B or 1, 1, d]
        return torch.where((ids == self.slope)[..., None], prefix, self.table(ids))
