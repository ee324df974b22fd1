"""The content of the wheel, from ``pyproject.toml`` and the files on disk: all that the packages need, and no more.

``scripts/try_wheel.sh`` builds it and tries it in a fresh environment, which takes minutes.
"""

import ast
import importlib
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT, SETUPTOOLS = PYPROJECT["project"], PYPROJECT["tool"]["setuptools"]
PACKAGES = sorted(SETUPTOOLS["package-data"])
COMES_WITH = {
    "markupsafe": "jinja2",
    "starlette": "transformers",  # its extra serving
    "uvicorn": "transformers",
    "fastapi": "openenv",
    "pydantic": "openenv",
}
"""distributions that are imported and not asked for by name, and whose requirement they are"""


def plain(name):
    """The name of a distribution as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def on_disk(package):
    """Every file of a package but what Python, editors and systems leave there."""
    files = (path for path in (ROOT / package).rglob("*") if path.is_file())
    return {path for path in files if "__pycache__" not in path.parts and not path.name.startswith(".")}


def data(package):
    return {path for glob in SETUPTOOLS["package-data"][package] for path in (ROOT / package).glob(glob)}


def is_module(path):
    """Whether setuptools packages a file as code: every folder down to it is a package."""
    folders = path.relative_to(ROOT).parents
    return path.suffix == ".py" and all((ROOT / folder / "__init__.py").exists() for folder in folders if folder.name)


def test_the_packages_are_those_that_are_found():
    assert SETUPTOOLS["packages"]["find"]["include"] == [
        f"{name}*" for name in ("lang_envs", "datasets_builders", "agents")
    ]
    found = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert found == {*PACKAGES}  # tests, scripts and examples are none


@pytest.mark.parametrize("package", PACKAGES)
def test_every_file_of_a_package_is_in_the_wheel(package):
    missing = {path for path in on_disk(package) - data(package) if not is_module(path)}
    assert not missing, f"in no package-data of pyproject.toml: {sorted(missing)}"


@pytest.mark.parametrize(("package", "glob"), [(p, g) for p in PACKAGES for g in SETUPTOOLS["package-data"][p]])
def test_every_pattern_finds_data_and_no_code(package, glob):
    found = [path for path in (ROOT / package).glob(glob) if path.name != "__pycache__"]
    assert found and not [path for path in found if is_module(path)]


def test_what_is_read_at_run_time_is_data():
    everything = {str(path.relative_to(ROOT)) for package in PACKAGES for path in data(package)}
    assert everything >= {
        "agents/benchmark/leaderboard/papers.toml",
        "agents/benchmark/report/templates/page.html",
        "agents/benchmark/report/templates/style.css",
        "agents/cli/templates/task/my_task.py",
        "lang_envs/corpora/dialogues/service.toml",
        "lang_envs/rewards/weights/toxicity.safetensors",
        "lang_envs/rewards/weights/upvotes.safetensors",
        "lang_envs/vocabularies/english.json",
        "lang_envs/words/english.txt",
        *(f"{package}/py.typed" for package in PACKAGES),
    }


def test_no_test_is_in_the_wheel():
    tests = {path for package in PACKAGES for path in on_disk(package) if path.name.startswith(("test_", "conftest"))}
    assert {path.parents[1] for path in tests} == {ROOT / "agents/cli/templates"}  # what init writes has a test


def test_the_metadata_are_complete():
    assert all((ROOT / name).is_file() for name in (PROJECT["readme"], *PROJECT["license-files"]))
    version = PROJECT["requires-python"].removeprefix(">=")
    assert f"Programming Language :: Python :: {version}" in PROJECT["classifiers"]
    assert not [name for name in PROJECT["classifiers"] if name.startswith("License ::")]  # ``license`` says it
    for target in PROJECT["scripts"].values():
        module, _, function = target.partition(":")
        assert callable(getattr(importlib.import_module(module), function))


def imported():
    """Other distributions that the packages import, each with a file that does."""
    distributions = packages_distributions()
    for path in sorted(path for package in PACKAGES for path in on_disk(package) if is_module(path)):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            for top in {name.split(".")[0] for name in names} - {*PACKAGES} - sys.stdlib_module_names:
                yield path, {plain(name) for name in distributions.get(top, [top])}


def test_what_is_imported_is_asked_for():
    lines = [*PROJECT["dependencies"], *(line for extra in PROJECT["optional-dependencies"].values() for line in extra)]
    asked = {plain(re.split(r"[\s<>=!~\[;]", line)[0]) for line in lines}
    assert {*COMES_WITH.values()} <= asked
    missing = {
        name: path.name for path, names in imported() if not names & (asked | COMES_WITH.keys()) for name in names
    }
    assert not missing, f"in no requirement of pyproject.toml: {missing}"
