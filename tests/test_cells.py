"""Cells that use each other: start models, rankers, live episodes, other logs, other environments, groups."""

import dataclasses
import json
import shutil
from pathlib import Path

import multiwoz_folder
import numpy as np
import pytest

from agents import Live, Logged, Mixed
from agents.agent import Agent
from agents.benchmark import Baseline, Cell, Data, Experiment, Samples, Suite, run
from agents.benchmark.baselines import POLICIES, make_policy
from agents.benchmark.experiment import Elsewhere
from agents.benchmark.running.evaluate import SCORES, as_trained, decoded
from agents.benchmark.running.protocols import Speaker, Tried, best, best_of_each, try_decodings
from agents.benchmark.running.starts import Part
from agents.benchmark.running.training import source_of
from agents.benchmark.running.units import units
from agents.benchmark.suite_file import suite_of_plain
from agents.decoding.rank import Ranked
from datasets_builders import build
from datasets_builders.dataset import EpisodeDataset
from lang_envs import rollout
from lang_envs.make import language_vec
from lang_envs.seeds import REPORT

FIT = {"steps": 4, "batch_size": 8}
VALUES = {"gamma": 1.0}
CELLS = (
    Cell("BC", "bc", fit=FIT),
    Cell("few", "bc", fit=FIT, first=10),
    Cell("others' logs", "bc", fit=FIT, data=Data("movie-review", 30, seed=1)),
    Cell("MC", "monte_carlo", VALUES, FIT, start="BC"),
    Cell("ranked", "monte_carlo", decodings=({"rank": "q", "k": 3},), start="MC", trained=False, candidates_from="BC"),
    Cell("ILQL 0.7", "ilql", {**VALUES, "tau": 0.7}, FIT, start="BC", group="ILQL"),
    Cell("ILQL 0.9", "ilql", {**VALUES, "tau": 0.9}, FIT, start="BC", group="ILQL"),
    Cell("live", "bc", fit=FIT, start="BC", live=0.5),
    Cell("own", "bc", fit=FIT, data=Samples("BC", 24, drawn=22, beams=2, human=False)),
    Cell("own, best", "bc", {"keep_best": 1}, FIT, start="BC", data=Samples("BC", 24, drawn=22, beams=2, human=False)),
)
EXPERIMENT = Experiment(
    name="tiny",
    title="Tiny",
    about="Whether it runs.",
    data=Data("movie-review", episodes=40),
    env="MovieReview-v0",
    cells=CELLS,
    baselines=(Baseline("random", "random"), Baseline("optimal", "optimal")),
    reference="BC",
    measures=("length", "divergence"),
    best_of=3,
    elsewhere=(Elsewhere("again", "MovieReview-v0", measures=("length",)),),
    episodes=12,
    selection_episodes=4,
    measure_every=2,
)
NOWHERE = Path("nowhere")
SUITE = Suite("tiny", "Tiny", (EXPERIMENT,), seeds=2)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    run(SUITE, out, command="lang-envs bench tiny", say=lambda line: None)
    return out


def result(out, label, seed=0):
    return json.loads((out / "cells/tiny" / label / str(seed) / "result.json").read_text())


def with_cells(*cells, **changes):
    return dataclasses.replace(SUITE, experiments=(dataclasses.replace(EXPERIMENT, cells=cells, **changes),))


def weights(agent):
    return {name: p.detach().numpy() for name, p in agent.model.named_parameters()}


def test_a_cell_starts_from_the_model_of_its_own_seed(finished, tmp_path):
    out = shutil.copytree(finished, tmp_path / "copy", copy_function=shutil.copy2)
    still = Cell("still", "bc", fit={**FIT, "lr": 1e-12}, start="BC")
    run(with_cells(CELLS[0], still), out, say=lambda line: None)
    start, same = (
        [weights(Agent.load(out / f"cells/tiny/{x}/{seed}/agent")) for seed in (0, 1)] for x in ("bc", "still")
    )
    assert [[near(a, b) for a in start] for b in same] == [[True, False], [False, True]]


def near(a, b):
    return all(np.allclose(a[name], b[name], atol=1e-6) for name in a)


