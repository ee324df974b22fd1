"""Communication of several processes that train one agent.

``torchrun --nproc_per_node 4 train.py`` starts the same program four times and tells each process its rank in
environment variables. All run the same code, each with its share of every batch. A single process has rank 0 of 1, and
the functions here do nothing then. ``agents.distributed.parallel`` handles weights and gradients.
"""

from __future__ import annotations

import atexit
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor

T = TypeVar("T")

LAUNCHERS = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS")
"""environment variables of launchers that do not set what torch needs to connect the processes"""
PATIENCE = timedelta(hours=12)  # the others wait while the first evaluates


def join() -> None:
    """Connects this process with those that were started together; the training loop calls it.

    They exchange tensors on graphics cards through NCCL, and all others through Gloo.

    Raises:
        ValueError: a machine has more processes than graphics cards, or the launcher did not set ``WORLD_SIZE``.
    """
    if dist.is_initialized():
        return
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return _check_alone()
    cuda = torch.cuda.is_available()
    if cuda:
        if (local := int(os.environ["LOCAL_RANK"])) >= torch.cuda.device_count():
            raise ValueError(
                f"Process {local} of this machine has no graphics card: it has {torch.cuda.device_count()}. Start as "
                "many processes as there are cards: torchrun --nproc_per_node gpu."
            )
        torch.cuda.set_device(local)
    dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", timeout=PATIENCE)
    atexit.register(_leave)


def _check_alone() -> None:
    """Raises if a launcher started unconnected processes; warns if ``accelerate launch`` started one process alone."""
    for name in LAUNCHERS:
        if int(os.environ.get(name, "1")) > 1 and "WORLD_SIZE" not in os.environ:
            raise ValueError(
                f"{name} says that {os.environ[name]} processes were started, but they were not told of each other "
                "(WORLD_SIZE is not set). Start torchrun instead of python, once on each machine: docs/scaling.md."
            )
    if "ACCELERATE_USE_CPU" in os.environ and "WORLD_SIZE" not in os.environ:
        warnings.warn(
            "accelerate launch has started one process alone. With --cpu or without --multi_gpu it does so whatever "
            "--num_processes says. For several: torchrun --nproc_per_node N.",
            stacklevel=3,
        )


def _leave() -> None:
    """Disconnects at the end of the program, but not after an error: the other processes may be gone."""
    if dist.is_initialized() and getattr(sys, "last_value", None) is None:
        dist.destroy_process_group()


def device() -> torch.device:
    """Where this process computes: its own graphics card if the machine has any, otherwise the processor."""
    return (
        torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        if torch.cuda.is_available()
        else torch.device("cpu")
    )


def count() -> int:
    """How many processes train together; 1 before ``join``."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """The rank of this process, from 0; it is known before ``join``."""
    if dist.is_initialized():
        return dist.get_rank()
    return int(os.environ.get("RANK", "0")) if int(os.environ.get("WORLD_SIZE", "1")) > 1 else 0


def is_first() -> bool:
    """Whether this is the process that writes, prints and evaluates."""
    return rank() == 0


def share(n: int) -> range:
    """The numbers of those of ``n`` things, from 0, that are this process's."""
    return range(n * rank() // count(), n * (rank() + 1) // count()) if count() > 1 else range(n)


def total(x: Tensor) -> Tensor:
    """The sum over all processes; it carries no gradient."""
    if count() > 1:
        x = x.detach().clone()
        dist.all_reduce(x)
    return x


def gathered(x: Any) -> list[Any]:
    """The small objects of all processes, in the order of their ranks."""
    everyone = [x] * count()
    if count() > 1:
        dist.all_gather_object(everyone, x)
    return everyone


def joined(values: NDArray[Any]) -> NDArray[Any]:
    """Concatenates the arrays of all processes: [n of this process] -> [n of all]."""
    return np.concatenate(gathered(values)) if count() > 1 else values


@contextmanager
def agreed() -> Iterator[None]:
    """Raises on all processes if the block fails on one: that one raises its own error, the others name that process.

    Otherwise they would wait for the process that failed.

    Raises:
        ValueError: another process failed.
    """
    error: Exception | None = None
    try:
        yield
    except Exception as raised:
        if count() == 1:
            raise
        error = raised
    if count() == 1 or not total(torch.tensor(float(error is not None))):
        return
    said = gathered(None if error is None else f"{type(error).__name__}: {error}")
    if error is not None:
        raise error
    failed = next(i for i, message in enumerate(said) if message is not None)
    raise ValueError(f"Process {failed} stopped, and with it all {count()}: {said[failed]}")


def first_does(work: Callable[[], T]) -> T:
    """Runs ``work`` on the first process while the others wait; all return its result, which must be small."""
    result: list[Any] = [None]
    with agreed():
        if is_first():
            result[0] = work()
    if count() > 1:
        dist.broadcast_object_list(result, src=0)
    return result[0]
