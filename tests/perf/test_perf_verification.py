"""The time to verify that a data set holds what was written. Run with ``--benchmark-enable -s``.

Target: less than one reading of all episodes, and a fraction of a second for a million games of Wordle.
"""

import sys
import time

import numpy as np
import pytest

from datasets_builders import EpisodeDataset, build
from datasets_builders.checksums import checksum

GAMES, COPIES = 100_000, 10  # a million games of 65 tokens
FEW = 2_000  # where nothing is measured


@pytest.fixture(scope="module")
def million(tmp_path_factory, request):
    folder = tmp_path_factory.mktemp("million")
    count = GAMES if request.config.getoption("--benchmark-enable") else FEW
    games = build("wordle-trap", count, folder / "once", progress=False)
    games.select(np.tile(np.arange(count), COPIES)).save(folder / "d")
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
        "one in a hundred, one by one": seconds(lambda: [dataset[i] for i in range(0, len(dataset), 100)], rounds=1),
    }
    size = sum(file.stat().st_size for file in files) / 2**20
    told = ", ".join(f"{name} {value:.3f} s" for name, value in taken.items())
    sys.stdout.write(f"\n{len(dataset):,} episodes, {size:.0f} MB: {told}\n")
    if len(dataset) >= 1_000_000:
        assert taken["verified"] < taken["rows"]