def test_who_starts_from_another_runs_after_it():
    by_label = {
        unit.part.label: unit for unit in units(SUITE, NOWHERE) if isinstance(unit.part, Cell) and unit.seed == 1
    }
    assert {label: unit.wave for label, unit in by_label.items()} == {
        "BC": 0, "few": 1, "others' logs": 1, "MC": 1, "ranked": 2, "ILQL 0.7": 1, "ILQL 0.9": 1, "live": 1,
        "own": 2, "own, best": 2,
    }  # fmt: skip
    assert by_label["ranked"].agents().keys() == {"start", "candidates_from", "reference"}
    assert {unit.seed for unit in by_label["ranked"].needs.values()} == {1}


def test_a_cell_of_another_experiment_is_trained_once_for_both():
    same = Cell("BC", "bc", start="tiny/BC", trained=False)
    other = dataclasses.replace(EXPERIMENT, name="other", cells=(same, CELLS[1]), reference="BC")
    work = units(dataclasses.replace(SUITE, experiments=(EXPERIMENT, other)), NOWHERE)
    [bc, copied] = [unit for unit in work if isinstance(unit.part, Cell) and (unit.part.label, unit.seed) == ("BC", 1)]
    assert (bc.name, copied.name, copied.wave) == ("tiny/BC/1", "other/BC/1", 1)
    assert copied.needs["start"] is bc


def test_some_experiments_of_a_suite():
    suite = dataclasses.replace(SUITE, experiments=(EXPERIMENT, dataclasses.replace(EXPERIMENT, name="other")))
    assert [e.name for e in suite.only("other").experiments] == ["other"]
    assert suite.only("other", "tiny") == suite
    alone = {unit.name: unit.spec() for unit in units(suite.only("tiny"), NOWHERE)}
    assert alone.items() < {unit.name: unit.spec() for unit in units(suite, NOWHERE)}.items()  # one folder for both
    for names, words in (("othr",), "are tiny, other; 'othr' was"), ((), "none was asked for"):
        with pytest.raises(ValueError, match=words):
            suite.only(*names)


def test_editing_what_is_measured_trains_nothing_anew(finished, tmp_path):
    out = shutil.copytree(finished, tmp_path / "copy", copy_function=shutil.copy2)
    trained = {path: path.stat().st_mtime_ns for path in out.rglob("trained.json")}
    run(with_cells(*CELLS, measures=("length",), episodes=10), out, say=lambda line: None)
    assert trained == {path: path.stat().st_mtime_ns for path in out.rglob("trained.json")}
    assert "kl" not in result(out, "mc")["metrics"]
    assert result(out, "mc")["spec"]["experiment"]["episodes"] == 10
    run(SUITE, out, say=lambda line: None)
    for label in ("bc", "mc", "ranked", "ilql-0.9"):
        before, after = ({**result(folder, label), "seconds": None} for folder in (finished, out))
        assert before == after


def test_a_training_that_was_measured_by_half_is_kept(finished, tmp_path):
    out = shutil.copytree(finished, tmp_path / "copy", copy_function=shutil.copy2)
    cell = out / "cells/tiny/mc/0"
    (cell / "result.json").unlink()
    was = (cell / "trained.json").stat().st_mtime_ns
    run(SUITE, out, say=lambda line: None)
    assert (cell / "trained.json").stat().st_mtime_ns == was
    assert result(out, "mc")["metrics"] == result(finished, "mc")["metrics"]


def test_training_the_start_anew_trains_anew_what_went_on_from_it():
    edited = (dataclasses.replace(CELLS[0], fit={**FIT, "lr": 1e-4}), *CELLS[1:])
    before, after = (
        {unit.name: unit.spec() for unit in units(suite, NOWHERE)} for suite in (SUITE, with_cells(*edited))
    )
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {name for name in before if "baselines" not in name}  # all measure themselves against it


def test_what_is_only_drawn_otherwise_is_not_made_anew():
    edited = tuple(dataclasses.replace(cell, line="all", at=i) for i, cell in enumerate(CELLS))
    before, after = (
        [unit.spec() for unit in units(suite, NOWHERE)] for suite in (SUITE, with_cells(*edited, varies="their number"))
    )
    assert before == after


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ((Cell("MC", "monte_carlo", start="TF"),), "'tiny/MC' needs the cell 'TF', but tiny has only MC"),
        (
            (Cell("a", "bc", start="b"), Cell("b", "bc", start="a")),
            "'tiny/b' needs the cell 'a', which needs it in turn",
        ),
        ((Cell("a", "bc", start="big/TF"),), "'tiny/a' needs the cell 'big/TF'. Run that experiment too, beside tiny."),
        ((Cell("a", "bc", data=Samples("a", 10, drawn=1)),), "'tiny/a' needs the cell 'a', which needs it in turn"),
    ],
)
def test_a_cell_that_is_not_there_is_named(cells, words):
    with pytest.raises(ValueError, match=words):
        units(with_cells(*cells, reference=None), NOWHERE)


