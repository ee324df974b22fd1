"""``TokenVecEnv``: a ``TokenVectorEnv`` as a ``VecEnv`` of stable-baselines3. Needs the extra ``ppo``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

from lang_envs.vector import TokenVectorEnv

Histories = dict[str, NDArray[Any]]
ONE = "All rows are one environment: use its attribute `env`."


class TokenVecEnv(VecEnv):
    """The episodes of a ``TokenVectorEnv``, for any algorithm of stable-baselines3; one action is one token.

    The step that ends an episode also begins the next one, so no action is spent on a reset. The info of that step has
    ``terminal_observation``, ``TimeLimit.truncated`` (truncated, and not terminated) and ``episode`` (``r`` the return,
    ``l`` the number of the agent's tokens), and the info of the task's reply. ``env_method("action_masks")`` returns
    the legal tokens, as sb3-contrib asks for them.

    Args:
        env: an environment whose task, tokenizer, rows and limits are taken; it is not played itself.
        first: episode k of row i has the seed ``first + k * env.num_envs + i``. None: ``seed`` seeds the next reset,
            and after that each row continues with its own generator.
        rows: the rows to play, if other processes play the others; None: all.

    Attributes:
        env: the environment that is played.
        begun: episodes begun so far in each row, [N].
    """

    def __init__(self, env: TokenVectorEnv, first: int | None = None, rows: range | None = None) -> None:
        rows = range(env.num_envs) if rows is None else rows
        self.env = TokenVectorEnv(
            env.task,
            len(rows),
            tokenizer=env.tokenizer,
            max_tokens=env.max_tokens,
            max_episode_steps=env.max_episode_steps,
            autoreset_mode=AutoresetMode.DISABLED,
            render_mode=env.render_mode,
        )
        self.first, self.rows, self.apart = first, rows, env.num_envs
        self.begun, self._actions = np.zeros(len(rows), np.int64), np.zeros(len(rows), np.int64)  # [N] each
        self._return, self._length = np.zeros(len(rows)), np.zeros(len(rows), np.int64)  # [N] each
        super().__init__(len(rows), env.single_observation_space, env.single_action_space)

    def reset(self) -> Histories:
        """Begins an episode in every row -> histories, each [N, T] (see ``lang_envs.spaces.history_space``)."""
        observation = self._begin(np.ones(self.num_envs, np.bool_), self._seeds)
        self._reset_seeds()
        return observation

    def step_async(self, actions: NDArray[np.int64]) -> None:
        """Stores one token for each row, [N]."""
        self._actions = actions

    def step_wait(self) -> tuple[Histories, NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        """Plays the stored tokens -> histories, each [N, T], rewards [N], whether an episode ended [N], and N infos."""
        observation, rewards, terminated, truncated, columns = self.env.step(self._actions)
        self._return += rewards
        self._length += 1
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for key in (key for key in columns if f"_{key}" in columns):
            for row in np.flatnonzero(columns[f"_{key}"]).tolist():
                infos[row][key] = columns[key][row]
        done = terminated | truncated  # [N]
        for row in np.flatnonzero(done).tolist():
            infos[row] |= {
                "terminal_observation": {key: value[row] for key, value in observation.items()},
                "TimeLimit.truncated": bool(truncated[row] and not terminated[row]),
                "episode": {"r": float(self._return[row]), "l": int(self._length[row])},
            }
        if done.any():
            observation = self._begin(done, [None] * self.num_envs)
        return observation, rewards.astype(np.float32), done, infos

    def _begin(self, rows: NDArray[np.bool_], seeds: Sequence[int | None]) -> Histories:
        """Begins an episode in every row whose ``rows`` [N] is true; ``first``, if set, replaces ``seeds``."""
        if self.first is not None:
            seeds = (self.first + self.begun * self.apart + np.array(self.rows)).tolist()
        self.begun += rows
        self._return[rows], self._length[rows] = 0, 0
        return self.env.reset(seed=seeds, options={"reset_mask": rows})[0]

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        """The legal tokens [V] of each of the rows ``indices``, for the method "action_masks".

        Raises:
            NotImplementedError: for any other method.
        """
        if method_name != "action_masks":
            raise NotImplementedError(f"Rows have no method {method_name!r}, only 'action_masks'. {ONE}")
        masks = self.env.action_masks()  # [N, V]
        return [masks[row] for row in self._get_indices(indices)]

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """An attribute of the environment, once for each of the rows ``indices``."""
        return [getattr(self.env, attr_name) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Not supported.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError(f"{attr_name!r} cannot be set row by row. {ONE}")

    def env_is_wrapped(self, wrapper_class: type[Any], indices: Any = None) -> list[bool]:
        """False for each of the rows ``indices``."""
        return [False for _ in self._get_indices(indices)]

    def close(self) -> None:
        """Closes the environment."""
        self.env.close()
