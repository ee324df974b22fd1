"""Trains with TRL's GRPO in one of our environments: imitation of mixed players first, then the agent's own games.

python examples/trl_grpo.py --seed 1
"""

import gymnasium as gym
import numpy as np
import tyro
from trl import GRPOConfig, GRPOTrainer

from agents import BC, LM, Agent, BCConfig, Logged
from lang_envs import rollout
from lang_envs.policies.wordle import RandomMixture
from lang_envs.seeds import EVALUATION, LIVE, RECORDING
from lang_envs.trl import episode_return, prompts, rollout_func


def main(steps: int = 60, imitation: int = 600, games: int = 2000, seed: int = 0) -> None:
    """Raises the return of a small model at Wordle with thirty words.

    Args:
        steps: of GRPO; each plays 16 starting states 8 times.
        imitation: optimiser steps of behaviour cloning before it.
        games: how many of those are evaluated on, before and after.
        seed: of the logs, the training and the order of the starting states.
    """
    env = gym.make_vec("Wordle-v0", 128, words="english-30")
    players = RandomMixture(env.unwrapped.task, 0.5)
    logs = list(rollout(env.unwrapped, players, RECORDING.episodes(4000, seed)))
    print(f"The logged players earned {np.mean([game.ret for game in logs]):+.2f} on average.")
    agent = BC(LM.from_scratch("d64-l2", env, seed=seed), BCConfig())
    agent.learn(Logged(logs, seed=seed), imitation, lr=2e-3, batch_size=64)
    evaluate("after imitation", env, agent, games)

    config = GRPOConfig(
        "runs/grpo",
        max_steps=steps,
        num_generations=8,
        per_device_train_batch_size=128,
        learning_rate=5e-4,
        lr_scheduler_type="constant_with_warmup",
        warmup_steps=5,
        temperature=1.0,
        seed=seed,
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        save_strategy="no",
        report_to="none",
        logging_steps=10,
    )
    trainer = GRPOTrainer(
        model=agent.lm.model,
        processing_class=env.unwrapped.tokenizer,
        reward_funcs=episode_return,
        rollout_func=rollout_func(env.unwrapped),
        train_dataset=prompts(env.unwrapped, 16 * steps, LIVE.episodes(16 * steps, seed)),
        args=config,
    )
    trainer.train()
    evaluate(f"after {steps} steps of GRPO", env, agent, games)


def evaluate(when: str, env: gym.vector.VectorEnv, agent: Agent, games: int) -> None:
    """Plays games that nothing was learned from, with tokens sampled as in training."""
    returns = np.array([game.ret for game in rollout(env.unwrapped, agent.policy(), EVALUATION.episodes(games))])
    print(f"{when}: {returns.mean():+.3f} (standard error {returns.std(ddof=1) / games**0.5:.3f})")


if __name__ == "__main__":
    tyro.cli(main)
