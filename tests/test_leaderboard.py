"""The leaderboard: the committed page is what the command writes, and all figures of a small page are right."""

import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from agents import cli
from agents.benchmark.leaderboard import words as words_module
from agents.benchmark.leaderboard.board import Board
from agents.benchmark.leaderboard.comparison import Tally, against
from agents.benchmark.leaderboard.page import page
from agents.benchmark.leaderboard.results import find, read
from agents.benchmark.leaderboard.words import Paper, Words, papers
from agents.benchmark.report.report import SCHEMA
from agents.cli.leaderboard_command import Leaderboard

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/results/README.md"


def rows(experiment, label, agent, runs, metric="return", trained=True):
    seeds = range(len(runs)) if trained else [None] * len(runs)
    made = {"experiment": experiment, "label": label, "agent": agent, "trained": trained, "metric": metric}
    return [{**made, "seed": seed, "value": value, "episodes": 8} for seed, value in zip(seeds, runs, strict=True)]


SMALL = [
    *rows("a", "BC", "bc", [1.0, 2.0, 3.0]),
    *rows("a", "BC", "bc", [1.0, 2.0, 3.0], "greedy/return"),
    *rows("a", "ILQL", "ilql", [5.0, 5.5, 6.0]),
    *rows("a", "new one", "invented", [0.0, 0.25, 0.5]),
    *rows("a", "ILQL", "ilql", [6.5], trained=False),
    *rows("a", "optimal", "optimal", [7.0], trained=False),
    *rows("b", "BC", "bc", [1.0, 2.0]),
    *rows("b", "ILQL", "ilql", [1.5, 2.5]),
    *rows("b", "optimal", "optimal", [4.0], trained=False),
]
TITLES = ("First, a/b", "Second: the_other one")


@pytest.fixture
def write(tmp_path):
    """Writes a folder of results, as ``lang-envs bench`` does."""

    def results(name, table=SMALL, titles=TITLES, command="lang-envs bench x --out runs/x", **files):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(table, SCHEMA), folder / "results.parquet")
        parts = ["# A suite", "## Headline", *(f"## {title}\n\n### Returns" for title in titles)]
        (folder / "table.md").write_text("\n\n".join([*parts, f"Made by\n\n```text\n{command}\n```\n"]))
        for file, text in files.items():
            (folder / file.replace("_json", ".json")).write_text(text)
        return folder

    return results


def table_of(text, title):
    """Row name -> cells of the table below a heading, links as what they show."""
    section = text.partition(f"## {title}\n")[2].partition("\n## ")[0]
    lines = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("|")]
    return {name: [re.sub(r"\[([^]]*)]\[[^]]*]", r"\1", cell) for cell in cells] for name, *cells in lines[2:]}


def test_the_committed_page_is_what_the_command_writes(monkeypatch):
    monkeypatch.chdir(ROOT)
    made = Leaderboard((Path("docs/results"),), out=Path("docs/results/README.md")).page()
    assert PAGE.read_text() == made, "run lang-envs leaderboard docs/results --out docs/results/README.md"


def test_every_link_of_the_committed_page_leads_somewhere():
    text = PAGE.read_text()
    defined = dict(re.findall(r"^\[(.+?)]: (\S+)$", text, re.MULTILINE))
    used = set(re.findall(r"\[[^]]*]\[([^]]+)]", text))
    assert used == set(defined) and len(used) > 15
    links = [*defined.values(), *re.findall(r"]\(([^)]+)\)", text)]
    for link in (link for link in links if not link.startswith("https://")):
        file, _, anchor = link.partition("#")
        path = PAGE.parent / file
        assert path.exists(), link
        headings = re.findall(r"^#+ (.*)", path.read_text(), re.MULTILINE) if anchor else []
        assert not anchor or anchor in {re.sub(r"[^a-z0-9 -]", "", h.lower()).replace(" ", "-") for h in headings}, link


