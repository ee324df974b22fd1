"""From scores to one token: temperature, top-k, top-p, and sampling by inverse CDF."""

from __future__ import annotations

from numbers import Integral, Real

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

TOGETHER = 2**17
"""number of scores that are sorted at once, so that intermediate results stay in a processor's cache"""
BLOCK = 256
"""number of tokens in a block of ``_draw_by_blocks``"""


def shape_scores(scores: Tensor, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0) -> Tensor:
    """Divides by the temperature and removes all but the most probable tokens.

    Args:
        scores: [..., V], log-probabilities up to a constant per row, in single or double precision.
        temperature: below 1 the distribution is sharper, above 1 flatter.
        top_k: number of tokens that stay (more if others tie with the last of them); 0 keeps all.
        top_p: the smallest set of tokens that holds this probability stays; 1 keeps all.

    Returns:
        The new scores, [..., V]; -inf for tokens that were removed.
    """
    if temperature != 1:
        scores = scores / temperature  # [..., V]
    if 0 < top_k < scores.shape[-1]:
        least = scores.topk(top_k, -1).values[..., -1:]  # [..., 1]
        scores = scores.masked_fill(scores < least, -torch.inf)  # [..., V]
    if top_p == 1:
        return scores
    some = scores.reshape(-1, scores.shape[-1]).split(max(1, TOGETHER // scores.shape[-1]))  # [n, V] each
    return torch.cat([_nucleus(rows, top_p) for rows in some]).view(scores.shape)


def _nucleus(scores: Tensor, top_p: float) -> Tensor:
    """Keeps the fewest most probable tokens with a total probability of ``top_p``: [..., V] -> [..., V].

    Of tokens that tie, those earlier in the vocabulary stay. Only values are sorted; positions are only needed for ties
    with the last token that stays.
    """
    ordered = _descending(scores)  # [..., V]
    p = ordered.softmax(-1)  # [..., V]
    stay = (p.cumsum(-1) - p < top_p).sum(-1, keepdim=True).clamp(min=1)  # [..., 1] number of tokens that stay
    least = ordered.gather(-1, stay - 1)  # [..., 1]
    dropped = scores < least  # [..., V]
    surplus = (scores >= least).sum(-1, keepdim=True) - stay  # [..., 1] number of ties that are too many
    if bool((surplus > 0).any()):
        tie = scores == least  # [..., V]
        dropped |= tie & (tie.cumsum(-1) > tie.sum(-1, keepdim=True) - surplus)
    return scores.masked_fill(dropped, -torch.inf)


def _descending(scores: Tensor) -> Tensor:
    """Scores [..., V], the largest first. numpy sorts values alone, which is many times as fast as torch's sort."""
    if scores.device.type != "cpu" or scores.requires_grad:
        return scores.sort(dim=-1, descending=True).values
    return torch.from_numpy(np.sort(scores.numpy(), -1)).flip(-1)


def draw(logp: Tensor, u: Tensor) -> Tensor:
    """The token at the u-th quantile of each distribution, in the order of the vocabulary.

    ``torch.multinomial`` draws one number for every token of the vocabulary, which is many times slower on a processor,
    and uses one generator for the whole batch.

    Args:
        logp: [n, V], normalised.
        u: float64 [n] in [0, 1).

    Returns:
        int64 [n]. A token of probability 0 is never drawn, because in double precision u times the total stays below
        the total. V if the probabilities are NaN.
    """
    if logp.shape[-1] <= 2 * BLOCK:
        cdf = logp.double().exp().cumsum(-1)  # [n, V]
        return torch.searchsorted(cdf, u[:, None] * cdf[:, -1:], right=True).squeeze(-1)  # [n]
    return _draw_by_blocks(logp, u)


def _draw_by_blocks(logp: Tensor, u: Tensor) -> Tensor:
    """``draw`` from a large vocabulary: first a block of tokens, by the blocks' sums, then a token of that block.

    Double precision and cumulative sums are only needed for the blocks' sums and for one block in each row.
    """
    vocabulary = logp.shape[-1]
    p = F.pad(logp, (0, -vocabulary % BLOCK), value=-torch.inf).exp().unflatten(-1, (-1, BLOCK))  # [n, blocks, BLOCK]
    ends = p.sum(-1, dtype=torch.float64).cumsum(-1)  # [n, blocks]
    at = u[:, None] * ends[:, -1:]  # [n, 1]
    found = torch.searchsorted(ends, at, right=True)  # [n, 1] the number of blocks if p is NaN
    block = found.clamp(max=ends.shape[1] - 1)  # [n, 1]
    begin = F.pad(ends, (1, 0)).gather(1, block)  # [n, 1]
    cdf = p[torch.arange(len(p), device=p.device), block.squeeze(1)].double().cumsum(-1)  # [n, BLOCK]
    inside = torch.minimum(at - begin, cdf[:, -1:] * (1 - 2**-52))  # [n, 1] below the block's sum despite rounding
    token = block * BLOCK + torch.searchsorted(cdf, inside, right=True)  # [n, 1]
    return token.where(found == block, vocabulary).squeeze(1)  # [n]


def check_decoding(temperature: float, top_k: int, top_p: float) -> None:
    """Checks the settings of ``shape_scores``.

    Raises:
        ValueError: a setting is out of its range, or of the wrong type.
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
