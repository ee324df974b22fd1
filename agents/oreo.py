"""OREO: learns a policy and its value from soft Bellman errors on logs (Wang et al. 2024). One setting of it is DRO.

    V(s) = E[sum of (r - beta log pi(a | s) / pi0(a | s)) from s on]    the return minus the cost of leaving pi0
    pi(a | s) = pi0(a | s) exp((r + E V(s') - V(s)) / beta)             holds of the best policy at every (s, a)

pi0 is the language model as it was when training began. Let G_i = r_i + r_(i+1) + .. and l_i = log pi(a_i | s_i) -
log pi0(a_i | s_i). Summed from token i on, the second line says that the mean of this error d_i is 0:

    d_i   = V(s_i) - G_i + beta sum_(j >= i) l_j
    L_V   = (d_i / u)^2                                        gradient only to V
    L_pi  = (d_i / u)^2 u / (2 beta)                           gradient only through l_i; later l_j and V are constants
    L_KL  = KL(pi(. | s_i) || pi0(. | s_i))                    over the whole vocabulary, not only logged tokens
    L     = L_V + L_pi + kl_coef L_KL

    policy  the language model pi, as it is

The paper is arXiv:2412.16145. ``per`` is the unit of an error. "token" is as above. With "turn" a whole utterance is
one action (the paper's step level): V is read at its beginning, and the l_j of all its tokens have a gradient. With
"episode" the whole episode is one action. This is DRO (Richemond et al. 2024, arXiv:2405.19107), whose V is the value
of the prompt. It is made for single replies. If the environment speaks in between, DRO attributes its randomness to the
policy.

The errors' means are divided by the number of tokens, as all means here. u is the spread of the log's returns. The
factor u / (2 beta) is DRO's. With it the gradient of L_pi is that of a policy gradient, d_i grad log pi, for any beta.
The paper needs no such factor, because it trains two models with two optimisers. As in the paper there is no discount.
A truncated episode counts as if it ended there. Its last state has no error, because an undiscounted V that bootstraps
from itself diverges.

OREO improves a policy that already speaks well: start from behaviour cloning. Its errors involve only logged tokens. If
all logged tokens lose probability to tokens outside the log, V can rise to compensate, and the errors do not show it.
L_KL prevents this. The loss of probability is stronger if V shares the policy's transformer. On ``MovieReview-v0``,
after cloning and 150 steps, two transformers with kl_coef 0.01 left 0.97 of the probability on the log's reviews. One
shared transformer left 0.00 with kl_coef 0.03, and 0.98 with 0.1.

Metrics: ``loss/v``, ``loss/policy`` and ``loss/kl`` are L_V, L_pi and L_KL; ``value/v`` is the mean of V, weighted by
the number of tokens of each error; ``policy/kl`` the mean of log pi0 - log pi over the agent's tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from agents.agent import Agent
from agents.data.batch import Batch, backward_sum
from agents.data.source import Source
from agents.models.reading import read_batch
from agents.models.token_scores import in_parts, token_logprobs
from agents.reference import keep_start
from agents.value_learning import check_values

Per = Literal["token", "turn", "episode"]


@dataclass
class OREOConfig:
    """Settings of OREO."""

    beta: float = 0.1
    """price of one nat of divergence from the start policy, in units of reward"""
    per: Per = "token"
    """unit of an error: each "token", each utterance ("turn"), or the whole "episode" (DRO)"""
    kl_coef: float = 0.01
    """weight of L_KL, which keeps probability from moving to tokens outside the log. A shared trunk needs about 0.1"""
    trunks: Literal["shared", "separate"] = "separate"
    """two transformers (policy, value), as in the paper, or one shared transformer"""
    trunk_gradient: float = 0.3
    """fraction of the value's gradient that reaches a shared trunk"""
    zero_init: bool = True
    """start V as a constant"""
    bias_init: float | None = None
    """initial constant of V; None takes the mean of the log's returns"""
    value_unit: float | None = None
    """u, the unit in which values are learned; None takes the standard deviation of the log's returns"""

    def __post_init__(self) -> None:
        """Checks the settings.

        Raises:
            ValueError: in words, for a setting that cannot be meant.
        """
        check_values(self)


