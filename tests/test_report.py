import dataclasses
import re
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest

from agents.benchmark import Baseline, Cell, Data, Experiment, Suite
from agents.benchmark.report.headline import across, across_table, best_table
from agents.benchmark.report.outcome import Outcome, Table, number
from agents.benchmark.report.page import render
from agents.benchmark.report.pictures import pictures
from agents.benchmark.report.plots import of_runs, scores
from agents.benchmark.report.report import write_report
from agents.benchmark.report.returns_table import returns_table, said
from agents.benchmark.report.tables import long_rows, rank_table, value_table
from agents.benchmark.report.theme import DARK, LIGHT, MOST_LOOKS, looks

OFFSETS = range(3)


def experiment(**changes):
    settings = {
        "name": "made-up",
        "title": "A title with <brackets> & ampersands",
        "about": "About.",
        "data": Data("wordle-trap", 10),
        "env": "Wordle-v0",
        "cells": (Cell("BC", "bc"), Cell("ILQL", "ilql")),
        "baselines": (Baseline("random", "random"), Baseline("optimal", "optimal")),
        "normalise": ("random", "optimal"),
        "episodes": 16,
        "rank_test": True,
    }
    return Experiment(**{**settings, **changes})


def trained(seed, mean, values):
    rank = {f"rank/{kind}/{k}": 0.9 - 0.1 * k for kind in ("target", "online") for k in OFFSETS}
    rank |= {"rank/start": -2.0, "rank/better": -2.5 + 0.1 * seed, "rank/worse": -3.0}
    point = {f"eval/{name}": x for name, x in rank.items()} if values else {}
    return {
        "spec": {"seed": seed},
        "metrics": {"return": mean, "return_error": 0.1, "success": 0.5, **(rank if values else {})},
        "curve": [{"step": step, "loss/bc": 1.0 / step, **point} for step in (1, 2, 3)],
        "decoding": {"advantage_weight": 4} if values else {"greedy": True},
        "samples": [{"html": '<p class="episode"><span class="act">x</span></p>', "return": mean, "seed": 7}],
        "seconds": {"train": 1.0},
    }


def everything(e):
    bc, ilql = e.cells
    random, optimal = e.baselines
    parts = [(bc, s, trained(s, -4.0 + s, False)) for s in range(3)]
    parts += [(ilql, s, trained(s, -3.0 + s, True)) for s in range(3)]
    for part, mean in ((random, -6.0), (optimal, -2.0)):
        parts.append((part, 0, {"metrics": {"return": mean, "return_error": 0.1, "success": 1.0}, "seconds": {}}))
    values = {"start": -2.0, "better": -2.4, "worse": -2.5}
    yardsticks = {"behaviour": values, "optimal": values, "ideal": [0.0, 0.01, 0.1], "ceiling": [1.0, 1.0, 0.9]}
    yardsticks["tabular"] = {"0.9": {"target": [0.5, 0.5, 0.5], **values}}
    parts.append((None, 0, yardsticks))
    return [(SimpleNamespace(part=part, seed=seed, experiment=e), result) for part, seed, result in parts]


def outcome_of(e):
    results = everything(e)
    cells = {c.label: [r for u, r in results if u.part == c] for c in e.cells}
    baselines = {b.label: r for u, r in results for b in e.baselines if u.part == b}
    return Outcome(e, cells, baselines, results[-1][1])