def test_the_figures_of_a_small_page_by_hand(write, tmp_path):
    results = find([write("runs")])
    shown = table_of(page(results, Words(), tmp_path / "page.md"), "A suite")
    assert list(shown) == ["ILQL", "BC", "new one", "*exact ILQL*", "*optimal*"]
    assert shown["ILQL"] == ["**5.50** <sub>[5.00,&nbsp;6.00]</sub>", "2.00 <sub>[1.50,&nbsp;2.50]</sub>"]
    assert shown["new one"] == ["0.25 <sub>[0.00,&nbsp;0.50]</sub>", "-"]
    assert (shown["*exact ILQL*"], shown["*optimal*"]) == (["6.50", "-"], ["7.00", "4.00"])


def test_a_page_names_its_sources_and_what_is_older(write, tmp_path):
    folder = write("a run", command="lang-envs bench x | cat")
    text = page(find([folder]), Words(), tmp_path / "docs" / "page.md", command="lang-envs leaderboard x")
    assert "| [a](../a%20run/table.md)<br><sub>return, 3 runs</sub> | [b](../a%20run/table.md) †<br>" in text
    assert "\n[../a-20run/a]: ../a%20run/table.md#first-ab\n" in text
    assert "#second-the_other-one" in text
    assert r"| [a run](../a%20run/table.md) | A suite | `lang-envs bench x \| cat` |" in text
    assert text.endswith("Written by `lang-envs leaderboard x`.\n")


def test_the_interval_is_that_of_the_suite_s_own_report():
    """Of five runs: one that is computed and not the range of the runs."""
    [column] = [c for found in find([ROOT / "docs/results/human-feedback"]) for c in found.columns]
    score = column.find("trained", "SFT, approved")
    line, *_ = re.findall(r"^\| SFT, approved \|.*", (column.folder / "table.md").read_text(), re.MULTILINE)
    assert f"[{score.interval.low:.2f}, {score.interval.high:.2f}]" in line
    assert f"{score.mean:.2f}" in line.replace("\\", "")


def test_where_the_rank_test_is_asked_for_it_is_shown(write):
    table = rows("a", "ILQL", "ilql", [0.9, 1.0], "rank/target/0") + rows("a", "ILQL", "ilql", [-6.0, -6.0])
    [column] = read(write("runs", table, TITLES[:1])).columns
    assert (column.measure, column.find("trained", "ILQL").mean) == ("rank test", pytest.approx(0.95))


def test_the_best_is_bold_only_where_it_is_apart(write):
    first, second = read(write("runs")).columns
    assert (first.best(), second.best()) == ("ILQL", None)
    [single] = read(write("one", rows("a", "x", "bc", [1.0]) + rows("a", "y", "bc", [2.0]))).columns
    assert single.best() is None  # one run has no interval


def test_methods_come_by_their_mean_place(write):
    table = [
        *(row for name, x in (("x", 3.0), ("y", 2.0), ("z", 1.0)) for row in rows("a", name, "bc", [x])),
        *(row for name, x in (("y", 2.0), ("x", 1.0)) for row in rows("b", name, "bc", [x])),
    ]
    lines = Board(read(write("runs", table)).columns).lines()
    assert [line.label for line in lines] == ["y", "x", "z"]  # places 0.5 and 0; 0 and 1; 1


def test_how_often_an_algorithm_is_ahead(write):
    table = [
        *(row for e, x in (("a", 5.0), ("b", 1.5), ("c", -5.0)) for row in rows(e, "ILQL", "ilql", [x, x + 1])),
        *(row for e in "abc" for row in rows(e, "BC", "bc", [0.0, 1.0]) + rows(e, "%BC", "bc", [1.0, 2.0])),
        *rows("a", "once", "once", [9.0]),
    ]
    columns = read(write("runs", table, ())).columns
    assert against(columns, "bc") == [Tally("ilql", ahead=1, level=1, behind=1)]
    assert against(columns, "nobody") == []


