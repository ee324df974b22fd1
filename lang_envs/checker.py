"""check_env: runs gymnasium's checker and further checks that every language environment must pass."""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils.env_checker import check_env as check_gymnasium
from gymnasium.utils.env_checker import data_equivalence
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from lang_envs.episode import Episode, Episodes
from lang_envs.rollout import Policy, Start, Turn, rollout
from lang_envs.spaces import said_ids
from lang_envs.token_env import TokenEnv
from lang_envs.tokenizers import decode, encode
from lang_envs.utterance_env import UtteranceEnv
from lang_envs.utterances import spell
from lang_envs.vector import TokenVectorEnv

SEEDS = range(12)


def check_env(id: str, *, expert: Policy | None = None, **options: Any) -> None:
    """Checks a registered language environment, and returns nothing if it passes.

    It checks the following:

    * Gymnasium's own checker passes at both levels.
    * The same seed gives the same episode in one environment, in a vector, and in another process.
    * No global random generator is used.
    * Utterances as text and as tokens have the same outcome.
    * Gymnasium's synchronous and asynchronous vector environments and the native one agree in every output, in each
      autoreset mode.
    * An episode is never both terminated and truncated.
    * The tokenizer decodes the texts of the task to the same texts.
    * An expert earns more than random tokens.

    Args:
        id: as given to ``gymnasium.make``.
        expert: a policy that must earn more than random tokens from the same seeds. Most of the random tokens are
            legal.
        **options: options of the environment. They and the registered ones must fit in JSON, to reach another process.

    Raises:
        ValueError: a check failed; the message says which.
    """
    env = gym.make(id, **options).unwrapped
    if not isinstance(env, TokenEnv):
        raise ValueError(f"{id} makes a {type(env).__name__}; register lang_envs.make:make_env as its entry_point")
    with _no_global_chance(id):
        for level in ("token", "utterance"):
            _check_gymnasium(id, {**options, "level": level})
        alone = [_play(env, seed) for seed in SEEDS]
    with _no_global_chance(id):
        by_text = gym.make(id, **options, level="utterance").unwrapped
        for seed, episode in zip(SEEDS, alone, strict=True):
            _same(id, "played twice", episode, _play(env, seed))
            _check_utterances(id, by_text, env, episode, seed)
        _check_native(id, options, alone)
        if expert is not None:
            _check_expert(id, options, expert, alone)
        for mode in AutoresetMode:
            _check_vectors(id, options, mode)
        _check_process(id, env, alone)


@contextlib.contextmanager
def _no_global_chance(id: str) -> Iterator[None]:
    def states() -> tuple[Any, ...]:
        return random.getstate(), np.random.get_state(legacy=False)  # noqa: NPY002  # only looked at

    before = states()
    yield
    if not data_equivalence(before, states()):
        raise ValueError(f"{id} draws from a global random generator; use the one that is passed in")


def _check_gymnasium(id: str, options: dict[str, Any]) -> None:
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # the render mode "human" writes to it
            check_gymnasium(gym.make(id, **options).unwrapped)
    except AssertionError as error:
        raise ValueError(f"{id} at level {options['level']!r} fails gymnasium's checker: {error}") from error


def _play(env: TokenEnv, seed: int) -> Episode:
    """Plays an episode in one environment, token by token; most tokens are legal, the others are any tokens."""
    rng = np.random.default_rng((seed, 1))
    observation, _ = env.reset(seed=seed)
    length = int(observation["attention_mask"].sum())
    is_action, rewards, over = [False] * length, [0.0] * length, False
    info: dict[str, Any] = {}
    while not over:
        action = _any_token(env, env.action_masks(), rng)
        observation, reward, terminated, truncated, step_info = env.step(action)
        added = int(observation["attention_mask"].sum()) - len(is_action)
        is_action += [True, *[False] * (added - 1)]
        rewards += [reward, *[0.0] * (added - 1)]
        info, over = step_info or info, terminated or truncated
    tokens = observation["input_ids"][: len(is_action)].astype(np.int32)
    return Episode(
        tokens, np.array(is_action), np.array(rewards, np.float32), terminated, truncated, None, {**info, "seed": seed}
    )


