"""The report's tables: columns with the same value in all rows are left out, and columns have names."""

import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from agents.benchmark import measures
from agents.benchmark.report.names import NAMES, OF_REFERENCES, OF_TRAINING, OF_VALUES, has_name, name_of
from agents.benchmark.report.outcome import Table
from agents.evaluation.advantage import REFERENCES

ROOT = Path(__file__).parents[1]


def table(header, *rows, **more):
    return Table("T", header, rows, **more)


def test_columns_that_say_nothing_are_left_out_and_constants_said_once():
    found = table(
        ("agent", "return", "turns", "95 %", "success", "runs", "kl"),
        ("a", "1.00", "1.00 ± 0.00", "–", "0%", "3", "0.10"),
        ("b", "1.00", "1.00", "", "0%", "3", "0.20"),
        ("c", "1.00", "1.00 (0.00)", "–", "0%", "–", "–"),
        note="A note.",
    ).concise()
    assert found.header == ("agent", "return", "kl")
    assert found.rows == (("a", "1.00", "0.10"), ("b", "1.00", "0.20"), ("c", "1.00", "–"))
    assert found.note == "A note. Alike wherever known: turns 1.00; success 0%; runs 3."


def test_what_tells_rows_apart_stays():
    whole = table(("", "x", "y", "z"), ("a", "1.00 ± 0.10", "-0.00", "w"), ("a", "1.00 ± 0.20", "0.01", "–"))
    assert whole.concise() == whole  # the names of rows may be equal, and one known figure is no constant
    alone = table(("", "x", "y"), ("a", "1", "–"))
    assert (alone.concise().header, alone.concise().note) == (("", "x"), "")  # a single row has nothing in common
    assert table(("", "x"), ("a", "-0.00"), ("b", "0.00")).concise().note == "Alike wherever known: x 0.00."


def test_columns_of_a_matrix_stay():
    matrix = table(("", "a", "b"), ("a", "–", "1.00"), ("b", "0.00", "–"), ("c", "0.00", "1.00"), kept=("a", "b"))
    assert matrix.concise() == matrix


def test_names_of_metrics():
    assert (
        name_of("values/optimal_error") == name_of("eval/values/optimal_error") == "distance of Q to the optimum (RMS)"
    )
    assert name_of("advantage/optimal/end") == "advantage quality: optimum, last token"
    assert name_of("advantage/behaviour/ceiling/0") == "advantage quality: log's play, token 1, attainable"
    assert name_of("rank/online/2") == "rank test, online Q, offset 2"
    assert (name_of("greedy/return"), name_of("sampled/imitation")) == ("greedy return", "sampled, imitation alone")
    assert name_of("success/other_rules") == "success, other rules"
    assert name_of("best_of/3") == "return, best of 3"
    assert not has_name("loss/my_own") and name_of("loss/my_own") == "loss, my own"
    assert OF_REFERENCES.keys() == REFERENCES.keys()


def test_every_metric_of_an_agent_has_a_name():
    """Those in the source of everything that trains, and those that the pages of agents explain."""
    sources = [p for p in (ROOT / "agents").rglob("*.py") if not {"templates", "cli"} & set(p.relative_to(ROOT).parts)]
    logged = {
        m for p in sources for m in re.findall(r'"((?:loss|policy|value|values|data|optim|time)/\w+)"', p.read_text())
    }
    explained = {
        m
        for p in (ROOT / "docs/agents").glob("*.md")
        for m in re.findall(r"`((?:loss|policy|value)/\w+)`", p.read_text())
    }
    assert {"loss/q", "policy/kl", "optim/lr", "value/v"} <= logged and {"loss/kto", "policy/ratio"} <= explained
    assert {m for m in logged | explained if not has_name(m)} == set()


def test_every_measure_has_a_name():
    said = {m for measure in measures.MEASURES.values() for m in re.findall(r"``([a-z_0-9]+)``", measure.__doc__ or "")}
    assert {"bertscore", "self_bleu", "combined", "doubly_robust"} <= said
    assert {m for m in said - {"info"} if not has_name(m)} == set()


@pytest.mark.parametrize(
    "task", ["service_desk", "multiwoz_goal", "clarifying_qa", "visual_dialogue", "maze", "wordle", "movie_review"]
)
def test_every_fact_of_a_task_has_a_name(task):
    """What a task says of an episode's end, by the keys in its source."""
    source = (ROOT / f"lang_envs/tasks/{task}.py").read_text()
    [*blocks] = re.findall(r"(?:info(?:: [^=]+)? = |return )\{\s*(\"context\".*?|\"success\".*?)\}", source, re.DOTALL)
    facts = {key for block in blocks for key in re.findall(r'"(\w+)":', block)} - {"context"}
    assert facts and {m for m in facts if not has_name(m)} == set()


def test_every_metric_of_committed_results_has_a_name():
    files = sorted((ROOT / "docs/results").glob("*/results.parquet"))
    metrics = {m for file in files for m in pq.read_table(file, columns=["metric"])["metric"].to_pylist()}
    assert {"greedy/return", "values/optimal_error"} <= metrics
    assert {m for m in metrics if not has_name(m)} == set()


def test_names_fit_above_a_panel_and_tell_metrics_apart():
    panels = {m: name for m, name in (OF_TRAINING | OF_VALUES).items() if not m.startswith("rank/")}
    assert max(map(len, panels.values())) <= 40
    assert len(set(panels.values())) == len(panels)
    assert all(name == name.strip() and "_" not in name and "/" not in name for name in NAMES.values())
