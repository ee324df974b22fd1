"""The common settings of value-based agents, and their four losses for given targets.

    L_Q   = ((y - Q(s, a)) / u)^2                              y is the agent's target; summed over the Q heads
    L_V   = |tau - 1(q < V(s))| ((q - V(s)) / u)^2             expectile of q, the agent's estimate of Q(s, a)
    L_CQL = -log softmax(Q(s, .) / u)[a]                       keeps tokens the data do not take low; each Q head
    L_BC  = -log pi_beta(a | s)                                the language model the values perturb
    L     = L_Q + L_V + cql_weight L_CQL + bc_weight L_BC

Agents that bootstrap look ahead over the agent's own tokens first (TD(lambda), Sutton and Barto 2018, 12.1):

    y_i = r_i + gamma ((1 - lambda_i) V(s_{i+1}) + lambda_i y_{i+1})

    backup = "token"      lambda_i = 0: one step, as in the paper
    backup = "utterance"  lambda_i = 1 inside an utterance and 0 at its last token: V is asked for only where the
                          environment has spoken
    backup = 0.95         lambda_i = 0.95 at every token but an episode's last

After the end of an episode both V and y are 0. A truncated episode uses V of its last state. A longer look ahead
carries a reward to the first token in one optimiser step. It carries the value of what the log said next, not of the
best that the log says from there. The fourth backup carries the latter:

    backup = "implicit"   y as "utterance" has it, and beside it inside an utterance
                          e_i = r_i + gamma e_{i+1},  where the last e is Qbar(s, a) of the utterance's last token:
                          L_Q = 2 (1 - tau) ((y - Q) / u)^2  +  (2 tau - 1) 2 |tau - 1(e < Q)| ((e - Q) / u)^2

tau = 1/2 is the mean of the log's continuations, tau = 1 the best of them. Inside an utterance only the choice of
tokens is random. The expectile of e is therefore a maximum that needs no token outside the log, as in L_V over single
tokens (Kostrikov et al. 2022, arXiv:2110.06169). The randomness of the environment after the utterance is only in y,
whose error is symmetric, so luck does not count as skill. An utterance that the record cuts short counts as ended
there.

u, ``value_unit``, is the standard deviation of the log's returns. The heads hold Q / u and V / u, so rewards in
hundreds or in hundredths are learned alike. Values, rewards, advantages and metrics are in units of reward everywhere.

Means are over the agent's tokens. Environment tokens and padding have no loss. Squares have no factor 1/2, as in the
code of Snell et al. 2023 (arXiv:2206.11871).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, get_args, get_type_hints

import torch

from agents.data.batch import Batch, backward_sum
from agents.models.values import Values
from datasets_builders.fields import check_types

Backup = Literal["token", "utterance", "implicit"] | float
"""how far a target looks ahead before it bootstraps; a number is the lambda of TD(lambda)"""

MeanBackup = Literal["token", "utterance"] | float
"""the backups of agents without an expectile"""

Error = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""a function of Q [K] and targets [K] that returns the error of each estimate, [K]"""


