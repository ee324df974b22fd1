"""Writes ``docs/agents``: a page for each file of algorithms, from its docstring and the dataclasses of its settings.

With ``--check`` it writes nothing, names the pages that are out of date, and fails if there are any.
"""

import ast
import dataclasses
import inspect
import re
import sys
import textwrap
from pathlib import Path
from types import ModuleType
from typing import Any, get_type_hints

from generated_pages import write

from agents import AGENTS, FitConfig, LMPolicy, value_learning
from agents.value_learning import ValueConfig

FOLDER = Path(__file__).parent.parent / "docs" / "agents"
INDEX = """# Agents

One call trains every agent from `Logged`, `Live` or `Mixed` episodes: `agent.learn(source, steps)`. PPO needs live
episodes. `scripts/write_agent_pages.py` writes these pages from the docstrings of the algorithms and their settings.

| agent | names | in one sentence |
|---|---|---|
"""
SPEAKING = """
## Decoding

`agent.policy(...)` takes these settings, and so does `--set` of `lang-envs eval`, `ope`, `explain` and `chat`. Without
`--set` these commands use the decoding chosen after training, or greedy decoding if none was chosen. `lang-envs train`
ends with this choice: it plays a grid of these settings and saves the best with the agent as `agent.decoding`. In a
program `agents.evaluation.decoding_choice.choose(agent, env, episodes)` plays the grid.
`agent.policy(**agent.decoding)` uses the chosen decoding, and so does `generate` of the saved model. `agent.policy()`
samples with the settings that the model was trained with. `lang-envs eval RUN --set greedy=true advantage_weight=8`
tries another decoding. See also [Choosing the settings](../settings.md).

"""
TRAINING = """
## Training

`agent.learn(source, steps, ...)`, `fit` and `lang-envs train` take the settings of `FitConfig`. A model or its adapters
may have dropout (GPT-2 has 0.1; models made from scratch have none). By default only {draw} use it in training. All
other algorithms compare two passes of the model, and dropout would make the passes differ before anything is learned.

"""
VALUE_METRICS = {
    "loss/q": "L_Q, the error of the Q heads, summed over them",
    "loss/v": "L_V, the error of V",
    "loss/cql": "L_CQL before its weight, summed over the Q heads",
    "loss/bc": "L_BC before its weight, the cross-entropy of the language model",
    "value/q": "mean over the agent's tokens of the target of V; in most agents the smaller target Q of the said token",
    "value/v": "mean of V; a mean far above the returns of the log is an overestimate",
}
OWN_METRICS = {
    "bc": {"loss/bc": "L"},
    "dpo": {"loss/dpo": "L"},
    "grpo": {"loss/grpo": "L"},
    "kto": {"loss/kto": "L"},
    "refit": {"loss/refit": "L of Refit", "loss/swift": "L of Swift"},
    "utterance_ilql": {name: VALUE_METRICS[name] for name in ("loss/q", "loss/v", "loss/bc")},
}
"""where the docstring does not name them"""


def by_module() -> dict[ModuleType, list[str]]:
    """The names of the algorithms, by the file they are in."""
    found: dict[ModuleType, list[str]] = {}
    for name, kind in AGENTS.items():
        found.setdefault(sys.modules[kind.__module__], []).append(name)
    return found


def file_name(module: ModuleType) -> str:
    return module.__name__.rsplit(".", 1)[-1] + ".md"


def title(names: list[str]) -> str:
    return " and ".join(re.sub("(?<=[a-z]{3})(?=[A-Z])", " ", AGENTS[name].__name__) for name in names)


def markdown(docstring: str | None) -> str:
    """A docstring as Markdown: code in single backticks; equations are indented, and so are code already."""
    lines = inspect.cleandoc(docstring or "").splitlines()
    return "\n".join(line.replace("``", "" if line.startswith("    ") else "`") for line in lines)


