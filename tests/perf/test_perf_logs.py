"""The costs of importing and opening a log: the figures of docs/logs_of_yours.md. Run with ``--benchmark-enable -s``.

Target: memory while reading does not depend on the number of rows. Limit: the tokenizer, and Python's time for each
row.
"""

import json
import re
import sys
import threading
import time
from pathlib import Path

import pytest

from datasets_builders.logs.importing import Options
from datasets_builders.logs.writing import import_logs
from lang_envs.tasks.logs import Logs
from lang_envs.tokenizers import text_tokenizer

SIZES, FEW = (100_000, 1_000_000), (100, 200)  # where nothing is measured


def own_memory():
    """Bytes of this process that no file backs."""
    return 1024 * int(re.search(r"RssAnon:\s+(\d+)", Path("/proc/self/status").read_text())[1])


class Watched:
    """The most memory of its own that this process has while a block lasts, above what it had before."""

    def __enter__(self):
        self.before, self.most, self._over = own_memory(), own_memory(), threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _watch(self):
        while not self._over.wait(0.05):
            self.most = max(self.most, own_memory())

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()
        self.megabytes = (self.most - self.before) / 1e6


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_rows_take_no_memory(tmp_path, request):
    took = []
    for size in SIZES if request.config.getoption("--benchmark-enable") else FEW:
        log, out = tmp_path / f"{size}.jsonl", tmp_path / f"{size}"
        with log.open("w") as file:
            for i in range(size):
                said = f"it is on shelf {i % 97}, behind the desk, and the people there will find it for you"
                row = {"prompt": f"where is item {i} of the catalogue, please?", "response": said, "score": i % 5}
                file.write(json.dumps(row) + "\n")
        began = time.process_time()
        with Watched() as memory:
            report = import_logs([log], out, text_tokenizer(), Options())
        seconds = time.process_time() - began
        assert report.kept == size
        took.append(memory.megabytes)
        began = time.process_time()
        with Watched() as opened:
            Logs(out)
        sys.stdout.write(
            f"\n{size:,} rows: {size / seconds:,.0f} a second, {memory.megabytes:.0f} MB more at most; "
            f"Logs opens in {time.process_time() - began:.2f} s with {opened.megabytes:.0f} MB"
        )
    if len(took) == 2 and request.config.getoption("--benchmark-enable"):
        assert took[1] < took[0] + 200
