"""The opening sentence of a report, on hand-made outcomes."""

import dataclasses
from types import SimpleNamespace

import pytest

from agents.benchmark import Baseline, Cell, Data, Experiment, Suite
from agents.benchmark.report.outcome import Outcome
from agents.benchmark.report.report import write_report
from agents.benchmark.report.verdict import difference, imitation, leaders, verdict

OPTIMAL = (Baseline("a guess", "random"), Baseline("optimal", "optimal"))


def outcome(cells=(), baselines=None, exact=None, yardsticks=None, **settings):
    """Of label -> returns by seed; the agent is bc where the label says so."""
    settings = {"baselines": OPTIMAL, "env": "MovieReview-v0", **settings}
    metric = "rank/target/0" if settings.get("rank_test") else "return"
    made = settings.pop("made", tuple(Cell(x, "bc" if x.startswith("BC") else "ilql") for x in dict(cells)))
    e = Experiment(name="e", title="E", about="", data=Data("movie-review", 10), cells=made, **settings)
    return Outcome(
        e,
        {
            x: [{"spec": {"seed": s}, "metrics": {metric: r}} for s, r in enumerate(runs)]
            for x, runs in dict(cells).items()
        },
        {x: {"metrics": {"return": r}} for x, r in (baselines or {}).items()},
        yardsticks,
        {x: {"metrics": {"return": r}} for x, r in (exact or {}).items()},
    )


WIN = {"BC": [0.5, 0.52, 0.51], "ILQL": [0.98, 0.97, 0.99], "SARSA": [0.6, 0.6, 0.6]}


def test_a_method_wins():
    assert verdict(outcome(WIN, {"a guess": 0.15, "optimal": 1.0})) == (
        "ILQL earns most, 0.98 [0.97, 0.99] in 3 seeds, 0.47 [0.45, 0.48] more than imitation (BC 0.51); the best "
        "policy without training, a guess, earns 0.15; optimal play, known exactly, earns 1.00."
    )


def test_a_tie_is_called_one():
    tie = {"BC": [0.5, 0.6, 0.7], "ILQL": [0.6, 0.5, 0.9], "SARSA": [0.1, 0.1, 0.1]}
    assert verdict(outcome(tie)) == (
        "ILQL and BC do not differ: 0.67 [0.50, 0.90] and 0.60 [0.50, 0.70] in 3 seeds, 0.07 [-0.10, 0.20] apart."
    )


def test_others_that_do_not_differ_from_the_best_are_named_and_counted():
    cells = {"BC": [0.0, 0.0], "a": [1.0, 2.0], **{x: [2.0, 0.9] for x in "bcde"}}
    said = verdict(outcome(cells))
    assert said.startswith(
        "a earns most, 1.50 [1.00, 2.00] in 2 seeds, 1.50 [1.00, 2.00] more than imitation (BC 0.00)"
    )
    assert "; b (1.45), c (1.45), d (1.45) and 1 more do not differ from a." in said
    assert "; b (1.45) does not differ from a." in verdict(outcome({x: cells[x] for x in ("BC", "a", "b")}))


def test_imitation_is_not_beaten():
    lost = {"BC": [0.6, 0.62], "ILQL": [0.5, 0.5], "SARSA": [0.1, 0.1]}
    assert verdict(outcome(lost)) == (
        "Imitation is not beaten: BC earns most, 0.61 [0.60, 0.62] in 2 seeds, 0.11 [0.10, 0.12] more than ILQL (0.50)."
    )


def test_one_seed_says_that_it_is_one():
    said = verdict(outcome({"BC": [0.5], "ILQL": [0.9]}))
    assert said == (
        "ILQL earns most, 0.90 in one seed, 0.40 more than imitation (BC 0.50); one seed does not tell that from "
        "chance."
    )
    assert "one seed of both does not tell" in verdict(outcome({"BC": [0.5], "ILQL": [0.9, 0.9]}))


def test_without_imitation_the_next_stands_beside_the_best():
    said = verdict(outcome({"SARSA": [0.5, 0.5], "ILQL": [0.9, 0.9]}))
    assert said == "ILQL earns most, 0.90 [0.90, 0.90] in 2 seeds, 0.40 [0.40, 0.40] more than SARSA (0.50)."
    assert verdict(outcome({"ILQL": [0.9]})) == "ILQL earns 0.90 in one seed."


