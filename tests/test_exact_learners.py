"""Exact learners in a benchmark: they are measured once and shown with the agents, and change no other result."""

import dataclasses
import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from agents.benchmark import Baseline, Cell, Data, ExactLearner, Experiment, Suite, run
from agents.benchmark.report.exact_learners import exact_marks
from agents.benchmark.report.report import _outcome
from agents.benchmark.running import starts
from agents.benchmark.running.check import check
from agents.benchmark.running.exact_learners import decodings, learned
from agents.benchmark.running.units import units
from agents.benchmark.suite_file import suite_of_plain
from agents.evaluation.service_desk_table import DeskTable
from agents.evaluation.wordle_play import returns
from agents.evaluation.wordle_tables import WordleTable
from datasets_builders import EpisodeDataset, build
from lang_envs.make import language_vec
from lang_envs.speech import Speech
from lang_envs.tasks.service_desk import ServiceDesk
from lang_envs.tasks.wordle import Wordle

WORDS = {"words": "english-30"}
LEARNERS = (
    ExactLearner("imitation", "bc", keep_top=0.3),
    ExactLearner("returns", "monte_carlo", weights=(4.0,), top_p=(1.0,)),
    ExactLearner("ILQL", "ilql", tau=0.8, backup="utterance", weights=(0.0, 8.0), top_p=(1.0, 0.5)),
)
EXPERIMENT = Experiment(
    name="tiny",
    title="Tiny",
    about="Whether it runs.",
    data=Data("wordle-mixed", episodes=400, options={"env_id": "Wordle-v0", **WORDS}),
    env="Wordle-v0",
    env_options=WORDS,
    cells=(Cell("BC", "bc", fit={"steps": 2, "batch_size": 4}),),
    baselines=(Baseline("random", "random"),),
    exact=LEARNERS,
    episodes=4,
    selection_episodes=2,
)
SUITE = Suite("tiny", "Tiny", (EXPERIMENT,), seeds=1)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    run(SUITE, out, say=lambda line: None)
    return out


def result(out, label):
    return json.loads((out / "cells/tiny/exact" / label / "result.json").read_text())


def parts():
    """Hidden words that decodings are chosen on, and those that are reported."""
    env = language_vec(EXPERIMENT.env, 1, **EXPERIMENT.env_options)
    return [part(EXPERIMENT, env).contexts for part in (starts.selection, starts.report)]


def test_each_is_measured_with_the_best_of_its_decodings(finished):
    found, (folder,) = result(finished, "ilql"), (finished / "data").glob("wordle-mixed-*")
    logs, task = EpisodeDataset.load(folder), Wordle("english-30")
    table = WordleTable.of(task, logs.rows(np.arange(len(logs))), 0.8, 0.99, "utterance")
    chosen_by, reported = parts()
    for way, grid in decodings(LEARNERS[2]).items():
        best = grid[int(np.argmax([returns(table, decoding, chosen_by).mean() for decoding in grid]))]
        assert found["decodings"][way] == best
        assert found["metrics"][f"{way}/return"] == pytest.approx(returns(table, best, reported).mean(), abs=0.03)
    assert found["metrics"]["return"] == max(found["metrics"][f"{way}/return"] for way in ("greedy", "sampled"))


def test_a_method_is_its_table(finished):
    (folder,) = (finished / "data").glob("wordle-mixed-*")
    logs, task = EpisodeDataset.load(folder), Wordle("english-30")
    best = logs.filter(top_fraction=0.3)
    few = WordleTable.of(task, best.rows(np.arange(len(best))))
    assert (
        result(finished, "imitation")["metrics"]["greedy/return"]
        == returns(few, {"greedy": True}, parts()[1], seed=1).mean()
    )
    _, hidden = parts()
    ahead = WordleTable.of(task, logs.rows(np.arange(len(logs))), 0.5, 0.99, 1.0)
    spoken = {"advantage_weight": 4.0, "lm_top_p": 1.0}
    assert result(finished, "returns")["metrics"]["sampled/return"] == returns(ahead, spoken, hidden, seed=1).mean()