class Links(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found, self.tags = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.found += [value for name, value in attrs if name in ("src", "href", "srcset") and value]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    out = tmp_path_factory.mktemp("report")
    e = experiment()
    write_report(Suite("made-up", "Made up", (e,)), everything(e), out, "lang-envs bench made-up")
    return out


def test_the_page_needs_nothing_from_elsewhere(written):
    page = (written / "report.html").read_text()
    links = Links()
    links.feed(page)
    assert links.found
    assert all(link.startswith(("data:", "#")) for link in links.found)
    assert all(f'id="{link[1:]}"' in page for link in links.found if link.startswith("#"))
    assert not {"script", "link", "iframe"} & set(links.tags)
    assert "@import" not in page
    assert not re.search(r"url\(", page)


def test_the_page_has_every_part(written):
    page = (written / "report.html").read_text()
    for part in (
        "Rank test",
        "Values",
        "Returns",
        "One start, every agent",
        "Settings",
        "lang-envs bench made-up",
        "torch",
    ):
        assert part in page
    assert "$" not in page
    assert "A title with &lt;brackets&gt; &amp; ampersands" in page
    assert page.count("<figure>") == 4
    assert "prefers-color-scheme: dark" in page


def test_what_others_wrote_is_text_on_the_page(tmp_path):
    """Names, commands, failures and what was said before; only the spans of an episode are the page's own."""
    said = "<i>{{ 1 + 1 }}</i> & more"
    hostile = Cell(f"label {said}".replace("/", "|"), "bc")
    e = experiment(cells=(hostile, Cell("ILQL", "ilql")), title=said, about=said, lm="smollm2", rank_test=False)
    results = everything(e)
    messages = [{"role": "user", "content": said}, {"role": "assistant", "content": said}]
    for unit, result in results:
        if isinstance(unit.part, Cell):
            result["samples"][0]["before"] = messages
    write_report(Suite("made-up", said, (e,)), results, tmp_path, said, {"a/b/1": said})
    page = (tmp_path / "report.html").read_text()
    assert "<i>" not in page and "{{ 1 + 1 }}" in page
    for part in ("<h1>", "<p>", "<b>user</b> ", "<pre>", "<h3>label "):
        assert f"{part}&lt;i&gt;{{{{ 1 + 1 }}}}" in page, part
    assert page.count('<p class="episode"><span class="act">x</span></p>') == 2


def test_columns_of_words_are_told_from_figures():
    rows = (("a", "-17.96 [-18.25, -17.50]", "greedy: likeliest token"), ("b", "1.00", "–"))
    table = Table("", ("", "return", "decoding"), rows)
    assert [table.is_text(place) for place in range(3)] == [False, False, True]
    html = render("headline.html", tables=[table], figures=[])
    assert '<td data-label="return">-17.96<span class="range">[-18.25, -17.50]</span></td>' in html
    assert '<th scope="col" class="words">decoding</th>' in html and '<td class="words">–</td>' in html


def test_pictures_and_tables_are_files_too(written):
    names = {p.name for p in written.iterdir()}
    assert {"made-up-rank-test.png", "made-up-values.png", "made-up-returns.png", "made-up-training.png"} <= names
    assert not any(name.endswith(".partial") for name in names)
    table = (written / "table.md").read_text()
    assert "lang-envs bench made-up" in table
    assert table.index("Rank test") < table.index("Returns")


def test_one_row_for_each_cell_seed_and_metric(written):
    rows = pq.read_table(written / "results.parquet").to_pylist()
    returns = {(r["label"], r["seed"]): r["value"] for r in rows if r["metric"] == "return"}
    assert returns[("ILQL", 2)] == -1.0
    assert returns[("random", None)] == -6.0
    assert len(returns) == 8
    assert sum(r["metric"].startswith("rank/target/") for r in rows) == 9


def test_the_report_does_without_missing_parts(tmp_path):
    e = experiment()
    suite = Suite("made-up", "Made up", (e,))
    parts = everything(e)
    write_report(suite, [], tmp_path, "")
    write_report(suite, parts[:1], tmp_path, "")
    assert "BC" in (tmp_path / "table.md").read_text()
    write_report(suite, parts[3:-1], tmp_path, "")
    assert "Rank test" not in (tmp_path / "table.md").read_text()
    write_report(suite, [*parts[:2], *parts[-3:]], tmp_path, "")


def test_the_returns_table_by_hand():
    table = returns_table(outcome_of(experiment()))
    rows = {row[0]: row[1:] for row in table.rows}
    error = 1 / np.sqrt(3)
    assert rows["ILQL"] == (
        "-2.00",
        f"{error:.2f}",
        "-2.00",
        "[-3.00, -1.00]",
        "1.00",
        "50%",
        "β 4, sampled",
        "3",
        "16",
    )
    assert rows["random (not trained)"][0] == "-6.00"
    assert rows["BC"][4] == "0.75"


@pytest.mark.parametrize(
    ("marks", "scores", "told"),
    [
        (("random", "optimal"), [0.0, 0.5, 1.0, 1.25], "0 is random, 1 is optimal, on the same episodes"),
        ((-8.0, 0.0), [0.25, 0.5, 0.75, 0.875], "Normalised: 0 is a return of -8, 1 is a return of 0."),
        (
            (-8.0, -4.0, -2.0),
            [0.25, 0.5, 1.0, 1.25],
            "0 is a return of -8, ½ is a return of -4, 1 is a return of -2, l",
        ),
        (
            (-8.0, "random", "optimal"),
            [0.5, 0.75, 1.0, 1.125],
            "1 is optimal, linear between, on the same",
        ),
    ],
)
def test_scores_are_linear_between_two_or_three_marks(marks, scores, told):
    outcome = outcome_of(experiment(normalise=marks))
    assert [outcome.normalised(mean) for mean in (-6.0, -4.0, -2.0, -1.0)] == scores
    assert told in returns_table(outcome).note


def test_what_others_publish_stands_below():
    table = returns_table(outcome_of(experiment(published={"theirs": -3.0})))
    assert table.rows[-1][:6] == ("theirs (published)", "-3.00", "–", "–", "–", "0.75")
    assert {len(row) for row in table.rows} == {len(table.header)}


def both(seed, greedy, sampled, alone, weight):
    """A run whose decodings of both protocols were tried, the greedy one chosen."""
    decoding = {"greedy": True, "advantage_weight": weight, "lm_top_p": 0.8}
    earned = {"greedy": (decoding, greedy, 0.2, 15), "sampled": ({"advantage_weight": 4}, sampled, 0.1, 60)}
    metrics = {"return": greedy, "return_error": 0.2, "episodes": 15, "distinct": 15}
    for protocol, (_, mean, error, n) in earned.items():
        metrics |= {f"{protocol}/return": mean, f"{protocol}/return_error": error, f"{protocol}/imitation": alone}
        metrics |= {f"{protocol}/episodes": n, f"{protocol}/distinct": n}
    return {
        "spec": {"seed": seed},
        "metrics": metrics,
        "decoding": decoding,
        "protocols": {protocol: {"best": {"decoding": d}} for protocol, (d, *_) in earned.items()},
        "starts": {"split": True, "selection": 15, "report": 15},
    }


def outcome_of_both():
    e = experiment(rank_test=False, cells=(Cell("BC", "bc"), Cell("ILQL", "ilql", decodings=({}, {"greedy": True}))))
    runs = [both(0, -1.0, -2.0, -3.0, 8), both(1, -2.0, -3.0, -4.0, 8), both(2, -3.0, -4.0, -5.0, 2)]
    bc = both(0, -4.0, -5.0, 0.0, 0)
    bc["metrics"] = {name: x for name, x in bc["metrics"].items() if "imitation" not in name}
    return Outcome(e, {"BC": [bc], "ILQL": runs}, {}, None)


def test_greedy_and_sampled_stand_side_by_side_with_imitation_alone():
    table = returns_table(outcome_of_both())
    rows = {row[0]: dict(zip(table.header, row, strict=True)) for row in table.rows}
    error = f"{1 / np.sqrt(3):.2f}"
    assert rows["ILQL"]["greedy"] == f"-2.00 ± {error}" and rows["ILQL"]["sampled"] == f"-3.00 ± {error}"
    assert rows["ILQL"]["greedy, imitation alone"] == rows["ILQL"]["sampled, imitation alone"] == f"-4.00 ± {error}"
    assert (rows["BC"]["greedy"], rows["BC"]["greedy, imitation alone"]) == ("-4.00 (0.20)", "–")
    assert rows["ILQL"]["decoding"] == ("greedy: β 8, top-p 0.8 (2 of 3) / β 2, top-p 0.8 (1 of 3); sampled: β 4")
    assert (rows["ILQL"]["runs"], rows["ILQL"]["distinct episodes"]) == ("3", "15")
    for told in ("30 starting points are split: decodings are chosen from 15", "rests on 15 distinct", "too few"):
        assert told in table.note


@pytest.mark.parametrize(
    ("starts", "told"),
    [
        ({"split": False, "selection": 1, "report": 1}, "one starting point, which is used for the choice and for"),
        ({"split": False, "selection": 90, "report": 138}, "of 90 starting points, the report plays 16 of its own 138"),
        (
            {"split": False, "selection": 25, "report": 25},
            "from the same 25 starting points that are reported: they are the",
        ),
        ({"split": False, "selection": None, "report": None}, "drawn at random, with different seeds for the choice"),
    ],
)
def test_the_note_says_where_episodes_start(starts, told):
    outcome = outcome_of_both()
    if "they are the" in told:
        outcome = dataclasses.replace(outcome, experiment=dataclasses.replace(outcome.experiment, split_starts=False))
    for results in outcome.cells.values():
        for result in results:
            result["starts"] = starts
    assert told in returns_table(outcome).note


@pytest.mark.parametrize(
    ("decoding", "words"),
    [
        ({"greedy": True}, "likeliest token"),
        ({}, "sampled"),
        ({"top_p": 0.5, "temperature": 0.5}, "sampled, top-p 0.5, temperature 0.5"),
        ({"greedy": True, "advantage_weight": 0}, "β 0"),
        ({"rank": "v", "k": 3}, "best of 3 by v"),
        ({"candidates": 4}, "best of 4"),
        ({"greedy": True, "target": -2.0}, "likeliest token, told -2"),
    ],
)
def test_decodings_in_words(decoding, words):
    assert said(decoding) == words


def test_a_decoding_whose_protocol_is_known_does_not_repeat_it():
    ways = ({}, {"greedy": True}, {"temperature": 0.5}, {"advantage_weight": 2, "lm_top_p": 0.8})
    assert [said(way, named=True) for way in ways] == [
        "all tokens",
        "likeliest token",
        "temperature 0.5",
        "β 2, top-p 0.8",
    ]


def test_rows_say_how_many_episodes_each_protocol_played():
    rows = {(r["label"], r["seed"], r["metric"]): r for r in long_rows(outcome_of_both())}
    assert rows["ILQL", 0, "greedy/return"]["episodes"] == rows["ILQL", 0, "return"]["episodes"] == 15
    assert rows["ILQL", 0, "sampled/imitation"]["episodes"] == 60
    assert rows["ILQL", 1, "sampled/imitation"]["value"] == -4.0
    assert {r["episodes"] for r in long_rows(outcome_of(experiment()))} == {16}


def test_the_picture_shows_greedy_filled_and_sampled_hollow():
    outcome = outcome_of_both()
    del outcome.cells["BC"][0]["metrics"]["greedy/return"]
    [picture] = [p for p in pictures(outcome, ["BC", "ILQL"]) if p.name == "returns"]
    assert "hollow ones sampled" in picture.caption
    [axis] = picture.draw(LIGHT).axes
    large = [line for line in axis.get_lines() if line.get_markersize() == 8]
    drawn = [(line.get_xdata()[0], line.get_ydata()[0], line.get_markerfacecolor() == LIGHT.paper) for line in large]
    assert drawn == [(-5.0, 0, True), (-2.0, 0.8, False), (-3.0, 1.2, True)]


def test_the_best_agent_and_the_next():
    table = best_table([outcome_of(experiment(rank_test=False))])
    [row] = table.rows
    assert len(row) == len(table.header) == len(set(table.header))
    # 3 x 3 pairs of runs: (-3, -2, -1) beats (-4, -3, -2) in 6, ties in 2
    shown = ("ILQL", "-2.00", "[-3.00, -1.00]", "1.00", "BC -3.00", "0.78", "optimal -2.00", "3", "16")
    assert row == ("made-up", "return", *shown)


def test_where_the_rank_test_is_asked_for_it_decides():
    [row] = best_table([outcome_of(experiment())]).rows
    assert row == ("made-up", "rank test", "ILQL", "0.90", "[0.90, 0.90]", "–", "–", "–", "–", "3", "–")
    assert across([outcome_of(experiment(name=name)) for name in "ab"]) is None


def test_agents_across_experiments_by_hand():
    first, second = (outcome_of(experiment(name=name, rank_test=False)) for name in "ab")
    assert across([first]) is None
    assert across([first, outcome_of(experiment(normalise=None, rank_test=False))]) is None
    found = across([first, second])
    assert list(found.scores) == ["ILQL", "BC"]
    assert found.scores["BC"] == pytest.approx(np.array([[0.5, 0.5], [0.75, 0.75], [1.0, 1.0]]))
    rows = {row[0]: row[1:] for row in across_table(found).rows}
    assert rows["BC"][0] == "0.75"  # the mean of 0.5, 0.75, 0.75 and 1 once one of six is cut at either end
    assert rows["BC"][3:] == ("0.22", "0.75", "0.75", "3 × 2")
    low, high = found.interval("ILQL")
    assert 0.75 <= low < 1.0 < high <= 1.25
    only = dataclasses.replace(second, cells={"BC": second.cells["BC"]})
    assert list(across([first, only]).scores) == ["BC"]


def test_many_agents_look_different_and_the_same_in_both_themes():
    names = [f"agent {i}" for i in range(MOST_LOOKS)]
    for theme in (LIGHT, DARK):
        look = looks(theme, names)
        assert len({(x.colour, x.marker, str(x.line)) for x in look.values()}) == MOST_LOOKS >= 20
    kinds = [[(x.marker, x.line) for x in looks(theme, names).values()] for theme in (LIGHT, DARK)]
    assert kinds[0] == kinds[1]


def test_close_baselines_have_lines_of_their_own():
    marks = {f"player {i}": 0.001 * i for i in range(8)}
    figure = scores(LIGHT, ["ILQL"], {"ILQL": of_runs([1.0, 2.0])}, marks)
    figure.draw_without_rendering()
    boxes = [tick.get_window_extent() for tick in figure.axes[0].get_yticklabels()]
    assert len(boxes) == 9
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_the_axis_spans_the_agents_and_far_baselines_are_named_at_its_edge():
    lines = {"BC": of_runs([0.18, 0.19]), "DT": of_runs([0.22, 0.23])}
    marks = {"random": -2.0, "nearest": 0.15, "human": 0.97}
    [axis] = scores(LIGHT, list(lines), lines, marks).axes
    low, high = axis.get_xlim()
    assert -0.2 < low < 0.15 and 0.23 < high < 0.5
    assert [text.get_text() for text in axis.texts] == ["0.97 ▸", "◂ -2.00"]
    [axis] = scores(LIGHT, list(lines), lines, {}).axes  # nothing to be far from
    assert not axis.texts
    [axis] = scores(LIGHT, ["BC"], {"BC": of_runs([0.5])}, {"random": 0.0, "human": 1.0}).axes
    assert axis.get_xlim() == pytest.approx((0.446, 0.554))  # a tenth of what there is


def test_curves_that_never_change_are_not_drawn():
    outcome = outcome_of(experiment(rank_test=False))
    for results in outcome.cells.values():
        for row in (row for result in results for row in result["curve"]):
            row |= {"data/return": -row["step"], "eval/values/optimal": 1.0, "loss": 2.0 / row["step"]}
    names = [picture.name for picture in pictures(outcome, ["BC", "ILQL"])]
    assert names == ["rank-test", "values", "returns", "training"]
    drawn = pictures(outcome, ["BC", "ILQL"])[-1].draw(LIGHT)
    assert [axis.get_title() for axis in drawn.axes if axis.get_visible()] == [
        "loss of imitation",
        "return of the episodes in the batch",
    ]
    assert {axis.get_xlabel() for axis in drawn.axes if axis.get_visible()} == {"training steps"}


def test_what_an_experiment_varies_is_drawn_as_lines():
    cells = [Cell(f"{line}, {n}", "bc", line=line, at=n) for n in (10, 200) for line in ("all", "best")]
    varying = experiment(rank_test=False, varies="logged replies", cells=(Cell("TF", "bc"), *cells))
    runs = {cell.label: [trained(s, i + s, False) for s in range(2)] for i, cell in enumerate(varying.cells)}
    outcome = Outcome(varying, runs, {}, None)
    [sweep] = [p for p in pictures(outcome, list(outcome.cells)) if p.name == "sweep"]
    [axis] = sweep.draw(LIGHT).axes
    drawn = {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in axis.get_lines()}
    assert drawn["all"] == ([10, 200], [1.5, 3.5])
    assert drawn["best"] == ([10, 200], [2.5, 4.5])
    assert drawn["TF"][1] == [0.5, 0.5]
    assert (axis.get_xscale(), axis.get_xlabel()) == ("log", "logged replies")
    assert "sweep" not in [p.name for p in pictures(outcome_of(experiment()), ["BC", "ILQL"])]


def test_the_rank_table_shows_yardsticks_beside_runs():
    rows = {row[0]: row[1:] for row in rank_table(outcome_of(experiment())).rows}
    assert rows["ILQL, target Q"] == ("0.90 [0.90, 0.90]", "0.80 [0.80, 0.80]", "0.70 [0.70, 0.70]", "3")
    assert rows["behaviour's values (ideal SARSA)"][:3] == ("0.00", "0.01", "0.10")
    assert not any(name.startswith("BC") for name in rows)


def test_the_value_table_shows_the_difference():
    rows = {row[0]: row[1:] for row in value_table(outcome_of(experiment())).rows}
    assert rows["ILQL"][3] == "0.60 [0.50, 0.70]"
    assert rows["table without generalisation, τ 0.9"][0] == "-2.00"
    assert rows["optimal play"] == ("-2.00", "-2.40", "-2.50", "0.10", "–")


def test_tables_as_text():
    table = Table("T", ("a", "b"), (("x<y", "1"),), "note")
    assert table.markdown() == "### T\n\n| a | b |\n|---|---:|\n| x&lt;y | 1 |\n\nnote\n"
    assert '<th scope="row">x&lt;y</th>' in render("headline.html", tables=[table], figures=[])
    assert number(float("nan")) == "–"
