"""The README is right: its commands run, its figures are the committed ones, and its tables are complete."""

import io
import re
import shlex
import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import pytest

from agents import AGENTS, benchmark, cli
from agents.benchmark import SUITES
from agents.benchmark.smoke import shrunk
from datasets_builders import RECIPES
from lang_envs import plugins

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
OURS = [name for name, spec in gym.registry.items() if str(spec.entry_point).startswith("lang_envs")]


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_a_language_model_speaks_in_an_environment(tmp_path, monkeypatch, capsys):
    code = blocks("python")[0]
    assert len(code.strip().splitlines()) <= 10
    monkeypatch.chdir(tmp_path)
    exec(compile(code.replace("(4)", "(2)"), "README.md", "exec"), {"__name__": "readme"})
    said = capsys.readouterr().out
    assert said.count("You are the agent of a service") == 2 and said.count("<|im_start|>assistant") >= 2


def test_an_algorithm_of_a_package_is_benchmarked(tmp_path, monkeypatch):
    """The package that init writes, in the suite that the README makes, shrunk to seconds."""
    code = blocks("python")[1]
    assert len(code.strip().splitlines()) <= 10
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plugins, "_named", {})  # what is imported here is no other test's
    monkeypatch.setattr(AGENTS, "data", dict(AGENTS.data))
    assert cli.main(["init", "agent", "my_idea"]) == 0
    monkeypatch.syspath_prepend(tmp_path / "my_idea")
    real = benchmark.run
    monkeypatch.setattr(benchmark, "run", lambda suite, out: real(shrunk(suite), out, say=lambda line: None))
    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})
    page = (tmp_path / "runs/mine/table.md").read_text()
    assert "| my idea |" in page and "| ILQL |" in page


def test_a_log_becomes_an_agent_to_talk_with(tmp_path, monkeypatch, capsys):
    """The four commands of the first screen, with fewer steps."""
    (block,) = re.findall(r"```\n(lang-envs import .*?)```", README, re.DOTALL)
    commands = [shlex.split(line, comments=True)[1:] for line in block.splitlines()]
    assert [command[0] for command in commands] == ["import", "train", "eval", "chat"]
    fewer = {"train": ["--steps", "4", "--decoding-episodes", "0"], "eval": ["--episodes", "8"]}
    rows = [f"where is item {i % 25}?,on shelf {i % 7},{1 + i % 5}" for i in range(100)]
    (tmp_path / "chats.csv").write_text("\n".join(["question,answer,stars", *rows]) + "\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.StringIO("where is item 3?\n"))
    for command in commands:
        capsys.readouterr()
        assert cli.main([*command, *fewer.get(command[0], [])]) == 0, command
    assert len(capsys.readouterr().out.strip().splitlines()) == 1  # one line said, one reply


@pytest.mark.parametrize(
    ("page", "names"),
    [
        (
            "environments/README.md",
            [i for i, spec in gym.registry.items() if str(spec.entry_point).startswith("lang_envs")],
        ),
        ("datasets.md", RECIPES),
        ("agents/README.md", AGENTS),
    ],
)
def test_the_pages_it_leads_to_name_all_there_is(page, names):
    assert f"docs/{page}" in README
    text = (ROOT / "docs" / page).read_text()
    assert not [name for name in names if f"`{name}`" not in text]


def test_it_counts_what_there_is():
    for count in (f"{len(OURS)} ids", f"{len(RECIPES)} recipes", f"| {len(AGENTS)} |", f"| {len(SUITES)} |"):
        assert count in README, count


def test_it_is_short_and_its_table_is_of_the_committed_results():
    assert len(README.splitlines()) <= 200
    script = ROOT / "scripts" / "write_front_table.py"
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_pictures_exist():
    for path in re.findall(r"!\[[^]]*]\(([^)]+)\)", README):
        if not path.startswith("http"):
            assert (ROOT / path).exists(), path


def test_the_links_to_files_work():
    for path in re.findall(r"(?<!!)\[[^]]*]\(([^)]+)\)", README):
        if not path.startswith("http"):
            file, _, heading = path.partition("#")
            assert (ROOT / file).exists(), path
            if heading:
                headings = re.findall(r"^#+ (.*)", (ROOT / file).read_text(), re.MULTILINE)
                assert heading in {re.sub(r"[^a-z0-9 -]", "", one.lower()).replace(" ", "-") for one in headings}, path


@pytest.mark.parametrize("target", ["demo", "test"])
def test_the_two_commands_are_targets(target):
    assert f"make {target}" in README
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
