"""Proximal policy optimisation (Schulman et al. 2017, arXiv:1707.06347) with a KL penalty to the start policy pi0.

    r'_t = r_t - beta (log pi_old(a_t | s_t) - log pi0(a_t | s_t))       beta is ``kl_coef``; Ziegler et al. 2019
    A_t  = sum_k (gamma lambda)^k (r'_t+k + gamma V(s_t+k+1) - V(s_t+k))      (arXiv:1909.08593); A is then normalised
    rho  = pi(a | s) / pi_old(a | s)
    L    = -min(rho A, clip(rho, 1 - eps, 1 + eps) A) + value_weight (V - G)^2 - entropy_weight H(pi)       G = A + V

Advantages and losses are those of stable-baselines3's ``PPO``, or of sb3-contrib's ``MaskablePPO`` if ``mask_actions``
is set (``agents.sb3`` implements their interfaces). An action is a token. The actor is the language model. V is a head
on its last hidden states, and starts at 0. pi0 is the model before PPO's first step; with ``Mixed``, the model after
cloning.

One step of ``fit`` is one iteration. Every row of the live environment begins an episode and says ``rollout_tokens``
tokens; when an episode ends, the row begins another. The iteration then learns from all of it ``epochs`` times in
``minibatches`` parts. Each part is one update of the optimiser. Episodes that the iteration cuts are bootstrapped with
V and not continued, so a checkpoint needs none of them, and an interrupted run resumes bit for bit. Episode seeds are
those of ``Live``. Each of N rows takes every N-th seed, so some are skipped. Several processes share the rows;
minibatches, advantages and losses are those of all processes.

PPO learns from its own fresh samples and refuses ``Logged``. With ``Mixed`` the first ``logged_fraction`` of the steps
clone the log, with ``batch_size`` episodes each. The remaining steps play live. ``batch_size`` and ``accumulate``
concern only the cloning.

Different from the library's PPO: minibatches are whole episodes instead of shuffled tokens, because an episode is read
once for all of its tokens; AdamW, its schedule and the checkpoints are those of the training loop. Different from
Ziegler et al.: the target of the adaptive penalty is per token, not per sample.

The library asks for one token of every row at a time and keeps the history before each: rollout_tokens x rows x
max_tokens x 9 bytes. Keys and values are cached beside it. ``tests/perf/test_perf_ppo.py`` measures the remaining cost.

``save`` writes the language model without V and pi0. Checkpoints contain all three. ``policy()`` speaks by the whole
distribution: tokens that a mask excluded in training were never made unlikely.

Metrics: ``loss`` and its parts ``loss/policy`` and ``loss/value``; ``policy/kl``, the mean of log pi_old - log pi0 over
the said tokens; ``policy/kl_coef``; ``policy/update_kl``, the divergence between pi_old and pi;
``policy/clip_fraction``, the share of tokens with rho outside the clip; ``policy/entropy``;
``value/explained_variance``, 1 if V predicts the returns exactly; ``data/return`` of the finished episodes, without the
penalty (missing if none finished). While cloning only ``loss/bc``, ``loss`` and ``data/return``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from agents.agent import Agent
from agents.data.batch import Batch
from agents.data.source import Live, Mixed, Source
from agents.distributed import processes
from agents.models.lm import LM
from agents.reference import logprobs
from agents.sb3.actor_critic import ActorCritic


@dataclass
class PPOConfig:
    """PPO's settings.

    Raises:
        ValueError: one that cannot be meant.
    """

    kl_coef: float = 0.05
    """beta, the price of one nat of divergence from the start policy; 0 charges nothing"""
    kl_target: float | None = None
    """target in nats per token to which beta is adapted, by at most 2% per iteration; None keeps beta constant"""
    gamma: float = 1.0
    """discount factor per token"""
    gae_lambda: float = 0.95
    """lambda of the advantages: 1 sums rewards to the end, 0 looks one token ahead"""
    clip_range: float = 0.2
    """eps, how far the ratio may move from 1 before its gradient is 0"""
    epochs: int = 4
    """number of passes over each rollout"""
    minibatches: int = 4
    """number of parts of a rollout, split by episodes; each is one update"""
    value_weight: float = 0.5
    """weight of the squared error of V"""
    entropy_weight: float = 0.0
    """weight of the entropy"""
    rollout_tokens: int | None = None
    """tokens said in each row of the environment per iteration; None: the most that an episode can have"""
    mask_actions: bool = False
    """say only legal tokens, if the task defines them; the trained model then needs a mask in play too (see the top)"""

    def __post_init__(self) -> None:
        for name in ("epochs", "minibatches"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}.")
        for name in ("gamma", "gae_lambda"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} lies from 0 to 1, got {getattr(self, name)}.")
        if not self.clip_range > 0:
            raise ValueError(f"clip_range must be above 0, not {self.clip_range}.")
        for name in ("value_weight", "entropy_weight"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be at least 0, not {getattr(self, name)}.")
        if self.rollout_tokens is not None and self.rollout_tokens < 2:
            raise ValueError(f"rollout_tokens must be at least 2 or None, not {self.rollout_tokens}.")
        if self.kl_coef < 0:
            raise ValueError(f"kl_coef is a price and must be at least 0, not {self.kl_coef}.")
        if self.kl_target is not None and not (self.kl_target > 0 and self.kl_coef > 0):
            raise ValueError(
                f"kl_target must be above 0 and needs a kl_coef above 0 to start from; got {self.kl_target} and "
                f"{self.kl_coef}. With kl_target=None the coefficient stays."
            )


class PPO(Agent):
    """PPO by stable-baselines3 on live episodes, after cloning logged episodes if there are any.

    The equations are in ``help("agents.ppo")`` (Schulman et al. 2017, arXiv:1707.06347).
    """

    name = "ppo"
    dropout = False
    config: PPOConfig

    def __init__(self, lm: LM, config: PPOConfig | None = None, seed: int = 0) -> None:
        super().__init__(lm, config, seed)
        self._seed = seed
        self._network: ActorCritic | None = None  # made where training begins: it holds the model twice

    @property
    def network(self) -> nn.Module:
        """The model with the value head, and the frozen start policy, once training has begun."""
        return self.model if self._network is None else self._network

    @property
    def needs_returns(self) -> bool:
        """Not of a log, which it clones: it is paid for what it plays."""
        return False

    def prepare(self, source: Source) -> Source:
        """Refuses what PPO cannot learn from.

        Raises:
            ValueError: no live part, a task that knows no legal tokens where they are asked for, rows that several
                processes cannot share, or the extra ``ppo`` is not installed.
        """
        live = source.live if isinstance(source, Mixed) else source
        if not isinstance(live, Live) or (isinstance(source, Mixed) and source.logged_fraction == 1):
            raise ValueError(
                "PPO learns from episodes it has just played itself: it weighs each token by how much likelier it has "
                "become since, which holds close to the policy that said it and not for a log by others. "
                "Pass Live(env), or Mixed(Logged(data), Live(env)) to clone the log first. To learn from the log alone "
                "take an agent made for it, such as 'ilql' or 'awr'."
            )
        try:
            import agents.sb3.learner  # noqa: F401
        except ImportError as error:
            raise ValueError(
                f"PPO needs stable-baselines3 and sb3-contrib ({error}): pip install 'lang-envs[ppo]'."
            ) from None
        if self.config.mask_actions:
            check_legal_tokens(live)
        if (count := processes.count()) > 1:
            if live.env.num_envs % count:
                raise ValueError(
                    f"{live.env.num_envs} rows of the environment have no equal shares for {count} processes. Make it "
                    "with a multiple of their number, as in Live(id, num_envs=...)."
                )
            if self.fit_config is not None and self.fit_config.shard:
                raise ValueError(
                    "PPO plays with all weights at every token: set shard=False, and each process has all."
                )
        if self._network is None:
            self._network = ActorCritic(self.model, self._seed, self.config.kl_coef)
        return source

    def update(self, source: Source, optimizer: torch.optim.Optimizer, step: int, total: int) -> dict[str, Tensor]:
        """Clones the log in the first steps of a ``Mixed`` source; an iteration of PPO in all others.

        Raises:
            ValueError: the loss is not finite.
        """
        from agents.sb3.learner import iterate

        live, cloning = source, 0
        if isinstance(source, Mixed):
            live, cloning = source.live, math.floor(source.logged_fraction * total)
            if step <= cloning:
                return super().update(source.logged, optimizer, step, total)
        assert isinstance(live, Live) and self._network is not None  # see prepare
        assert self.fit_config is not None and self.parallel is not None  # set by the loop
        if step == cloning + 1 and cloning:
            self._network.remember_start()
        c = self.config
        metrics = iterate(
            self._network,
            self.parallel,
            live,
            optimizer,
            self.fit_config,
            c.rollout_tokens,
            c.minibatches,
            c.mask_actions,
            n_epochs=c.epochs,
            gamma=c.gamma,
            gae_lambda=c.gae_lambda,
            clip_range=c.clip_range,
            ent_coef=c.entropy_weight,
            vf_coef=c.value_weight,
        )
        if not math.isfinite(metrics["loss"]):
            raise ValueError(
                f"PPO's loss is {metrics['loss']} at step {step}, and the weights are spoilt. Go on from the last "
                "checkpoint or begin anew, with a lower lr, a smaller clip_norm or fewer epochs."
            )
        if self.config.kl_target is not None:
            self._network.adapt(metrics["policy/kl"], self.config.kl_target)
        return {name: torch.tensor(value) for name, value in metrics.items()}

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The cross-entropy of the agent's tokens, which logged episodes are cloned by."""
        loss = -batch.mean(logprobs(self.model, batch))
        return loss, {"loss/bc": loss.detach()}


def check_legal_tokens(live: Live) -> None:
    """Checks that the task knows which tokens are legal, by asking it at the start of an episode.

    Raises:
        ValueError: it does not.
    """
    task = live.env.task
    state, _ = task.begin(np.random.default_rng(0))
    if task.legal_tokens(state, [], live.env.tokenizer) is None:
        raise ValueError(
            f"mask_actions needs a task that knows its legal tokens, and {type(task).__name__} does not, with this "
            "tokenizer. Leave mask_actions at False."
        )