class OREO(Agent):
    """Soft Bellman errors of a policy and its value.

    The equations are in ``help("agents.oreo")``
    (Wang et al. 2024, arXiv:2412.16145; Richemond et al. 2024, arXiv:2405.19107).
    """

    name = "oreo"
    needs_values = True
    dropout = False
    model_settings: ClassVar[dict[str, Any]] = {"q_head": "none", "advantage_weight": 0.0}
    config: OREOConfig

    def prepare(self, source: Source) -> Source:
        """Keeps the start as pi0; values start from the source's returns."""
        keep_start(self)
        return super().prepare(source)

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The losses above."""
        c, model, start = self.config, self.model, keep_start(self)
        unit, said = model.config.value_unit or 1.0, batch.places(batch.state)  # [K]
        policy, value, _ = model.states(batch)  # [B * T, d] each
        with torch.no_grad():
            policy0 = read_batch(start.base_model, batch)[said]  # [K, d]
            logp0 = token_logprobs(start.get_output_embeddings(), policy0, batch.flat(batch.action))  # [K]
        gained = batch.in_rows(model.said(batch, policy) - logp0)  # [B, A] l
        v = batch.in_rows(model.v(model.for_values(value[said]))[0].float().squeeze(-1))  # [B, A]
        returns = batch.returns_to_go(1.0)  # [B, A] G
        goes_on = same_unit(batch, c.per)  # [B, A]
        own = backward_sum(gained, goes_on.float())  # [B, A] of this error's own tokens, with their gradient
        later = (backward_sum(gained, batch.mask) - own).detach()  # [B, A]
        charged = c.beta * (own + later) - returns  # [B, A]
        counts = batch.mask.clone()  # [B, A] 1 where an error begins
        counts[:, 1:] *= ~goes_on[:, :-1]
        parts = {
            "loss/v": batch.mean(counts * ((v + charged.detach()) / unit) ** 2),
            "loss/policy": batch.mean(counts * ((v.detach() + charged) / unit) ** 2) * unit / (2 * c.beta),
        }
        loss = parts["loss/v"] + parts["loss/policy"]
        if c.kl_coef:
            parts["loss/kl"] = batch.mean(divergence(model, policy[said], start, policy0))
            loss = loss + c.kl_coef * parts["loss/kl"]
        tokens = backward_sum(batch.mask, goes_on.float())  # [B, A] of the error that begins there
        parts |= {"value/v": batch.mean(counts * tokens * v), "policy/kl": -batch.mean(gained)}
        return loss, {name: part.detach() for name, part in parts.items()}


def same_unit(batch: Batch, per: Per) -> Tensor:
    """Whether action i + 1 belongs to the error of action i, bool [B, A]; False at the last action."""
    if per == "turn":
        return batch.inside()
    goes_on = torch.zeros_like(batch.mask, dtype=torch.bool)  # [B, A]
    if per == "episode":
        goes_on[:, :-1] = batch.mask[:, 1:] > 0
    return goes_on


def divergence(model: Any, policy: Tensor, start: Any, policy0: Tensor) -> Tensor:
    """KL(pi || pi0) in K states, read by each model: [K, d] each -> [K]; a few states at a time."""
    head, head0 = model.get_output_embeddings(), start.get_output_embeddings()

    def of_some(states: Tensor, states0: Tensor) -> Tensor:  # [k, d] each -> [k]
        logp, logp0 = (h(x).float().log_softmax(-1) for h, x in ((head, states), (head0, states0)))  # [k, V] each
        return (logp.exp() * (logp - logp0)).sum(-1)

    def with_gradient(*some: Tensor) -> Tensor:  # the tables are made again for it, not kept
        return checkpoint(of_some, *some, use_reentrant=False)

    return in_parts(with_gradient, len(head.weight), policy, policy0)