def test_papers_stand_beside_the_tasks_that_they_report(write, tmp_path, monkeypatch):
    paper = Paper("A et al.", "https://a.b", "other logs.", {TITLES[1]: {"ILQL": 1.25}})
    monkeypatch.setattr("agents.benchmark.leaderboard.page.papers", lambda: [paper])
    text = page(find([write("runs")]), Words(), tmp_path / "page.md")
    assert table_of(text, "A suite")["*ILQL, [A et al.](https://a.b)*"] == ["-", "1.25"]
    assert "[A et al.](https://a.b): other logs." in text


def test_what_papers_report_is_of_experiments_that_suites_have():
    from agents.benchmark import SUITES

    titles = {experiment.title for suite in SUITES.values() for experiment in suite.experiments}
    for paper in papers():
        assert paper.url.startswith("https://arxiv.org/abs/") and set(paper.scores) <= titles


def test_words_say_what_shares_a_table(write, tmp_path):
    write("runs/one")
    write("runs/two")
    (tmp_path / "runs" / words_module.FILE).write_text(
        'title = "Mine"\nreading = "Beware."\n[[tables]]\ntitle = "Both"\nexperiments = ["one/a", "two/a"]\n'
        '[called]\n"one/a" = "this"\n[left_out]\n"two/b" = "no use."\n[questions]\none = "Why?"\n'
    )
    assert cli.main(["leaderboard", str(tmp_path / "runs"), "--out", str(tmp_path / "made/page.md")]) == 0
    text = (tmp_path / "made/page.md").read_text()
    assert text.startswith("# Mine\n") and "Beware." in text
    assert table_of(text, "Both")["*optimal*"] == ["7.00", "7.00"]
    assert table_of(text, "A suite")["*optimal*"] == ["4.00"]  # one/b, which nobody named
    assert "[this](" in text and "no use." in text and "| Why? |" in text


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ('[called]\n"runs/c" = "x"', "no experiment in these results 'runs/c'; did you mean 'runs/"),
        ('[questions]\nrun = "x"', "did you mean 'runs'?"),
        ("titel = 1", "Words has no field 'titel'"),
        ('tables = "x"', "written as [[tables]]"),
        ('[[tables]]\ntitle = "x"\nexperiments = "runs/a"', "experiments must be"),
        ("title = ", "expected TOML"),
    ],
)
def test_words_that_say_nothing_are_refused(write, words, told, capsys):
    (write("runs") / words_module.FILE).write_text(words)
    code = cli.main(["leaderboard", str(write("runs2").parent / "runs")])
    assert code == 2 and told in " ".join(capsys.readouterr().err.split())


def test_two_folders_of_one_name_are_told_apart_or_refused(write, tmp_path):
    results = find([write("x/runs"), write("y/runs")])
    text = page(results, Words(), tmp_path / "page.md")
    assert {"[x/runs/a]: x/runs/table.md#first-ab", "[y/runs/a]: y/runs/table.md#first-ab"} <= set(text.splitlines())
    with pytest.raises(ValueError, match="ambiguous"):
        page(results, Words(called={"runs/a": "x"}), tmp_path / "page.md")


def test_what_cannot_be_shown_is_refused_in_words(write, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"empty holds no results\.parquet"):
        find([tmp_path / "empty"])
    with pytest.raises(ValueError, match="smoke run"):
        read(write("s", command="lang-envs bench x --smoke --out s"))
    with pytest.raises(ValueError, match="smoke run"):
        read(write("t", config_json='{"name": "x-smoke"}'))
    old = write("old")
    pq.write_table(pq.read_table(old / "results.parquet").drop_columns(["trained"]), old / "results.parquet")
    with pytest.raises(ValueError, match="has no column 'trained': it was written by an earlier version"):
        read(old)
    (old / "results.parquet").write_text("x")
    with pytest.raises(ValueError, match="expected a whole Parquet file"):
        read(old)
    (old / "table.md").unlink()
    with pytest.raises(ValueError, match=r"no table\.md"):
        read(old)
    with pytest.raises(ValueError, match=r"'x': scores must be finite"):
        read(write("nan", rows("a", "x", "bc", [float("nan")])))
    assert cli.main(["leaderboard"]) == 2
