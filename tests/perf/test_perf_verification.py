"""What it costs to make sure that a data set holds what was written. Run with ``--benchmark-enable -s``.

Reach: less than one reading of all episodes, and a fraction of a second for a million games of Wordle.
"""

import sys
import time

import numpy as np
import pytest

from datasets_builders import EpisodeDataset, build
from datasets_builders.checksums import checksum

GAMES = 100_000
COPIES = 10  # of the games, so that there are a million of 65 tokens


@pytest.fixture(scope="module")
def million(tmp_path_factory, request):
    """A million games, or a hundred thousand where nothing is measured."""
    folder = tmp_path_factory.mktemp("million")
    copies = COPIES if request.config.getoption("--benchmark-enable") else 1
    games = build("wordle-trap", GAMES, folder / "once", progress=False)
    games.select(np.tile(np.arange(GAMES), copies)).save(folder / "d")
    return folder / "d"


def seconds(work, rounds=3):
    """The shortest of some runs."""

    def once():
        began = time.perf_counter()
        work()
        return time.perf_counter() - began

    return min(once() for _ in range(rounds))


def read_all(dataset):
    """What any reader of all episodes does at least: tokens, rewards and masks, many episodes at a time."""
    for start in range(0, len(dataset), 4096):
        dataset.rows(np.arange(start, min(start + 4096, len(dataset))))


def test_loading_costs_less_than_one_reading(million):
    files = sorted(million.glob("*.arrow"))
    dataset = EpisodeDataset.load(million)
    taken = {
        "mapped": seconds(lambda: EpisodeDataset.load(million, verify=False)),
        "verified": seconds(lambda: EpisodeDataset.load(million)),
        "checksums": seconds(lambda: [checksum(file) for file in files]),
        "cat": seconds(lambda: [file.read_bytes() for file in files]),
        "rows": seconds(lambda: read_all(dataset)),
        "first 10,000 episodes one by one": seconds(lambda: [dataset[i] for i in range(10_000)], rounds=1),
    }
    size = sum(file.stat().st_size for file in files) / 2**20
    told = ", ".join(f"{name} {value:.3f} s" for name, value in taken.items())
    sys.stdout.write(f"\n{len(dataset):,} episodes, {size:.0f} MB: {told}\n")
    assert taken["verified"] < taken["rows"]
