"""Writes ``docs/environments``: a page for each environment, from its docstring, reference returns and an episode.

With ``--check`` it writes nothing, names the pages that are out of date, and fails if there are any.
"""

import inspect
import re
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
from generated_pages import write

from lang_envs import rollout, scores
from lang_envs.make import language_vec, needed_options, task_class
from lang_envs.tokenizers import decode

FOLDER = Path(__file__).parent.parent / "docs" / "environments"
WORDS = re.compile("(?<=[a-z])(?=[A-Z][a-z]|[A-Z]+$)|(?<=[A-Z])(?=[A-Z][a-z])")  # Clarifying QA, MultiWOZ Goal
INDEX = """# Environments

An environment has three forms: one episode in tokens (`gym.make(id)`), one episode in text (`gym.make(id,
level="utterance")`), and n episodes at once (`gym.make_vec(id, n)`). `scripts/write_environment_pages.py` writes these
pages from the docstrings of the tasks. Beside the options on its page, every environment takes

- `tokenizer=`: a tokenizer, or the [source](../scaling.md#a-model-of-yours) of a model: a folder, a `.gguf` file or a
  name,
- `markup=` and `instruction=`: how [conversations](../conversations.md) are written, and what is said first,
- `max_tokens=`: the limit of tokens per episode,
- `render_mode=`: only for a single environment.

| environment | ids | in one sentence |
|---|---|---|
"""


def ids_by_task() -> dict[type[Any], list[str]]:
    """Our ids, by the class of their task, in the order they were registered in."""
    found: dict[type[Any], list[str]] = {}
    for name, spec in gym.registry.items():
        if str(spec.entry_point).startswith("lang_envs."):
            found.setdefault(task_class(name), []).append(name)
    return found


def file_name(task: type[Any]) -> str:
    return task.__module__.rsplit(".", 1)[-1] + ".md"


def page(task: type[Any], ids: list[str]) -> str:
    """One environment's page."""
    docstring = (inspect.getdoc(task) or "").split("\nAttributes:")[0].rstrip()
    title = WORDS.sub(" ", task.__name__)
    parts = [f"# {title}", "`" + "` `".join(ids) + "`", docstring]
    if task.needs_corpus or needed_options(ids[0]):  # no episode can be shown of what a reader must bring
        return "\n\n".join(parts) + "\n"
    parts += ["## Example", example(ids[0]), "## Reference Returns"]
    rows = ["| id | random tokens | expert | optimum |", "|---|---|---|---|"]
    for name in ids:
        known = scores.reference(name)
        optimum = "not known" if known.optimum is None else f"{known.optimum:.3f}"
        rows.append(f"| `{name}` | {known.random:.3f} | {known.expert:.3f} | {optimum} |")
    made = ["On the scale of `lang_envs.scores.normalised` random is 0 and the expert 1."]
    return "\n\n".join([*parts, "\n".join(rows), *made]) + "\n"


def example(name: str) -> str:
    """The expert's episode of seed 0, as it was read and said."""
    env = language_vec(name, 1)
    [episode] = rollout(env, scores.expert(env), [0])
    text = decode(env.tokenizer, [episode.tokens])[0]
    breaks = re.sub(r"(<\|user\|>|<\|agent\|>|</a>|</s>)", r"\1\n" if "<a>" in text else r"\n\1", text).strip()
    return f"`{name}`, the expert's episode of seed 0, return {episode.ret:g}:\n\n```text\n{breaks}\n```"


def pages() -> dict[Path, str]:
    """What each file should hold."""
    by_task = ids_by_task()
    index = INDEX
    for task, ids in by_task.items():
        about = (inspect.getdoc(task) or "").split("\n\n")[0].removeprefix("## Description")
        sentence = " ".join(about.split()).split(". ")[0].rstrip(".")
        index += f"| [{task.__name__}]({file_name(task)}) | `{'` `'.join(ids)}` | {sentence}. |\n"
    written = {FOLDER / file_name(task): page(task, ids) for task, ids in by_task.items()}
    return {FOLDER / "README.md": index, **written}


if __name__ == "__main__":
    sys.exit(write(pages(), __doc__))
