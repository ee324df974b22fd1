"""The ranges of environment seeds for each purpose; no two ranges overlap.

So no agent is measured on episodes that it has learned from, and no decoding is reported on episodes by which it was
chosen. A range consists of runs. A recording, a training or an evaluation with seed s plays its episode i from the
environment seed ``first(s) + i``. No two runs share a seed. All seeds fit in a record's 64 bits.

==============  ==================  =====================================================================
range           runs                purpose
==============  ==================  =====================================================================
RECORDING       0 .. 2**28 - 1      data sets, and logs in memory
BENCHMARK_LIVE  0 .. 2**12 - 1      episodes that learning agents of the benchmark play
YARDSTICKS      1                   games by which the rank test values optimal play
SELECTION       1                   episodes by which a decoding is chosen
LIVE            0 .. 2**28 - 1      episodes that any other learning agent plays
REPORT          1                   episodes that the benchmark reports
EVALUATION      0 .. 2**28 - 1      the commands eval, explain and play, and examples
==============  ==================  =====================================================================

The seeds of a policy (``lang_envs.Start.policy_seed``) draw from another stream and have no ranges.
"""

from __future__ import annotations

from dataclasses import dataclass

from lang_envs.arguments import whole_number

EPISODES = 2**32
"""number of seeds in one run"""


@dataclass(frozen=True)
class Seeds:
    """The runs of one purpose; run s has the environment seeds from ``(start + s) * EPISODES`` on."""

    name: str
    start: int
    runs: int
    taken: range = range(0)
    """runs that are reserved for another purpose"""

    def first(self, run: int = 0) -> int:
        """The seed of the first episode of a run.

        Raises:
            ValueError: there is no such run.
            TypeError: ``run`` is not an integer.
        """
        run = whole_number(run, f"the seed of {self.name}")
        if not 0 <= run < self.runs:
            raise ValueError(f"the seed of {self.name} must lie in [0, {self.runs - 1}], got {run}")
        if run in self.taken:
            raise ValueError(
                f"the seed of {self.name} must not lie in [{self.taken.start}, {self.taken.stop - 1}], which is set "
                f"aside for what the benchmark's agents play; got {run}"
            )
        return (self.start + run) * EPISODES

    def episodes(self, count: int, run: int = 0) -> range:
        """The seeds of the first ``count`` episodes of a run.

        Raises:
            ValueError: there is no such run, or it has fewer episodes.
        """
        whole_number(count, "a number of episodes", least=0, most=EPISODES)
        first = self.first(run)
        return range(first, first + count)


BENCHMARK_LIVE = Seeds("live training in the benchmark", 1 << 20, 1 << 12)
"""Episodes that the benchmark's learning agents play; run s belongs to the training with seed s. The range lies inside
that of :data:`RECORDING`, which leaves it out, because results were measured with it."""

RECORDING = Seeds("a recording", 0, 1 << 28, range(1 << 20, (1 << 20) + (1 << 12)))
"""Data sets and logs in memory; the recording with seed s is run s. Runs from 2**21 on record the answers of trained
agents of the benchmark in the contexts of their logs."""

YARDSTICKS = Seeds("the rank test", 1 << 28, 1)
"""Games by which the benchmark's rank test values optimal play."""

SELECTION = Seeds("selection", 1 << 29, 1)
"""Episodes by which a decoding is chosen: by the benchmark, and at the end of ``lang-envs train``."""

LIVE = Seeds("live training", (1 << 29) + (1 << 28), 1 << 28)
"""Episodes of agents that learn from their own episodes (``agents.Live``); run s belongs to the source with seed s."""

REPORT = Seeds("the report", 1 << 30, 1)
"""Episodes that the benchmark reports: the same for every agent and baseline."""

EVALUATION = Seeds("an evaluation", (1 << 30) + (1 << 28), 1 << 28)
"""Episodes for people: run s belongs to ``lang-envs eval``, ``explain`` or ``play --agent`` with ``--seed s``; examples
and pages play run 0."""

ALL = (RECORDING, BENCHMARK_LIVE, YARDSTICKS, SELECTION, LIVE, REPORT, EVALUATION)