def test_the_rank_test_is_told_by_its_own_measure():
    yardsticks = {"ideal": [0.1, 0.2], "ceiling": [1.0, 1.0]}
    ranked = outcome({"ILQL": [0.9, 0.8], "SARSA": [0.2, 0.2]}, {"optimal": 1.0}, None, yardsticks, rank_test=True)
    assert verdict(ranked) == (
        "In the rank test, how often an expert's first word is valued above a suboptimal one, ILQL scores most, 0.85 "
        "[0.80, 0.90] in 2 seeds, 0.65 [0.60, 0.70] more than SARSA (0.20); the behaviour's own values score 0.10, and "
        "1.00 is attainable."
    )


def test_nothing_is_finished_yet():
    assert verdict(outcome()) == "No agent is finished yet."
    said = verdict(outcome((), {"a guess": 0.15}, made=(Cell("BC", "bc"),)))
    assert said == "No agent is finished yet; the best policy without training, a guess, earns 0.15."


def test_what_is_possible():
    """Wordle's "optimal" is strong and no optimum; what knows the log by heart is said beside it."""
    marks, exact = {"a guess": -5.0, "optimal": -1.3}, {"BC": -1.9, "SARSA": -1.2}
    assert verdict(outcome({"BC": [-2.0]}, marks, exact, env="Wordle-v0")) == (
        "BC earns -2.00 in one seed; the best policy without training, optimal, earns -1.30; the exact learner "
        "SARSA, a table of the log, earns -1.20."
    )


def test_a_small_difference_has_the_digits_that_show_it():
    assert "0.002 [0.001, 0.003] more than" in verdict(outcome({"BC": [0.5, 0.5], "ILQL": [0.501, 0.503]}))


def test_differences_are_those_of_the_seeds_of_both():
    apart = difference({0: 1.0, 1: 3.0, 2: 9.0}, {0: 0.0, 1: 1.0})
    assert (apart.mean, *apart.interval) == (1.5, 1.0, 2.0) and not apart.is_tie
    alone = difference({0: 1.0}, {1: 0.0})
    assert (alone.mean, alone.known, alone.is_tie) == (1.0, False, False)
    assert difference({0: 1.0, 1: 1.0}, {0: 1.0, 1: 1.0}).is_tie


@pytest.mark.parametrize(
    ("cells", "label"),
    [
        ((Cell("TF", "bc"), Cell("BC", "bc")), "BC"),
        ((Cell("%BC", "bc", {"keep_top": 0.1}), Cell("TF", "bc"), Cell("TF, longer", "bc")), "TF"),
        ((Cell("as it comes", "bc", trained=False), Cell("ILQL", "ilql")), None),
        ((Cell("same", "bc", trained=False, start="other/BC"),), "same"),
    ],
)
def test_who_imitates(cells, label):
    made = outcome({cell.label: [0.0] for cell in cells}, made=cells)
    assert imitation(made, list(made.cells)) == label


def test_whom_the_sentence_is_about():
    found = outcome(WIN, {"a guess": 0.15, "optimal": 1.0})
    assert leaders(found) == ["ILQL", "BC", "a guess", "optimal"]
    assert leaders(outcome()) == []


def test_page_and_table_open_with_it(tmp_path):
    first, second = outcome(WIN), outcome({"BC": [0.5], "ILQL": [0.9]})
    second = dataclasses.replace(second, experiment=dataclasses.replace(second.experiment, name="f", title="F"))
    results = [
        (SimpleNamespace(part=cell, seed=seed, experiment=made.experiment), run | {"decoding": {"greedy": True}})
        for made in (first, second)
        for cell in made.experiment.cells
        for seed, run in enumerate(made.cells[cell.label])
    ]
    for _, result in results:
        result["metrics"]["return_error"] = 0.0
    write_report(Suite("s", "S", (first.experiment, second.experiment)), results, tmp_path, "")
    page, table = ((tmp_path / name).read_text() for name in ("report.html", "table.md"))
    assert table.startswith("# S\n\n**E**: ILQL earns most, 0.98 [0.97, 0.99] in 3 seeds")
    assert "\n\n**F**: ILQL earns most, 0.90 in one seed" in table.partition("## Headline")[0]
    opening = page[page.index("</h1>") : page.index("</header>")]
    assert '<p class="verdict"><a href="#e">E</a>: ILQL earns most' in opening
    assert '<li><a href="#f">F</a>: ILQL earns most' in opening
    alone = [(unit, result) for unit, result in results if unit.experiment.name == "e"]
    write_report(Suite("s", "S", (first.experiment,)), alone, tmp_path, "")
    assert '<p class="verdict">ILQL earns most' in (tmp_path / "report.html").read_text()
    assert (tmp_path / "table.md").read_text().startswith("# S\n\nILQL earns most")
