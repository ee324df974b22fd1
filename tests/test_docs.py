"""The pages of docs: their code runs, they say what the code says, every metric is explained, and the site is built."""

import re
import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import spoken_seeds
import try_other_libraries
import write_agent_pages
from toy_agent import OFFLINE, make_agent, make_env, make_episodes

from agents import PPO, FitConfig, Live, Logged, PPOConfig, fit

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
BLOCK = re.compile(r'^```python(?: title="(.+?)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
FEWER = ("steps=400", "steps=20")  # the quick start's training is that of the README, which is run in full
PAGES = [
    "quickstart",
    "concepts",
    "new_task",
    "new_agent",
    "conversations",
    "datasets",
    "logs_of_yours",
    "logs",
    "benchmark",
    "other_libraries",
    "serving",
]


@pytest.mark.parametrize("name", PAGES)
def test_the_code_of_a_page_runs(name, tmp_path, monkeypatch):
    """From top to bottom, in one namespace; a block with a title is a file of that name as well."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(gym.envs.registration, "registry", dict(gym.registry))
    monkeypatch.delitem(sys.modules, "waiter", raising=False)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    spoken = spoken_seeds.watched(monkeypatch)
    text = (DOCS / f"{name}.md").read_text().replace(*FEWER)
    namespace, blocks = {"__name__": name}, list(BLOCK.finditer(text))
    assert blocks and len(blocks) == text.count("```python")
    for block in blocks:
        title, code = block.groups()
        if title:
            (tmp_path / title).write_text(code)
        line = text[: block.start()].count("\n") + 1
        exec(compile("\n" * line + code, f"docs/{name}.md", "exec"), namespace)
    spoken_seeds.check(spoken, ["live training", "an evaluation", "the report", "selection"])


def test_the_recipe_for_rllib_runs():
    ray = pytest.importorskip("ray")
    pytest.importorskip("ray.rllib.algorithms.ppo", reason="RLlib needs more than ray itself", exc_type=ImportError)
    (code,) = re.findall(r"^```py\n(.*?)^```$", (DOCS / "other_libraries.md").read_text(), re.MULTILINE | re.DOTALL)
    try:
        exec(compile(code, "docs/other_libraries.md", "exec"), {"__name__": "rllib_recipe"})
    finally:
        ray.shutdown()


def test_the_recipes_of_other_libraries_are_those_that_are_tried():
    known = try_other_libraries.recipes()
    assert set(known) == {"d3rlpy", "agilerl", "tinker-cookbook", "verifiers"}
    text = (DOCS / "other_libraries.md").read_text()
    for library, (package, code) in known.items():
        assert package.startswith(library) and f"| {library} |" in text.lower()
        compile(code, library, "exec")


def test_what_rllib_reads_is_one_array_of_numbers():
    """The wrappers of the recipe, without RLlib."""
    plain = gym.make("MovieReview-v0")
    env = gym.wrappers.DtypeObservation(gym.wrappers.FlattenObservation(plain), np.float32)
    observation, _ = env.reset(seed=0)
    assert observation.dtype == np.float32 and observation in env.observation_space
    flat = plain.unwrapped._observation()
    assert sorted(observation.tolist()) == sorted([*flat["input_ids"].tolist(), *flat["attention_mask"].tolist()])
    assert env.step(env.action_space.sample())[0].shape == (32,)


def test_agent_pages_are_up_to_date():
    pages = write_agent_pages.pages()
    stale = [path.name for path, text in pages.items() if not path.exists() or path.read_text() != text]
    assert not stale, f"run scripts/write_agent_pages.py: {stale}"
    assert {path.name for path in pages} == {path.name for path in (DOCS / "agents").glob("*.md")}


def explained(file):
    """The names in backticks on a page that can be those of metrics."""
    return set(re.findall(r"`([\w/<>]+)`", (DOCS / file).read_text()))


def reported(agent, source, steps=2, **settings):
    """The names of what a run logs."""
    config = FitConfig(batch_size=8, log_every=1, evaluators={"x": lambda agent: {"y": 0.0}}, **settings)
    return {name for row in fit(agent, source, steps, config) for name in row}


OF_EVERY_RUN = {"step", "loss", "optim/lr", "optim/grad_norm", "data/return", "time/steps_per_second"}


@pytest.mark.parametrize("name", OFFLINE)
def test_every_metric_is_explained_on_its_agent_s_page(name):
    agent = make_agent(name)
    names = reported(agent, Logged(make_episodes(32))) - {"eval/x/y"}
    assert names > OF_EVERY_RUN  # and something of its own
    page = type(agent).__module__.rsplit(".", 1)[-1]
    assert names - OF_EVERY_RUN <= explained(f"agents/{page}.md")


def test_every_metric_of_ppo_is_explained_on_its_page():
    pytest.importorskip("sb3_contrib", reason="the extra ppo is not installed")
    agent = make_agent("ppo")
    assert isinstance(agent, PPO) and isinstance(agent.config, PPOConfig)
    names = reported(agent, Live(make_env())) - {"eval/x/y"}
    assert {"loss/policy", "policy/kl"} <= names
    assert names - OF_EVERY_RUN <= explained("agents/ppo.md")


def test_every_metric_of_the_loop_is_explained_with_the_logs():
    names = reported(make_agent("toy"), Logged(make_episodes(16)))
    assert names == OF_EVERY_RUN | {"loss/toy", "eval/x/y"}
    assert OF_EVERY_RUN | {"eval/<name>/<metric>"} <= explained("logs.md")


def test_the_examples_are_listed():
    listed = set(re.findall(r"^\| `(\w+)\.py`", (DOCS / "index.md").read_text(), re.MULTILINE))
    assert {path.stem for path in (ROOT / "examples").glob("*.py")} <= listed


def test_the_site_is_built(tmp_path):
    """Strictly: no link leads nowhere, and no page is left out of the navigation."""
    pytest.importorskip("material", reason="mkdocs-material is not installed")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    assert 'not included in the "nav"' not in built.stderr
    for path in [*DOCS.glob("*.md"), *DOCS.glob("*/*.md")]:
        page = path.relative_to(DOCS).with_suffix(".html")
        page = page.with_name("index.html") if page.stem == "README" else page
        assert (tmp_path / "site" / page).exists(), page
    text = (tmp_path / "site" / "index.html").read_text()
    assert "fonts.googleapis.com" not in text and not re.findall(r'<(?:script|link)[^>]+(?:src|href)="http', text)
