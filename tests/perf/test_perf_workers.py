"""Recording by two processes against one. Run with ``--benchmark-enable -s``, on two cores that are free.

Target: 1.7 times as many episodes a second. The limit is 2, minus the start of a worker (2 to 4 seconds for imports and
its environment) and the work of this process alone, which writes and joins files.
"""

import sys
import time

from datasets_builders import build

GAMES, FEW = 200_000, 100  # half a minute of a core; where nothing is measured


def test_two_workers_record_nearly_twice_as_fast(tmp_path, request):
    count = GAMES if request.config.getoption("--benchmark-enable") else FEW
    taken = {}
    for workers in (1, 2):
        began = time.perf_counter()
        build("wordle-mixed", count, tmp_path / f"{workers}", progress=False, workers=workers, words="english-400")
        taken[workers] = time.perf_counter() - began
    sys.stdout.write(
        f"\n{count:,} games: {taken[1]:.1f} s by one, {taken[2]:.1f} s by two: {taken[1] / taken[2]:.2f}\n"
    )
    if count == GAMES:
        assert taken[1] / taken[2] >= 1.7
