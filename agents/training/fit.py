"""The training loop: optimiser steps on episodes from any source, with a log, evaluations and checkpoints.

Several processes (``agents.distributed.processes``) can run it together. Each process takes its share of every batch,
gradients and metrics are those of the whole batch, and only the first process evaluates and writes.
"""

from __future__ import annotations

import dataclasses
import json
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from agents.data.log_facts import check_lengths, check_rewarded
from agents.data.source import Source
from agents.distributed import processes
from agents.distributed.parallel import parallel, unsharded
from agents.models.lm import checkpoint_gradients, native_bf16
from agents.models.precision import check_targets, rounded
from agents.training import checkpoint
from agents.training.dropout import without_dropout
from agents.training.fit_config import FREE, FitConfig
from agents.training.horizon import check_horizon
from agents.training.log import Log, progress_bar
from agents.training.optimizer import adamw
from agents.training.update import learning_rate
from datasets_builders.claim import Claim

if TYPE_CHECKING:
    from agents.learner import Learner


def fit(agent: Learner, source: Source, steps: int, config: FitConfig | None = None) -> Iterator[dict[str, float]]:
    """Trains until ``steps`` optimiser steps are made, and yields metrics every ``log_every`` of them and at the end.

    With ``config.out`` the run continues from the newest checkpoint there. ``steps`` includes the steps already made.
    On one processor the weights are, bit for bit, those of a run that was never interrupted. A new run needs another
    folder. The run claims the folder until it ends, and nobody may move the folder meanwhile.

    Metrics: ``step``, ``loss``, the agent's own, ``optim/lr``, ``optim/grad_norm`` (before clipping),
    ``data/return`` (mean return of the episodes seen), ``time/steps_per_second``, and ``eval/...``.

    Processes that ``torchrun`` started connect here, and the agent moves to this process's graphics card.

    Raises:
        OSError: if another run uses ``out``, if its files were deleted or replaced during the run, or if the disk is
            full; the run can be continued once there is room.
        ValueError: if ``steps`` is below 1, if ``bf16`` is set and the machine does not compute in bfloat16 natively,
            if the loss or the gradient is not finite (with the step and the metrics), if the source's tokenizer is not
            the agent's, if the checkpoint or the log in ``out`` is damaged or of another run, or if ``batch_size`` is
            no multiple of the number of processes.
    """
    config = config or FitConfig()
    with claimed(config.out):
        yield from make_steps(agent, source, steps, config)


@contextmanager
def claimed(out: str | Path | None) -> Iterator[None]:
    """Keeps other runs out of a folder inside the block; of several processes the first claims it for all.

    Raises:
        FileExistsError: another run uses the folder.
    """
    processes.join()
    with ExitStack() as stack:
        with processes.agreed():
            if out is not None and processes.is_first():
                stack.enter_context(Claim(out))
        yield


def make_steps(agent: Learner, source: Source, steps: int, config: FitConfig) -> Iterator[dict[str, float]]:
    """``fit`` in a folder that the caller has claimed."""
    if steps < 1:
        raise ValueError(f"steps must be at least 1, not {steps}.")
    if config.bf16 and not native_bf16():
        raise ValueError("This processor does not compute in bfloat16 natively, and would be slower. Set bf16=False.")
    if config.batch_size % processes.count():
        raise ValueError(
            f"A batch of {config.batch_size} episodes has no equal shares for {processes.count()} processes. Make "
            "batch_size a multiple of their number."
        )
    if processes.count() > 1 and rounded(agent.network):
        raise ValueError(
            "Weights in bfloat16 are trained by one process. For several, load the model with dtype='fp32' and set "
            "bf16=True, which computes in bfloat16."
        )
    check_targets(agent.model)
    agent.fit_config = config
    text = agent.lm.model.config.get_text_config()
    check_lengths(source, getattr(text, "max_position_embeddings", None))
    if agent.needs_returns:
        check_rewarded(source, agent.name)
    source = agent.prepare(source)
    if processes.is_first():
        check_horizon(agent.config, source, steps, agent.lm.end_id)
    source.check_tokenizer(agent.lm.tokenizer)
    checkpoint_gradients(agent.model, config.gradient_checkpointing)
    if processes.count() > 1:
        agent.network.to(processes.device())
    out = None if config.out is None else Path(config.out)
    found = None if out is None else checkpoint.newest(out / "checkpoints")
    start, window = (0, []) if found is None else _resume(found, agent, source, config, steps)
    if len(set(starts := processes.gathered(start))) > 1:
        raise ValueError(f"The processes would continue from steps {starts}: all must see the same folder {out}.")
    torch.manual_seed(_dropout_seed(config, start))
    total = config.schedule_steps or steps
    with ExitStack() as stack:
        agent.parallel = stack.enter_context(parallel(agent, config.shard))
        stack.callback(setattr, agent, "parallel", None)
        if not _draws_dropout(agent, config):
            stack.enter_context(without_dropout(agent.network))
        optimizer = adamw(agent.network, config)
        if found is not None:
            checkpoint.load_training(found, agent.network, optimizer)
        first = processes.is_first()
        with processes.agreed():
            log = Log(config.out if first else None, config.tensorboard, start, stack)
        advance = progress_bar(config.progress and first, start, steps, stack)
        made, began = 0, time.perf_counter()
        for step in range(start + 1, steps + 1):
            lr = learning_rate(config, step, total)
            for group in optimizer.param_groups:
                group["lr"] = lr * group["times"]
            window.append(agent.update(source, optimizer, step, total))
            made += 1
            # LMPolicy drops its cache when a parameter's version changes, and fused AdamW does not change it.
            torch.autograd.graph.increment_version(p for p in agent.network.parameters() if p.requires_grad)
            agent.after_step(agent.step + 1)

            def due(every: int | None, step: int = step) -> bool:
                return step == steps or (every is not None and step % every == 0)

            row: dict[str, float] = {}
            evaluation = _evaluate(agent, config) if due(config.eval_every) else {}
            if evaluation or due(config.log_every):
                rate = made / (time.perf_counter() - began)
                row = {"step": step, **_means(window), "optim/lr": lr, "time/steps_per_second": rate, **evaluation}
                processes.first_does(partial(log.write, row))
                window.clear()
            if out is not None and due(config.checkpoint_every):
                state = _state(agent, source, config, window)
                processes.first_does(log.check)
                checkpoint.save(out / "checkpoints", step, agent.network, optimizer, state)
            advance(step, row)
            if row:
                yield row
                made, began = 0, time.perf_counter()
        processes.first_does(log.check)


