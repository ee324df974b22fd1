"""RecordEnv: a wrapper that records every episode a loop plays in one environment, as tokens or as text."""

from __future__ import annotations

import os
from typing import Any

import gymnasium as gym
import numpy as np

from datasets_builders.dataset import EpisodeDataset
from datasets_builders.episode_log import EpisodeLog
from lang_envs.arguments import seed_of, shown
from lang_envs.envs import TokenEnv, UtteranceEnv
from lang_envs.episode import Episode, Episodes
from lang_envs.replies import check_info, check_reward


class RecordEnv(gym.Wrapper[Any, Any, Any, Any]):
    """What :class:`datasets_builders.RecordEpisodes` is for vectors, around one environment of ``gymnasium.make``.

    The rewards and infos are those that arrive here, also where a wrapper below changes them. At the utterance level
    the record holds the tokens that were said and heard, as at the token level.

    Example:
        >>> env = RecordEnv(gymnasium.make("Wordle-v0", level="utterance"), "data/mine", policy="mine")
        >>> ...  # any loop over env.reset and env.step
        >>> dataset = env.finish()

    Args:
        env: what is played, at either level.
        out: the folder to make.
        policy: who plays, for ``info["policy"]``.
        block_size: episodes that are written at once, and that an interruption may lose.
        resume: whether the episodes of an interrupted recording are kept and added to; else they are an error.

    Raises:
        TypeError: where ``env`` is no environment of this package.
        FileExistsError: where ``out`` exists, or an unfinished recording of it and ``resume`` is False.
    """

    def __init__(
        self,
        env: gym.Env[Any, Any],
        out: str | os.PathLike[str],
        policy: str = "unknown",
        block_size: int = 4096,
        resume: bool = False,
    ) -> None:
        super().__init__(env)
        played = env.unwrapped
        if not isinstance(played, TokenEnv | UtteranceEnv):
            raise TypeError(f"expected an environment of gymnasium.make with tokens or utterances, got {shown(env)}")
        self._played: TokenEnv | UtteranceEnv = played
        self._log = EpisodeLog(env, out, policy, block_size, resume, "RecordEnv")
        self._length = 0  # tokens of the episode under way; 0 where there is none
        self._acted: list[int] = []  # places of the agent's tokens
        self._paid: list[int] = []  # places of the rewards
        self._rewards: list[float] = []
        self._info: dict[str, Any] = {}
        self._seed: int | None = None
        self._steps = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Resets; an episode that was under way is not recorded.

        Raises:
            ValueError: for a seed that the record's 64 bits do not hold, or what the environment refuses.
            TypeError: what the environment refuses.
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
        """Steps, and records the episode where it ends.

        Raises:
            ValueError: where no episode was begun through this wrapper, the recording is finished, or a wrapper below
                paid or told what no record can hold. The episode under way is then left: reset to go on.
        """
        before, played = self._length, self._played
        if before == 0 or before != len(played.history):
            self._length = 0
            raise ValueError("an episode is recorded from its beginning: call reset() of RecordEnv before step()")
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

    def finish(self) -> EpisodeDataset:
        """Writes what is left, makes the folder whole and opens it; an episode that ends after that is an error.

        Raises:
            DatasetError: where no episode has ended; more can be played.
        """
        return self._log.finish()

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
