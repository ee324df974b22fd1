"""Every purpose has its own range of seeds, and the seeds of committed results do not change."""

import itertools
import sys

import numpy as np
import pytest
from spoken_seeds import check, range_of, watched

from agents import BC, LM, Live
from agents.benchmark.experiment import Cell
from agents.benchmark.running.training import source_of
from agents.cli import main
from datasets_builders import build, record
from datasets_builders.recorder import first_seed
from lang_envs.make import language_vec
from lang_envs.policies.any_task import RandomTokens
from lang_envs.seeds import (
    ALL,
    BENCHMARK_LIVE,
    EPISODES,
    EVALUATION,
    LIVE,
    RECORDING,
    REPORT,
    SELECTION,
    YARDSTICKS,
)


def spans(seeds):
    """The runs of a range [start, stop), without those that are another's."""
    start, stop = seeds.start, seeds.start + seeds.runs
    if not seeds.taken:
        return [(start, stop)]
    return [(start, start + seeds.taken.start), (start + seeds.taken.stop, stop)]


def test_no_two_ranges_meet_and_all_fit_in_a_record():
    every = sorted(span for seeds in ALL for span in spans(seeds))
    assert all(stop <= start for (_, stop), (start, _) in itertools.pairwise(every))
    assert every[0][0] == 0 and every[-1][1] * EPISODES <= 2**63
    assert len({seeds.name for seeds in ALL}) == len(ALL) == 7


def test_committed_results_are_played_from_the_seeds_they_were():
    assert [RECORDING.first(s) for s in (0, 7, 2**21 + 4)] == [0, 7 << 32, (2**21 + 4) << 32]
    assert [BENCHMARK_LIVE.first(s) for s in (0, 4)] == [2**20 << 32, (2**20 + 4) << 32]
    assert (YARDSTICKS.first(), SELECTION.first(), REPORT.first()) == (2**60, 2**61, 2**62)
    assert YARDSTICKS.episodes(3) == range(2**60, 2**60 + 3)


@pytest.mark.parametrize("seeds", ALL, ids=lambda seeds: seeds.name)
def test_every_run_is_in_its_range(seeds):
    for run in {0, 1, seeds.runs - 1} & {*range(2)} | {seeds.runs - 1}:
        if run < seeds.runs:
            assert range_of(seeds.first(run)) == range_of(seeds.first(run) + EPISODES - 1) == seeds.name
    with pytest.raises(ValueError, match="must lie in"):
        seeds.first(seeds.runs)
    with pytest.raises(ValueError, match="must lie in"):
        seeds.first(-1)
    with pytest.raises(TypeError, match="must be an integer, got 1"):
        seeds.first(1.5)
    with pytest.raises(ValueError, match="at most"):
        seeds.episodes(EPISODES + 1)


def test_a_recording_leaves_the_others_alone(tmp_path):
    for seed in (2**20, 2**20 + 4095):
        with pytest.raises(ValueError, match="set aside for what the benchmark's agents play"):
            first_seed(seed)
    assert first_seed(2**20 + 4096) == (2**20 + 4096) << 32
    env = language_vec("MovieReview-v0", 2)
    with pytest.raises(ValueError, match=r"the seed of a recording must lie in \[0, 268435455\], got 1073741824"):
        record(env, RandomTokens(env.task), 2, tmp_path / "d", seed=2**30)
    with pytest.raises(ValueError, match="the seed of live training"):
        Live(env, seed=2**28)


def test_live_training_plays_what_nobody_recorded(tmp_path):
    env = language_vec("MovieReview-v0", 2)
    played = Live(env, seed=3).sample(4, RandomTokens(env.task))
    assert [info["seed"] for info in played.info] == list(LIVE.episodes(4, run=3))
    data = build("movie-review", 8, tmp_path / "d", progress=False)
    source = source_of(Cell("x", "bc", live=1.0), data, seed=3)
    assert source.first == BENCHMARK_LIVE.first(3)


@pytest.mark.parametrize(
    ("command", "first"),
    [
        (["eval", "RUN", "--env", "MovieReview-v0", "--episodes", "4"], 0),
        (["eval", "RUN", "--env", "MovieReview-v0", "--episodes", "4", "--seed", "5"], 5),
        (["explain", "RUN", "--env", "MovieReview-v0", "--episodes", "2"], 0),
        (["play", "MovieReview-v0", "--agent", "RUN", "--seed", "5"], 5),
    ],
)
def test_commands_play_evaluation_episodes(command, first, tmp_path, monkeypatch):
    env = language_vec("MovieReview-v0", 2)
    folder = BC(LM.from_scratch("d64-l2", env)).save(tmp_path / "agent")
    begun, begin = [], type(env).begin
    monkeypatch.setattr(type(env), "begin", lambda s, r, seeds, c=(): begun.extend(seeds) or begin(s, r, seeds, c))
    monkeypatch.setattr("builtins.input", lambda prompt="": "")
    arguments = [str(folder) if part == "RUN" else part for part in command]
    monkeypatch.setattr(sys, "argv", ["lang-envs", *arguments])
    main()
    assert begun == list(EVALUATION.episodes(len(begun), first)) != []


def test_the_watch_sees_an_agent_on_logged_episodes(monkeypatch):
    found = watched(monkeypatch)
    env = language_vec("MovieReview-v0", 2)
    env.begin([0], [5])
    env.say([0], [np.array([env.end_id], np.int32)])
    assert found == {"the agent": {"a recording"}}
    with pytest.raises(AssertionError):
        check(found)
