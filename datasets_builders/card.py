"""Summarises a data set: in figures, as text, and as the ``README.md`` in its folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from datasets_builders import markdown
from datasets_builders.columns import Columns
from datasets_builders.storage import FORMAT_VERSION
from lang_envs.episode import Episodes
from lang_envs.printable import printable
from lang_envs.turns import turn_begins

_AT_ONCE = 2**20  # approximate number of tokens read at once; bounds the memory of a summary
_BARS = 40  # characters of the longest bar of the histogram
_BINS = 16  # if there are more distinct returns than this, they are binned


def describe(columns: Columns, rows: NDArray[np.int64] | None, provenance: dict[str, Any]) -> dict[str, Any]:
    """Counts, returns, lengths, turns and the share of each policy.

    Args:
        columns: the episodes.
        rows: [B] the episodes to summarise; None for all.
        provenance: names the token that ends an utterance and the largest number of tokens of an utterance. If it
            names neither, a turn ends where the environment speaks. ``"rewards": "none"`` says that nothing was
            rewarded, so that returns mean nothing.
    """
    end_id, limit = (provenance.get("tokenizer") or {}).get("end_id"), provenance.get("max_utterance_tokens")
    everything = columns.returns()
    returns = everything if rows is None else everything[rows]  # [B]
    lengths = columns.lengths() if rows is None else columns.lengths()[rows]  # [B]
    turns, actions, ended, players, names = [], 0, 0, [], dict[str, int]()
    for part, policies in _blocks(columns, rows, names):
        turns.append(count_turns(part, end_id, limit))
        actions += int(part.is_action.sum())
        ended += int(part.terminated.sum())
        players.append(policies)
    player = np.concatenate(players)  # [B]
    shares = {
        name: {"episodes": len(own), "share": len(own) / len(returns), "mean_return": float(own.mean())}
        for name, number in sorted(names.items())
        for own in [returns[player == number]]
    }
    return {
        "episodes": len(returns),
        "tokens": int(lengths.sum()),
        "actions": actions,
        "terminated": ended / len(returns),
        "rewarded": provenance.get("rewards") != "none",
        "return": _spread(returns),
        "length": _spread(lengths),
        "turns": _spread(np.concatenate(turns)),
        "policies": shares,
    }


def _blocks(
    columns: Columns, rows: NDArray[np.int64] | None, names: dict[str, int]
) -> Iterator[tuple[Episodes, NDArray[np.int16]]]:
    """Many episodes at a time [n], with the number of the policy that played each [n].

    ``names`` collects the numbers by the policies' names.
    """
    total = len(columns) if rows is None else len(rows)
    step = max(1, _AT_ONCE // max(1, int(columns.lengths().max(initial=1))))
    for start in range(0, total, step):
        stop = min(start + step, total)
        some = np.arange(start, stop) if rows is None else rows[start:stop]
        infos = columns.batch(some, ["info"]).column(0).dictionary_encode()  # few distinct texts: parse each once
        noted = [str(json.loads(text).get("policy", "unknown")) for text in infos.dictionary.to_pylist()]
        numbers = np.array([names.setdefault(name, len(names)) for name in noted], np.int16)
        yield columns.gather(some), numbers[infos.indices.to_numpy()]


def count_turns(episodes: Episodes, end_id: int | None, limit: int | None = None) -> NDArray[np.int64]:
    """Utterances in each episode [B]; see :func:`~lang_envs.turns.turn_begins`."""
    taken = np.flatnonzero(episodes.is_action)  # [K]
    turns = np.zeros(len(episodes.tokens), np.int64)  # [N], 1 at the first token of each utterance
    turns[taken] = turn_begins(taken, episodes.tokens[taken], end_id, limit)
    return np.add.reduceat(turns, episodes.offsets[:-1])


def _spread(values: NDArray[Any]) -> dict[str, float]:
    low, lower, middle, upper, high = (float(q) for q in np.quantile(values, [0, 0.25, 0.5, 0.75, 1]))
    sd = float(values.std())
    return {
        "mean": float(values.mean()),
        "sd": sd,
        "min": low,
        "q25": lower,
        "median": middle,
        "q75": upper,
        "max": high,
    }


def to_text(summary: dict[str, Any]) -> str:
    """A summary as a few aligned lines."""
    lines = [f"{summary['episodes']:,} episodes, {summary['tokens']:,} tokens, {summary['actions']:,} actions"]
    if not summary["rewarded"]:
        lines.append("return   not known: nothing was rewarded")
    for field in ("return", "length", "turns")[not summary["rewarded"] :]:
        values = summary[field]
        quantiles = "  ".join(f"{name} {values[name]:g}" for name in ("min", "q25", "median", "q75", "max"))
        lines.append(f"{field:<8} mean {values['mean']:.3f}  s.d. {values['sd']:.3f}  {quantiles}")
    for name, part in summary["policies"].items():
        mean = f", mean return {part['mean_return']:.3f}" if summary["rewarded"] else ""
        lines.append(f"{printable(name):<12} {part['share']:6.1%} of the episodes{mean}")
    return "\n".join(lines)


def histogram(returns: NDArray[np.float64]) -> str:
    """Bars of text: one for each distinct return, or one for each of 16 ranges if there are more distinct returns."""
    values, counts = np.unique(returns, return_counts=True)
    labels = [f"{value:g}" for value in values]
    if len(values) > _BINS:
        counts, edges = np.histogram(returns, _BINS)
        labels = [f"{low:.3g} to {high:.3g}" for low, high in pairwise(edges)]
    width = max(map(len, labels))
    return "\n".join(
        f"{label:>{width}}  {'#' * round(_BARS * count / counts.max()):<{_BARS}}  {count:,}"
        for label, count in zip(labels, counts, strict=True)
    )


def front_matter(title: str, license: str | None = "mit") -> str:
    """The header of a page that the hub reads, in YAML; ``license`` is None if the episodes come from elsewhere."""
    facts = {
        "pretty_name": title,
        **({} if license is None else {"license": license}),
        "task_categories": ["reinforcement-learning", "text-generation"],
        "tags": ["offline-rl", "lang-envs"],
        "configs": [{"config_name": "default", "data_files": "data-*.arrow"}],
    }
    return yaml.safe_dump(facts, sort_keys=False, allow_unicode=True, width=float("inf"))


_PAGE = """---
{front_matter}---

