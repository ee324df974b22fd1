"""The time of the vector environment and ``rollout`` alone: 1,024 episodes of a task that does almost nothing."""

import gymnasium as gym
import numpy as np
import pytest

from lang_envs import TokenVectorEnv, Turn, rollout
from lang_envs.dynamics import Replies
from lang_envs.tasks.movie_review import MovieReview

NUM_ENVS, STEPS, LIMIT, END = 1024, 120, 6, 1


class SixTurns:
    """Dynamics in arrays: a reply of six tokens to each utterance, over after six."""

    def __init__(self, num_envs):
        self.turn = np.zeros(num_envs, np.int64)

    def begin(self, rows, rngs, contexts=()):
        self.turn[rows] = 0
        return self._replies(len(rows), 1, np.zeros(len(rows), np.bool_))

    def reply(self, rows, utterances, lengths, rngs):
        self.turn[rows] += 1
        return self._replies(len(rows), LIMIT, self.turn[rows] >= 6)

    def state(self, row):
        return None

    def _replies(self, n, length, over):
        tokens = np.full((n, length), 2, np.int32)
        info = {"success": over, "grammatical": over}
        return Replies(tokens, np.full(n, length), -over.astype(np.float32), over, info)


class Light(MovieReview):
    max_turns, max_utterance_tokens, max_tokens = 6, LIMIT, 74

    def dynamics(self, tokenizer, num_envs):
        return SixTurns(num_envs)


class SameWords:
    turn = Turn(np.array([3, 4, 5, 6, 7, END], np.int32), np.zeros(LIMIT, np.float32))

    def act(self, histories, rngs):
        return [self.turn] * len(histories)


@pytest.mark.parametrize("mode", [gym.vector.AutoresetMode.NEXT_STEP, gym.vector.AutoresetMode.SAME_STEP])
@pytest.mark.parametrize("in_step", [True, False])
def test_token_steps(benchmark, mode, in_step):
    env = TokenVectorEnv(Light(), NUM_ENVS, autoreset_mode=mode)
    rng = np.random.default_rng(0)
    ends = (np.arange(STEPS) % LIMIT == LIMIT - 1)[:, None] if in_step else rng.random((STEPS, NUM_ENVS)) < 1 / LIMIT
    actions = np.where(ends, END, np.full((STEPS, NUM_ENVS), 3))  # [S, N]
    env.reset(seed=0)
    benchmark.pedantic(lambda: [env.step(action) for action in actions], rounds=5, warmup_rounds=1)
    if benchmark.enabled:
        benchmark.extra_info["token_steps_per_s"] = round(actions.size / benchmark.stats.stats.min)


def test_rollout(benchmark):
    env = TokenVectorEnv(Light(), NUM_ENVS)
    episodes = benchmark.pedantic(lambda: list(rollout(env, SameWords(), range(2 * NUM_ENVS))), rounds=3)
    assert len(episodes) == 2 * NUM_ENVS
    assert {len(episode) for episode in episodes} == {73}
    if benchmark.enabled:
        benchmark.extra_info["episodes_per_s"] = round(len(episodes) / benchmark.stats.stats.min)
