"""An iteration of stable-baselines3's ``PPO`` or sb3-contrib's ``MaskablePPO``, with a language model as its policy.

The libraries collect rollouts and update the weights. This module, ``agents.sb3.env`` and ``agents.sb3.buffer`` are
imported only when PPO trains, because the two packages are optional (the extra ``ppo``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from gymnasium import spaces
from sb3_contrib import MaskablePPO
from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy
from stable_baselines3 import PPO
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.utils import explained_variance
from torch import Tensor, nn

from agents.decoding.sampling import draw
from agents.distributed import processes
from agents.distributed.parallel import end_to_end
from agents.sb3.actor_critic import ActorCritic, Reader, masked_logprobs
from agents.sb3.buffer import TokenBuffer
from agents.sb3.env import TokenVecEnv

if TYPE_CHECKING:
    from agents.data.source import Live
    from agents.training.fit_config import FitConfig
    from lang_envs.vector import TokenVectorEnv


class TokenPolicy(MaskableActorCriticPolicy):
    """An ``ActorCritic`` as a policy of stable-baselines3, with or without masks.

    stable-baselines3's own networks and optimiser are not made: the training loop has an optimiser.

    Args:
        observation_space: space of histories.
        action_space: space of tokens.
        lr_schedule: not used.
        network: the network that acts and is trained.
        parallel: the ``Computation`` that runs ``network`` in training; see ``agents.distributed.parallel``.
        rng: draws the tokens of all rows.
        rows: the rows of this process.
        of: number of rows of all processes.
        bf16: whether whole episodes are read in bfloat16.
        **unused: further arguments that stable-baselines3 passes to every policy.
    """

    def __init__(
        self,
        observation_space: spaces.Dict,
        action_space: spaces.Discrete,
        lr_schedule: Any,
        network: ActorCritic,
        parallel: nn.Module,
        rng: np.random.Generator,
        rows: range,
        of: int,
        bf16: bool,
        **unused: Any,
    ) -> None:
        super().__init__(observation_space, action_space, lr_schedule)
        self.network, self.parallel, self.rng, self.bf16 = network, parallel, rng, bf16
        self.rows, self.of = rows, of
        self._reader: Reader | None = None

    def _build(self, lr_schedule: Any) -> None:
        """Does nothing: the network is an argument."""

    def forward(self, obs: Any, deterministic: bool = False, action_masks: Any = None) -> tuple[Tensor, Tensor, Tensor]:
        """One token for each history -> tokens, values, log-probabilities: [N] each.

        The cache of a row's episode is kept between calls. A policy therefore plays one rollout only, in which the
        weights do not change.
        """
        input_ids, length = obs["input_ids"].long().cpu().numpy(), obs["attention_mask"].long().sum(-1).cpu().numpy()
        if self._reader is None:
            self._reader = Reader(self.network, input_ids.shape)
        scores, value = self._reader.read(input_ids, length)  # [N, V], [N]
        logp = masked_logprobs(scores, action_masks)  # [N, V]
        u = torch.from_numpy(self.rng.random(self.of)[self.rows]).to(logp.device)  # [N]
        token = logp.argmax(-1) if deterministic else draw(logp, u)  # [N]
        return token, value.float(), logp.gather(-1, token[:, None]).squeeze(-1)

    def predict_values(self, obs: Any) -> Tensor:
        """Values of histories, [N]; PPO needs them where a rollout or an episode was truncated."""
        input_ids, last = obs["input_ids"].long(), obs["attention_mask"].long().sum(-1) - 1  # [N, T], [N]
        rows = torch.arange(len(last), device=last.device)  # [N]
        return self.network(input_ids[:, : int(last.max()) + 1], rows, last)[1].float()

    def evaluate_actions(self, obs: Any, actions: Tensor, action_masks: Any = None) -> tuple[Tensor, Tensor, Tensor]:
        """Values, log-probabilities and entropies of K actions that ``TokenBuffer`` returned.

        The results are those of all processes' actions, [K of all] each, so that every process computes the same loss.
        """
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            scores, value = self.parallel(self.network, **obs)  # [K, V], [K]
        logp = masked_logprobs(scores, action_masks)  # [K, V]
        entropy = -(logp.exp() * logp).sum(-1)  # [K]
        taken = logp.gather(-1, actions[:, None]).squeeze(-1)  # [K]
        value, taken, entropy = end_to_end(torch.stack([value.float(), taken, entropy]))  # [K of all] each
        return value, taken, entropy


def iterate(
    network: ActorCritic,
    parallel: nn.Module,
    live: Live,
    optimizer: torch.optim.Optimizer,
    fit: FitConfig,
    rollout_tokens: int | None,
    minibatches: int,
    mask_actions: bool,
    **settings: float,
) -> dict[str, float]:
    """One iteration of PPO: collects ``rollout_tokens`` in every row and updates the network.

    It plays the episodes that ``live`` would play next, each from its beginning. Only the weights and the number of
    episodes played are kept after the iteration. With several processes each plays its share of the rows, and all
    update the network on all rows. ``settings`` are those of stable-baselines3's ``PPO``.

    Returns:
        The metrics, which ``agents.ppo`` explains.
    """
    env, first = live.env, live.first + live.played
    rows, rng = processes.share(env.num_envs), np.random.default_rng((first, fit.seed, 2))
    episodes = TokenVecEnv(env, first, rows)
    steps = rollout_tokens or most_actions(env)
    kind: Any = MaskablePPO if mask_actions else PPO
    algorithm = kind(
        TokenPolicy,
        episodes,
        learning_rate=lambda _: optimizer.param_groups[0]["lr"],  # set by the training loop
        n_steps=steps,
        batch_size=steps * len(rows),
        **settings,
        max_grad_norm=fit.clip_norm,
        rollout_buffer_class=TokenBuffer,
        rollout_buffer_kwargs={
            "network": network,
            "rng": rng,
            "minibatches": minibatches,
            "masked": mask_actions,
        },
        policy_kwargs={
            "network": network,
            "parallel": parallel,
            "rng": rng,
            "rows": rows,
            "of": env.num_envs,
            "bf16": fit.bf16,
        },
        stats_window_size=steps * len(rows),  # large enough for all episodes
        device=next(network.parameters()).device,
    )
    algorithm.policy.optimizer = optimizer
    algorithm.set_logger(Logger(None, []))
    algorithm.learn(steps * len(rows), log_interval=None)
    network.eval()
    live.played += env.num_envs * max(processes.gathered(int(episodes.begun.max())))
    return _metrics(algorithm)


def most_actions(env: TokenVectorEnv) -> int:
    """The largest number of tokens that the agent can generate in an episode."""
    said = min(env.task.max_turns * env.task.max_utterance_tokens, env.max_tokens)
    return said if env.max_episode_steps is None else min(said, env.max_episode_steps)


def _metrics(algorithm: PPO | MaskablePPO) -> dict[str, float]:
    """The metrics that the library recorded, under the names of ``agents.ppo``.

    ``data/return`` is missing if no episode ended.
    """
    recorded, buffer = algorithm.logger.name_to_value, algorithm.rollout_buffer
    assert isinstance(buffer, TokenBuffer)
    policy, value = recorded["train/policy_gradient_loss"], recorded["train/value_loss"]
    entropy = -recorded["train/entropy_loss"]
    finished = processes.joined(np.array([episode["r"] for episode in algorithm.ep_info_buffer or ()]))
    metrics = {
        "loss": policy + algorithm.vf_coef * value - algorithm.ent_coef * entropy,
        "loss/policy": policy,
        "loss/value": value,
        "policy/entropy": entropy,
        "policy/kl": buffer.kl,
        "policy/kl_coef": buffer.network.kl_coef.item(),
        "policy/update_kl": recorded["train/approx_kl"],
        "policy/clip_fraction": recorded["train/clip_fraction"],
        "value/explained_variance": explained_variance(buffer.computed["values"], buffer.computed["returns"]),
    }
    return {name: float(x) for name, x in metrics.items()} | (
        {"data/return": float(finished.mean())} if len(finished) else {}
    )