@dataclass
class ValueConfig:
    """Settings that all value-based agents share; the defaults are the paper's if it has them."""

    gamma: float = 0.99
    """discount factor"""
    discount_per: Literal["token", "turn"] = "token"
    """unit of the discount: the agent's tokens (the paper), or its utterances"""
    cql_weight: float = 0.001
    """weight of the conservative term; with a backup of one token, each token of an episode adds half of it to Q"""
    bc_weight: float = 1.0
    """weight of the language-model loss"""
    target_rate: float = 0.1
    """Polyak rate of the target heads after every optimiser step; values move back by about this many tokens per
    step"""
    num_q: Literal[1, 2] = 2
    """number of Q heads; with two, the smaller Q is used"""
    trunks: Literal["shared", "separate"] = "shared"
    """one shared transformer with target heads, or the paper's three transformers (policy, value, target)"""
    trunk_gradient: float = 0.3
    """fraction of the values' gradient that reaches a shared trunk. At 0 the language model learns as in pure imitation
    and the values learn little; 1 is the paper's code"""
    zero_init: bool = True
    """start every head as a constant, so that unseen tokens have no random values"""
    bias_init: float | None = None
    """initial constant of the heads; below the returns it is pessimistic about unseen tokens. None takes the mean of
    the log's returns"""
    value_unit: float | None = None
    """u, the unit in which values are learned, in units of reward; None takes the standard deviation of the log's
    returns"""
    q_head: Literal["full", "low_rank", "tied"] | None = None
    """last layer of the Q heads: separate weights for every token (the paper), a low-rank layer, or the language
    model's weights. None takes "low_rank" above 10,000 tokens and "full" below, and the agent's configuration then
    records which"""
    q_rank: int = 64
    """rank of a low-rank last layer"""

    def __post_init__(self) -> None:
        """Checks the settings, also those that some agents add.

        Raises:
            ValueError: a setting is out of its range, or of the wrong type.
        """
        check_values(self)


@dataclass
class BootstrapConfig(ValueConfig):
    """Settings that agents with bootstrapped targets add."""

    backup: Backup = "token"
    """how far a target looks ahead before it bootstraps: one "token", to the end of the "utterance", to its end towards
    the best continuation ("implicit"), or the lambda of TD(lambda), from 0 (one token) to 1 (the end of the episode)"""


def check_values(config: Any) -> None:
    """Checks those settings of a value-based agent that its configuration has.

    Raises:
        ValueError: a setting is out of its range, or of the wrong type.
    """

    def check(name: str, holds: Callable[[float], bool], expected: str) -> None:
        if (value := getattr(config, name, None)) is not None and not holds(value):
            raise ValueError(f"{name} {expected}, not {value}.")

    check("gamma", lambda x: 0 <= x <= 1, "is a discount from 0 to 1")
    check("tau", lambda x: 0 < x < 1, "is an expectile between 0 and 1; 0.5 is the mean")
    check("target_rate", lambda x: 0 < x <= 1, "is a rate above 0, at most 1")
    for name in ("awr_temperature", "max_weight", "kl_weight", "beta"):
        check(name, lambda x: x > 0, "must be above 0")
    check("value_unit", lambda x: 0 < x < math.inf, "must be above 0")
    for name in ("cql_weight", "bc_weight", "actor_weight", "kl_coef", "monte_carlo_steps"):
        check(name, lambda x: x >= 0, "must be at least 0")
    if isinstance(config, BootstrapConfig):
        _check_backup(config)
    check_types(config)


def _check_backup(config: BootstrapConfig) -> None:
    backup, named = config.backup, get_args(get_args(get_type_hints(type(config))["backup"])[0])
    if backup == "implicit" and (tau := getattr(config, "tau", 0.5)) < 0.5:
        raise ValueError(f'backup "implicit" looks for the best of what follows: it takes a tau from 0.5, not {tau}.')
    if backup not in named and not (isinstance(backup, int | float) and 0 <= backup <= 1):
        known = ", ".join(f'"{name}"' for name in named)
        raise ValueError(f"backup is {known} or a lambda from 0 to 1, not {backup!r}.")


def expectile_error(q: torch.Tensor, target: torch.Tensor, tau: torch.Tensor | float = 0.5) -> torch.Tensor:
    """The expectile error, [K] each -> [K]: its mean is smallest if q is the tau-expectile of target.

    With tau = 1/2 it is the squared error.
    """
    return 2 * (tau - (target < q).float()).abs() * (target - q) ** 2  # [K]


