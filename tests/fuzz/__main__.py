"""Tries thousands of damaged inputs of every kind: ``python tests/fuzz --examples 3000``.

Prints the outcomes, and the first example of each kind of failure; exits with 1 if there is a failure.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "MPLBACKEND": "Agg"}
os.environ.pop("LANG_ENVS_DATA", None)
sys.path.append(str(Path(__file__).resolve().parents[1]))  # what it shares with other tests

import transformers
from kinds import KINDS  # what it imports reads the environment
from outcome import BAD
from rich.console import Console
from tally import Tally, failures, fuzz, table


def main() -> int:
    """Reads the command line and does what it says."""
    names = [kind.name for kind in KINDS]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, default=3000, help="inputs of each kind")
    parser.add_argument("--seed", type=int, help="of the inputs; drawn by default")
    parser.add_argument("--only", nargs="*", default=names, choices=names, help="kinds to try")
    parser.add_argument("--out", type=Path, help="file for the table and the failures, as Markdown")
    parser.add_argument("--processes", type=int, default=2, choices=(1, 2), help="kinds tried at once")
    asked = parser.parse_args()
    seed = random.randrange(2**32) if asked.seed is None else asked.seed
    screen = Console(soft_wrap=True, highlight=False, markup=False)
    screen.print(f"seed {seed}")
    transformers.utils.logging.disable_progress_bar()
    tallies = []
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(asked.processes, mp_context=context) as pool:
        jobs = [(name, pool.submit(_fuzz, name, asked.examples, seed)) for name in asked.only]
        for name, job in jobs:
            tallies.append(job.result())
            screen.print(f"{name}: {tallies[-1].seconds:.0f} s, {dict(tallies[-1].counts)}")
    told = f"{asked.examples:,} inputs of each kind, seed {seed}.\n\n{table(tallies)}\n"
    if wrong := failures(tallies):
        told += f"\n```text\n{wrong}\n```\n"
    screen.print(told)
    if asked.out is not None:
        asked.out.write_text(told, encoding="utf-8")
    return int(any(tally.counts[outcome] for tally in tallies for outcome in BAD))


def _fuzz(name: str, examples: int, seed: int) -> Tally:
    """In a process of its own, which finds the kind again."""
    return fuzz(next(kind for kind in KINDS if kind.name == name), examples, seed)


if __name__ == "__main__":
    sys.exit(main())
