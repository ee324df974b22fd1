"""Log-probabilities of the agent's tokens under the model in training and under a reference policy pi0.

The reference is a frozen copy of the model from before training (``"start"``), or the behaviour policy, whose
log-probabilities were recorded with the episodes (``"logged"``). With adapters (``agents.models.lora``) the copy has
its own adapters and shares all other weights, which are frozen.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from agents.agent import Agent
from agents.data.batch import Batch
from agents.data.contexts import pieces
from agents.data.source import Logged, Source
from agents.models.lora import copy_of
from agents.models.reading import read_batch
from agents.models.token_scores import token_logprobs

Reference = Literal["start", "logged"]


def logprobs(model: Any, batch: Batch) -> Tensor:
    """The model's log pi(a | s) of every action, [B, A]; 0 in the padding."""
    hidden = read_batch(model.base_model, batch)  # [B * T, d]
    states = hidden[batch.places(batch.state)]  # [K, d]
    return batch.in_rows(token_logprobs(model.get_output_embeddings(), states, batch.flat(batch.action)))


def keep_start(agent: Agent) -> Any:
    """The agent's frozen copy of its start model. The first call makes it, so ``prepare`` calls this before any step.

    A resumed run makes the copy from the model that it gets, before the checkpoint's weights are loaded.
    """
    if agent.reference is None:
        agent.reference = copy_of(agent.language_model).eval().requires_grad_(False)
    return agent.reference.to(agent.model.device)


@torch.no_grad()
def start_logprobs(agent: Agent, batch: Batch) -> Tensor:
    """The start model's log pi0(a | s) of every action, [B, A], without gradient; 0 in the padding."""
    return logprobs(keep_start(agent), batch)


def reference_logprobs(agent: Agent, batch: Batch) -> tuple[Tensor, Tensor]:
    """The reference's log pi0(a | s), without gradient, and whether it is known: [B, A] each.

    The first is 0 in the padding and where it is unknown. The second is 1 where it is known, otherwise 0.
    """
    if agent.config.reference == "logged":
        return batch.logprob, batch.known  # [B, A] each
    return start_logprobs(agent, batch), batch.mask  # [B, A] each


def guards(agent: Agent, batch: Batch, logp: Tensor, logp0: Tensor, known: Tensor) -> dict[str, Tensor]:
    """Metrics: the KL divergence from pi0, and the shares of tokens with a known pi0 and without an end token.

    Args:
        agent: the agent, whose end token is used.
        batch: the episodes.
        logp: log pi(a | s), [B, A].
        logp0: log pi0(a | s), [B, A].
        known: 1 where ``logp0`` is known, [B, A].
    """
    ends = batch.mask * (batch.action == agent.lm.end_id)  # [B, A]
    return {
        "policy/kl": (known * (logp0 - logp.detach())).sum() / known.sum().clamp(min=1),
        "policy/recorded": batch.mean(known),
        "policy/malformed": batch.mean((batch.over_turns(ends) == 0).float()),
    }


def check_recorded(source: Source, setting: str = "reference") -> None:
    """Checks that logged episodes have the log-probabilities of the agent's tokens; live episodes always have them.

    Args:
        source: the source of the training.
        setting: the name of the algorithm's setting that is "logged", for the error.

    Raises:
        ValueError: an episode lacks them; the first one is named.
    """
    if not isinstance(source, Logged):
        return
    for first, episodes in pieces(source.data):
        unknown = episodes.is_action.copy()  # [N]
        if episodes.logprobs is not None:
            unknown &= np.isnan(episodes.logprobs)
        if unknown.any():
            b = int(episodes.offsets.searchsorted(unknown.argmax(), side="right")) - 1
            raise ValueError(
                f"{setting}='logged' needs the recorded log-probability of every token said, and episode {first + b} "
                f"lacks some. Record with a policy that knows them, or set {setting}='start'."
            )
