"""The README says what is true: its snippet runs, and its tables name what exists, and all of it."""

import io
import re
import shlex
from pathlib import Path

import gymnasium as gym
import pytest

from agents import AGENTS, cli
from datasets_builders import RECIPES

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_the_snippet_runs(tmp_path, monkeypatch, capsys):
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(code.strip().splitlines()) <= 12
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})
    assert "the movie wasn't good it was superb </s> 1.0" in capsys.readouterr().out
    assert (tmp_path / "runs/ilql/model.safetensors").exists()


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


def test_the_tables_name_every_environment_data_set_and_agent():
    ours = [id for id, spec in gym.registry.items() if str(spec.entry_point).startswith("lang_envs")]
    for name in [*ours, *RECIPES, *AGENTS]:
        assert f"`{name}`" in README, name


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
