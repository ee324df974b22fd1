"""Odd actions, seeds and options for every registered environment: token by token, in utterances, and in vectors."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from hypothesis import strategies as st
from outcome import Outcome, Refused, of_error
from worker import Kind

from lang_envs.make import _find, needed_options, task_class

OURS = (id for id, spec in gym.registry.items() if str(spec.entry_point).startswith("lang_envs"))
IDS = tuple(id for id in OURS if not needed_options(id) and not task_class(id).needs_corpus)
ROWS = 3
LEVELS = ("token", "utterance", "vector")
HEAVY = ("Dialogue-BERTScore-v0", "Dialogue-BERTClick-v0", "Dialogue-METEOR-v0")  # seconds to make with other options

# V is the number of tokens, T a token that is there, n the number of rows.
TOKENS = (
    "T", "np.int8(T % 100)", "np.uint64(T)", "np.array(T)", "np.int32(T)",
    "-1", "V", "V + 10**9", "2**63", "-(2**63)", "10**30", "T + 0.0", "T + 0.5", "np.float64(T)", "float('nan')",
    "float('inf')", "np.array([T])", "np.array([[T, T]])", "[]", "[T]", "(T,)", "None", "'a'", "str(T)", "b'a'",
    "True", "np.bool_(True)", "np.uint64(2**64 - 1)", "np.int8(-3)", "np.array(T, dtype=object)", "{'a': T}", "1 + 2j",
    "np.datetime64('2020')", "np.array([], int)", "object()", "np.ma.masked", "np.str_(T)", "np.timedelta64(1)",
)  # fmt: skip
UTTERANCES = (
    "'yes'", "''", "' ' * 100", "'\\0'", "'a' * 10**6", "'\\ud800'", "'<|end|>hello'", "'<|pad|><|end|>'",
    "'\\u202e\\0x'", "'<y></a></s>'", "'\\U0001f642' * 30", "'<|user|>hi<|agent|>'", "'\\x1b[2J'", "'\u0301' * 200",
    "None", "3", "b'x'", "['a']", "('a',)", "float('nan')", "np.str_('yes')", "np.array('yes')", "object()", "{'a': 1}",
)  # fmt: skip
VECTORS = (
    "np.full(n, T)", "[T] * n", "(T,) * n", "np.full(n, T, np.uint64)", "np.full(n, T, np.int32)",
    "np.full(n, -1)", "np.full(n, V)", "np.full(n, 2**40)", "np.full(n, np.nan)", "np.full(n, T + 0.0)",
    "np.zeros(n + 1, int)", "np.zeros(n - 1, int)", "np.zeros((n, 1), int)", "T", "None", "['a'] * n", "[T, None, T]",
    "[T, 'x', T]", "[T, 1.5, T]", "[T, V, T]", "[T, -1, T]", "np.full(n, True)", "[True] * n", "[[T]] * n", "'abc'",
    "np.full(n, 2**63, np.uint64)", "np.full(n, T, object)", "{0: T}", "[10**30] * n", "iter([T] * n)", "set([T])",
)  # fmt: skip
RESETS = (
    "dict(seed=3)", "dict(seed=np.int64(3))", "dict(seed=-1)", "dict(seed='a')", "dict(seed=2**70)", "dict(seed=[1])",
    "dict(seed=[1, 2, 3])", "dict(seed=[1, None, 3])", "dict(seed=[1, 2])", "dict(seed=[1, 'a', 3])",
    "dict(seed=[1, -2, 3])", "dict(seed=1.5)", "dict(seed=float('nan'))", "dict(seed=True)", "dict(seed={})",
    "dict(options=3)", "dict(options=[])", "dict(options='context')", "dict(options={'foo': 1})", "dict(options={})",
    "dict(options={'context': None})", "dict(options={'context': 0})", "dict(options={'context': -1})",
    "dict(options={'context': 10**9})", "dict(options={'context': 'x'})", "dict(options={'context': 1.5})",
    "dict(options={'context': True})", "dict(options={'context': float('nan')})",
    "dict(options={'context': [0, 1, 2]})", "dict(options={'context': [0, 1]})",
    "dict(options={'context': [0, 'x', 1]})", "dict(options={'context': {}})",
    "dict(options={'context': np.int64(1)})", "dict(options={'context': np.array([0, 1, 2])})",
    "dict(options={'reset_mask': [1, 0, 0]})", "dict(options={'reset_mask': np.array([True, False, False])})",
    "dict(options={'reset_mask': np.zeros(n, bool)})", "dict(options={'reset_mask': np.array([2, 0, 0])})",
    "dict(options={'reset_mask': None})", "dict(options={'reset_mask': 'x'})", "dict(options={3: 4})",
    "dict(options={'reset_mask': np.ones(2, bool)})",
)  # fmt: skip
OWN_OPTIONS = (
    "level",
    "tokenizer",
    "max_tokens",
    "render_mode",
    "max_episode_steps",
    "autoreset_mode",
    "copy",
    "words ",
)
VALUES = (
    "None", "-1", "0", "1", "2", "2**31", "10**30", "1.5", "float('nan')", "float('inf')", "''", "'x'", "'..'",
    "'/dev/null'", "'/nowhere'", "'\\0'", "'\\ud83d'", "[]", "['x']", "[1]", "{}", "True", "False", "b'x'", "object()",
    "'ansi'", "'human'", "'utterance'", "'official'", "'toxicity'", "'bleu'", "np.int64(4)", "np.array([1, 2])", "len",
)  # fmt: skip


@dataclass(frozen=True)
class Call:
    """One call with an odd argument, given as the text of an expression."""

    env: str
    level: str
    method: str
    argument: str
    seed: int = 0
    token: int = 0
    option: str = ""
    """of ``make``: the one that ``argument`` is the value of"""


def prepare(folder: Path) -> dict[tuple[str, str], tuple[Any, Any]]:
    """Two of each environment: one that is treated oddly, and one that shows what is right."""
    return {(env, level): (_make(env, level), _make(env, level)) for env in IDS for level in LEVELS}


def _make(env: str, level: str, /, **options: Any) -> Any:
    if level == "vector":
        return gym.make_vec(env, num_envs=ROWS, **options)
    return gym.make(env, disable_env_checker=True, **{"level": level, **options})


@st.composite
def damages(draw: st.DrawFn, world: Any) -> Call:
    """Steps twice as often as resets, and these twice as often as new environments."""
    env, level = draw(st.sampled_from(IDS)), draw(st.sampled_from(LEVELS))
    method = draw(st.sampled_from(("step",) * 4 + ("reset",) * 2 + ("make",)))
    if method == "make" and env not in HEAVY:
        option = draw(st.sampled_from((*_options(env), *OWN_OPTIONS)))
        return Call(env, level, method, draw(st.sampled_from(VALUES)), option=option)
    steps = {"token": TOKENS, "utterance": UTTERANCES, "vector": VECTORS}[level]
    arguments = RESETS if method == "reset" else steps
    seed, token = draw(st.integers(0, 1000)), draw(st.integers(0, 10**6))
    return Call(env, level, "reset" if method == "reset" else "step", draw(st.sampled_from(arguments)), seed, token)


def always(world: Any) -> list[Call]:
    """Every odd argument once, of a small vocabulary and of a task with contexts."""
    calls = []
    for env in ("MovieReview-v0", "Dialogue-BLEU-v0"):
        for level, steps in zip(LEVELS, (TOKENS, UTTERANCES, VECTORS), strict=True):
            calls += [Call(env, level, "step", argument, token=3) for argument in steps]
            calls += [Call(env, level, "reset", argument, token=3) for argument in RESETS]
    return calls


def _options(env: str) -> list[str]:
    return list(inspect.signature(_find(gym.spec(env).kwargs["task"])).parameters)


def attempt(world: Any, call: Call, case: Path) -> Outcome:
    """What is refused leaves the environment as it was; what is not does what the plain argument does."""
    if call.method == "make":
        return _made(call)
    odd, plain = world[call.env, call.level]
    odd.reset(seed=call.seed)
    plain.reset(seed=call.seed)
    size = (
        None if call.level == "utterance" else plain.get_wrapper_attr("end_id") if False else _size(plain, call.level)
    )
    token = call.token % size if size else 0
    names = {"np": np, "V": size, "T": token, "n": ROWS}
    argument = eval(call.argument, names)
    refused, found = "", None
    try:
        found = odd.reset(**argument) if call.method == "reset" else odd.step(argument)
    except gym.error.Error as error:  # gymnasium's own refusals, in its own words
        refused = str(error)
    except (ValueError, TypeError) as error:
        refused = _words(error)
    if not refused and call.method == "step":
        return _compared(found, plain, call, argument, names)
    if not refused:
        _plain_step(odd, call.level, token)
        return Outcome("right" if call.method == "reset" else "accepted")
    if call.method == "reset":  # a refused reset may have begun: the next one must be as ever
        found, wanted = odd.reset(seed=call.seed), plain.reset(seed=call.seed)
        if repr(found) != repr(wanted):
            return Outcome("different", "the reset after a refused one", call.argument)
    if repr(_plain_step(odd, call.level, token)) != repr(_plain_step(plain, call.level, token)):
        return Outcome("different", "the step after a refused one", f"{call.level} {call.argument}")
    return Outcome("refused", refused)


def _words(error: Exception) -> str:
    """The message, where it is one that the project wrote; else the error goes on."""
    if of_error(error, None).kind == "refused":
        return str(error) or "no words"
    raise error


def _size(env: Any, level: str) -> int:
    return int((env.single_action_space if level == "vector" else env.action_space).n)


def _plain_step(env: Any, level: str, token: int) -> Any:
    return env.step({"token": token, "utterance": "yes", "vector": np.full(ROWS, token)}[level])


def _compared(found: Any, plain: Any, call: Call, argument: Any, names: dict[str, Any]) -> Outcome:
    """A step that was taken: with what the plain value of the argument does."""
    if call.level == "utterance":
        legal, meant = isinstance(argument, str), argument
    elif call.level == "token":
        legal = _is_token(argument, names["V"])
        meant = int(argument) if legal else 0
    else:
        entries = list(argument) if isinstance(argument, list | tuple | np.ndarray) else [None]
        legal = len(entries) == ROWS and all(_is_token(entry, names["V"]) for entry in entries)
        meant = np.array(entries, np.int64) if legal else None
    if not legal:
        return Outcome("different", f"accepted as an action: {call.argument}", f"{call.level} {call.argument}")
    wanted = plain.step(meant)
    if not np.isfinite(np.asarray(found[1])).all():
        return Outcome("different", "a reward that is not finite", call.argument)
    return Outcome("right") if repr(found) == repr(wanted) else Outcome("different", "another step", call.argument)


def _is_token(value: Any, size: int) -> bool:
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and 0 <= value < size


def _made(call: Call) -> Outcome:
    """An environment that can be made can be played."""
    try:
        env = _make(call.env, call.level, **{call.option: eval(call.argument, {"np": np})})
        env.reset(seed=0)
    except gym.error.Error as error:
        return Outcome("refused", str(error))
    try:
        _plain_step(env, call.level, 0) if call.option != "level" else None
    except (ValueError, TypeError) as error:
        raise Refused(_words(error)) from error
    return Outcome("accepted")


KIND = Kind("actions", prepare, damages, attempt, always, names_folder=False)
