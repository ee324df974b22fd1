"""RecordEpisodes: a wrapper that records every episode an outside loop finishes, in one environment or in a vector."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, overload

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import ArrayLike, NDArray

from datasets_builders.dataset import EpisodeDataset
from datasets_builders.episode_log import EpisodeLog
from lang_envs.arguments import seed_of, seeds_of, shown
from lang_envs.episode import Episode, Episodes
from lang_envs.infos import column, widened
from lang_envs.replies import check_info, check_reward, first_unfit
from lang_envs.token_env import TokenEnv
from lang_envs.utterance_env import UtteranceEnv
from lang_envs.vector import TokenVectorEnv

Rows = NDArray[np.int64]  # [n]
EVERY_ROW, NO_ROWS = slice(None), np.empty(0, np.int64)
_LARGEST = float(np.finfo(np.float32).max)
_GYMNASIUMS = ("final_obs", "final_info")  # among the infos, but not the task's
_FROM_THE_BEGINNING = "an episode is recorded from its beginning: call reset() of RecordEpisodes before step()"
Observation = dict[str, NDArray[Any]]


class RecordEpisodes:
    """Passes everything through and writes each finished episode to a new data set.

    Around an environment of ``gymnasium.make``, at either level, it is a :class:`RecordOne`. Around a vector of
    ``gymnasium.make_vec``, in any autoreset mode, it is a :class:`RecordVector`. One environment is recorded several
    times as fast as a vector of one. The rewards and infos are recorded as they arrive here, so the changes of a
    wrapper below are included. Episodes are written in the order in which they end. Log-probabilities are not known.
    Call :meth:`finish` (or ``close``) to complete the folder.

    Example:
        >>> env = RecordEpisodes(gymnasium.make("Wordle-v0", level="utterance"), "data/mine", policy="mine")
        >>> ...  # any loop over env.reset and env.step
        >>> dataset = env.finish()

    Args:
        env: the environment, or the vector of environments.
        out: the folder to make.
        policy: the name of the policy, for ``info["policy"]``.
        block_size: number of episodes that are written at once, and that an interruption may lose.
        resume: whether to continue an interrupted recording; otherwise one is an error.

    Raises:
        TypeError: ``env`` is not an environment of this package.
        FileExistsError: ``out`` exists, or its unfinished recording exists and ``resume`` is False.
    """

    _log: EpisodeLog

    @overload
    def __new__(cls, env: gym.Env[Any, Any], *args: Any, **kwargs: Any) -> RecordOne: ...
    @overload
    def __new__(cls, env: gym.vector.VectorEnv[Any, Any, Any], *args: Any, **kwargs: Any) -> RecordVector: ...
    def __new__(cls, env: Any, *args: Any, **kwargs: Any) -> RecordEpisodes:
        """The wrapper that fits ``env``."""
        kind = RecordVector if isinstance(env, gym.vector.VectorEnv) else RecordOne
        return super().__new__(kind if cls is RecordEpisodes else cls)

    def finish(self) -> EpisodeDataset:
        """Writes the episodes that are left, completes the folder and opens it. No episode may end after that.

        Raises:
            DatasetError: no episode has ended. More episodes can be played.
        """
        return self._log.finish()


class RecordOne(RecordEpisodes, gym.Wrapper[Any, Any, Any, Any]):
    """Records one environment. At the utterance level too, the record holds the tokens that were said and heard."""

    def __init__(
        self,
        env: gym.Env[Any, Any],
        out: str | os.PathLike[str],
        policy: str = "unknown",
        block_size: int = 4096,
        resume: bool = False,
    ) -> None:
        gym.Wrapper.__init__(self, env)
        played = env.unwrapped
        if not isinstance(played, TokenEnv | UtteranceEnv):
            raise TypeError(f"expected an environment of gymnasium.make with tokens or utterances, got {shown(env)}")
        self._played: TokenEnv | UtteranceEnv = played
        self._log = EpisodeLog(env, out, policy, block_size, resume, "RecordEpisodes")
        self._length = 0  # number of tokens of the current episode; 0 if there is none
        self._acted: list[int] = []  # positions of the agent's tokens
        self._paid: list[int] = []  # positions of the rewards
        self._rewards: list[float] = []
        self._info: dict[str, Any] = {}
        self._seed: int | None = None
        self._steps = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Resets the environment; an unfinished episode is not recorded.

        Raises:
            ValueError: the seed is 2**63 or more, or the environment refuses the arguments.
            TypeError: the environment refuses the arguments.
        """
        own = seed_of(seed)
        if own is not None and own >= 2**63:
            raise ValueError(f"a recorded seed must be below 2**63, got {shown(seed)}")
        self._length = 0
        found = self.env.reset(seed=seed, options=options)
        self._length, self._seed, self._info = len(self._played.history), own, {}
        self._acted, self._paid, self._rewards = [], [], []
        return found

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Steps, and records the episode if it ends.

        Raises:
            ValueError: no episode was begun through this wrapper, the recording is finished, or a wrapper below
                returned a reward or an info that cannot be recorded. The current episode is then not recorded: call
                ``reset`` to continue.
        """
        before, played = self._length, self._played
        if before == 0 or before != len(played.history):
            self._length = 0
            raise ValueError(_FROM_THE_BEGINNING)
        found = self.env.step(action)
        _, reward, terminated, truncated, info = found
        self._steps += 1
        self._length, acted = 0, played.acted
        try:
            check_reward(reward)
            check_info(info)
        except (ValueError, TypeError) as error:
            raise type(error)(f"step {self._steps} cannot be recorded: {error}; a wrapper changed it") from None
        self._length = len(played.history)
        self._acted += range(before, acted)
        if reward:
            self._paid.append(acted - 1)
            self._rewards.append(float(reward))
        if info:
            self._info |= info
        if terminated or truncated:
            self._keep(bool(terminated))
        return found

    def close(self) -> None:
        """Finishes the recording where an episode has ended, and closes the environment."""
        self._log.close()
        self.env.close()

    def _keep(self, terminated: bool) -> None:
        tokens = np.array(self._played.history, np.int32)  # [t]
        is_action, rewards = np.zeros(len(tokens), np.bool_), np.zeros(len(tokens), np.float32)  # [t] each
        is_action[self._acted] = True
        rewards[self._paid] = self._rewards
        seed = {} if self._seed is None else {"seed": self._seed}
        episode = Episode(tokens, is_action, rewards, terminated, not terminated, info=seed)
        self._log.add(Episodes.from_list([episode]), [self._log.info(self._info)])
        self._log.write_when_full()  # last, so that a full disk leaves nothing half done here


class RecordVector(RecordEpisodes, gym.vector.VectorWrapper):
    """Records a vector. The seed of an episode is the one given to ``reset``; it is null after an autoreset."""

    def __init__(
        self,
        env: TokenVectorEnv,
        out: str | os.PathLike[str],
        policy: str = "unknown",
        block_size: int = 4096,
        resume: bool = False,
    ) -> None:
        gym.vector.VectorWrapper.__init__(self, env)
        if not isinstance(env.unwrapped, TokenVectorEnv):
            raise TypeError(f"expected a vector of gymnasium.make_vec with tokens, got {shown(env)}")
        self.env: TokenVectorEnv = env
        self._mode = AutoresetMode(env.metadata["autoreset_mode"])
        self._log = EpisodeLog(env, out, policy, block_size, resume, "RecordEpisodes")
        shape = (env.num_envs, env.max_tokens)
        self._is_action = np.zeros(shape, np.bool_)  # [N, T]
        self._rewards = np.zeros(shape, np.float32)  # [N, T]
        self._flat_actions, self._flat_rewards = self._is_action.reshape(-1), self._rewards.reshape(-1)  # [N * T] each
        self._length = np.zeros(env.num_envs, np.int64)  # [N]
        self._first = np.arange(env.num_envs) * env.max_tokens  # [N] where each row starts in the flattened arrays
        self._over = np.zeros(env.num_envs, np.bool_)  # [N]
        self._seeds: list[int | None] = [None] * env.num_envs
        self._info: dict[str, NDArray[Any]] = {}  # key -> [N], the last info of the task for each row
        self._answered = np.zeros(env.num_envs, np.bool_)  # [N] whether the task gave any info
        self._json: dict[tuple[Any, ...], str] = {}
        self._steps = 0

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Resets the environments; unfinished episodes are not recorded.

        Raises:
            ValueError: a seed is 2**63 or more, or the environment refuses the arguments.
            TypeError: the environment refuses the arguments.
        """
        seeds = seeds_of(seed, self.num_envs)
        if any(own is not None and own >= 2**63 for own in seeds):
            raise ValueError(f"a recorded seed must be below 2**63, got {shown(seed)}")
        observation, infos = self.env.reset(seed=seed, options=options)
        mask = (options or {}).get("reset_mask")
        rows = np.arange(self.num_envs) if mask is None else np.flatnonzero(mask)
        self._length[rows] = self.env.unwrapped.lengths[rows]
        self._begin(rows)
        for row in rows.tolist():
            self._seeds[row] = seeds[row]
        return observation, infos

    def step(self, actions: ArrayLike) -> tuple[Observation, Any, NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Steps, and records the episodes that end.

        Raises:
            ValueError: no episode was begun through this wrapper, the recording is finished, or a wrapper below
                returned a reward or an info that cannot be recorded. The current episodes are then not recorded: call
                ``reset`` to continue.
        """
        if self._length.min() == 0:
            raise ValueError(_FROM_THE_BEGINNING)
        restarted = np.flatnonzero(self._over) if self._mode is AutoresetMode.NEXT_STEP else NO_ROWS
        live = np.flatnonzero(~self._over) if len(restarted) else EVERY_ROW
        observation, rewards, terminated, truncated, infos = self.env.step(np.asarray(actions))
        self._steps += 1
        self._check(rewards, infos)
        at = self._first[live] + self._length[live]  # [n]
        self._flat_actions[at] = True
        self._flat_rewards[at] = rewards[live]
        self._length = self.env.unwrapped.lengths
        over = terminated | truncated
        self._note(infos)
        rows = np.flatnonzero(over)
        if self._mode is AutoresetMode.SAME_STEP:
            if len(rows):
                self._note(infos["final_info"])
                final = {key: np.stack([infos["final_obs"][row][key] for row in rows]) for key in observation}
                self._keep(rows, final["input_ids"], final["attention_mask"].sum(axis=1), terminated)
                self._begin(rows)
        else:
            if len(rows):
                self._keep(rows, observation["input_ids"][rows], self._length[rows], terminated)
            if len(restarted):
                self._begin(restarted)
            self._over = over
        self._log.write_when_full()  # last, so that a full disk leaves nothing half done here
        return observation, rewards, terminated, truncated, infos

    def close(self, **kwargs: Any) -> None:
        """Finishes the recording where an episode has ended, and closes the environment."""
        self._log.close()
        self.env.close(**kwargs)

    def _check(self, rewards: Any, infos: dict[str, Any]) -> None:
        """Refuses rewards and infos that cannot be recorded; only a wrapper below can return such values."""
        wrong = None
        if not np.abs(rewards).max() <= _LARGEST:  # also true for NaN
            with np.errstate(over="ignore"):
                wrong = first_unfit(np.asarray(rewards, np.float32), "the reward")
        if wrong is None and not infos:
            return
        given = infos, infos.get("final_info", {})
        columns = ((name, info[name], info[f"_{name}"]) for info in given for name in info if f"_{name}" in info)
        for name, values, there in columns:
            if wrong is None and name not in _GYMNASIUMS and values.dtype.kind in "fO":
                known = np.asarray(np.where(there, values, None if values.dtype == object else 0))  # [N]
                wrong = first_unfit(known, f"info[{name!r}]")
        if wrong is not None:
            row, error = wrong
            self._length[:] = 0  # the current episodes lack this step, so they are dropped
            raise type(error)(f"step {self._steps} cannot be recorded: in row {row} {error}; a wrapper changed it")

    def _begin(self, rows: Rows) -> None:
        self._is_action[rows] = False
        self._rewards[rows] = 0
        self._over[rows] = self._answered[rows] = False
        for row in rows.tolist():
            self._seeds[row] = None

    def _note(self, infos: dict[str, Any]) -> None:
        """Keeps the task's info of the rows that were answered in this step."""
        for key, values in infos.items():
            there = infos.get(f"_{key}")
            if there is None or key in _GYMNASIUMS:
                continue
            known = self._info.get(key)
            self._info[key] = column(self.num_envs, values) if known is None else widened(known, values)
            self._info[key][there] = values[there]
            self._answered |= there

    def _keep(self, rows: Rows, tokens: NDArray[np.int64], lengths: Rows, terminated: NDArray[np.bool_]) -> None:
        """Takes the finished episodes of ``rows``, of which the first ``lengths`` [n] of ``tokens`` [n, T] are real."""
        real = np.arange(tokens.shape[1]) < lengths[:, None]  # [n, T]
        episodes = Episodes(
            tokens[real].astype(np.int32),
            self._is_action[rows][real],
            self._rewards[rows][real],
            np.concatenate([[0], np.cumsum(lengths)]),
            terminated[rows],
            ~terminated[rows],
            None,
            [{} if seed is None else {"seed": seed} for seed in (self._seeds[row] for row in rows.tolist())],
        )
        self._log.add(episodes, self._infos(rows))

    def _infos(self, rows: Rows) -> list[str]:
        """The info of each of ``rows`` as JSON; equal infos are encoded once."""
        columns = [self._answered[rows].tolist(), *(values[rows].tolist() for values in self._info.values())]
        found = []
        for facts in zip(*columns, strict=True):
            text = self._json.get(facts)
            if text is None:
                text = self._log.info(dict(zip(self._info, facts[1:], strict=True)) if facts[0] else {})
                if len(self._json) < 10_000:
                    self._json[facts] = text
            found.append(text)
        return found