def test_the_report_shows_them(finished):
    table, metrics = (finished / "table.md").read_text(), result(finished, "ilql")["metrics"]
    shown = f"| ILQL | {metrics['greedy/return']:.2f} | {metrics['sampled/return']:.2f} | greedy: β".replace("-", "\\-")
    assert "### Exact learners" in table and shown in table
    assert "imitation, exact bc: keep_top 0.3" in (finished / "report.html").read_text()
    rows = pq.read_table(finished / "results.parquet").to_pylist()
    (row,) = [row for row in rows if row["label"] == "returns" and row["metric"] == "greedy/return"]
    assert (row["agent"], row["trained"], row["seed"]) == ("monte_carlo", False, None)
    outcome = _outcome(EXPERIMENT, [(unit, unit.result()) for unit in units(SUITE, finished)])
    assert exact_marks(outcome)["exact ILQL"] == metrics["return"]


def test_desks_are_measured_exactly(tmp_path):
    learner = ExactLearner("ILQL", "ilql", keep_top=0.8, tau=0.9, gamma=1.0, weights=(0.0, 16.0), top_p=(1.0, 0.9))
    experiment = Experiment(
        name="desk",
        title="Desk",
        about="Whether it is the table.",
        data=Data("service-desk", episodes=300),
        env="ServiceDesk-v0",
        env_options={"split": "test"},
        selection_options={"split": "validation"},
        cells=(),
        exact=(learner,),
    )
    logs, task = build("service-desk", 300, tmp_path / "logs", progress=False), ServiceDesk()
    table = DeskTable.of(Speech(task, task.tokenizer()), list(logs.filter(top_fraction=0.8)), tau=0.9)
    found = learned(experiment, learner, tmp_path / "logs")
    for way, grid in decodings(learner).items():
        earned = [table.earns(task, **decoding) for decoding in grid]
        assert found["metrics"][f"{way}/return"] == pytest.approx(max(earned))
        assert found["decodings"][way] == grid[int(np.argmax(earned))]
    check(Suite("desk", "Desk", (experiment,)), tmp_path / "run")


def test_they_change_nothing_else(tmp_path):
    without = dataclasses.replace(SUITE, experiments=(dataclasses.replace(EXPERIMENT, exact=()),))
    alone = {unit.name: unit.spec() for unit in units(without, tmp_path)}
    assert alone.items() < {unit.name: unit.spec() for unit in units(SUITE, tmp_path)}.items()


def test_they_are_read_from_a_file_and_old_files_have_none():
    plain = SUITE.plain()
    assert suite_of_plain(plain) == SUITE
    plain["experiments"][0]["exact"][0]["method"] = "dreams"
    with pytest.raises(ValueError, match=r"exact learner 'imitation'.*method must be 'bc' or"):
        suite_of_plain(plain)
    plain["experiments"][0]["exact"] = ["x"]
    with pytest.raises(ValueError, match="expected an object"):
        suite_of_plain(plain)
    del plain["experiments"][0]["exact"]
    assert suite_of_plain(plain).experiments[0].exact == ()


def test_what_cannot_be_is_refused(tmp_path):
    for settings, words in (({"keep_top": 0.0}, "keep_top of"), ({"tau": 1.0}, "tau of"), ({"weights": ()}, "weights")):
        with pytest.raises(ValueError, match=words):
            ExactLearner("x", "ilql", **settings)
    reviews = Experiment("r", "r", "r", Data("movie-review", 10), "MovieReview-v0", EXPERIMENT.cells, exact=LEARNERS)
    with pytest.raises(
        ValueError, match=r"'imitation': exact learners know only the states of Wordle and ServiceDesk, not .*Review"
    ):
        run(Suite("r", "r", (reviews,)), tmp_path / "r")
    wrong = dataclasses.replace(EXPERIMENT, exact=(ExactLearner("x", "dreams"),))
    with pytest.raises(ValueError, match="method must be 'bc' or"):
        run(Suite("r", "r", (wrong,)), tmp_path / "r")
    with pytest.raises(ValueError, match=r"exact learner.*'../x'"):
        dataclasses.replace(EXPERIMENT, exact=(ExactLearner("../x", "bc"),))
