"""Distillation of an agent with values into a plain language model (Hinton et al. 2015, arXiv:1503.02531).

    pi(a | s)  ∝  pi_beta(a | s) exp(beta A(s, a))              the teacher, an agent's improved policy (``ValueLM``)
    L = KL(pi || pi_theta) = sum_a pi(a | s) (log pi(a | s) - log pi_theta(a | s))     mean over the agent's tokens

The student matches the teacher's whole distribution, and not only its samples. States are those of logged episodes and
of episodes that the teacher plays at temperature 1; ``played`` is the fraction of the latter. theta starts as pi_beta.
Settings of a decoding that do not concern the values (greedy, a temperature, top-k, top-p) are no part of pi. They are
applied to the student instead.

The result is a folder of the transformers library without a class of this project, which any server can load.

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
            ValueError: ``played`` is not in [0, 1].
        """
        if not 0 <= self.played <= 1:
            raise ValueError(f"played is a share from 0 to 1, not {self.played}.")


class Distilled(Agent):
    """The student: a plain language model that is trained to match a teacher with values.

    Args:
        teacher: the policy whose distribution the student matches.
        lm: the language model to start from; it is trained in place.
        config: see ``DistilConfig``.
    """

    name = "distil"
    dropout = False
    config: DistilConfig

    def __init__(self, teacher: LMPolicy, lm: LM, config: DistilConfig | None = None) -> None:
        super().__init__(lm, config)
        self.teacher = teacher

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The mean divergence over the agent's tokens."""
        loss = batch.mean(self.divergence(batch))
        return loss, {"loss/kl": loss.detach()}

    def divergence(self, batch: Batch) -> Tensor:
        """KL(pi || pi_theta) at the K real actions of a batch, in nats: [K]."""
        at = batch.places(batch.state)  # [K]
        teacher = next_token_logprobs(self.teacher, batch.input_ids, at)  # [K, V], -inf for tokens of probability 0
        states = read_batch(self.model.base_model, batch)[at]  # [K, d]
        scores = self.model.get_output_embeddings()(states)[:, : teacher.shape[-1]]  # [K, V]
        student, p = scores.float().log_softmax(-1), teacher.exp()  # [K, V] each
        return (p * (teacher.masked_fill(p == 0, 0.0) - student)).sum(-1)  # [K]


class Played(Around):
    """A live source whose episodes a fixed policy plays, instead of the agent in training."""

    needs_policy = False

    def __init__(self, source: Source, policy: Policy) -> None:
        super().__init__(source)
        self.policy = policy

    def sample(self, n: int, policy: Policy | None = None, rows: range | None = None) -> Episodes:
        """The next ``n`` episodes, or only the ``rows`` of them; the argument ``policy`` is not used."""
        return self.source.sample(n, self.policy, rows)


def teacher_of(agent: Agent, decoding: Mapping[str, Any]) -> LMPolicy:
    """The policy to distil, with those settings of ``decoding`` that concern the values.

    Raises:
        ValueError: the agent has no values of tokens, or its advantage weight is 0.
    """
    advice = "lang-envs merge --plain writes its language model, adapters and all, for any server."
    if not agent.needs_values:
        raise ValueError(f"There is nothing to distil: {agent.name!r} has no values. {advice}")
    if not agent.values_tokens:
        raise ValueError(f"There is nothing to distil: {agent.name!r} has no values of tokens. {advice}")
    spoken = {name: decoding[name] for name in SPOKEN if name in decoding}
    if spoken.get("advantage_weight", agent.model.config.advantage_weight) == 0:
        raise ValueError(
            "There is nothing to distil: with advantage_weight=0 the policy does not use its values. Set another "
            f"weight, as in --set advantage_weight=4. {advice}"
        )
    policy = agent.policy(**spoken)
    assert type(policy) is LMPolicy  # agents with values of tokens have no other
    return policy


def language_model_of(agent: Agent) -> LM:
    """A copy of an agent's language model in float32, without value heads and with merged adapters."""
    model = merged(agent.language_model) if agent.lm.lora is not None else agent.language_model
    model = copy.deepcopy(model).float().requires_grad_(True).eval()
    return LM(model, agent.lm.tokenizer, agent.lm.max_utterance_tokens)


def own_decoding(decoding: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a decoding that do not concern the values; they are applied to the student."""
    return {name: value for name, value in decoding.items() if name not in SPOKEN}


@torch.no_grad()
def mean_divergence(student: Distilled, batch: Batch) -> tuple[float, float]:
    """KL(teacher || student) in nats per token over a batch of episodes, and its standard error over episodes."""
    student.model.eval()
    each = batch.in_rows(student.divergence(batch))  # [B, A]
    tokens = batch.mask.sum(1)  # [B]
    mean = float(each.sum() / tokens.sum())
    residual = each.sum(1) - mean * tokens  # [B], for the standard error of a ratio of sums
    error = float(residual.std() / tokens.mean() / len(tokens) ** 0.5) if len(tokens) > 1 else 0.0
    return mean, error
