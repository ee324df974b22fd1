"""The service desk in the native vector environment: 256 conversations, whole turns, one thread.

Target: 20,000 turns a second. The agent's utterances are encoded beforehand; the environment's starts and replies are
drawn during the measurement.
"""

import sys
import time

import numpy as np
import pytest

from lang_envs import TokenVectorEnv, rollout
from lang_envs.policies.service_desk import Expert
from lang_envs.tasks.service_desk import ServiceDesk
from lang_envs.utterances import spell

# The processor's clock: what other processes take of the machine does not count.
pytestmark = pytest.mark.benchmark(timer=time.process_time)
NUM_ENVS, EPISODES = 256, 8
SAID = ("Which area?", "Which price range?", "How about {}?", "There is {}.", "The number is {}.", "On which day?")


@pytest.fixture(scope="module")
def task():
    return ServiceDesk()


def report(benchmark, turns):
    if benchmark.stats is not None:
        rate = turns / benchmark.stats.stats.min
        benchmark.extra_info["turns_per_s"] = round(rate)
        sys.stdout.write(f"\n{rate:,.0f} turns/s\n")


def test_turns_said_to_the_environment(benchmark, task):
    env, seeds, rng = TokenVectorEnv(task, NUM_ENVS), iter(range(10**9)), np.random.default_rng(0)
    names = ("Jade", "Basil", "Rose", "Lion", "Moon", "Swan", "940", "417", "163")
    said = [spell(env.tokenizer, text.format(name), 24) for text in SAID for name in names]
    turns = 0

    def play():
        nonlocal turns
        turns, begun = 0, 0
        waiting = np.ones(NUM_ENVS, np.bool_)
        while begun < NUM_ENVS * EPISODES:
            rows = np.flatnonzero(waiting)
            if len(rows):
                env.begin(rows, [next(seeds) for _ in rows])
                begun += len(rows)
            drawn = rng.integers(len(said), size=NUM_ENVS).tolist()
            env.say(np.arange(NUM_ENVS), [said[i] for i in drawn])
            turns += NUM_ENVS
            waiting = env.finished.copy()

    benchmark.pedantic(play, rounds=5, warmup_rounds=2)
    report(benchmark, turns)


def test_turns_of_the_expert(benchmark, task):
    """With a scripted desk, which reads every history."""
    env, policy, seeds = TokenVectorEnv(task, NUM_ENVS), Expert(task), iter(range(0, 10**9, NUM_ENVS * 4))
    turns = 0

    def play():
        nonlocal turns
        first = next(seeds)
        episodes = list(rollout(env, policy, range(first, first + NUM_ENVS * 4)))
        assert all(episode.info["success"] for episode in episodes)
        turns = sum(len(episode.utterances(env.end_id, 24)) for episode in episodes)

    benchmark.pedantic(play, rounds=3, warmup_rounds=1)
    report(benchmark, turns)