def value_losses(
    config: ValueConfig,
    batch: Batch,
    x: Values,
    target: torch.Tensor,
    q: torch.Tensor,
    tau: float,
    weight: torch.Tensor | None = None,
    error: Error = expectile_error,
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """The loss L of the module's first equations, and its parts as metrics.

    Args:
        config: the weights.
        batch: the episodes; ``batch.mean`` averages over real actions.
        x: the model's values on this batch.
        target: y [K], the targets of the Q heads; without gradient.
        q: [K], the values of which V is an expectile; without gradient.
        tau: the expectile; 1/2 is the mean.
        weight: [K], the weight of each token in L_BC, without gradient. None: all weights are 1.
        error: the error of each estimate in L_Q; it gets Q and y divided by the unit.
    """
    u = (q - x.v) / x.unit  # [K]
    target = target / x.unit  # [K]
    parts = {
        "loss/q": torch.stack([batch.mean(error(q_h / x.unit, target)) for q_h in x.q]).sum(),
        "loss/v": batch.mean((tau - (u < 0).float()).abs() * u**2),
        "loss/cql": torch.stack([batch.mean(cql_h) for cql_h in x.cql]).sum(),
        "loss/bc": batch.mean(x.nll if weight is None else weight * x.nll),
    }
    loss = (
        parts["loss/q"] + parts["loss/v"] + config.cql_weight * parts["loss/cql"] + config.bc_weight * parts["loss/bc"]
    )
    parts |= {"value/q": batch.mean(q), "value/v": batch.mean(x.v)}
    return loss, {name: part.detach() for name, part in parts.items()}


def targets(config: BootstrapConfig, batch: Batch, reward: torch.Tensor, v_next: torch.Tensor) -> torch.Tensor:
    """The targets y of TD(lambda), [K], from rewards [B, A] and V of each action's next state [K]."""
    follows = batch.gammas(config.gamma, config.discount_per) * batch.discount  # [B, A] gamma, 0 at the end
    v_next = batch.in_rows(v_next)  # [B, A]
    if config.backup == "token":
        return batch.flat(reward + follows * v_next)  # [K]
    trace = batch.inside().to(reward.dtype)  # [B, A] lambda, for "utterance" and "implicit"
    if not isinstance(config.backup, str):
        trace[:, :-1] = config.backup * batch.mask[:, 1:]
    return batch.flat(backward_sum(reward + follows * (1 - trace) * v_next, follows * trace))  # [K]


def ends(config: BootstrapConfig, batch: Batch, x: Values) -> torch.Tensor:
    """The e of the "implicit" backup, [K]: discounted rewards inside the utterance, and Qbar of its last token."""
    gamma, inside = batch.gammas(config.gamma, config.discount_per), batch.inside()  # [B, A] each
    worth = torch.where(inside, batch.reward, batch.in_rows(x.target_q))  # [B, A]
    return batch.flat(backward_sum(worth, gamma * inside))  # [K]


def bootstrapped_losses(
    config: BootstrapConfig, batch: Batch, x: Values, tau: float, weight: torch.Tensor | None = None
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """The loss with y from ``config.backup`` and q = Qbar(s, a), the smaller target head; ``weight`` is for L_BC."""
    y, error = targets(config, batch, batch.reward, x.v_next), expectile_error  # [K]
    if config.backup == "implicit":
        best = torch.where(batch.flat(batch.inside()), 2 * tau - 1, 0.0)  # [K] weight of the expectile of e
        error = partial(_implicit_error, end=ends(config, batch, x) / x.unit, best=best, tau=tau)
    return value_losses(config, batch, x, target=y, q=x.target_q, tau=tau, weight=weight, error=error)


def _implicit_error(
    q: torch.Tensor, target: torch.Tensor, end: torch.Tensor, best: torch.Tensor, tau: float
) -> torch.Tensor:
    """The error of the "implicit" backup: [K] each -> [K]."""
    return (1 - best) * expectile_error(q, target) + best * expectile_error(q, end, tau)  # [K]


def return_losses(config: ValueConfig, batch: Batch, x: Values) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """The loss with y = q = the discounted return from each action on, and V as their mean."""
    returns = batch.flat(batch.returns_to_go(config.gamma, config.discount_per))  # [K]
    return value_losses(config, batch, x, target=returns, q=returns, tau=0.5)
