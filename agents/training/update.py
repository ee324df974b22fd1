"""One optimiser step on a batch from any source."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from agents.data.batch import collate
from agents.data.source import Source
from agents.distributed import processes
from agents.distributed.parallel import unsharded, unsynchronised, whole

if TYPE_CHECKING:
    from agents.learner import Learner
    from agents.training.fit_config import FitConfig


def learning_rate(config: FitConfig, step: int, total: int) -> float:
    """The learning rate of optimiser step ``step`` (from 1) of ``total``: linear warmup, then ``config.schedule``."""
    if step <= config.warmup_steps:
        return config.lr * step / config.warmup_steps
    if config.schedule == "constant":
        return config.lr
    done = min(1.0, (step - 1 - config.warmup_steps) / max(1, total - config.warmup_steps))
    return config.lr * (1 - done * (1 - config.final_lr))


def update(
    agent: Learner, source: Source, optimizer: torch.optim.Optimizer, config: FitConfig, step: int
) -> dict[str, Tensor]:
    """One optimiser step on ``batch_size`` episodes, of which this process computes its share.

    Returns:
        The metrics of the whole batch, scalars.

    Raises:
        ValueError: the loss or the gradient's norm is not finite.
    """
    model, device, count, loss_of = agent.model, agent.model.device, processes.count(), agent.parallel
    assert loss_of is not None  # set by the loop
    with processes.agreed(), unsharded(loss_of) if source.needs_policy else nullcontext():
        policy = agent.policy() if source.needs_policy else None
        episodes = source.sample(config.batch_size, policy, processes.share(config.batch_size))
        batch = collate(episodes, agent.lm.pad_id, agent.lm.end_id, agent.lm.max_utterance_tokens)
    actions = processes.total(batch.mask.sum()).clamp(min=1)
    metrics: dict[str, Tensor] = {}
    optimizer.zero_grad()
    model.train()
    with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=config.bf16):
        agent.before_loss(batch)
    parts = batch.split(config.accumulate) if config.accumulate > 1 else [batch]
    for i, part in enumerate(parts, 1):
        share = float(part.mask.sum() / actions)  # the mean over all actions is the sum of share * mean of each part
        with nullcontext() if i == len(parts) else unsynchronised(loss_of):
            with torch.autocast(device.type, torch.bfloat16, enabled=config.bf16):
                loss, named = loss_of(agent.loss, part.to(device))
            (share * count * loss).backward()  # * count: the gradients are averaged over processes
        for name, value in {"loss": loss.detach(), **named}.items():
            metrics[name] = metrics.get(name, 0) + share * value.float()
    model.eval()  # live sources and evaluators play with the model
    metrics = _over_processes(metrics | {"data/return": torch.tensor(episodes.returns.mean() / count)})
    _check_finite("loss", metrics["loss"], step, metrics)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    metrics["optim/grad_norm"] = whole(torch.nn.utils.clip_grad_norm_(parameters, config.clip_norm))
    _check_finite("norm of the gradient", metrics["optim/grad_norm"], step, metrics)
    optimizer.step()
    return metrics


def _over_processes(metrics: dict[str, Tensor]) -> dict[str, Tensor]:
    """Each metric summed over the processes."""
    if processes.count() == 1:
        return metrics
    device = metrics["loss"].device
    sums = processes.total(torch.stack([value.to(device, torch.float32) for value in metrics.values()]))
    return dict(zip(metrics, sums, strict=True))


def _check_finite(what: str, value: Tensor, step: int, metrics: dict[str, Tensor]) -> None:
    if not torch.isfinite(value):
        shown = ", ".join(f"{name} {float(metric):.4g}" for name, metric in metrics.items())
        raise ValueError(
            f"The {what} is {float(value)} at step {step} ({shown}); the weights are those of step {step - 1}. "
            "Try a lower lr, a smaller clip_norm, more warmup_steps, or bf16=False."
        )
