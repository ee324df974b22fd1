"""The score of one token and the log-sum-exp of all tokens' scores, without a table of all scores in memory.

The score of token v in state x is x W[v] + b[v], with a row of W for each token. A loss needs two numbers of a state:

    taken = x W[a] + b[a]                          total = log sum_v exp(x W[v] + b[v])

so that log softmax(scores)[a] = taken - total. Scores are made for a part of the vocabulary at a time, which stays in
the processor's cache, and their gradient goes into W part by part. The usual cross-entropy of 500 states over 50,000
tokens holds three tables of 100 MB, whose pages the system hands out anew at every step.

For the gradient the scores are needed a second time. Where making them again costs as much as the rest (d is large)
and they take little memory, they are kept.
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
"""scores made at once on a processor: 4 MB, which stay in its cache"""
PART_ON_A_CARD = 2**26
KEPT, KEPT_FROM = 2**26, 256
"""the most scores that are kept for the gradient, and the least d from which they are"""


def part_of(device: torch.device, rows: int) -> int:
    """How many columns of a table with so many rows are made at once; with columns in their place, how many rows."""
    return max(1, (PART if device.type == "cpu" else PART_ON_A_CARD) // max(1, rows))


def in_parts(found: Callable[..., Tensor], rows: int, *states: Tensor) -> Tensor:
    """What ``found`` makes of K states, a few at a time, where it makes a table with ``rows`` numbers of each.

    Args:
        found: from n states, [n, d] of each model, to [n].
        rows: tokens of the vocabulary.
        *states: [K, d] of each model.

    Returns:
        [K].
    """
    size = part_of(states[0].device, rows)
    return torch.cat([found(*some) for some in zip(*(x.split(size) for x in states), strict=True)])


def all_scores(head: nn.Module, x: Tensor) -> Tensor:
    """What ``head`` makes of x [..., d], the scores of every token [..., V], where a few states are read at a time.

    Between two and eight rows times a large table take a processor two to four times as long as the table times those
    rows, which is the same.
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
    """Whether a head's scores are those of its table, but for tokens that are kept silent and ends that are one."""
    hooks = head._forward_hooks.values()
    return type(head) is nn.Linear and all(isinstance(hook, (Silence, OneEnd)) for hook in hooks)


def taken_and_total(
    x: Tensor, weight: Tensor, bias: Tensor | None, action: Tensor, silent: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The two numbers above, float32 [K] each.

    Args:
        x: [K, d].
        weight: W, [V, d].
        bias: b, [V].
        action: int64 [K].
        silent: tokens whose score is ``NEVER``, whatever x says.
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
        head: what makes scores of hidden states, ``model.get_output_embeddings()``.
        states: [K, d].
        action: int64 [K].
        tokens: how many of the vocabulary there are to say, from the first; None: all.
    """
    if _is_linear(head):
        hushed = [hook.tokens.to(states.device) for hook in head._forward_hooks.values() if isinstance(hook, Silence)]
        silent = torch.cat(hushed) if hushed else None  # [h]
        bias = None if head.bias is None else head.bias[:tokens]
        taken, total = taken_and_total(states, head.weight[:tokens], bias, action, silent)  # [K] each
        for hook in head._forward_hooks.values():
            if isinstance(hook, OneEnd):  # which leaves the total as it is
                taken = hook.taken(_some_scores(head, states, hook.ends), action, taken)  # [K]
        return taken - total
    logp = head(states)[:, :tokens].float().log_softmax(-1)  # [K, V] a head of another kind makes its scores itself
    return logp.gather(1, action[:, None]).squeeze(1)


def _some_scores(head: nn.Linear, states: Tensor, tokens: Tensor) -> Tensor:
    """The scores of a few tokens [e] in states [K, d], float32 [K, e]."""
    some = tokens.to(states.device)
    return F.linear(states, head.weight[some], None if head.bias is None else head.bias[some]).float()


class _TakenAndTotal(torch.autograd.Function):
    """``taken_and_total``; ``learns`` says whether there will be a gradient."""

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
    """The table of scores [K, V], a few columns at a time; each part takes the place of the one before.

    Attributes:
        first: the first column of each part.
    """

    def __init__(self, x: Tensor, weight: Tensor, bias: Tensor | None, action: Tensor, silent: Tensor | None) -> None:
        self.x, self.weight, self.bias, self.action, self.silent = x, weight, bias, action, silent
        self.width = min(part_of(x.device, len(x)), len(weight))  # c
        self.first = range(0, len(weight), self.width)
        self.buffer = x.new_empty(len(x) * self.width)

    def keep(self) -> bool:
        """Whether scores are kept for the gradient; those of one part are in any case."""
        size = len(self.x) * len(self.weight)
        return len(self.first) == 1 or (self.x.shape[1] >= KEPT_FROM and size <= KEPT)

    def scores(self, first: int, kept: Tensor | None = None) -> Tensor:
        """The columns from ``first`` on, float32 [K, c], made anew where they were not kept."""
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
        """Where in the columns [K, c] from ``first`` on each action is, and whether it is there at all: [K, 1] each."""
        place = self.action[:, None] - first  # [K, 1]
        return place.clamp(0, table.shape[1] - 1), (place >= 0) & (place < table.shape[1])

    def hush(self, table: Tensor, first: int, value: float) -> Tensor:
        """Sets the silent ones of these columns to ``value``."""
        if self.silent is None:
            return table
        column = self.silent - first
        return table.index_fill_(1, column[(column >= 0) & (column < table.shape[1])], value)
