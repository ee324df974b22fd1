"""Log-probabilities of what was said: under the model that learns, and under the policy it is held against.

The reference is a frozen copy of the model as it was when training began (``"start"``), or the behaviour policy,
through the log-probabilities recorded with the episodes (``"logged"``). Under adapters (``agents.models.lora``) the
copy holds adapters of its own and shares all other weights, which do not change.
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
    """The model's log pi(a | s) of every token the agent said, [B, A]; 0 in the padding."""
    hidden = read_batch(model.base_model, batch)  # [B * T, d]
    states = hidden[batch.places(batch.state)]  # [K, d]
    return batch.in_rows(token_logprobs(model.get_output_embeddings(), states, batch.flat(batch.action)))


def keep_start(agent: Agent) -> Any:
    """The agent's frozen copy of its start; the first call makes it, so ``prepare`` calls it before any step.

    A resumed run makes it from the model it is given to start from, before the checkpoint's weights are put in.
    """
    if agent.reference is None:
        agent.reference = copy_of(agent.language_model).eval().requires_grad_(False)
    return agent.reference.to(agent.model.device)


@torch.no_grad()
def start_logprobs(agent: Agent, batch: Batch) -> Tensor:
    """The start's log pi0(a | s) of every token the agent said, [B, A], without gradient; 0 in the padding."""
    return logprobs(keep_start(agent), batch)


def reference_logprobs(agent: Agent, batch: Batch) -> tuple[Tensor, Tensor]:
    """The reference's log pi0(a | s), without gradient, and where it is known: [B, A] each.

    The first is 0 in the padding and where it is unknown; the second is 1 where it is known and 0 elsewhere.
    """
    if agent.config.reference == "logged":
        return batch.logprob, batch.known  # [B, A] each
    return start_logprobs(agent, batch), batch.mask  # [B, A] each


def guards(agent: Agent, batch: Batch, logp: Tensor, logp0: Tensor, known: Tensor) -> dict[str, Tensor]:
    """How far the policy has gone from pi0, and how much of what was said has no end; the last three are [B, A]."""
    ends = batch.mask * (batch.action == agent.lm.end_id)  # [B, A]
    return {
        "policy/kl": (known * (logp0 - logp.detach())).sum() / known.sum().clamp(min=1),
        "policy/recorded": batch.mean(known),
        "policy/malformed": batch.mean((batch.over_turns(ends) == 0).float()),
    }


def check_recorded(source: Source, setting: str = "reference") -> None:
    """Checks that logged episodes know the log-probabilities of what was said; live ones always do.

    Args:
        source: of the training.
        setting: the one of the algorithm that is "logged", for the error.

    Raises:
        ValueError: naming the first episode that does not.
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
