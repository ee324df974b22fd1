"""Reading, collating and recording episodes of Wordle. Run with ``--benchmark-enable -s``; rates are per second.

Target: 200,000 episodes/s of ``Logged.sample`` + ``collate``, 1M token steps/s recorded, 300 bytes an episode.
"""

import itertools
import shutil
import sys

import gymnasium as gym
import numpy as np
import pytest

from agents.data.batch import collate
from agents.data.source import Logged
from datasets_builders import RecordEpisodes, build

BATCH, ENVS, STEPS = 64, 1024, 600
WORDS = "english"


@pytest.fixture(scope="module")
def trap(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trap") / "d"
    return folder, build("wordle-trap", 10_000, folder, words=WORDS, progress=False)


def rate(benchmark, name, count):
    if benchmark.stats is not None:
        seconds = benchmark.stats.stats.min
        benchmark.extra_info[name] = count / seconds
        sys.stdout.write(f"\n{name}: {count / seconds:,.0f}\n")


def test_rows(benchmark, trap):
    dataset = trap[1]
    batches = itertools.cycle(np.random.default_rng(0).integers(0, len(dataset), (256, BATCH)))
    benchmark(lambda: dataset.rows(next(batches)))
    rate(benchmark, "rows, episodes/s", BATCH)


def test_sample_and_collate(benchmark, trap):
    source, tokenizer = Logged(trap[1], seed=0), trap[1].tokenizer()
    pad_id, end_id = tokenizer.pad_token_id, tokenizer.eos_token_id
    benchmark(lambda: collate(source.sample(BATCH, None), pad_id, end_id))
    rate(benchmark, "sample + collate, episodes/s", BATCH)


def action_stream(env):
    """Random words as tokens, the end token after each: what a loop would have drawn before. int64 [STEPS, ENVS]."""
    words = np.array([[ord(letter) - ord("a") for letter in word] for word in env.task.words])
    guesses = np.full((STEPS // 6, ENVS, 6), env.end_id)
    guesses[..., :5] = words[np.random.default_rng(0).integers(len(words), size=(STEPS // 6, ENVS))]
    return guesses.transpose(0, 2, 1).reshape(STEPS, ENVS)


@pytest.mark.parametrize("recorded", [False, True], ids=["bare", "recorded"])
def test_record_episodes(benchmark, tmp_path, recorded):
    fresh = itertools.count()

    def setup():
        env = gym.make_vec(
            "Wordle-v0", ENVS, words=WORDS, autoreset_mode=gym.vector.AutoresetMode.SAME_STEP, copy=False
        )
        actions = action_stream(env)
        if recorded:
            shutil.rmtree(tmp_path, ignore_errors=True)
            env = RecordEpisodes(env, tmp_path / str(next(fresh)))
        env.reset(seed=0)
        return (env, actions), {}

    def play(env, actions):
        for row in actions:
            env.step(row)
        if recorded:
            assert len(env.finish()) > ENVS

    benchmark.pedantic(play, setup=setup, rounds=5 if benchmark.enabled else 1)
    rate(benchmark, f"{'recorded' if recorded else 'bare'} token steps/s", STEPS * ENVS)


def test_bytes_per_episode(trap):
    folder, dataset = trap
    size = sum(file.stat().st_size for file in folder.glob("*.arrow"))
    sys.stdout.write(f"\nbytes an episode: {size / len(dataset):.1f}\n")
    assert size / len(dataset) <= 300
