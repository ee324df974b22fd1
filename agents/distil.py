"""Distillation: an agent's values, put into the weights of a plain language model (Hinton et al. 2015, 1503.02531).

    pi(a | s)  ∝  pi_beta(a | s) exp(beta A(s, a))              the teacher, as the agent is to decode (``ValueLM``)
    L = KL(pi || pi_theta) = sum_a pi(a | s) (log pi(a | s) - log pi_theta(a | s))     mean over the agent's tokens

The teacher's whole distribution is matched, and not what it happens to say. States are those of logged episodes and of
episodes that the teacher plays, sampled at temperature 1: ``played`` says how many. theta starts as pi_beta. What of a
decoding is not the values' (greedy, a temperature, top-k, top-p) is no part of pi: the student is decoded so itself.

The result is a folder of the transformers library, without a class of this project: any server loads it.

Metrics: ``loss/kl`` is L, in nats a token.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from agents.agent import Agent
from agents.data.batch import Batch
from agents.data.source import Around, Source
from agents.decoding.distribution import next_token_logprobs
from agents.decoding.policy import LMPolicy
from agents.models.lm import LM
from agents.models.lora import merged
from agents.models.reading import read_batch
from agents.models.value_config import SPOKEN

if TYPE_CHECKING:
    from lang_envs.episode import Episodes
    from lang_envs.rollout import Policy


@dataclass
class DistilConfig:
    """Settings of distillation."""

    played: float = 0.5
    """fraction of the episodes that the agent plays; the rest are logged. Without a log all are played"""

    def __post_init__(self) -> None:
        """Checks the settings.

        Raises:
            ValueError: it is no share.
        """
        if not 0 <= self.played <= 1:
            raise ValueError(f"played is a share from 0 to 1, not {self.played}.")


class Distilled(Agent):
    """The student: a plain language model that learns what a teacher's values make of it.

    Args:
        teacher: whose distribution it learns.
        lm: where it starts; it is trained in place.
        config: see ``DistilConfig``.
    """

    name = "distil"
    dropout = False
    config: DistilConfig

    def __init__(self, teacher: LMPolicy, lm: LM, config: DistilConfig | None = None) -> None:
        super().__init__(lm, config)
        self.teacher = teacher

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The divergence above."""
        loss = batch.mean(self.divergence(batch))
        return loss, {"loss/kl": loss.detach()}

    def divergence(self, batch: Batch) -> Tensor:
        """KL(pi || pi_theta) at the K real actions of a batch, in nats: [K]."""
        at = batch.places(batch.state)  # [K]
        teacher = next_token_logprobs(self.teacher, batch.input_ids, at)  # [K, V], -inf for what is never said
        states = read_batch(self.model.base_model, batch)[at]  # [K, d]
        scores = self.model.get_output_embeddings()(states)[:, : teacher.shape[-1]]  # [K, V]
        student, p = scores.float().log_softmax(-1), teacher.exp()  # [K, V] each
        return (p * (teacher.masked_fill(p == 0, 0.0) - student)).sum(-1)  # [K]


class Played(Around):
    """A live source whose episodes one policy plays, whoever learns from them."""

    needs_policy = False

    def __init__(self, source: Source, policy: Policy) -> None:
        super().__init__(source)
        self.policy = policy

    def sample(self, n: int, policy: Policy | None = None, rows: range | None = None) -> Episodes:
        """The next ``n`` episodes, or of those the ``rows``."""
        return self.source.sample(n, self.policy, rows)


def teacher_of(agent: Agent, decoding: Mapping[str, Any]) -> LMPolicy:
    """The policy whose distribution is learned: of ``decoding``, what is the values'.

    Raises:
        ValueError: there is nothing to distil.
    """
    advice = "lang-envs merge --plain writes its language model, adapters and all, for any server."
    if not agent.needs_values:
        raise ValueError(f"There is nothing to distil: {agent.name!r} has no values. {advice}")
    if not agent.values_tokens:
        raise ValueError(f"There is nothing to distil: {agent.name!r} has no values of tokens to speak by. {advice}")
    spoken = {name: decoding[name] for name in SPOKEN if name in decoding}
    if spoken.get("advantage_weight", agent.model.config.advantage_weight) == 0:
        raise ValueError(
            "There is nothing to distil: decoded so, the language model speaks without its values (advantage_weight "
            f"is 0). Ask for another, as in --set advantage_weight=4. {advice}"
        )
    policy = agent.policy(**spoken)
    assert type(policy) is LMPolicy  # agents with values of tokens have no other
    return policy


def language_model_of(agent: Agent) -> LM:
    """A copy of an agent's language model, without values and with its adapters in its weights."""
    model = merged(agent.language_model) if agent.lm.lora is not None else agent.language_model
    model = copy.deepcopy(model).float().requires_grad_(True).eval()
    return LM(model, agent.lm.tokenizer, agent.lm.max_utterance_tokens)


def own_decoding(decoding: Mapping[str, Any]) -> dict[str, Any]:
    """What of a decoding is the student's own: all but how values enter."""
    return {name: value for name, value in decoding.items() if name not in SPOKEN}


@torch.no_grad()
def mean_divergence(student: Distilled, batch: Batch) -> tuple[float, float]:
    """KL(teacher || student) in nats a token over a batch of episodes, with its standard error over episodes."""
    student.model.eval()
    each = batch.in_rows(student.divergence(batch))  # [B, A]
    tokens = batch.mask.sum(1)  # [B]
    mean = float(each.sum() / tokens.sum())
    residual = each.sum(1) - mean * tokens  # [B] of a ratio of sums
    error = float(residual.std() / tokens.mean() / len(tokens) ** 0.5) if len(tokens) > 1 else 0.0
    return mean, error
