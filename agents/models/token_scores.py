"""The score of one token and the log-sum-exp of all tokens' scores, without a table of all scores in memory.

The score of token v in state x is x W[v] + b[v], with a row of W for each token. A loss needs two numbers of a state:

    taken = x W[a] + b[a]                          total = log sum_v exp(x W[v] + b[v])

so that log softmax(scores)[a] = taken - total. Scores are computed for a part of the vocabulary at a time, which stays
in the processor's cache, and their gradient is added to W part by part. The usual cross-entropy of 500 states over
50,000 tokens holds three tables of 100 MB, whose memory the system allocates again at every step.

The backward pass needs the scores again. They are kept if they take little memory and d is large; otherwise they are
computed a second time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from agents.models.end_tokens import OneEnd
from agents.models.silent_tokens import NEVER, Silence

PART = 2**20
"""number of scores computed at once on a processor: 4 MB, which stay in its cache"""
PART_ON_A_CARD = 2**26
KEPT, KEPT_FROM = 2**26, 256
"""the largest number of scores that are kept for the gradient, and the smallest d for which they are kept"""


def part_of(device: torch.device, rows: int) -> int:
    """The number of columns to compute at once of a table with ``rows`` rows, or of rows if it has as many columns."""
    return max(1, (PART if device.type == "cpu" else PART_ON_A_CARD) // max(1, rows))


def in_parts(found: Callable[..., Tensor], rows: int, *states: Tensor) -> Tensor:
    """Applies ``found`` to K states, a few at a time, because it computes ``rows`` numbers for each state.

    Args:
        found: a function of n states, [n, d] of each model, that returns [n].
        rows: number of tokens of the vocabulary.
        *states: the states, [K, d] of each model.

    Returns:
        The results of ``found``, [K].
    """
    size = part_of(states[0].device, rows)
    return torch.cat([found(*some) for some in zip(*(x.split(size) for x in states), strict=True)])


def all_scores(head: nn.Module, x: Tensor) -> Tensor:
    """The scores of every token, [..., V], that ``head`` computes from x [..., d].

    With two to eight rows and a large table, x W^T takes a processor two to four times as long as (W x^T)^T, which is
    the same. The second form is used then.
    """
    rows = x.numel() // x.shape[-1]
    few = x.device.type == "cpu" and x.dtype == torch.float32 and 2 <= rows <= 8
    if not (few and _is_linear(head) and head.bias is None and head.weight.numel() > PART):
        return head(x)
    scores = (head.weight @ x.reshape(rows, -1).T).T.reshape(*x.shape[:-1], -1)  # [..., V]
    for hook in head._forward_hooks.values():
        scores = hook(head, (x,), scores)
    return scores


def _is_linear(head: nn.Module) -> TypeGuard[nn.Linear]:
    """Whether a head is linear, and has no hooks but ``Silence`` and ``OneEnd``."""
    hooks = head._forward_hooks.values()
    return type(head) is nn.Linear and all(isinstance(hook, (Silence, OneEnd)) for hook in hooks)


def taken_and_total(
    x: Tensor, weight: Tensor, bias: Tensor | None, action: Tensor, silent: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The score of the action and the log-sum-exp of all scores in each state, float32 [K] each.

    Args:
        x: states, [K, d].
        weight: W, [V, d].
        bias: b, [V], or None.
        action: int64 [K].
        silent: tokens [h] whose score is ``NEVER`` in every state, or None.
    """
    kind = x.device.type
    if torch.is_autocast_enabled(kind):
        low = torch.get_autocast_dtype(kind)
        x, weight, bias = x.to(low), weight.to(low), None if bias is None else bias.to(low)
    with torch.autocast(kind, enabled=False):
        return _TakenAndTotal.apply(x, weight, bias, action, silent, torch.is_grad_enabled())


def token_logprobs(head: nn.Module, states: Tensor, action: Tensor, tokens: int | None = None) -> Tensor:
    """The log-probability of each action under a language model, float32 [K].

    Args:
        head: the model's output layer, ``model.get_output_embeddings()``.
        states: last hidden states, [K, d].
        action: int64 [K].
        tokens: only the first ``tokens`` ids of the vocabulary can be sampled; None: all.
    """
    if _is_linear(head):
        hushed = [hook.tokens.to(states.device) for hook in head._forward_hooks.values() if isinstance(hook, Silence)]
        silent = torch.cat(hushed) if hushed else None  # [h]
        bias = None if head.bias is None else head.bias[:tokens]
        taken, total = taken_and_total(states, head.weight[:tokens], bias, action, silent)  # [K] each
        for hook in head._forward_hooks.values():
            if isinstance(hook, OneEnd):  # it does not change the total
                taken = hook.taken(_some_scores(head, states, hook.ends), action, taken)  # [K]
        return taken - total
    logp = head(states)[:, :tokens].float().log_softmax(-1)  # [K, V]
    return logp.gather(1, action[:, None]).squeeze(1)


