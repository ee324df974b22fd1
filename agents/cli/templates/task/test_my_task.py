"""Tests that the task passes the checks of every environment, and that its answers and rewards are right."""

import gymnasium as gym
import my_task

from datasets_builders import build
from lang_envs import check_env


def test_it_keeps_every_promise():
    check_env("MyTask-v0")


def test_the_answers_lead_to_the_number():
    env = gym.make("MyTask-v0", level="utterance")
    env.reset(seed=0)
    left, earned, terminated = list(my_task.NUMBERS), 0.0, False
    while not terminated:
        middle = left[len(left) // 2]
        answer, reward, terminated, _, info = env.step(middle)
        earned += reward
        left = [n for n in left if (n > middle if answer == "higher" else n < middle)]
    assert info["success"] and 0.7 <= earned + 1e-6 <= 1.0


def test_its_logs_are_recorded(tmp_path):
    logs = build("my_task:LOGS", episodes=200, out=tmp_path / "logs", progress=False)
    assert len(logs) == 200 and logs.returns.min() < 0 < logs.returns.max()