def _draws_dropout(agent: Learner, config: FitConfig) -> bool:
    """``config.dropout``, or the algorithm's default; warns where adapters have dropout that is not drawn."""
    if config.dropout is not None:
        return config.dropout
    if not agent.dropout and agent.lm.lora is not None and agent.lm.lora.dropout > 0:
        warnings.warn(
            f"The adapters' dropout of {agent.lm.lora.dropout} is not drawn: {agent.name} compares one pass of the "
            "model with another. Set dropout=True to draw it all the same.",
            stacklevel=4,
        )
    return agent.dropout


def _evaluate(agent: Learner, config: FitConfig) -> dict[str, float]:
    """Runs the evaluators on the first process, and restores torch's generators after it."""
    if not config.evaluators:
        return {}
    assert agent.parallel is not None  # set by the loop
    device = agent.model.device

    def evaluate() -> dict[str, float]:
        with torch.random.fork_rng([device] if device.type == "cuda" else []), torch.no_grad():
            return {
                f"eval/{name}/{metric}": float(value)
                for name, evaluator in config.evaluators.items()
                for metric, value in evaluator(agent).items()
            }

    with unsharded(agent.parallel):
        return processes.first_does(evaluate)


def _means(window: list[dict[str, Tensor]]) -> dict[str, float]:
    """The mean of each metric over the steps that have it."""
    names = dict.fromkeys(name for metrics in window for name in metrics)
    return {name: float(torch.stack([m[name].float().cpu() for m in window if name in m]).mean()) for name in names}


def _state(agent: Learner, source: Source, config: FitConfig, window: list[dict[str, Tensor]]) -> dict[str, Any]:
    """What a checkpoint holds beside tensors; ``window`` has the metrics of steps that are not logged yet."""
    measured = [{name: float(value) for name, value in metrics.items()} for metrics in window]
    run = _run(agent, config)
    return {"agent_step": agent.step, "source": source.state_dict(), "window": measured, "run": run}


def _run(agent: Learner, config: FitConfig) -> dict[str, Any]:
    """The settings that must be the same when a run is continued."""
    fixed = {name: value for name, value in config.to_dict().items() if name not in FREE}
    run = {"agent": {"algorithm": agent.name, **dataclasses.asdict(agent.config)}, "fit": fixed}
    if agent.lm.lora is not None:  # checkpoints lack the frozen weights, so the checksum must match
        run["lora"] = {**dataclasses.asdict(agent.lm.lora), "weights": agent.adapted}
    return run


def _dropout_seed(config: FitConfig, start: int) -> int:
    """The seed of this process's dropout unless a checkpoint restores the generator's state.

    It is ``config.seed`` in the first process of a new run.
    """
    if processes.is_first() and start == 0:
        return config.seed
    return int(np.random.SeedSequence((config.seed, processes.rank(), start)).generate_state(1)[0])


def _resume(
    found: Path, agent: Learner, source: Source, config: FitConfig, steps: int
) -> tuple[int, list[dict[str, Tensor]]]:
    """Restores the weights and the source from a checkpoint; ``load_training`` restores the optimiser later.

    Returns:
        The checkpoint's step, and the metrics of the steps that are not logged yet.
    """
    state = checkpoint.read_state(found)
    ours = json.loads(json.dumps(_run(agent, config)))
    checkpoint.check_same_run(found, state.run, ours)
    if state.step > steps:
        raise ValueError(
            f"The run in {found.parents[1]} has made {state.step} steps, more than the {steps} asked for. `steps` "
            "counts those already made; a new run needs another folder."
        )
    source.load_state_dict(state.source)
    checkpoint.load_weights(found, agent.network)
    agent.step = state.agent_step
    window = [{name: torch.tensor(value) for name, value in metrics.items()} for metrics in state.window]
    return state.step, window
