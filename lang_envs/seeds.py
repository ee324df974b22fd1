"""Which seeds episodes are played from: a range for each purpose, and no two ranges meet.

So no agent is measured on episodes it has learned from, and no decoding is reported on those it was chosen by. A range
is made of runs: what is done with seed s (a recording, a training, an evaluation) plays its episode i from the
environment seed ``first(s) + i``, and no two runs share one. All of them fit in a record's 64 bits.

==============  ==================  =====================================================================
range           runs                purpose
==============  ==================  =====================================================================
RECORDING       0 .. 2**28 - 1      data sets, and logs in memory
BENCHMARK_LIVE  0 .. 2**12 - 1      what learning agents of the benchmark play
YARDSTICKS      1                   games by which the rank test values optimal play
SELECTION       1                   episodes that a decoding is chosen by
LIVE            0 .. 2**28 - 1      what any other learning agent plays
REPORT          1                   episodes that the benchmark reports
EVALUATION      0 .. 2**28 - 1      what people look at: the commands eval, explain and play, and examples
==============  ==================  =====================================================================

The seeds of a policy (``lang_envs.Start.policy_seed``) draw from another stream and have no ranges.
"""

from __future__ import annotations

from dataclasses import dataclass

from lang_envs.arguments import whole_number

EPISODES = 2**32
"""in one run"""


@dataclass(frozen=True)
class Seeds:
    """The runs of one purpose; run s has the environment seeds from ``(start + s) * EPISODES`` on."""

    name: str
    start: int
    runs: int
    taken: range = range(0)
    """runs that belong to another purpose"""

    def first(self, run: int = 0) -> int:
        """The seed of the first episode of a run.

        Raises:
            ValueError: where there is no such run.
            TypeError: where it is no integer.
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
            ValueError: where there is no such run, or it has not so many.
        """
        whole_number(count, "a number of episodes", least=0, most=EPISODES)
        first = self.first(run)
        return range(first, first + count)


BENCHMARK_LIVE = Seeds("live training in the benchmark", 1 << 20, 1 << 12)
"""What the benchmark's learning agents play; run s belongs to the training with seed s. It lies within the runs of
:data:`RECORDING`, which leave it out, since results were measured with it."""

RECORDING = Seeds("a recording", 0, 1 << 28, range(1 << 20, (1 << 20) + (1 << 12)))
"""Data sets, of which run s has the seed s, and logs that are kept in memory. What trained agents of the benchmark
answer in the contexts of their logs is recorded by runs from 2**21 on."""

YARDSTICKS = Seeds("the rank test", 1 << 28, 1)
"""Games by which the benchmark's rank test values optimal play."""

SELECTION = Seeds("selection", 1 << 29, 1)
"""Episodes by which a decoding is chosen: by the benchmark, and at the end of ``lang-envs train``."""

LIVE = Seeds("live training", (1 << 29) + (1 << 28), 1 << 28)
"""What an agent plays that learns from its own episodes (``agents.Live``); run s belongs to the source with seed s."""

REPORT = Seeds("the report", 1 << 30, 1)
"""Episodes that the benchmark reports: the same for every agent and baseline."""

EVALUATION = Seeds("an evaluation", (1 << 30) + (1 << 28), 1 << 28)
"""What people look at: run s belongs to ``lang-envs eval``, ``explain`` or ``play --agent`` with ``--seed s``; examples
and pages play run 0."""

ALL = (RECORDING, BENCHMARK_LIVE, YARDSTICKS, SELECTION, LIVE, REPORT, EVALUATION)
