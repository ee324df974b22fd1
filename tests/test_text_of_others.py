"""Text from data on a terminal, in a card, in tables and in pictures is shown as text, and has no other effect."""

import io
import json
import re
import sys
import warnings

import numpy as np
import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.markup import escape
from rich.table import Table as RichTable
from rich.text import Text
from test_dataset import make_episodes, make_tokenizer

from agents.benchmark.report import theme
from agents.benchmark.report.outcome import Table
from agents.cli import main
from agents.cli.list_command import List
from datasets_builders import EpisodeDataset, markdown
from datasets_builders.card import card, front_matter
from lang_envs.printable import printable
from lang_envs.screen import Screen
from lang_envs.terminal import Terminal
from lang_envs.tokenizers import text_tokenizer

STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
ANY = st.text(st.characters(), max_size=30)  # half characters among them
MARKS = st.text("ab12 \t`*_[](){}<>!#+-=|~$\\&;:/.\"'\n\r\x1b\x85\u2028", max_size=25)
PAGE = MarkdownIt("gfm-like", {"html": True, "linkify": False})


# On a terminal


@given(ANY)
def test_printable_text_steers_nothing(text):
    assert not STEERING.search(printable(text)) and "\n" not in printable(text)
    assert printable(printable(text)) == printable(text)
    assert not STEERING.search(printable(text, keep="\n\t"))
    printable(text).encode()


def test_harmless_text_is_left_as_it_is():
    text = "wörd 語 שלום 👍🏽 e\u0301 \\x1b"
    assert printable(text) == text
    assert printable("a\x1b[2J\n\u202eb\ud800\x9b") == r"a\x1b[2J\n\u202eb\ud800\x9b"


def test_hebrew_marks_are_left():
    assert printable("\u200fא\u200e") == "\u200fא\u200e"


@given(ANY)
def test_a_terminal_prints_no_control_character_of_its_text(text):
    screen = Terminal(file=io.StringIO(), width=40)
    table = RichTable(title=Text(text))
    table.add_column("x")
    table.add_row(Text(text))
    for shown in (text, Text(text), table, f"[bold]{escape(text)}"):
        screen.print(shown, markup=isinstance(shown, str) and shown.startswith("[bold]"))
    screen.print_json(data={text: text})
    assert not STEERING.search(screen.file.getvalue())


def test_colours_stay():
    screen = Terminal(file=io.StringIO(), force_terminal=True, color_system="standard")
    screen.print(Text("a\x1b[31mb", style="red"))
    assert screen.file.getvalue() == "\x1b[31ma\\x1b[31mb\x1b[0m\n"


OWNED = "x\x1b]0;OWNED\x07\x1b[2J\u202e\nevil      100.0% of the episodes"


@pytest.fixture
def owned(tmp_path):
    """A data set of a policy, a name and a description that would steer what shows them."""
    episodes = make_episodes(6)
    for episode in episodes:
        episode.info["policy"] = OWNED
    facts = {
        "name": "a\n---\nlicense: evil\n<script>",
        "description": "<b>\n# b",
        "env": {"id": OWNED},
        "k|<i>": "`` ` <u>",
    }
    EpisodeDataset.from_episodes(episodes, facts, make_tokenizer()).save(tmp_path / "d")
    return tmp_path / "d"


def test_show_prints_what_data_hold_and_does_not_obey_it(owned, capsys):
    assert main(["show", str(owned)]) == 0
    shown = capsys.readouterr().out
    assert r"x\x1b]0;OWNED" in shown
    assert not STEERING.search(shown)
    assert not re.search("^evil", shown, re.MULTILINE)


def test_errors_and_warnings_are_printed_and_not_obeyed(owned, tmp_path, capsys):
    file = owned / "provenance.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "format_version": OWNED}))
    (owned / "checksums.json").unlink()
    assert main(["show", str(owned)]) == 2
    shown = capsys.readouterr().err
    assert "OWNED" in shown and not STEERING.search(shown)


def test_warnings_of_a_command_are_lines(monkeypatch, capsys):
    def warning(self):
        sys.stderr.write(warnings.formatwarning(UserWarning("a\x1b[2J\nb"), UserWarning, "file.py", 3))

    monkeypatch.setattr(List, "__call__", warning)
    assert main(["list"]) == 0
    assert capsys.readouterr().err == "a\\x1b[2J b\n"
    assert "file.py" in warnings.formatwarning(UserWarning("a"), UserWarning, "file.py", 3)


def test_a_rendered_history_is_not_obeyed(capsys):
    tokenizer = text_tokenizer()
    Screen(tokenizer, on=True).show(tokenizer("a\x1b[2J\nb")["input_ids"], over=True)
    assert capsys.readouterr().out == "a\\x1b[2J\nb\n"