@pytest.mark.parametrize(
    ("cell", "changes", "words"),
    [
        (Cell("x", "bc", {"nope": 1}, FIT), {}, "The cell tiny/x: .*'nope'"),
        (Cell("x", "bc", {}, {**FIT, "nope": 1}), {}, "The cell tiny/x: .*'nope'"),
        (Cell("x", "bc"), {}, "The cell tiny/x: fit must say how many steps"),
        (Cell("x", "bcc", {}, FIT), {}, "The cell tiny/x: There is no agent 'bcc'; did you mean 'bc'"),
        (Cell("x", "bc", {}, FIT, decodings=()), {}, "The cell tiny/x: it needs a decoding"),
        (Cell("x", "bc", {}, FIT, start="DT"), {}, "has 'DT' as its start, a language model that speaks behind return"),
        (Cell("x", "bc", {}, FIT), {"reference": "DT"}, "has 'DT' as its reference"),
        (Cell("x", "bc", {}, FIT), {"env": "Nope-v0"}, "The experiment 'tiny': .*Nope"),
        (Cell("x", "bc", {}, FIT), {"measures": ("size",)}, "The experiment 'tiny': There is no measure 'size'"),
        (
            Cell("x", "bc", {}, FIT),
            {"lm": "d65-l2"},
            "'tiny': There is no size of a model 'd65-l2'; did you mean 'd64-l2'",
        ),
        (
            Cell("x", "bc", {}, FIT),
            {"env_options": {"max_token": 9}},
            "no option 'max_token'; did you mean 'max_tokens'",
        ),
        (Cell("x", "bc", {}, FIT), {"selection_options": {"temp": 9}}, "The experiment 'tiny': .*no option 'temp'"),
        (
            Cell("x", "bc", {}, FIT),
            {"baselines": (Baseline("b", "optimum"),)},
            "'b': There is no policy for MovieReview .*mean 'optimal'",
        ),
        (Cell("x", "bc", {}, FIT), {"baselines": (Baseline("b", "random", {"p": 1}),)}, "the baseline 'b': .*'p'"),
        (Cell("x", "bc", {}, FIT), {"normalise": ("random", "best")}, "baseline to normalise by that is called 'best'"),
        (Cell("x", "bc", {}, FIT), {"normalise": (1.0, -1.0)}, "two or three baselines or returns, the least first"),
        (Cell("x", "bc", {}, FIT), {"normalise": ("random",)}, "two or three baselines or returns, the least first"),
        (Cell("x", "bc", {}, FIT), {"data": Data("movie-reviews", 9)}, "no recipe 'movie-reviews'; .*'movie-review'"),
        (Cell("x", "bc", {}, FIT), {"data": Data("movie-review", 9, options={"n": 1})}, "'movie-review': .*option 'n'"),
        (Cell("x", "bc", {}, FIT), {"data": Data("movie-review", 0)}, "episodes must be at least 1, not 0"),
        (Cell("x", "bc", {}, FIT), {"episodes": 0}, "episodes must be at least 1, not 0"),
        (Cell("x", "bc", {}, FIT), {"elsewhere": (Elsewhere("w", "Wordle-v0"),)}, "'w' .* has other tokens"),
        (
            Cell("x", "bc", {}, FIT),
            {"elsewhere": (Elsewhere("m", "MovieReview-v0", measures=("size",)),)},
            "There is no measure 'size'",
        ),
        (Cell("x", "bc", {}, FIT, decodings=({"temp": 3},)), {}, "tiny/x: .*'temp'; did you mean 'temperature'"),
        (Cell("x", "bc", {}, FIT, decodings=({"advantage_weight": 3},)), {}, "tiny/x: advantage_weight needs an agent"),
        (Cell("x", "bc", {}, FIT, decodings=({"rank": "charm"},)), {}, "tiny/x: .*no score .*'charm'"),
        (Cell("x", "bc", {}, FIT, live=2), {}, "tiny/x: live is a share"),
    ],
)
def test_what_cannot_run_is_refused_before_anything_is_written(cell, changes, words, tmp_path):
    cells = (cell, Cell("DT", "decision_transformer", {"edges": (0.5,)}, FIT))
    with pytest.raises(ValueError, match=words):
        run(with_cells(*cells, **{"reference": None, **changes}), tmp_path / "run", say=lambda line: None)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (("seeds",), "three", "seeds must be of the type int, not 'three'"),
        (("experiments",), {}, "expected a list of experiments, got {}"),
        (("experiments", 0, "episodes"), "many", "the experiment 'tiny': episodes must be of the type int, not 'many'"),
        (("experiments", 0, "cells", 1), 3, "the experiment 'tiny', a cell: expected an object"),
        (
            ("experiments", 0, "cells", 1, "live"),
            "a",
            "'tiny', the cell 'few': live must be of the type float, not 'a'",
        ),
        (("experiments", 0, "cells", 1, "lr"), 1, "the cell 'few': Cell has no field 'lr'"),
        (("experiments", 0, "data", "episodes"), "1", "the experiment 'tiny', data: episodes must be of the type int"),
    ],
)
def test_a_file_that_describes_no_suite_is_told_where(place, value, words):
    plain = part = SUITE.plain()
    for name in place[:-1]:
        part = part[name]
    part[place[-1]] = value
    with pytest.raises(ValueError, match=words.replace("{", "[{]")):
        suite_of_plain(plain)