def _any_token(env: TokenEnv | TokenVectorEnv, legal: NDArray[np.bool_], rng: np.random.Generator) -> int:
    if rng.random() < 0.1:
        known = np.flatnonzero(said_ids(env.vocabulary_size, env.unused))
        return int(known[rng.integers(len(known))])
    if rng.random() < 0.1:
        return env.end_id
    return int(rng.choice(np.flatnonzero(legal)))


def _said(episode: Episode, end_id: int, limit: int) -> list[NDArray[np.int32]]:
    """The utterances of an episode, each with its end token."""
    return [episode.tokens[span] for span in episode.utterances(end_id, limit)]


def _same(id: str, where: str, expected: Episode, got: Episode) -> None:
    if not expected.same_as(got):
        raise ValueError(f"{id}: the same seed and tokens gave another episode {where}:\n{expected}\n{got}")


def _check_utterances(id: str, env: gym.Env[Any, Any], token_env: TokenEnv, episode: Episode, seed: int) -> None:
    """Says the utterances of ``episode`` as text and as the tokens of that text; the outcomes must agree."""
    if not isinstance(env, UtteranceEnv):
        raise ValueError(f"{id} makes a {type(env).__name__} at level 'utterance'")
    text, _ = env.reset(seed=seed)
    token_env.reset(seed=seed)
    heard, end, limit = [text], env.end_id, env.task.max_utterance_tokens
    for said in _said(episode, end, limit):
        words = decode(env.tokenizer, [said[:-1] if said[-1] == end else said])[0]
        text, *outcome = env.step(words)
        heard.append(text)
        total = 0.0
        for token in spell(env.tokenizer, words, limit).tolist():
            _, reward, terminated, truncated, info = token_env.step(token)
            total += reward
            if token == end or terminated or truncated:
                break
        if outcome != [total, terminated, truncated, info]:
            by_tokens = [total, terminated, truncated, info]
            raise ValueError(f"{id}, seed {seed}: saying {words!r} gave {outcome} as text, {by_tokens} as tokens")
        if terminated or truncated:
            break
    env.render_mode = token_env.render_mode = "ansi"
    if env.render() != token_env.render():
        raise ValueError(f"{id}, seed {seed}: transcripts differ:\n{env.render()!r}\n{token_env.render()!r}")
    env.render_mode = token_env.render_mode = None
    for text in heard:
        back = decode(env.tokenizer, encode(env.tokenizer, [text]))[0]
        if back != text:
            raise ValueError(f"{id}: the tokenizer turns the task's text {text!r} into {back!r}")


class _Silent:
    """A policy for episodes that are replayed to their end."""

    def act(self, histories: Sequence[NDArray[np.int32]], rngs: Sequence[np.random.Generator]) -> list[Turn]:
        raise ValueError(f"an episode went on after it was over elsewhere: {histories[0]}")


def _native(id: str, num_envs: int, options: dict[str, Any]) -> TokenVectorEnv:
    env = gym.make_vec(id, num_envs, **options)
    if not isinstance(env, TokenVectorEnv):
        raise ValueError(f"{id}: register lang_envs.make:make_vec_env as its vector_entry_point")
    return env


def _check_native(id: str, options: dict[str, Any], alone: list[Episode]) -> None:
    for num_envs in (1, 5):
        env = _native(id, num_envs, options)
        limit = env.task.max_utterance_tokens
        starts = [Start(seed, said=_said(e, env.end_id, limit)) for seed, e in zip(SEEDS, alone, strict=True)]
        for expected, got in zip(alone, rollout(env, _Silent(), starts), strict=True):
            _same(id, f"in a vector of {num_envs}", expected, got)