# In a page


def plain(token) -> str:
    assert {child.type for child in token.children} <= {"text", "text_special"}, token
    return "".join(child.content for child in token.children)


@settings(max_examples=600, deadline=None)
@given(MARKS)
def test_text_in_a_page_is_the_text(text):
    for lead, around in (("# ", 2), ("", 2), ("* ", 6)):
        tokens = PAGE.parse(f"{lead}a {markdown.text(text)}\n")
        [line] = [token for token in tokens if token.type == "inline"]
        assert plain(line) == f"a {printable(text.strip())}".rstrip() and len(tokens) == around + 1
        if text.strip():
            [line] = [token for token in PAGE.parse(lead + markdown.text(text)) if token.type == "inline"]
            assert plain(line) == printable(text.strip())


@settings(max_examples=300, deadline=None)
@given(MARKS)
def test_code_in_a_page_stays_in_its_fence(text):
    before, code, after = PAGE.parse(f"a {markdown.code(text)} b")[1].children
    assert (before.type, code.type, after.type) == ("text", "code_inline", "text")
    assert code.content.strip() == printable(text).strip()
    kinds = [token.type for token in PAGE.parse(f"{markdown.block(text)}\n\nb\n")]
    assert kinds == ["fence", "paragraph_open", "inline", "paragraph_close"]


@settings(max_examples=300, deadline=None)
@given(st.lists(MARKS.map(lambda text: "x" + text), min_size=2, max_size=2), MARKS)
def test_cells_of_a_table_stay_in_their_cells(cells, title):
    source = Table("t" + title, ("h", "k"), (tuple(cells),)).markdown()
    heading, _, _, *found = (plain(token) for token in PAGE.parse(source) if token.type == "inline")
    assert heading == printable(f"t{title}".strip())
    assert found == [printable(cell.strip()) for cell in cells]


FACTS = {
    "license": "mit",
    "task_categories": ["reinforcement-learning", "text-generation"],
    "tags": ["offline-rl", "lang-envs"],
    "configs": [{"config_name": "default", "data_files": "data-*.arrow"}],
}


@settings(max_examples=300)
@given(ANY | MARKS)
def test_the_front_matter_holds_its_facts_whatever_the_name(name):
    text = front_matter(printable(name))
    assert yaml.safe_load(text) == {"pretty_name": printable(name), **FACTS}
    assert "---" not in text.splitlines()


@settings(max_examples=100)
@given(MARKS, MARKS, MARKS, MARKS)
@example("", "", "[1]", "[1]")  # a name before a colon: where links lead, for another of the same name
def test_a_card_of_any_names_has_its_own_structure_and_no_tags(name, description, key, value):
    provenance = {"name": name, "description": description, key: value, "reference_scores": {key: value}}
    spread = dict.fromkeys(("mean", "sd", "min", "q25", "median", "q75", "max"), 0.0)
    summary = {
        "rewarded": True,
        "episodes": 1,
        "tokens": 1,
        "actions": 1,
        "return": spread,
        "length": spread,
        "turns": spread,
        "policies": {value: {"share": 1.0, "mean_return": 0.0}},
    }
    page = card(provenance, summary, np.zeros(1))
    assert not STEERING.search(page)
    _, matter, body = page.split("---\n", 2)
    assert yaml.safe_load(matter) == {"pretty_name": printable(name), **FACTS}
    tokens = PAGE.parse(body)
    assert [token.tag for token in tokens if token.type == "heading_open"] == ["h1", "h2", "h2", "h2"]
    inline = [child for token in tokens if token.type == "inline" for child in token.children]
    assert {token.type for token in [*tokens, *inline]}.isdisjoint({"html_block", "html_inline", "link_open", "image"})


def test_a_card_as_it_is_written(owned):
    page = (owned / "README.md").read_text()
    assert page.count("\n---\n") == 1
    assert yaml.safe_load(page.split("---\n")[1])["license"] == "mit"
    assert "# a\\\\n---\\\\nlicense: evil\\\\n&lt;script>" in page
    outside = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", page.split("---\n", 2)[2], flags=re.DOTALL)
    assert "<" not in outside.replace("&lt;", "")


# In pictures


@pytest.mark.parametrize("name", ["$\\frac{$", "a $x^2$ b", "$$", "\\alpha", "a\n$b$"])
def test_a_dollar_sign_in_a_name_is_no_formula(name):
    drawn, [axis] = theme.figure(theme.LIGHT, 1, 2)
    axis.plot([0, 1], [0, 1], label=name)
    axis.set_title(name)
    axis.set_yticks([0], [name])
    theme.legend(drawn, [axis], theme.LIGHT)
    assert theme.png(drawn) and theme.svg(drawn)
