"""From scores to one token: temperature, top-k, top-p, and sampling by inverse CDF."""

from __future__ import annotations

from numbers import Integral, Real

import torch
from torch import Tensor


def shape_scores(scores: Tensor, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0) -> Tensor:
    """Divides by the temperature and removes all but the likeliest tokens.

    Args:
        scores: [..., V], log-probabilities up to a constant per row.
        temperature: below 1 sharper, above 1 flatter.
        top_k: how many tokens stay (more where the last of them ties); 0 keeps all.
        top_p: the smallest set of tokens that holds this probability stays; 1 keeps all.

    Returns:
        [..., V], -inf where a token was removed.
    """
    if temperature != 1:
        scores = scores / temperature  # [..., V]
    if 0 < top_k < scores.shape[-1]:
        least = scores.topk(top_k, -1).values[..., -1:]  # [..., 1]
        scores = scores.masked_fill(scores < least, -torch.inf)  # [..., V]
    if top_p < 1:
        ordered, index = scores.sort(dim=-1, descending=True, stable=True)  # [..., V] each
        p = ordered.softmax(-1)  # [..., V]
        dropped = p.cumsum(-1) - p >= top_p  # [..., V] what is likelier holds top_p already; the first always stays
        scores = scores.masked_fill(dropped.scatter(-1, index, dropped), -torch.inf)  # [..., V]
    return scores


def draw(logp: Tensor, u: Tensor) -> Tensor:
    """The token at the u-th quantile of each distribution, in the order of the vocabulary.

    ``torch.multinomial`` draws one number per token of the vocabulary, which is many times slower on a processor, and
    takes them from a generator the whole batch shares.

    Args:
        logp: [n, V], normalised.
        u: float64 [n] in [0, 1).

    Returns:
        int64 [n]. Never a token of probability zero: double precision keeps u below the total.
    """
    cdf = logp.double().exp().cumsum(-1)  # [n, V]
    return torch.searchsorted(cdf, u[:, None] * cdf[:, -1:], right=True).squeeze(-1)  # [n]


def check_decoding(temperature: float, top_k: int, top_p: float) -> None:
    """Refuses settings that are no distribution.

    Raises:
        ValueError: saying which.
    """
    for name, number, kind in (("temperature", temperature, Real), ("top_k", top_k, Integral), ("top_p", top_p, Real)):
        if not isinstance(number, kind) or isinstance(number, bool):
            raise ValueError(f"{name} is {'a whole' if kind is Integral else 'a'} number, not {number!r}.")
    if not temperature > 0:
        raise ValueError(
            f"temperature must be above 0, not {temperature}; greedy=True always takes the likeliest token."
        )
    if top_k < 0:
        raise ValueError(f"top_k is a number of tokens, not {top_k}; 0 keeps all.")
    if not 0 < top_p <= 1:
        raise ValueError(f"top_p is a probability in (0, 1], not {top_p}; 1 keeps all tokens.")