def test_two_cells_at_one_place_of_a_line_are_refused():
    with pytest.raises(ValueError, match="two cells on the line 'BC' at 3"):
        with_cells(*(Cell(f"{i}", "bc", fit=FIT, line="BC", at=3) for i in range(2)))


def test_a_defect_costs_the_others_nothing(tmp_path, monkeypatch):
    from agents import BC

    monkeypatch.setattr(BC, "loss", lambda self, batch: 1 / 0)
    cells = (Cell("BC", "bc", fit=FIT), Cell("MC", "monte_carlo", VALUES, FIT))
    one = dataclasses.replace(with_cells(*cells, reference=None), seeds=1)
    with pytest.raises(ValueError, match=r"ZeroDivisionError: division by zero \(.*failure.txt"):
        run(one, tmp_path, say=lambda line: None)
    assert "| MC |" in (tmp_path / "table.md").read_text()
    assert "in <lambda>" in (tmp_path / "cells/tiny/bc/0/failure.txt").read_text()
    monkeypatch.undo()
    run(one, tmp_path, say=lambda line: None)
    assert not (tmp_path / "cells/tiny/bc/0/failure.txt").exists()


def test_who_goes_on_from_values_speaks_as_the_algorithm_does_and_they_can_be_the_reference(tmp_path):
    loud = Cell("loud", "ilql", VALUES, FIT, decodings=({"advantage_weight": 40},))
    after = Cell("after", "ilql", VALUES, FIT, start="loud")
    run(dataclasses.replace(with_cells(loud, after, reference="loud"), seeds=1), tmp_path, say=lambda line: None)
    assert as_trained(Agent.load(tmp_path / "cells/tiny/loud/0/agent"))["advantage_weight"] == 40
    assert as_trained(Agent.load(tmp_path / "cells/tiny/after/0/agent"))["advantage_weight"] == 1
    assert result(tmp_path, "after")["metrics"]["perplexity"] > 1  # under the language model of "loud"


def test_what_an_agent_says_is_recorded_once_and_learned_from(finished):
    of_seed = [sorted((finished / "cells/tiny").glob(f"samples-of-bc-*/{seed}/logs")) for seed in (0, 1)]
    assert [len(folders) for folders in of_seed] == [1, 1]  # two cells learn from it
    first, other = (EpisodeDataset.load(folder) for [folder] in of_seed)
    assert [e.info["policy"] for e in first] == [*["BC"] * 22, *["beams"] * 2]
    assert len(first) == 24 and first.provenance["env"]["id"] == "MovieReview-v0"
    assert [e.tokens.tolist() for e in first] != [e.tokens.tolist() for e in other]
    own = next(u for u in units(SUITE, finished) if isinstance(u.part, Cell) and (u.part.label, u.seed) == ("own", 1))
    assert own.data == of_seed[1][0]


