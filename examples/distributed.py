"""Trains one agent with any number of processes; each reads or plays its share of the episodes.

python examples/distributed.py
torchrun --nproc_per_node 2 examples/distributed.py

With --out, a second start continues the run, with any number of processes. See docs/scaling.md.
"""

from collections.abc import Mapping
from pathlib import Path

import tyro

from agents import AWR, LM, Agent, AWRConfig, FitConfig, Live, Logged, Mixed, fit
from agents.distributed import processes
from lang_envs import rollout
from lang_envs.make import language_vec
from lang_envs.policies.movie_review import Reviewer
from lang_envs.seeds import EVALUATION, RECORDING


def main(steps: int = 100, shard: bool = False, out: Path | None = None) -> None:
    """Learns from a log and its own episodes; seconds on a laptop.

    Args:
        steps: optimiser steps.
        shard: keep only a part of the weights in each process (FSDP) instead of all (DDP).
        out: folder of the log, the checkpoints and the agent.
    """
    env = language_vec("MovieReview-v0", 64)
    logged = Logged(list(rollout(env, Reviewer(), RECORDING.episodes(1000))))  # the same in every process
    agent = AWR(LM.from_scratch("d64-l2", env), AWRConfig())

    def play(agent: Agent) -> Mapping[str, float]:  # the first process plays while the others wait
        return {"return": sum(e.ret for e in rollout(env, agent.policy(), EVALUATION.episodes(256))) / 256}

    every = max(1, steps // 4)
    loop = FitConfig(
        lr=2e-3, batch_size=32, log_every=every, eval_every=every, evaluators={"play": play}, shard=shard, out=out
    )
    for row in fit(agent, Mixed(logged, Live(env, seed=1)), steps, loop):  # the same numbers in every process
        if processes.is_first():
            print(f"step {row['step']:4.0f}  loss {row['loss']:.3f}  return {row['eval/play/return']:+.2f}")
    if out is not None:
        agent.save(out / "agent")  # the first process writes
    if processes.is_first():
        print(f"{processes.count()} process(es) trained on {steps * 32} episodes.")


if __name__ == "__main__":
    tyro.cli(main)
