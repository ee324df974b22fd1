"""Kills jobs of every kind at random moments: ``python tests/kill --kills 200``.

Prints the outcomes; exits with 1 if a result was lost or different, or a process was left running.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "MPLBACKEND": "Agg"}
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))

import transformers  # noqa: E402
from jobs import jobs  # noqa: E402  # what it imports reads the environment
from killing import Tally, killed, table  # noqa: E402
from rich.console import Console  # noqa: E402

_SHOWN = 5  # complaints of each sort


def main() -> int:
    """Reads the command line and does what it says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200, help="of all kinds together")
    parser.add_argument("--seed", type=int, help="of the moments; drawn by default")
    parser.add_argument("--only", nargs="*", help="kinds to kill")
    parser.add_argument("--out", type=Path, help="file for the table, as Markdown")
    parser.add_argument("--processes", type=int, default=2, choices=(1, 2), help="jobs at once")
    asked = parser.parse_args()
    seed = random.randrange(2**32) if asked.seed is None else asked.seed
    screen = Console(soft_wrap=True, highlight=False, markup=False)
    screen.print(f"seed {seed}")
    transformers.utils.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory(prefix="kill-") as place:
        folder = Path(place).resolve()
        kinds = {kind: found for kind, found in jobs(folder).items() if not asked.only or kind in asked.only}
        if not kinds:
            parser.error(f"there is no kind {asked.only}")
        share = -(-asked.kills // len(kinds))
        chosen = [(job, -(-share // len(found))) for found in kinds.values() for job in found]
        tallies: dict[str, Tally] = {}
        with ProcessPoolExecutor(asked.processes, mp_context=multiprocessing.get_context("fork")) as pool:
            global _JOBS
            _JOBS = [job for job, _ in chosen]
            done = [pool.submit(_killed, i, kills, folder, seed + i) for i, (_, kills) in enumerate(chosen)]
            for job in done:
                tally = job.result()
                screen.print(f"{tally.kind}: {tally.kills} kills")
                tallies.setdefault(tally.kind, Tally(tally.kind)).add(tally)
    counted = list(tallies.values())
    told = f"{sum(tally.kills for tally in counted)} kills, seed {seed}.\n\n{table(counted)}\n"
    for tally in filter(None, counted):
        some = [complaint for found in (tally.lost, tally.different, tally.left) for complaint in found[:_SHOWN]]
        wrong = "\n".join(some)
        told += f"\n{tally.kind}:\n\n```text\n{wrong}\n```\n"
    screen.print(told)
    if asked.out is not None:
        asked.out.write_text(told, encoding="utf-8")
    return int(any(counted))


_JOBS: list = []  # of this process and its forks: a job holds functions, which cannot be sent


def _killed(number: int, kills: int, folder: Path, seed: int) -> Tally:
    place = folder / f"job-{number}"
    place.mkdir()
    return killed(_JOBS[number], kills, place, seed)


if __name__ == "__main__":
    sys.exit(main())