def _check_process(id: str, env: TokenEnv, alone: list[Episode]) -> None:
    """Plays the same seeds in a new interpreter, which hashes texts differently; the episodes must be the same."""
    if env.spec is None:
        raise ValueError(f"{id} has no spec")
    try:
        spec = env.spec.to_json()
    except (TypeError, ValueError) as error:
        raise ValueError(f"{id}: its spec must fit in JSON; use texts for entry points and options") from error
    code = "from lang_envs.checker import _answer; _answer()"
    path = os.pathsep.join(p or os.getcwd() for p in sys.path)
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=spec,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": "1"},
        check=False,
    )
    if done.returncode:
        raise ValueError(f"{id} cannot be made in another process:\n{done.stderr}")
    if json.loads(done.stdout.splitlines()[-1]) != [_facts(episode) for episode in alone]:
        raise ValueError(f"{id}: the same seeds gave other episodes in another process")


def _answer() -> None:
    """Runs in the other process: reads the spec from stdin and writes the episodes to stdout."""
    env = gym.make(gym.envs.registration.EnvSpec.from_json(sys.stdin.read())).unwrapped
    if isinstance(env, TokenEnv):
        sys.stdout.write(json.dumps([_facts(_play(env, seed)) for seed in SEEDS]) + "\n")


def _facts(episode: Episode) -> list[Any]:
    return [episode.tokens.tolist(), episode.rewards.tolist(), episode.terminated, episode.truncated]


def _check_vectors(id: str, options: dict[str, Any], mode: AutoresetMode, steps: int = 60) -> None:
    """Compares the native vector environment with gymnasium's two, step by step."""
    native = _native(id, 3, {**options, "autoreset_mode": mode})
    others = {
        name: gym.make_vec(id, 3, vectorization_mode=name, vector_kwargs={"autoreset_mode": mode}, **options)
        for name in ("sync", "async")
    }
    rng = np.random.default_rng(0)
    try:
        _compare(id, native.reset(seed=7), {name: env.reset(seed=7) for name, env in others.items()})
        for _ in range(steps):
            actions = np.array([_any_token(native, mask, rng) for mask in native.action_masks()])
            outputs = native.step(actions)
            _compare(f"{id}, {mode}", outputs, {name: env.step(actions) for name, env in others.items()})
            if (outputs[2] & outputs[3]).any():
                raise ValueError(f"{id}: an episode was both terminated and truncated")
            if mode is AutoresetMode.DISABLED and native.finished.any():
                mask = native.finished
                reset = native.reset(options={"reset_mask": mask})
                # gymnasium takes the mask out of the options, so each environment gets its own copy
                again = {name: env.reset(options={"reset_mask": mask.copy()}) for name, env in others.items()}
                _compare(f"{id}, {mode}, reset_mask", reset, again)
    finally:
        for env in others.values():
            env.close()


def _compare(where: str, native: tuple[Any, ...], others: dict[str, tuple[Any, ...]]) -> None:
    for name, outputs in others.items():
        if not data_equivalence(_plain(native), _plain(outputs)):
            raise ValueError(f"{where}: the native and the {name} vector environment differ:\n{native}\n{outputs}")


def _plain(data: Any) -> Any:
    """Arrays of objects as lists, because ``data_equivalence`` compares the entries of lists."""
    if isinstance(data, dict):
        return {key: _plain(value) for key, value in data.items()}
    if isinstance(data, tuple):
        return tuple(map(_plain, data))
    return data.tolist() if isinstance(data, np.ndarray) and data.dtype == object else data


def _check_expert(id: str, options: dict[str, Any], expert: Policy, alone: list[Episode]) -> None:
    chance = Episodes.from_list(alone).returns.mean()
    earned = Episodes.from_list(list(rollout(_native(id, 5, options), expert, SEEDS))).returns.mean()
    if earned <= chance:
        raise ValueError(f"{id}: {type(expert).__name__} earns {earned:.3f}, mostly legal random tokens {chance:.3f}")
