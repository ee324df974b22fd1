"""``TokenBuffer``: the rollout buffer of PPO, whose minibatches are whole episodes. Needs the extra ``ppo``."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sb3_contrib.common.maskable.buffers import MaskableDictRolloutBuffer, MaskableDictRolloutBufferSamples
from stable_baselines3.common.buffers import DictRolloutBuffer
from torch import Tensor

from agents.distributed.processes import gathered, joined, rank
from agents.sb3.actor_critic import ActorCritic, masked_logprobs

ROUNDING = 1e-5  # log-probabilities of a token that is read alone and in a batch differ by less than this


class TokenBuffer(MaskableDictRolloutBuffer):
    """A rollout of n tokens in each of N rows. Minibatches are whole episodes, each read once for all its tokens.

    The buffer of stable-baselines3 shuffles tokens, so that a minibatch of K tokens reads K histories.

    This buffer also subtracts the KL penalty kl_coef (log pi(a | s) - log pi0(a | s)) from every reward before the
    advantages are computed.

    With several processes each has its own rows, and a minibatch has episodes of all processes. A sample then has the
    observations, actions and masks of this process's tokens, and the values, log-probabilities, advantages and returns
    of the tokens of all processes.

    Args:
        *args: arguments of stable-baselines3's buffer.
        network: the network; its reference is pi0.
        rng: draws the minibatches.
        minibatches: number of minibatches of a rollout.
        masked: whether there are masks of legal tokens; both policies are then restricted to these.
        **kwargs: arguments of stable-baselines3's buffer.

    Attributes:
        kl: mean log-ratio of the rollout, in nats per token.
        computed: name -> values, log-probabilities, advantages or returns of all processes' tokens, [all N * n].
    """

    def __init__(
        self,
        *args: Any,
        network: ActorCritic,
        rng: np.random.Generator,
        minibatches: int,
        masked: bool,
        **kwargs: Any,
    ) -> None:
        self.network, self.rng, self.minibatches, self.masked = network, rng, minibatches, masked
        self.kl = float("nan")
        super().__init__(*args, **kwargs)

    def reset(self) -> None:
        """Empties the buffer; masks, which have a number for every token of the vocabulary, are only made if used."""
        if self.masked:
            super().reset()
        else:
            DictRolloutBuffer.reset(self)

    def compute_returns_and_advantage(self, last_values: Tensor, dones: NDArray[np.bool_]) -> None:
        """Finds the episodes, subtracts the penalty from the rewards [n, N], and computes returns and advantages."""
        starts = self.episode_starts.T > 0  # [N, n]
        starts[:, 0] = True
        self.episode = starts.ravel().cumsum() - 1  # [N * n] which of the S episodes a token belongs to
        self.last = np.append(np.flatnonzero(starts)[1:], starts.size) - 1  # [S] the last token of each
        parts = np.array_split(np.arange(len(self.last)), self.minibatches)
        reference = np.concatenate([self._reference_logprobs(part) for part in parts if len(part)])  # [N * n]
        log_ratio = self.log_probs - reference.reshape(starts.shape).T  # [n, N]
        # Otherwise the advantages of a minibatch without rewards are rounding errors, which sb3 scales to variance 1.
        log_ratio[np.abs(log_ratio) < ROUNDING] = 0
        self.kl = float(joined(log_ratio.ravel()).mean())
        self.rewards -= self.network.kl_coef.item() * log_ratio
        super().compute_returns_and_advantage(last_values, dones)
        counts = gathered(len(self.last))
        self.before, self.among = sum(counts[: rank()]), sum(counts)  # episodes of lower ranks, and of all
        self.episode_of = joined(self.episode + self.before)  # [all N * n]
        names = ("values", "log_probs", "advantages", "returns")
        self.computed = {name: joined(getattr(self, name).T.ravel()) for name in names}

    def get(self, batch_size: int | None = None) -> Generator[Any, None, None]:
        """All episodes once, in a new order, as ``minibatches`` samples; ``batch_size`` is not used."""
        for part in np.array_split(self.rng.permutation(self.among), self.minibatches):
            k = np.flatnonzero(np.isin(self.episode_of, part))  # [K of all]
            if len(k) > 1:  # the advantages of a single token cannot be normalised
                ours = part[(part >= self.before) & (part < self.before + len(self.last))] - self.before
                values, log_probs, advantages, returns = (self.to_torch(x[k]) for x in self.computed.values())
                yield self._episodes(np.sort(ours))._replace(
                    old_values=values, old_log_prob=log_probs, advantages=advantages, returns=returns
                )

    def _reference_logprobs(self, part: NDArray[np.int64]) -> NDArray[np.float32]:
        samples = self._episodes(part)
        scores = self.network.reference_scores(**samples.observations)  # [K, V]
        logp = masked_logprobs(scores, samples.action_masks)  # [K, V]
        return logp.gather(-1, samples.actions.long()).squeeze(-1).cpu().numpy()  # [K]

    def _episodes(self, part: NDArray[np.int64]) -> MaskableDictRolloutBufferSamples:
        """The K tokens of the episodes ``part`` [s], row by row, with the arguments of ``ActorCritic.forward``.

        If ``part`` is empty, one episode is read nevertheless, because every process must take part in the gradient.
        """
        k = np.flatnonzero(np.isin(self.episode, part))  # [K] in [N * n]
        step, row = k % self.buffer_size, k // self.buffer_size  # [K] each
        last = self.last[part if len(part) else [0]]  # [s]
        last_step, last_row = last % self.buffer_size, last // self.buffer_size  # [s] each
        position = self.observations["attention_mask"][step, row].sum(-1, dtype=np.int64) - 1  # [K]
        longest = position.max(initial=0) + 1  # T
        histories = {
            name: self.to_torch(self.observations[name][last_step, last_row, :longest])  # [s, T]
            for name in ("input_ids", "attention_mask")
        }

        def at(x: NDArray[Any]) -> Tensor:
            """[n, N, ...] -> [K, ...]."""
            return self.to_torch(x[step, row])

        return MaskableDictRolloutBufferSamples(
            observations={
                **histories,
                "row": self.to_torch(part.searchsorted(self.episode[k])),
                "position": self.to_torch(position),
            },
            actions=at(self.actions),
            old_values=at(self.values),
            old_log_prob=at(self.log_probs),
            advantages=at(self.advantages),
            returns=at(self.returns),
            action_masks=at(self.action_masks) if self.masked else None,  # type: ignore[arg-type]  # PPO has no masks
        )
