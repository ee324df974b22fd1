"""A reward model in other processes gives the numbers that it gives here."""

import os
import pickle
import signal

import gymnasium as gym
import numpy as np
import pytest

from lang_envs.rewards.overlap import ChrF
from lang_envs.rewards.workers import InWorkers

TEXTS = [f"{'word ' * (n % 7)}{n}" for n in range(23)]


def lengths(texts):
    return [len(text) for text in texts]


def process(texts):
    return [os.getpid() for _ in texts]


def killed(texts):
    os.kill(os.getpid(), signal.SIGKILL)


def test_rewards_come_in_the_order_of_the_texts():
    reward = InWorkers(lengths, 2)
    assert reward(TEXTS).tolist() == lengths(TEXTS) == reward(TEXTS).tolist()
    assert reward(TEXTS[:3]).tolist() == lengths(TEXTS[:3])
    reward.close()


def test_the_work_is_done_by_others():
    reward = pickle.loads(pickle.dumps(InWorkers(process, 2)))
    found = {*reward(TEXTS).tolist()}
    assert os.getpid() not in found and len(found) <= 2
    reward.close()


def test_an_environment_is_paid_by_workers():
    shared = InWorkers(ChrF(), 2)
    said = ["When would you like to leave?", "no idea"] * 8
    heard = ["What time do you want to leave?"] * 16
    assert np.array_equal(shared(said, heard), ChrF()(said, heard))
    env = gym.make_vec("Dialogue-chrF-v0", num_envs=2, reward=shared)
    assert env.unwrapped.task.similarity is shared
    shared.close()


def test_a_killed_worker_is_told():
    with pytest.raises(ValueError, match="reward's worker was killed"):
        InWorkers(killed, 2)(TEXTS)


def test_no_worker_is_refused():
    with pytest.raises(ValueError, match="at least 1 worker"):
        InWorkers(lengths, 0)
