"""Environments in TRL's ``GRPOTrainer``: whole episodes as rollouts, or an utterance as a tool.

It needs the extra ``trl``. TRL and torch are imported only when a function here is called.
"""

from lang_envs.trl.rollouts import episode_return, rollout_func
from lang_envs.trl.starts import prompts
from lang_envs.trl.tools import environment_factory

__all__ = ["environment_factory", "episode_return", "prompts", "rollout_func"]