# {title}

{description}

{figures}
{returns}
## How it was made

{origin}
{imported}
## Columns

One row per episode (format version {version}).

| column | what it holds |
|---|---|
| `tokens` | every token of the episode, in order, as it was produced |
| `is_action` | whether the agent chose the token (the end token of an utterance included) |
| `rewards` | one value per action, in order: `rewards[k]` belongs to the k-th true entry of `is_action` |
| `logprobs` | one value per action, the log-probability under the policy that played; null where unknown |
| `terminated` | the task ended |
| `truncated` | the episode was cut (context full or turn limit) |
| `seed` | of the environment; null where unknown |
| `info` | further facts as JSON, the policy's name among them |

## How to load it

```python
from datasets_builders import EpisodeDataset

dataset = EpisodeDataset.load("path/to/this/folder")
print(dataset)
episode = dataset[0]
print(dataset.tokenizer().decode(episode.tokens))
```

`datasets.load_from_disk` opens the same folder.
"""


def card(provenance: dict[str, Any], summary: dict[str, Any], returns: NDArray[np.float64]) -> str:
    """The ``README.md`` of a data set."""
    apart = ("description", "reference_scores", "import")
    origin = {key: value for key, value in provenance.items() if key not in apart}
    facts = [(key.replace("_", " "), markdown.code(_short(value))) for key, value in origin.items()]
    scores = provenance.get("reference_scores") or {}
    facts += [(f"reference score, {name}", markdown.text(str(value))) for name, value in scores.items()]
    title = printable(str(provenance.get("name", "Episodes")))
    about = str(provenance.get("description", "Episodes of language tasks, token by token."))
    return _PAGE.format(
        front_matter=front_matter(title, None if "import" in provenance else "mit"),
        title=markdown.text(title),
        description="\n".join(map(markdown.text, about.splitlines())),
        figures=markdown.block(to_text(summary)),
        returns=f"\nReturns:\n\n{markdown.block(histogram(returns))}\n" if summary["rewarded"] else "",
        origin="\n".join(f"* {markdown.text(name)}: {value}" for name, value in facts),
        imported=_imported(provenance.get("import")),
        version=FORMAT_VERSION,
    )


def _imported(report: Any) -> str:
    """A section on what an import kept and left out; empty if the episodes were not imported."""
    if not report:
        return ""
    told = yaml.safe_dump(report, sort_keys=False, allow_unicode=True, width=float("inf"))
    return f"\n## What was imported\n\n{markdown.block(told.rstrip())}\n"


def _short(value: Any) -> str:
    text = json.dumps(value, sort_keys=True)
    return text if len(text) <= 300 else text[:297] + "..."
