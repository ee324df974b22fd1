"""Checks the replies of a task at once, so that a value that no record can hold does not fail hours later."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lang_envs.arguments import shown
from lang_envs.conversation import is_conversation
from lang_envs.task import Reply

if TYPE_CHECKING:
    from lang_envs.dynamics import Replies

_LARGEST = float(np.finfo(np.float32).max)
_PLAIN = (bool, str, type(None))


def check_reply(reply: Any, task: str, turn: int, utterance: str) -> None:
    """Refuses a reply whose fields are not as :class:`lang_envs.task.Reply` says, or that no record can hold.

    Args:
        reply: the reply of the task.
        task: the name of the task.
        turn: the number of the utterance in the episode, from 1.
        utterance: the text of the utterance.

    Raises:
        ValueError: a number is not finite, or too large for float32.
        TypeError: a field is of another type.
    """
    try:
        if not isinstance(reply, Reply):
            raise TypeError(f"expected a Reply, got {shown(reply)}")
        reward = reply.reward
        if type(reward) is not float or not -_LARGEST <= reward <= _LARGEST:
            check_reward(reward)
        if not isinstance(reply.text, str) and not is_conversation(reply.text):
            raise TypeError(f"the text of a reply must be a str or a tuple of messages, got {shown(reply.text)}")
        if not isinstance(reply.terminated, (bool, np.bool_)):
            raise TypeError(f"terminated must be True or False, got {shown(reply.terminated)}")
        check_info(reply.info)
    except (ValueError, TypeError) as error:
        raise type(error)(f"{_where(task, turn, utterance)}: {error}") from None


def check_reward(reward: Any) -> None:
    """Refuses a reward that is not a finite number in float32.

    Raises:
        ValueError: the reward is NaN, infinite, or beyond 3.4e38.
        TypeError: it is not a number, for example a bool, a text or an array.
    """
    if isinstance(reward, (bool, np.bool_)) or not isinstance(reward, Real):
        raise TypeError(f"a reward must be a number, got {shown(reward)}; pass float(reward)")
    number: Any = reward  # type checkers know no comparisons of Real
    if not -_LARGEST <= number <= _LARGEST:
        raise ValueError(f"a reward must be finite in float32 (up to {_LARGEST:.3g}), got {shown(reward)}")


def check_replies(replies: Replies, task: str, turns: NDArray[np.int64], utterance: Callable[[int], str]) -> None:
    """Makes the checks of :func:`check_reply` for the n replies of array dynamics at once.

    Args:
        replies: n replies.
        task: the name of the task.
        turns: [n] the number of the answered utterance in its episode, from 1.
        utterance: returns the text of utterance i.

    Raises:
        ValueError: a number is not finite.
        TypeError: rewards are not numbers, or JSON cannot hold an info.
    """
    columns = {"the reward": replies.rewards} | {f"info[{key!r}]": values for key, values in replies.info.items()}
    if replies.rewards.dtype.kind not in "fiu":
        raise TypeError(f"{task}: the rewards of replies must be an array of numbers, got {shown(replies.rewards)}")
    for name, values in columns.items():
        wrong = first_unfit(values, name)
        if wrong is not None:
            i, error = wrong
            raise type(error)(f"{_where(task, int(turns[i]), utterance(i))}: {error}")


def first_unfit(values: NDArray[Any], name: str) -> tuple[int, ValueError | TypeError] | None:
    """The index of the first of n values that no record can hold, and the error; None if there is no such value."""
    if values.dtype.kind == "f":
        wrong = ~np.isfinite(values)
        if not wrong.any():
            return None
        i = int(wrong.argmax())
        return i, ValueError(f"{name} must be finite, got {values[i]}")
    for i, value in enumerate(values.tolist() if values.dtype.kind not in "biuSU" else ()):
        try:
            check_fact(value, name)
        except (ValueError, TypeError) as error:
            return i, error
    return None


def check_fact(value: Any, name: str) -> None:
    """Refuses a value that JSON cannot hold.

    Raises:
        ValueError: it is or holds a number that is not finite.
        TypeError: it is or holds an object that is not JSON-able.
    """
    if isinstance(value, _PLAIN):
        return
    if isinstance(value, (float, np.floating)):
        if not math.isfinite(value):
            raise ValueError(f"{name} must be finite, since JSON has no {value}")
        return
    if isinstance(value, int) and value.bit_length() < 64:
        return
    try:
        json.dumps(value, allow_nan=False, default=_listed)
    except ValueError as error:
        raise ValueError(f"{name} must be JSON-able, got {shown(value)}: {error}") from None
    except (TypeError, RecursionError) as error:
        raise TypeError(f"{name} must be JSON-able, got {shown(value)}: {error}") from None


def check_info(info: Any) -> None:
    """Refuses an info that JSON cannot hold.

    Raises:
        ValueError: it holds a number that is not finite.
        TypeError: it is not a dictionary from strings to JSON-able values.
    """
    if not isinstance(info, dict):
        raise TypeError(f"the info of a reply must be a dictionary, got {shown(info)}")
    for key, value in info.items():
        if not isinstance(key, str):
            raise TypeError(f"the keys of info must be strings, got {shown(key)}")
        if type(value) not in _PLAIN and not (type(value) is int and -(2**63) < value < 2**63):
            check_fact(value, f"info[{key!r}]")


def _listed(value: Any) -> Any:
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is not JSON-able")


def _where(task: str, turn: int, utterance: str) -> str:
    return f"{task} answered turn {turn}, the utterance {shown(utterance)}"
