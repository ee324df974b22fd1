"""The maze in the native vector environment: 1,024 walks of random steps, one thread."""

import sys
import time

import gymnasium as gym
import numpy as np
import pytest

from lang_envs import rollout
from lang_envs.policies.maze import RandomWalk

# The processor's clock: what other processes take of the machine does not count.
pytestmark = pytest.mark.benchmark(timer=time.process_time)
NUM_ENVS = 1024


@pytest.mark.parametrize("env_id", ["Maze-v0", "Maze-PO-v0"])
def test_steps_of_random_walks(benchmark, env_id):
    env = gym.make_vec(env_id, NUM_ENVS)
    walker = RandomWalk(env.unwrapped.task)

    def play():
        return sum(np.count_nonzero(episode.is_action) for episode in rollout(env, walker, range(NUM_ENVS)))

    steps = benchmark.pedantic(play, rounds=3, warmup_rounds=1)
    assert steps > 80 * NUM_ENVS
    if benchmark.enabled:
        rate = steps / benchmark.stats.stats.min
        benchmark.extra_info |= {"steps_per_s": round(rate)}
        sys.stdout.write(f"\n{env_id}: {rate:,.0f} steps/s\n")
