"""Layouts of message trees, as OpenAssistant writes them; every reply of the agent is one conversation."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from datasets_builders.logs.cells import messages as messages_of
from datasets_builders.logs.cells import number
from datasets_builders.logs.layouts.layout import Layout, Read
from datasets_builders.logs.rows import Numbered, Place
from datasets_builders.logs.table import Table
from datasets_builders.logs.talk import Fault, Row, Talk, said
from datasets_builders.storage import DatasetError
from lang_envs.conversation import Conversation, Message
from lang_envs.corpora.limits import DEEPEST
from lang_envs.corpora.records import shown

_TREE = "message_tree_id"
_RANKED = "rank among the replies beside it: the best counts 1, the last 0"
Node = Mapping[str, Any]


def gathered(rows: Numbered, table: Table) -> Iterator[tuple[Place, Row]]:
    """One row for each tree, ``{"nodes": messages}``, with the messages in the order of the log.

    A message whose parent is missing is a row of its own.

    Without a column "message_tree_id", all rows are held in memory.

    Raises:
        DatasetError: the rows of a tree are not consecutive.
    """
    found: list[Row] = []
    first, tree, seen = Place("", 0), None, set[Any]()
    for place, row in rows:
        own = _name(row, _TREE) if _TREE in table.sample else ""
        if found and own != tree:
            yield from ((first, tree) for tree in _parted(found))
            seen.add(tree)
            found = []
        if not found:
            if own in seen:
                raise DatasetError(
                    f"{place}: the rows of the tree {shown(own)} are not consecutive; sort the rows by {_TREE!r}"
                )
            first, tree = place, own
        found.append(row)
    if found:
        yield from ((first, tree) for tree in _parted(found))


def _parted(nodes: list[Row]) -> Iterator[Row]:
    """The tree below the roots, then each message that is not below a root: its parent is missing."""
    below = _below(nodes)
    waiting, reached = deque(_roots(below)), set[int]()
    while waiting:
        node = waiting.popleft()
        if id(node) not in reached:
            reached.add(id(node))
            waiting += below.get(_name(node, "message_id"), [])
    if reached:
        yield {"nodes": [node for node in nodes if id(node) in reached]}
        yield from ({"nodes": [node]} for node in nodes if id(node) not in reached)
    else:
        yield {"nodes": nodes}


def _below(nodes: Iterable[Node]) -> dict[Any, list[Node]]:
    """The messages below each name of a message."""
    below: dict[Any, list[Node]] = {}
    for node in nodes:
        below.setdefault(_name(node, "parent_id"), []).append(node)
    return below


def _roots(below: Mapping[Any, list[Node]]) -> list[Node]:
    return below.get(None, []) + below.get("", [])


def _flat(table: Table) -> Read:
    worth = _worth(table)

    def read(row: Row) -> Iterator[Talk]:
        below = _below(row["nodes"])
        roots = _roots(below)
        if not roots:
            raise Fault("a tree without a root" if len(row["nodes"]) > 1 else "a message whose parent is missing")
        yield from _walk(roots, lambda node: below.get(_name(node, "message_id"), []), worth)

    return read


def _nested(table: Table) -> Read:
    worth = _worth(table)

    def read(row: Row) -> Iterator[Talk]:
        root = row.get("prompt")
        if not isinstance(root, Mapping):
            raise Fault("no tree", shown(root))
        yield from _walk([root], _replies, worth)

    return read


def _replies(node: Node) -> list[Any]:
    found = node.get("replies") or []
    if not isinstance(found, list | tuple):
        raise Fault("the replies to a message are no list", shown(found))
    return list(found)


def _name(node: Node, field: str) -> Any:
    """The name of a message or a tree; a list or an object is turned into text, because it is not hashable."""
    found = node.get(field)
    return found if found is None or isinstance(found, str | int | float) else repr(found)


def _walk(roots: list[Node], replies: Any, worth: Any) -> Iterator[Talk]:
    """One conversation for every reply of the agent, with the messages above it as the prompt, level by level.

    Raises:
        Fault: no message is the agent's, a message cannot be read, or the tree is too deep.
    """
    waiting: deque[tuple[list[Node], Conversation]] = deque([(roots, ())])
    spoken = False
    while waiting:
        beside, above = waiting.popleft()
        if len(above) > DEEPEST:
            raise Fault(f"a tree of more than {DEEPEST} messages in a line")
        for node in beside:
            if not isinstance(node, Mapping) or node.get("deleted"):
                continue
            message = _message(node)
            if message.role == "assistant":
                spoken, name = True, node.get("message_id")
                own = worth(node, beside)
                yield Talk(above, said(message.content), (own,), name=None if name is None else str(name))
            waiting.append((replies(node), (*above, message)))
    if not spoken:
        raise Fault("nobody speaks as the agent")


def _message(node: Node) -> Message:
    return messages_of([{"role": node.get("role"), "content": node.get("text", node.get("content"))}], "message")[0][0]


def _worth(table: Table) -> Any:
    rewards = table.rewards() if table.reward_columns() else None

    def worth(node: Node, beside: list[Node]) -> float | None:
        if rewards is not None:
            return rewards(node, 1)[0]
        if table.named.unrated:
            return None
        ranks = [rank for one in beside if (rank := number(one.get("rank"))) is not None]
        own = number(node.get("rank"))
        if own is None or len(ranks) < 2:
            return None
        return 1 - sum(rank < own for rank in ranks) / (len(ranks) - 1)

    return worth


def _rewards(table: Table) -> str:
    if table.reward_columns():
        return f"{table.rewards_in_words()} of each message"
    return "" if table.named.unrated or ("rank" not in table.sample and "prompt" not in table.sample) else _RANKED


LAYOUTS = (
    Layout(
        "tree",
        "message_id, parent_id, role, text, rank; rows of one message_tree_id together",
        lambda table: table.all_of("message_id", "role") and "parent_id" in table.columns,
        _flat,
        _rewards,
        compares=True,
        gathered=gathered,
    ),
    Layout(
        "tree-nested",
        "prompt: {role, text, replies: [...]}",
        lambda table: isinstance(table.sample.get("prompt"), Mapping) and "replies" in table.sample["prompt"],
        _nested,
        _rewards,
        compares=True,
    ),
)
