"""The report's transcripts of agents from one start, side by side."""

from agents.benchmark import Baseline, Cell, Data, Experiment
from agents.benchmark.report.outcome import Outcome
from agents.benchmark.report.transcripts import OPEN, starts, transcripts

SEEN = '<span class="env">hello &lt;</span>'


def sample(said, paid=1.0, seed=None, seen=SEEN, style="", **more):
    html = f'<p class="episode">{seen}<span class="act"{style}>{said}</span></p>'
    return {"html": html, "return": paid, **({} if seed is None else {"seed": seed}), **more}


def outcome(cells, baselines=None):
    made = tuple(Cell(label, "bc" if label == "BC" else "ilql") for label in cells)
    e = Experiment(
        name="e", title="E", about="", data=Data("movie-review", 10), env="MovieReview-v0", cells=made,
        baselines=tuple(Baseline(label, "random") for label in baselines or {}),
    )  # fmt: skip
    runs = {
        label: [{"spec": {"seed": 0}, "metrics": {"return": float(i)}, "samples": samples}]
        for i, (label, samples) in enumerate(cells.items())
    }
    played = {label: {"metrics": {"return": 0.0}, "samples": samples} for label, samples in (baselines or {}).items()}
    return Outcome(e, runs, played, None)


def test_everyone_who_begins_alike_stands_side_by_side():
    found = starts(
        outcome(
            {"BC": [sample("a", 1.0, 5), sample("b", 2.0, 8)], "ILQL": [sample("c", 3.0, 5), sample("d", 4.0, 9)]},
            {"chance": [sample("e", 0.0, 5), sample("f", 0.5, 9)]},
        )
    )
    told = [[(one.label, one.trained, one.paid) for one in start.first] for start in found]
    assert told == [
        [("BC", True, 1.0), ("ILQL", True, 3.0), ("chance", False, 0.0)],
        [("ILQL", True, 4.0), ("chance", False, 0.5)],
        [("BC", True, 2.0)],
    ]
    said = [[one.said.removesuffix("</span></p>")[-1] for one in start.first] for start in found]
    assert said == [["a", "c", "e"], ["d", "f"], ["b"]]


def test_the_start_is_shown_once():
    [start] = starts(outcome({"BC": [sample("a")], "ILQL": [sample("b")]}))
    assert start.seen == f'<p class="episode">{SEEN}</p>'
    assert [one.said for one in start.first] == [f'<p class="episode"><span class="act">{x}</span></p>' for x in "ab"]
    [start] = starts(outcome({"BC": [sample("a", seen="")], "ILQL": [sample("b")]}))
    assert start.seen == "" and start.first[1].said == f'<p class="episode">{SEEN}<span class="act">b</span></p>'


def test_results_without_seeds_have_one_start_in_common():
    found = starts(outcome({"BC": [sample("a"), sample("b")], "ILQL": [sample("c", seed=5), sample("d", seed=8)]}))
    assert [[one.label for one in start.first] for start in found] == [["BC", "ILQL"], ["ILQL"]]


def test_of_many_those_that_the_sentence_is_about_are_seen_at_once():
    cells = {f"agent {i}": [sample("x")] for i in range(8)} | {"BC": [sample("y")], "best": [sample("z")]}
    [start] = starts(outcome(cells))
    assert [one.label for one in start.first] == [*(f"agent {i}" for i in range(OPEN - 2)), "BC", "best"]
    assert [one.label for one in start.others] == [f"agent {i}" for i in range(OPEN - 2, 8)]


def test_messages_stand_in_the_place_of_tokens_without_those_of_the_system():
    before = [{"role": "system", "content": "be kind"}, {"role": "user", "content": "<i>hi"}]
    html = transcripts(outcome({"BC": [sample("a", before=before)]}), "of E")
    assert "<b>user</b> &lt;i&gt;hi" in html and "be kind" not in html and SEEN not in html
    assert "<p>of E</p>" in html and "advantage Q" not in html
    coloured = transcripts(outcome({"BC": [sample("a", style=' style="x"')]}))
    assert "advantage Q" in coloured and SEEN in coloured


def test_without_samples_there_are_none():
    assert transcripts(outcome({"BC": []})) is None
