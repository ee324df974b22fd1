"""The page of a model: what it is, where it comes from, and what it scored."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import yaml

from datasets_builders import markdown
from lang_envs.printable import printable

if TYPE_CHECKING:
    from agents.runs.config import RunConfig
    from agents.runs.decoding_file import Chosen

_DISTILLED = """# {title}

A plain language model that speaks as the agent `{algorithm}` does with its values: they were distilled into its weights
(KL divergence to the agent's distribution). It needs no code beside the transformers library; `generation_config.json`
has the decoding.

| on {episodes} fresh episodes of the same seeds | mean | standard error |
|---|--:|--:|
| divergence from the agent, nats a token | {divergence:.4f} | {divergence_error:.4f} |
{returns}
The agent was decoded by {decoding}.
{facts}"""
_RETURNS = """| return of the agent | {teacher:.4f} | {teacher_error:.4f} |
| return of this model | {student:.4f} | {student_error:.4f} |
| difference, in pairs | {difference:+.4f} | {difference_error:.4f} |
"""
_NO_RETURNS = """
The returns of both are unknown: the environment they played in gives no rewards by itself.
"""


def distilled_card(algorithm: str, title: str, kept: Mapping[str, Any], facts: Mapping[str, str]) -> str:
    """The page of a distilled model; ``kept`` are the fields of ``agents.runs.distilling.Kept``."""
    returns = (_RETURNS if kept["pays"] else _NO_RETURNS).format(**kept)
    numbers = {**kept, "returns": returns, "decoding": markdown.code(json.dumps(kept["decoding"]))}
    page = _DISTILLED.format(title=markdown.text(title), algorithm=algorithm, facts=lines(facts), **numbers)
    return front_matter(title, ["distillation"]) + page


def plain_card(algorithm: str, title: str, facts: Mapping[str, str]) -> str:
    """The page of an agent's language model alone."""
    page = (
        f"# {markdown.text(title)}\n\nThe language model of an agent that learned by `{algorithm}`, without values.\n"
    )
    return front_matter(title, []) + page + lines(facts)


_AGENT = """# {title}

An agent of lang-envs that learned by `{algorithm}`, {step} optimiser steps.

```python
from agents import Agent

agent = Agent.load("hub:OWNER/NAME")
policy = agent.policy(**(agent.decoding or agent.usual_decoding))
```

`lang-envs eval hub:OWNER/NAME`, `serve` and `chat` take the same name.
{facts}{scores}"""


def agent_card(
    title: str, description: Mapping[str, Any], scores: Chosen | None, run: RunConfig | None, license: str | None
) -> str:
    """The page of an agent on the hub, in Markdown.

    Args:
        title: the agent's name.
        description: what its ``agent.json`` holds.
        scores: the decodings that were tried, and their returns; None leaves the table out.
        run: the configuration it was trained with; None where that is unknown.
        license: the license of its weights; None leaves it out.
    """
    made = {} if run is None else {"environment": run.env, "options": run.env_options, "trained by": run.config}
    known = {**made, "decoding": description.get("decoding"), "versions": description.get("versions")}
    facts = {name: json.dumps(value, sort_keys=True) for name, value in known.items() if value}
    page = _AGENT.format(
        title=markdown.text(title),
        algorithm=description["algorithm"],
        step=description["step"],
        facts=lines(facts),
        scores="" if scores is None else _table(scores),
    )
    tags = [str(description["algorithm"]), *([run.env] if run is not None and run.env else [])]
    return front_matter(title, tags, license) + page


def _table(scores: Chosen) -> str:
    """The decodings that were tried, and what each earned."""
    tried = [(markdown.code(json.dumps(row["decoding"])), row) for row in scores.tried]
    rows = [f"| {how} | {row['return']:.3f} | {row['error']:.3f} | {row['episodes']} |" for how, row in tried]
    told = "The decodings that were tried after training, of which the best was chosen:"
    head = "| decoding | return | standard error | episodes |\n|---|--:|--:|--:|"
    return "\n".join(["", told, "", head, *rows, ""])


def front_matter(title: str, tags: list[str], license: str | None = None) -> str:
    """The facts that the hub reads from the head of a model's page: YAML between two lines of dashes."""
    named = {} if license is None else {"license": license}
    facts = {
        **named,
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["lang-envs", "reinforcement-learning", *tags],
        "model_name": printable(title),
    }
    return f"---\n{yaml.safe_dump(facts, sort_keys=False, allow_unicode=True, width=float('inf'))}---\n\n"


def lines(facts: Mapping[str, str]) -> str:
    """The facts as a list in Markdown."""
    return "".join(f"\n* {markdown.text(name)}: {markdown.code(value)}" for name, value in facts.items()) + "\n"
