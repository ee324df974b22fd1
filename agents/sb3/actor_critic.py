"""The network that PPO trains: a language model with a value head, and a frozen copy of the start model.

It does not depend on stable-baselines3. While episodes are played it reads them token by token with a cache of keys and
values. In training it reads whole episodes at once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import PreTrainedModel

from agents.decoding.attention import decoding_attention
from agents.decoding.cache import RowCache
from agents.models.heads import Heads
from agents.models.lora import copy_of
from agents.models.reading import read
from agents.models.silent_tokens import NEVER


class ActorCritic(nn.Module):
    """The language model (actor), V on its last hidden states (critic), and the reference policy of the KL penalty.

    Args:
        lm: the language model; it becomes a part of this module.
        seed: seed of the value head's initial weights; its output is 0 everywhere at first.
        kl_coef: coefficient of the KL penalty; a buffer of this module, so that checkpoints hold it when it adapts.
    """

    kl_coef: Tensor

    def __init__(self, lm: PreTrainedModel, seed: int, kl_coef: float) -> None:
        super().__init__()
        self.lm: Any = lm  # its attributes are not typed
        d = self.lm.get_output_embeddings().in_features
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.value = Heads(1, d, 2 * d, 1)
        self.value.start_at(0.0, exactly=True)
        self.reference = copy_of(self.lm).requires_grad_(False)  # frozen weights are shared
        self.register_buffer("kl_coef", torch.tensor(kl_coef, dtype=torch.float64))
        self.value.to(lm.device)
        self.eval()

    def remember_start(self) -> None:
        """Copies the language model's present weights into the reference policy."""
        self.reference.load_state_dict(self.lm.state_dict())

    def train(self, mode: bool = True) -> ActorCritic:
        """Sets the training mode; the reference stays in evaluation mode and never has dropout."""
        super().train(mode)
        self.reference.eval()
        return self

    def forward(
        self, input_ids: Tensor, row: Tensor, position: Tensor, attention_mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Reads S right-padded episodes [S, T] -> the scores [K, V] and values [K] at K of their states.

        State k is the prefix of episode ``row[k]`` that ends at ``position[k]``. ``attention_mask`` is as in ``read``.
        """
        hidden = read(self.lm.base_model, input_ids, attention_mask)[row, position]  # [K, d]
        return self.lm.get_output_embeddings()(hidden), self.value(hidden)[0].squeeze(-1)

    @torch.no_grad()
    def reference_scores(
        self, input_ids: Tensor, row: Tensor, position: Tensor, attention_mask: Tensor | None = None
    ) -> Tensor:
        """The scores of the frozen reference at the same states, [K, V]; the arguments are those of ``forward``."""
        hidden = read(self.reference.base_model, input_ids, attention_mask)[row, position]  # [K, d]
        return self.reference.get_output_embeddings()(hidden)

    @torch.no_grad()
    def adapt(self, kl: float, target: float) -> None:
        """Moves the coefficient towards a KL of ``target``, by at most 2% (Ziegler et al. 2019, section 2.2)."""
        error = min(max((kl - target) / target, -0.2), 0.2)
        self.kl_coef.mul_(1 + 0.1 * error)


def masked_logprobs(scores: Tensor, masks: Any = None) -> Tensor:
    """Log-probabilities [K, V] from scores [K, V]; with masks [K, V], tokens whose mask is false get probability 0."""
    scores = scores.float()
    if masks is not None:
        scores = scores.where(torch.as_tensor(masks, dtype=torch.bool, device=scores.device), NEVER)
    return scores.log_softmax(-1)


class Reader:
    """Computes scores and values of N episodes while they are played; a cache lets it read each token once.

    If row i continues the episode that was read before, only its new tokens are read. Otherwise the row is read from
    its beginning.

    Args:
        network: the network that reads.
        shape: of the histories, (N, T).
    """

    def __init__(self, network: ActorCritic, shape: tuple[int, ...]) -> None:
        self.network = network
        self.cache = RowCache([network.lm.base_model])
        # tokens of the last call [N, T], and how many of each row are cached [N]
        self.seen, self.held = np.zeros(shape, np.int64), np.zeros(shape[0], np.int64)

    def read(self, input_ids: NDArray[np.int64], length: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Histories [N, T] of ``length`` [N] -> the scores of the next token [N, V], and values [N]."""
        places = np.arange(input_ids.shape[1])  # [T]
        goes_on = ((input_ids == self.seen) | (places >= self.held[:, None])).all(1)  # [N]
        held = np.where(goes_on, np.minimum(self.held, length - 1), 0)  # [N] the last token is always read
        new = np.arange((length - held).max())  # [Q]
        at = np.minimum(held[:, None] + new, length[:, None] - 1)  # [N, Q] shorter rows read their last token again
        tokens = np.take_along_axis(input_ids, at, 1).astype(np.int32)  # [N, Q]
        with decoding_attention(self.cache.trunks):
            hidden = self.cache.forward(tokens, at)[0][:, -1]  # [N, d]
        self.seen, self.held = input_ids, length
        return self.network.lm.get_output_embeddings()(hidden), self.network.value(hidden)[0].squeeze(-1)
