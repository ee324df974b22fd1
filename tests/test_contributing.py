"""CONTRIBUTING.md: its tree names all files, and its tree and its answers name only what exists."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
PACKAGES = ("lang_envs", "datasets_builders", "agents")
ANSWERS = re.findall(r"`([\w/]+\.py):([\w.]+)`", CONTRIBUTING)


def named_in_the_tree():
    """Every path that the tree names; an entry ends where two blanks follow, and is inside a folder if indented."""
    (tree,) = re.findall(r"```text\n(.*?)```", CONTRIBUTING, re.DOTALL)
    folder = Path()
    for line in tree.splitlines():
        inside = line.startswith("  ")
        for name in line.strip().split("  ")[0].split():
            if not inside:
                folder = Path(name)
            yield ROOT / folder / name if inside else ROOT / name


def test_the_tree_names_what_exists_and_all_of_it():
    named = {*named_in_the_tree()}
    assert not [path for path in named if not path.exists()]
    parts = [
        path
        for package in PACKAGES
        for path in (ROOT / package).iterdir()
        if (path / "__init__.py").exists() or (path.suffix == ".py" and path.name != "__init__.py")
    ]
    missing = sorted(str(path.relative_to(ROOT)) for path in parts if path not in named)
    assert not missing, f"not in CONTRIBUTING's tree: {missing}"


def test_there_are_ten_questions():
    table = CONTRIBUTING.partition("### Ten questions")[2].partition("\n## ")[0]
    questions = re.findall(r"^\| (.*\?) \| (.*) \|$", table, re.MULTILINE)
    assert len(questions) == 10
    assert all(re.search(r"`[\w/]+\.py:", answer) for _, answer in questions)


@pytest.mark.parametrize(("file", "name"), ANSWERS)
def test_every_answer_is_a_function_that_exists(file, name):
    within = ast.parse((ROOT / file).read_text())
    for part in name.split("."):
        found = [node for node in within.body if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == part]
        assert found, f"{file} has no {name}"
        within = found[0]
    assert isinstance(within, ast.FunctionDef)
