"""The time to make a batch from logged episodes: 64 full Wordle games (74 tokens, 36 actions) from the memory map."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.data.batch import collate
from agents.data.source import Logged
from datasets_builders import EpisodeDataset
from lang_envs.episode import Episodes
from lang_envs.tasks.wordle import Wordle

BATCH, TURNS, GUESS, REPLY = 64, 6, 6, 6


@pytest.fixture(scope="module")
def games(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20,000 lost games: an opening token, then six guesses of six tokens, replies of six and one more token."""
    tokenizer = Wordle().tokenizer()
    rng = np.random.default_rng(0)
    n, length = 20_000, 1 + TURNS * (GUESS + REPLY) + 1
    is_action = np.zeros(length, np.bool_)
    ends = 1 + np.arange(TURNS) * (GUESS + REPLY) + GUESS - 1  # [turns] position of each end token
    for end in ends:
        is_action[end - GUESS + 1 : end + 1] = True
    tokens = rng.integers(0, 26, (n, length)).astype(np.int32)  # [n, T]
    tokens[:, ends] = tokenizer.eos_token_id
    rewards = np.zeros((n, length), np.float32)  # [n, T]
    rewards[:, ends] = -1
    episodes = Episodes(
        tokens=tokens.ravel(),
        is_action=np.tile(is_action, n),
        rewards=rewards.ravel(),
        offsets=np.arange(n + 1) * length,
        terminated=np.ones(n, np.bool_),
        truncated=np.zeros(n, np.bool_),
        logprobs=None,
        info=[{}] * n,
    )
    folder = tmp_path_factory.mktemp("perf") / "games"
    EpisodeDataset.from_episodes(episodes, tokenizer=tokenizer).save(folder)
    return folder


def test_sample_and_collate(benchmark: Any, games: Path) -> None:
    """Target: 200,000 episodes a second, 320 microseconds a batch."""
    source = Logged(games)
    tokenizer = source.data.tokenizer()
    pad_id, end_id = tokenizer.pad_token_id, tokenizer.eos_token_id
    batch = benchmark.pedantic(
        lambda: collate(source.sample(BATCH), pad_id, end_id), rounds=200, iterations=10, warmup_rounds=20
    )
    if benchmark.stats is not None:
        benchmark.extra_info["episodes_per_second"] = round(BATCH / benchmark.stats.stats.min)
    assert batch.input_ids.shape == (BATCH, 74) and batch.mask.sum() == BATCH * TURNS * GUESS


def test_collate(benchmark: Any, games: Path) -> None:
    """Collating alone, without reading."""
    source = Logged(games)
    tokenizer = source.data.tokenizer()
    pad_id, end_id = tokenizer.pad_token_id, tokenizer.eos_token_id
    episodes = source.sample(BATCH)
    benchmark.pedantic(lambda: collate(episodes, pad_id, end_id), rounds=200, iterations=10, warmup_rounds=20)
    if benchmark.stats is not None:
        benchmark.extra_info["episodes_per_second"] = round(BATCH / benchmark.stats.stats.min)