def test_who_is_trained_anew_says_it_anew(finished, tmp_path):
    out = shutil.copytree(finished, tmp_path / "copy", copy_function=shutil.copy2)
    [logs] = (out / "cells/tiny").glob("samples-of-bc-*/0/logs")
    before = [e.tokens.tolist() for e in EpisodeDataset.load(logs)]
    bc, own = CELLS[0], CELLS[-2]
    edited = dataclasses.replace(bc, fit={**FIT, "lr": 1e-2})
    run(with_cells(edited, own), out, say=lambda line: None)
    assert [e.tokens.tolist() for e in EpisodeDataset.load(logs)] != before


def learner(speaker, samples, **changes):
    """The training of who learns from ``samples`` of ``speaker``, and nothing else of it."""
    cells = (speaker, Cell("own", "bc", fit=FIT, data=samples))
    work = units(with_cells(*cells, reference=None, **changes), NOWHERE)
    return next(unit.training() for unit in work if isinstance(unit.part, Cell) and unit.part.label == "own")


def test_what_a_training_on_samples_depends_on():
    samples, greedy = Samples("MC", 24, drawn=2, human=False), ({"greedy": True},)
    speaker = Cell("MC", "monte_carlo", VALUES, FIT, ({"advantage_weight": 1}, {"advantage_weight": 4}))
    as_it_is = learner(speaker, samples)
    assert learner(speaker, samples, episodes=10, measures=("length",)) == as_it_is
    assert learner(speaker, dataclasses.replace(samples, drawn=3)) != as_it_is
    assert learner(dataclasses.replace(speaker, fit={**FIT, "lr": 1e-2}), samples) != as_it_is
    assert learner(dataclasses.replace(speaker, decodings=greedy), samples) != as_it_is  # it speaks as it is reported
    assert learner(speaker, samples, selection_episodes=5) != as_it_is


def test_samples_of_nothing_are_refused():
    with pytest.raises(ValueError, match="Samples of 'TF' need drawn or beams"):
        Samples("TF", 10)


def test_a_folder_that_was_half_deleted_is_emptied(finished, tmp_path):
    out = shutil.copytree(finished, tmp_path / "copy", copy_function=shutil.copy2)
    [recording] = (out / "cells/tiny").glob("samples-of-bc-*/0")
    (recording / "training.json").write_text("null")
    (recording / "result.json").unlink()
    for path in list((recording / "logs").iterdir())[:1]:
        path.unlink()
    run(SUITE, out, say=lambda line: None)
    assert len(EpisodeDataset.load(recording / "logs")) == 24


def test_measures_come_beside_the_return(finished):
    metrics = result(finished, "mc")["metrics"]
    assert metrics["return/again"] == metrics["return"] and metrics["length/again"] == metrics["length"]
    assert metrics["best_of/1"] == pytest.approx(metrics["return"])
    assert metrics["best_of/1"] <= metrics["best_of/2"] <= metrics["best_of/3"]
    assert {"length", "turns", "perplexity", "kl"} <= metrics.keys()
    assert "kl" not in result(finished, "ranked")["metrics"]  # its probabilities are not known
    assert result(finished, "bc")["metrics"]["perplexity"] > 1  # greedy, under itself
    baseline = json.loads((finished / "cells/tiny/baselines/random/result.json").read_text())
    assert "length" in baseline["metrics"]