def _some_scores(head: nn.Linear, states: Tensor, tokens: Tensor) -> Tensor:
    """The scores of a few tokens [e] in states [K, d], float32 [K, e]."""
    some = tokens.to(states.device)
    return F.linear(states, head.weight[some], None if head.bias is None else head.bias[some]).float()


class _TakenAndTotal(torch.autograd.Function):
    """``taken_and_total``; ``learns`` is whether gradients are enabled."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, action: Tensor, silent: Tensor | None, learns: bool
    ) -> tuple[Tensor, Tensor]:
        parts = _Parts(x, weight, bias, action, silent)
        taken, totals, ctx.kept = x.new_zeros(len(x), dtype=torch.float32), [], {}  # [K]
        keep = learns and any(ctx.needs_input_grad) and parts.keep()
        for first in parts.first:
            scores = parts.scores(first)  # [K, c]
            place, here = parts.places(first, scores)  # [K, 1] each
            taken = torch.where(here.squeeze(1), scores.gather(1, place).squeeze(1), taken)  # [K]
            totals.append(scores.logsumexp(1))  # [K]
            if keep:
                ctx.kept[first] = scores if len(parts.first) == 1 else scores.to(x.dtype, copy=True)  # [K, c]
        total = totals[0] if len(totals) == 1 else torch.stack(totals).logsumexp(0)  # [K]
        ctx.save_for_backward(x, weight, bias, action, silent, total)
        return taken, total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_taken: Tensor, by_total: Tensor) -> tuple[Tensor | None, ...]:  # [K] each
        x, weight, bias, action, silent, total = ctx.saved_tensors
        to_x, to_weight, to_bias, *_ = ctx.needs_input_grad
        parts = _Parts(x, weight, bias, action, silent)
        x_grad = torch.zeros_like(x, dtype=torch.float32) if to_x else None  # [K, d]
        weight_grad = torch.empty_like(weight) if to_weight else None  # [V, d]
        bias_grad = torch.empty_like(bias) if to_bias else None  # [V]
        for first in parts.first:
            scores = parts.scores(first, ctx.kept.pop(first, None))  # [K, c]
            place, here = parts.places(first, scores)  # [K, 1] each
            grad = scores.sub_(total[:, None]).exp_().mul_(by_total[:, None])  # [K, c]
            grad.scatter_add_(1, place, by_taken[:, None] * here)
            parts.hush(grad, first, 0.0)
            rows, low = slice(first, first + grad.shape[1]), grad.to(x.dtype)
            if x_grad is not None:
                x_grad += low @ weight[rows]
            if weight_grad is not None:
                torch.mm(low.T, x, out=weight_grad[rows])
            if bias_grad is not None:
                bias_grad[rows] = grad.sum(0)
        return None if x_grad is None else x_grad.to(x.dtype), weight_grad, bias_grad, None, None, None


class _Parts:
    """The table of scores [K, V], a few columns at a time; every part is written into the same buffer.

    Attributes:
        first: the first column of each part.
    """

    def __init__(self, x: Tensor, weight: Tensor, bias: Tensor | None, action: Tensor, silent: Tensor | None) -> None:
        self.x, self.weight, self.bias, self.action, self.silent = x, weight, bias, action, silent
        self.width = min(part_of(x.device, len(x)), len(weight))  # c
        self.first = range(0, len(weight), self.width)
        self.buffer = x.new_empty(len(x) * self.width)

    def keep(self) -> bool:
        """Whether scores are kept for the gradient; always if there is only one part."""
        size = len(self.x) * len(self.weight)
        return len(self.first) == 1 or (self.x.shape[1] >= KEPT_FROM and size <= KEPT)

    def scores(self, first: int, kept: Tensor | None = None) -> Tensor:
        """The columns from ``first`` on, float32 [K, c]; they are computed unless they were kept."""
        if kept is not None:
            return kept.float()
        rows = slice(first, min(first + self.width, len(self.weight)))
        size = (len(self.x), rows.stop - first)  # K, c
        out = self.buffer[: size[0] * size[1]].view(size)
        if self.bias is None:
            torch.mm(self.x, self.weight[rows].T, out=out)
        else:
            torch.addmm(self.bias[rows], self.x, self.weight[rows].T, out=out)
        return self.hush(out.float(), first, NEVER)

    def places(self, first: int, table: Tensor) -> tuple[Tensor, Tensor]:
        """Each action's column in the part [K, c] from ``first`` on, and whether it is in that part: [K, 1] each."""
        place = self.action[:, None] - first  # [K, 1]
        return place.clamp(0, table.shape[1] - 1), (place >= 0) & (place < table.shape[1])

    def hush(self, table: Tensor, first: int, value: float) -> Tensor:
        """Sets the columns of silent tokens to ``value``, in place."""
        if self.silent is None:
            return table
        column = self.silent - first
        return table.index_fill_(1, column[(column >= 0) & (column < table.shape[1])], value)
