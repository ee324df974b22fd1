"""Makes folders like those of ``lang-envs import``, by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from datasets_builders import EpisodeDataset
from lang_envs.adoption import adopt
from lang_envs.conversation import Message
from lang_envs.corpora.logged import FILE, schema
from lang_envs.episode import Episode
from lang_envs.markup import markup_of
from lang_envs.tokenizers import text_tokenizer
from lang_envs.utterances import spell

LIMITS = {"max_context_tokens": 64, "max_response_tokens": 16}
SHOP = [
    {"messages": ["u:hello", "a:hi there"], "rewards": [0.2]},
    {"messages": ["u:hello", "a:good day, what can I do?", "u:a room", "a:for when?"], "rewards": [1.0, None]},
    {"messages": ["s:be brief", "u:hello", "a:yes?"], "rewards": [0.5]},
    {"messages": ["u:is it open?", "a:until six"], "rewards": [1.0], "held_out": True},
    {"messages": ["u:a room", "a:which day?", "u:friday", "a:booked"], "rewards": [None, 0.8], "held_out": True},
    {"messages": ["a:welcome", "u:thanks", "a:bye"], "rewards": [None, 0.1]},
]
"""Six conversations, two of them held out; the first two open with the same words."""
_ROLES = {"s": "system", "u": "user", "a": "assistant"}


def messages(told: list[str]) -> tuple[Message, ...]:
    """``"u:hello"`` is said by the user."""
    return tuple(Message(_ROLES[text[0]], text[2:]) for text in told)


def write_conversations(folder: Path, rows: list[dict[str, Any]], batch: int = 2) -> None:
    """``conversations.arrow`` alone, ``batch`` rows to a record batch."""
    folder.mkdir(parents=True, exist_ok=True)
    full = [
        {
            "id": str(row.get("id", i)),
            "held_out": row.get("held_out", False),
            "messages": [message._asdict() for message in messages(row["messages"])],
            "rewards": row["rewards"],
            "row": i,
        }
        for i, row in enumerate(rows)
    ]
    with pa.OSFile(str(folder / FILE), "wb") as sink, pa.ipc.new_file(sink, schema()) as writer:
        for at in range(0, len(full), batch):
            writer.write_batch(pa.RecordBatch.from_pylist(full[at : at + batch], schema()))


def write_folder(folder: Path, rows: list[dict[str, Any]] = SHOP, tokenizer: Any = None, **kwargs: Any) -> Path:
    """A whole data set, and the one of its held-out episodes in ``held-out``."""
    tokenizer = adopt(tokenizer or text_tokenizer())
    for name, held_out in ((folder, False), (folder / "held-out", True)):
        own = [row for row in rows if row.get("held_out", False) == held_out]
        provenance = {
            "name": "shop",
            "env": {"id": "Logs-v0", "kwargs": {**LIMITS, **kwargs}},
            "max_utterance_tokens": {**LIMITS, **kwargs}["max_response_tokens"],
        }
        if own:
            EpisodeDataset.from_episodes([episode(row, tokenizer) for row in own], provenance, tokenizer).save(name)
    write_conversations(folder, rows)
    return folder


def episode(row: dict[str, Any], tokenizer: Any) -> Episode:
    """A conversation as one episode, each reward on the last token of its utterance."""
    markup, told = markup_of(tokenizer), messages(row["messages"])
    assert markup is not None
    rewards_left, parts = iter(row["rewards"]), []  # (tokens, is the agent's, reward)
    heard = [i for i, message in enumerate(told) if message.role == "assistant"]
    for n, at in enumerate(heard):
        before = told[heard[n - 1] + 1 : at] if n else told[:at]
        ids = markup.answer(before, True, False) if n else markup.opening(before)
        parts += [(ids, False, 0.0), (spell(tokenizer, told[at].content, 10**6), True, next(rewards_left) or 0.0)]
    tokens = np.concatenate([np.asarray(ids, np.int32) for ids, _, _ in parts])
    acted = np.concatenate([np.full(len(ids), agents) for ids, agents, _ in parts])
    paid = np.concatenate([np.append(np.zeros(len(ids) - 1), reward) for ids, _, reward in parts if len(ids)])
    return Episode(tokens, acted, paid.astype(np.float32), terminated=True)