def test_every_protocol_is_reported_and_imitation_beside_it(tmp_path):
    decodings = (
        {"greedy": True, "advantage_weight": 0},
        {"greedy": True, "advantage_weight": 8},
        {"advantage_weight": 0, "lm_top_p": 0.5},
        {"advantage_weight": 0},
        {"advantage_weight": 8},
    )
    cells = (
        Cell("BC", "bc", fit=FIT, decodings=({"greedy": True}, {})),
        Cell("MC", "monte_carlo", VALUES, FIT, decodings, start="BC"),
    )
    run(dataclasses.replace(with_cells(*cells), seeds=1), tmp_path, say=lambda line: None)
    found = result(tmp_path, "mc")
    metrics, beside = found["metrics"], found["protocols"]
    scores = {json.dumps(tried["decoding"]): tried["return"] for tried in found["decodings"]}
    for protocol, own in (("greedy", decodings[:2]), ("sampled", decodings[2:])):
        chosen, imitator = (beside[protocol][kind]["decoding"] for kind in ("best", "imitation"))
        assert chosen in own and scores[json.dumps(chosen)] == max(scores[json.dumps(x)] for x in own)
        assert imitator in own and imitator["advantage_weight"] == 0
        assert metrics[f"{protocol}/imitation"] == beside[protocol]["imitation"]["return"]
        for name in ("return", "return_error", "episodes", "distinct"):
            assert metrics[f"{protocol}/{name}"] == beside[protocol]["best"][name]
    headline = "greedy" if found["decoding"].get("greedy") else "sampled"
    for name in ("return", "return_error", "episodes", "distinct"):
        assert metrics[name] == metrics[f"{headline}/{name}"]
    assert (metrics["greedy/episodes"], metrics["greedy/distinct"], metrics["sampled/episodes"]) == (1, 1, 12)
    assert 1 < metrics["sampled/distinct"] <= 12
    assert "imitation" not in result(tmp_path, "bc")["protocols"]["greedy"]  # it has no values to leave out
    assert found["starts"] == {"split": False, "selection": 1, "report": 1}


def test_the_first_of_equals_is_chosen_and_imitation_says_that_it_leaves_values_out():
    loud, alone, narrow = {"advantage_weight": 1}, {"advantage_weight": 0}, {"advantage_weight": 0, "lm_top_p": 0.5}
    ranked = {"advantage_weight": 0, "rank": "q"}
    tried = [Tried(loud, 2.0), Tried(alone, 1.0), Tried(narrow, 1.0), Tried(ranked, 1.5), Tried({}, 1.5)]
    assert best_of_each(tried) == {"sampled": {"best": loud, "imitation": alone}}
    assert best(tried) == loud
    greedy = Tried({"greedy": True, "rank": "q", "k": 2}, 3.0)  # its candidates are all the same
    assert best_of_each([*tried, greedy])["greedy"] == {"best": greedy.decoding}


def test_a_ranker_is_not_trained_and_says_what_its_proposer_could(finished):
    ranked = result(finished, "ranked")
    assert ranked["curve"] == [] and ranked["decoding"] == {"rank": "q", "k": 3}
    assert not any((finished / "cells/tiny/ranked/0" / name).exists() for name in ("fit", "trained.json"))


def test_who_is_not_trained_and_starts_from_nobody_is_told(tmp_path):
    alone = Cell("alone", "bc", trained=False)
    with pytest.raises(ValueError, match="alone: it is not trained, so it must start from one that is"):
        run(with_cells(alone, reference=None), tmp_path, say=lambda line: None)


def test_settings_of_a_group_are_compared_on_the_selection_episodes(finished):
    assert [len(result(finished, f"ilql-{tau}")["decodings"]) for tau in ("0.7", "0.9")] == [1, 1]
    assert result(finished, "mc")["decodings"] == []
    assert "### Over settings" in (finished / "table.md").read_text()


def test_the_tables_tell_all(finished):
    table = (finished / "table.md").read_text()
    for title in ("Returns", "What else the episodes show", "Best of k", "Under other rewards", "Over settings"):
        assert f"### {title}" in table
    assert "best of 3 by q" in table and "|  | here | again |" in table
    assert "success, again" in table and "tokens a turn, again" in table


def test_where_the_episodes_of_a_cell_come_from(tmp_path):
    data = build("movie-review", 20, tmp_path / "data", progress=False)
    all_, few, live, mixed = (
        source_of(Cell("x", "bc", **settings), data, seed=3)
        for settings in ({}, {"first": 7}, {"live": 1.0}, {"live": 0.25})
    )
    assert isinstance(all_, Logged) and (len(all_), all_.seed) == (20, 3)
    assert isinstance(few, Logged) and few.data[6].same_as(data[6]) and len(few) == 7
    assert isinstance(live, Live) and live.first == (2**20 + 3) << 32
    assert isinstance(mixed, Mixed) and mixed.logged_fraction == 0.75


