"""Beam search for the most probable utterances of a language model or a ``ValueLM``; nothing is sampled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import GenerationConfig

from agents.decoding.policy import LMPolicy
from lang_envs.rollout import Turn

if TYPE_CHECKING:
    from agents.agent import Agent

_ROWS = 256  # beams computed at once


class BeamSearch:
    """A policy (see ``lang_envs.Policy``) that returns the best of ``beams`` utterances that ``generate`` found.

    The score of an utterance is the mean of its tokens' log-probabilities under ``model(...).logits``, which for a
    ``ValueLM`` are those of the improved policy. The utterances depend on the history alone: rows are padded on the
    left, and the padding is masked.

    Args:
        agent: the agent whose model and tokenizer are used.
        beams: number of hypotheses that are kept, and of candidates that are returned.
        length_penalty: the sum of log-probabilities is divided by the length to this power; 0 prefers short utterances.

    Raises:
        ValueError: fewer than 1 beam, or an agent whose policy is not the distribution of its model.
    """

    name = "beams"

    def __init__(self, agent: Agent, beams: int = 4, length_penalty: float = 1.0) -> None:
        if beams < 1:
            raise ValueError(f"beams must be at least 1, got {beams}.")
        if type(agent.policy()) is not LMPolicy:
            raise ValueError(
                f"Beam search uses a model's own distribution, and the policy of {agent.name!r} has another one: it "
                "gives its model a return to aim at, or ranks whole utterances. Use its policy(), which samples."
            )
        # Any: `generate` is not part of PreTrainedModel's type
        self.model: Any = agent.model
        self.beams, self.length_penalty = beams, length_penalty
        self._end, self._pad, self._most = agent.lm.end_id, agent.lm.pad_id, agent.lm.max_utterance_tokens
        self._context = getattr(self.model.config.get_text_config(), "max_position_embeddings", None) or 2**31

    def act(self, histories: Sequence[NDArray[np.int32]], rngs: Sequence[np.random.Generator]) -> list[Turn]:
        """The best utterance for each history; the generators are not used."""
        return [best for best, *_ in self.candidates(histories)]

    def candidates(self, histories: Sequence[NDArray[np.int32]]) -> list[list[Turn]]:
        """``beams`` different utterances for each history, the best first.

        An utterance has the tokens up to the end token, or as many as the limit and the model's context allow. Its turn
        has no log-probabilities, because nothing was sampled.

        Raises:
            ValueError: a history is empty, or leaves no room for a token in the model's context.
        """
        lengths = [len(history) for history in histories]
        if lengths and not 1 <= min(lengths) <= max(lengths) < self._context:
            raise ValueError(
                f"A history must have between 1 and {self._context - 1} tokens, one fewer than the model reads; got "
                f"{min(lengths)} to {max(lengths)}. Make the environment with max_tokens={self._context}."
            )
        found: dict[int, list[Turn]] = {}
        for rows in self._batches(lengths):
            found |= zip(rows, self._search([histories[row] for row in rows]), strict=True)
        return [found[row] for row in range(len(histories))]

    def _batches(self, lengths: Sequence[int]) -> list[list[int]]:
        """Indices of histories in batches of similar length; in a batch all have room for equally many tokens."""
        by_room: dict[int, list[int]] = {}
        for row in np.argsort(lengths, kind="stable").tolist():
            by_room.setdefault(self._room(lengths[row]), []).append(row)
        size = max(1, _ROWS // self.beams)
        return [rows[at : at + size] for rows in by_room.values() for at in range(0, len(rows), size)]

    def _room(self, length: int) -> int:
        """The largest number of tokens that can be generated after a history."""
        return min(self._most, self._context - length)

    def _search(self, histories: list[NDArray[np.int32]]) -> list[list[Turn]]:
        longest = max(map(len, histories))
        tokens = torch.full((len(histories), longest), self._pad)  # [n, T] padded on the left
        mask = torch.zeros_like(tokens)
        for row, history in enumerate(histories):
            tokens[row, longest - len(history) :] = torch.as_tensor(np.asarray(history, np.int64))
            mask[row, longest - len(history) :] = 1
        device, training = self.model.device, self.model.training
        inherited = self.model.generation_config  # its penalties and bans would change the model's scores
        self.model.eval()
        try:
            self.model.generation_config = GenerationConfig()
            with torch.inference_mode():
                generated = self.model.generate(
                    input_ids=tokens.to(device),
                    attention_mask=mask.to(device),
                    num_beams=self.beams,
                    num_return_sequences=self.beams,
                    do_sample=False,
                    max_new_tokens=self._room(longest),
                    length_penalty=self.length_penalty,
                    eos_token_id=self._end,
                    pad_token_id=self._pad,
                )
        finally:
            self.model.generation_config = inherited
            self.model.train(training)
        said = generated[:, longest:].cpu().numpy().astype(np.int32)  # [n * beams, L]
        turns = [self._turn(row) for row in said]
        return [turns[at : at + self.beams] for at in range(0, len(turns), self.beams)]

    def _turn(self, said: NDArray[np.int32]) -> Turn:
        """The generated tokens without the padding behind the end token."""
        ends = np.flatnonzero(said == self._end)
        return Turn(said[: ends[0] + 1] if len(ends) else said)