def page(module: ModuleType, names: list[str]) -> str:
    """One file's page."""
    paragraphs = markdown(module.__doc__).split("\n\n")
    about = [text for text in paragraphs if not text.startswith("Metrics")]
    parts = [f"# {title(names)}", "`" + "` `".join(names) + "`", *about]
    for name in names:
        config = get_type_hints(AGENTS[name])["config"]
        parts += [f"## Settings of `{config.__name__}`", markdown(config.__doc__).split("\n\n")[0], settings(config)]
    if issubclass(config, ValueConfig):
        parts += ["## Losses of every value-based agent", *markdown(value_learning.__doc__).split("\n\n")[1:]]
    parts += ["## Metrics", *(text for text in paragraphs if text.startswith("Metrics"))]
    metrics = VALUE_METRICS if issubclass(config, ValueConfig) else OWN_METRICS.get(file_name(module)[:-3], {})
    if metrics:
        parts += ["\n".join(["| name | what it is |", "|---|---|", *(f"| `{k}` | {v} |" for k, v in metrics.items())])]
    parts += ["[Logs](../logs.md) explains the metrics of every run.", "## Use", use(names[0])]
    return "\n\n".join(parts) + "\n"


def settings(config: type[Any]) -> str:
    """A table of the fields of a dataclass, the parents' first, with the docstring under each."""
    docs = {name: text for kind in reversed(config.__mro__[:-1]) for name, text in field_docs(kind).items()}
    rows = ["| setting | type | default | meaning |", "|---|---|---|---|"]
    for field in dataclasses.fields(config):
        kind = str(field.type).replace(" | ", " or ")
        default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
        rows.append(f"| `{field.name}` | `{kind}` | `{default!r}` | {docs[field.name]} |")
    return "\n".join(rows)


def field_docs(kind: type[Any]) -> dict[str, str]:
    """Name -> the docstring that stands under the field."""
    [body] = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(body, ast.ClassDef)
    return {
        field.target.id: markdown(below.value.value).replace("\n", " ").replace("|", "&#124;")
        for field, below in zip(body.body, body.body[1:], strict=False)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(below, ast.Expr)
        and isinstance(below.value, ast.Constant)
        and isinstance(below.value.value, str)
    }


def use(name: str) -> str:
    """How it is trained, at the command line and from Python."""
    kind = AGENTS[name]
    config = get_type_hints(kind)["config"].__name__
    told, source = ("--env Wordle-v0", "Live(env)") if name == "ppo" else ("--data data/logs", "Logged(logs)")
    setting = "shift_rewards=True" if name == "refit" else ""  # rewards may be negative where the example is run
    return (
        f"```sh\nlang-envs train {name} {told} --out runs/{name}    # --help lists the settings\n```\n\n"
        "With `env` and `logs` as in the [quick start](../quickstart.md):\n\n"
        f"```python\nfrom agents import LM, {source.split('(')[0]}, {kind.__name__}, {config}\n\n"
        f'agent = {kind.__name__}(LM.from_scratch("d64-l2", env), {config}({setting}))\n'
        f"agent.learn({source}, steps=1000)\n```"
    )


def pages() -> dict[Path, str]:
    """What each file should hold."""
    index, written = INDEX, {}
    for module, names in by_module().items():
        sentence = " ".join(markdown(module.__doc__).split("\n\n")[0].split()).rstrip(".")
        index += f"| [{title(names)}]({file_name(module)}) | `{'` `'.join(names)}` | {sentence}. |\n"
        written[FOLDER / file_name(module)] = page(module, names)
    drawing = [f"`{name}`" for name, kind in AGENTS.items() if kind.dropout]
    training = TRAINING.format(draw=" and ".join([", ".join(drawing[:-1]), drawing[-1]]))
    return {FOLDER / "README.md": index + SPEAKING + spoken() + training + settings(FitConfig) + "\n", **written}


def spoken() -> str:
    """A table of the arguments of ``LMPolicy`` that say how it speaks, from its docstring."""
    [told] = re.findall(r"\nArgs:\n(.*?)\n\n", inspect.cleandoc(LMPolicy.__doc__ or ""), re.DOTALL)
    meanings = {name: " ".join(text.split()) for name, text in re.findall(r"    (\w+): ((?:.|\n(?!    \w+: ))+)", told)}
    rows = ["| argument | default | meaning |", "|---|---|---|"]
    for parameter in inspect.signature(LMPolicy).parameters.values():
        if parameter.default is not inspect.Parameter.empty:
            text = markdown(meanings[parameter.name]).replace("|", "&#124;")
            rows.append(f"| `{parameter.name}` | `{parameter.default!r}` | {text} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    sys.exit(write(pages(), __doc__))
