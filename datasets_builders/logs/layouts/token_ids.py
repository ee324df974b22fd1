"""Layouts of token ids, as trainers log them. The ids are kept exactly and never tokenized again."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from datasets_builders.logs.cells import number, parsed
from datasets_builders.logs.layouts.layout import Layout, Read
from datasets_builders.logs.table import Table
from datasets_builders.logs.talk import Fault, Row, Talk, TokenIds
from lang_envs.corpora.records import shown


def _ids(value: Any, what: str) -> list[int]:
    found = _list(value, what)
    if not all(isinstance(one, int) and 0 <= one < 2**31 for one in found):
        raise Fault(f"the {what} are no token ids", shown(found))
    return [int(one) for one in found]


def _list(value: Any, what: str) -> list[Any]:
    value = parsed(value, what) if isinstance(value, str) else value
    if not isinstance(value, list | tuple):
        raise Fault(f"no {what}", shown(value))
    return list(value)


def _spread(value: Any, acted: list[bool], what: str) -> list[float | None]:
    """One value for each token [T], from a list with a value for each token or for each token of the agent."""
    found = [number(one) for one in _list(value, what)]
    if len(found) == len(acted):
        return found
    if len(found) != sum(acted):
        raise Fault(f"another number of {what} than of tokens", f"{len(found)} {what}, {sum(acted)} tokens said")
    of_agent = iter(found)
    return [next(of_agent) if own else None for own in acted]


def _talk(ids: list[int], acted: list[bool], known: Any, reward: Any, unrated: bool) -> Talk:
    """A conversation of tokens.

    Args:
        ids: [T] token ids.
        acted: [T] whether each token is the agent's.
        known: log-probabilities of all tokens or of the agent's tokens; None if there are none.
        reward: rewards of all tokens or of the agent's tokens, or a single reward for the agent's last token.
        unrated: whether rewards are left out.

    Raises:
        Fault: no token is the agent's, the first one is, a list has another length, or a token that is not the agent's
            has a reward.
    """
    if not any(acted):
        raise Fault("nobody speaks as the agent")
    if acted[0]:
        raise Fault("the first token is the agent's; expected a prompt before it")
    rewards, rated = [0.0] * len(ids), None
    if isinstance(reward, list | tuple):
        rewards = [one or 0.0 for one in _spread(reward, acted, "rewards")]
        rated = sum(rewards) if reward else None
        if any(one and not own for one, own in zip(rewards, acted, strict=True)):
            raise Fault("a reward on a token that is not the agent's")
    elif (rated := number(reward)) is not None:
        rewards[max(i for i, own in enumerate(acted) if own)] = rated
    logprobs = None if known is None else [
        math.nan if one is None or not own else one
        for one, own in zip(_spread(known, acted, "logprobs"), acted, strict=True)
    ]  # fmt: skip
    rated = None if unrated else rated
    return Talk((), (), (rated,), ids=TokenIds(ids, acted, [0.0] * len(ids) if unrated else rewards, logprobs))


def _reader(table: Table) -> Read:
    rewards, single = _rewards(table), table.named.unrated

    def read(row: Row) -> Iterator[Talk]:
        known = row.get("logprobs")
        if "tokens" in table.sample:
            ids, acted = _ids(row.get("tokens"), "tokens"), [bool(own) for own in _list(row.get("is_action"), "mask")]
        else:
            heard, spoken = _ids(row.get("prompt_ids"), "prompt ids"), _ids(row.get("completion_ids"), "completion ids")
            mask = row.get("env_mask")  # one entry per token of the completion: 0 where a tool or environment spoke
            own = [True] * len(spoken) if mask is None else [bool(one) for one in _list(mask, "mask")]
            ids, acted = heard + spoken, [False] * len(heard) + own
            if isinstance(known, list | tuple) and len(known) == len(spoken):
                known = [None] * len(heard) + list(known)
        if len(acted) != len(ids):
            raise Fault("another number of entries in the mask than of tokens", f"{len(acted)} for {len(ids)}")
        names = table.reward_columns()
        if len(names) > 1:
            value: Any = table.rewards()(row, 1)[0]
        else:
            value = row.get(names[0]) if names else None
        yield _talk(ids, acted, known, value, single or not rewards)

    return read


def _rewards(table: Table) -> str:
    return table.rewards_in_words()


LAYOUTS = (
    Layout(
        "token-ids",
        "prompt_ids, completion_ids, logprobs and a reward",
        lambda table: table.all_of("prompt_ids", "completion_ids"),
        _reader,
        _rewards,
        compares=True,
    ),
    Layout(
        "tokens",
        "tokens, is_action, rewards, logprobs",
        lambda table: table.all_of("tokens", "is_action"),
        _reader,
        _rewards,
        compares=True,
    ),
)
