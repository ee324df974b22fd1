"""Clarifying QA in the native vector environment: 1,024 conversations of the built-in world, whole turns, one thread.

Target: 20,000 turns a second. Every utterance contains another number, so that caches of earlier utterances help as
little as they would with the utterances of a model.
"""

import sys
import time

import numpy as np
import pytest

from lang_envs import TokenVectorEnv, rollout
from lang_envs.policies.clarifying_qa import AskThenAnswer
from lang_envs.tasks.clarifying_qa import ClarifyingQA
from lang_envs.utterances import spell

# The processor's clock: what other processes take of the machine does not count.
pytestmark = pytest.mark.benchmark(timer=time.process_time)
NUM_ENVS, EPISODES = 1024, 4
QUESTIONS = ("What is your budget, number {}?", "What will you do on day {}?", "Case {}: where will you keep it?")
ANSWERS = ("The answer is B, in case {}.", "In case {} I think the answer is C.")


@pytest.fixture(scope="module")
def task():
    return ClarifyingQA()


def report(benchmark, turns):
    if benchmark.stats is not None:
        rate = turns / benchmark.stats.stats.min
        benchmark.extra_info["turns_per_s"] = round(rate)
        sys.stdout.write(f"\n{rate:,.0f} turns/s\n")


def test_turns_said_to_the_environment(benchmark, task):
    env, rows, seeds = TokenVectorEnv(task, NUM_ENVS), np.arange(NUM_ENVS), iter(range(10**9))
    fresh = iter(range(10**9))

    def utterances():
        """New ones for each round: [EPISODES * 3] lists of NUM_ENVS."""
        return [
            [
                spell(env.tokenizer, texts[i % len(texts)].format(next(fresh)), task.max_utterance_tokens)
                for i in range(NUM_ENVS)
            ]
            for _ in range(EPISODES)
            for texts in (QUESTIONS, QUESTIONS, ANSWERS)
        ]

    def play(said):
        for turn, spoken in enumerate(said):
            if turn % task.max_turns == 0:
                env.begin(rows, [next(seeds) for _ in range(NUM_ENVS)])
            env.say(rows, spoken)
        assert env.finished.all()

    benchmark.pedantic(play, setup=lambda: ((utterances(),), {}), rounds=5, warmup_rounds=1)
    report(benchmark, NUM_ENVS * EPISODES * task.max_turns)


def test_turns_of_the_expert(benchmark, task):
    """With a scripted assistant, which reads every history."""
    env, policy, seeds = TokenVectorEnv(task, NUM_ENVS), AskThenAnswer(task), iter(range(0, 10**9, NUM_ENVS))

    def play():
        first = next(seeds)
        assert all(episode.ret == 1 for episode in rollout(env, policy, range(first, first + NUM_ENVS)))

    benchmark.pedantic(play, rounds=3, warmup_rounds=1)
    report(benchmark, NUM_ENVS * task.max_turns)