def test_policies_can_rank(tmp_path):
    env = language_vec("MovieReview-v0", 4)
    agent = Agent.load(saved(tmp_path, env))
    for score in SCORES:
        policy = decoded(agent, {"rank": score, "k": 2, "temperature": 0.5})
        assert isinstance(policy, Ranked) and policy.k == 2
        assert len(list(rollout(env, policy, range(2)))) == 2
    with pytest.raises(
        ValueError, match="no score to rank candidates by 'charm'; choose one of q, q_sum, v, likelihood"
    ):
        decoded(agent, {"rank": "charm"})
    for wrong, words in (
        ({"advantage_wieght": 8}, "no decoding option of .* 'advantage_wieght'; did you mean 'advantage_weight'"),
        ({"lm_temperature": 0}, "temperature must be above 0"),
        ({"lm_top_p": -3}, "top_p"),
        ({"advantage_weight": "8x"}, "advantage_weight is a finite number"),
    ):
        before = agent.model.config.to_dict()
        with pytest.raises(ValueError, match=words):
            decoded(agent, wrong)
        assert agent.model.config.to_dict() == before


def saved(folder, env):
    from agents import AGENTS, LM

    return AGENTS["monte_carlo"](LM.from_scratch("d64-l2", env)).save(folder / "agent")


def test_a_decoding_is_reported_as_it_was_chosen(tmp_path):
    """What was tried after it leaves no trace, neither in the policy nor in what is saved."""
    env = language_vec("MovieReview-v0", 4)
    agent = Agent.load(saved(tmp_path, env))
    trained = agent.model.config.advantage_weight
    tried = (
        {"greedy": True, "advantage_weight": 0.5},
        {"greedy": True},
        {"advantage_weight": 7.0, "advantage_clip": 0},
    )
    weights_seen = []

    class Watched(type(agent)):
        def policy(self, **decoding):
            weights_seen.append((self.model.config.advantage_weight, self.model.config.advantage_clip))
            return super().policy(**decoding)

    agent.__class__ = Watched
    try_decodings(env, Speaker(agent, agent, as_trained(agent)), tried, Part(0, 4))
    assert weights_seen == [(0.5, None), (trained, None), (7, 0)]


TASKS = {
    "Wordle": ("Wordle-v0", {"words": "english-30"}),
    "MovieReview": ("MovieReview-v0", {}),
    "Dialogue": ("Dialogue-chrF-v0", {"split": "test"}),
    "VisualDialogue": ("VisualDialogue-v0", {"pool": 60}),
    "Reddit": ("Reddit-Toxicity-v0", {"split": "test"}),
    "ClarifyingQA": ("ClarifyingQA-v0", {"corpus": "ambiguous-test"}),
    "Maze": ("Maze-v0", {}),
    "ServiceDesk": ("ServiceDesk-v0", {}),
    "MultiWOZGoal": ("MultiWOZ-Goal-v0", {"path": "multiwoz"}),
}
OPTIONS = {"mixture": {"p": 0.5}}


@pytest.mark.parametrize("task", POLICIES)
def test_every_named_baseline_plays(task, tmp_path):
    env_id, options = TASKS[task]
    if "path" in options:
        options = {"path": str(multiwoz_folder.write(tmp_path / options["path"]))}
    env = language_vec(env_id, 2, **options)
    for name in ("random_tokens", *POLICIES[task]()):
        policy = make_policy(name, env, **OPTIONS.get(name, {}))
        assert len(list(rollout(env, policy, range(2)))) == 2
    with pytest.raises(ValueError, match=f"no policy for {task} 'sage'; choose one of random_tokens"):
        make_policy("sage", env)


def test_the_first_sample_of_everyone_is_of_the_first_reported_start(finished):
    begun = {label: result(finished, label)["samples"] for label in ("bc", "mc", "ranked")}
    for label in ("random", "optimal"):
        baseline = json.loads((finished / "cells/tiny/baselines" / label / "result.json").read_text())
        begun[label] = baseline["samples"]
    assert {samples[0]["seed"] for samples in begun.values()} == {REPORT.first()}
    for samples in begun.values():
        assert len({sample["html"] for sample in samples}) == len(samples) <= 3
        assert [sample["seed"] for sample in samples] == sorted({sample["seed"] for sample in samples})
    assert begun["optimal"][0]["return"] == 1.0 and "style" not in begun["optimal"][0]["html"]
    page = (finished / "report.html").read_text()
    start = page.partition('<section id="start">')[2].partition("</section>")[0]
    assert all(f"<h3>{label} <span" in start for label in ("BC", "MC", "random", "optimal"))
