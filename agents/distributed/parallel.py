"""Weights and gradients over several processes: copied to each (DDP), or in parts (FSDP).

Copied, every process holds all weights, and torch's ``DistributedDataParallel`` sums gradients while the backward pass
is still running. In parts (``FitConfig.shard``), a process keeps one part in as many as there are processes of the
weights that are trained, of their gradients and of the optimiser's averages; torch's ``fully_shard`` puts the weights
of one transformer block at a time together where they are needed. Whatever stands outside a block (embeddings, the
language model's head, value heads) is one part more, which is whole for as long as a loss is computed. A frozen start
model (``agent.reference``) is whole on every process, and frozen targets are in parts like what they follow.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel
from transformers import PreTrainedModel

from agents.distributed import processes

if TYPE_CHECKING:
    from agents.learner import Learner


class Computation(nn.Module):
    """A network whose ``forward`` is any computation with it, such as an agent's loss.

    What torch does before and after a ``forward`` for several processes then holds for losses, which read a model by
    its parts.

    Args:
        network: what is computed with.
        plain: the agent's own model, where ``network`` is in parts.
    """

    def __init__(self, network: nn.Module, plain: PreTrainedModel | None = None) -> None:
        super().__init__()
        self.network = network
        self.plain = (plain,)  # in a tuple: it is no part of this module

    def forward(self, compute: Callable[..., Any], *inputs: Any, **named: Any) -> Any:
        """What ``compute(*inputs, **named)`` returns."""
        return compute(*inputs, **named)


@contextmanager
def parallel(agent: Learner, shard: bool = False) -> Iterator[nn.Module]:
    """A ``Computation`` with the agent's network whose gradients are means over all processes.

    With ``shard`` the agent has another model inside the block, in parts, and its own again after it, with what was
    learned; after an error with the weights it began with.
    """
    if processes.count() == 1:
        yield Computation(agent.network)
    elif shard:
        with _in_parts(agent) as computation:
            yield computation
    else:
        # what an algorithm keeps beside its model, as PPO its value head, need not be part of every loss
        unused = agent.network is not agent.model
        yield DistributedDataParallel(
            Computation(agent.network), gradient_as_bucket_view=True, find_unused_parameters=unused
        )


@contextmanager
def _in_parts(agent: Learner) -> Iterator[nn.Module]:
    ours, device = agent.model, agent.model.device
    agent.model = copy.deepcopy(ours)
    ours.to("cpu")  # where it is not in the way
    try:
        mesh = init_device_mesh(device.type, (processes.count(),))
        computation = Computation(agent.network, ours)
        for module in (*_blocks(agent.model), computation):
            fully_shard(module, mesh=mesh)
        try:
            yield computation
        except GeneratorExit:  # the loop was left early, by all processes alike
            _copy(agent.model, ours)
            raise
        _copy(agent.model, ours)
    finally:
        agent.model = ours.to(device)


@torch.no_grad()
def _copy(learned: nn.Module, ours: nn.Module) -> None:
    for tensors in (nn.Module.parameters, nn.Module.buffers):
        for theirs, tensor in zip(tensors(learned), tensors(ours), strict=True):
            tensor.copy_(whole(theirs))


def plain_model(agent: Learner) -> Any:
    """The agent's model for saving: where it is in parts its own, with what was learned so far.

    All processes must ask for it, but for the first where it evaluates.
    """
    if isinstance(agent.parallel, FSDPModule):
        [ours] = agent.parallel.plain
        _copy(agent.model, ours)
        return ours
    return agent.model


def _blocks(model: nn.Module) -> list[nn.Module]:
    """The transformer blocks: what the library says must not be split."""
    parts = [part for part in model.modules() if isinstance(part, PreTrainedModel)]
    names = {name for part in parts for name in part._no_split_modules or ()}
    return [module for module in model.modules() if type(module).__name__ in names]


@contextmanager
def unsharded(computation: nn.Module | None) -> Iterator[None]:
    """Has all weights whole on every process inside the block, where processes may compute different things.

    All of them must begin and end it. Where nothing is in parts, it does nothing.
    """
    if not (isinstance(computation, nn.Module) and any(isinstance(p, DTensor) for p in computation.parameters())):
        yield
        return
    computation(lambda: None)  # the first to compute becomes the root of all parts
    parts = [module for module in computation.modules() if isinstance(module, FSDPModule)]
    for part in parts:
        part.set_reshard_after_forward(False, recurse=False)
        part.unshard()
    try:
        yield
    finally:
        for part in parts:
            part.reshard()
            part.set_reshard_after_forward(part is not computation, recurse=False)


def unsynchronised(computation: nn.Module) -> AbstractContextManager[None]:
    """For all parts of a batch but the last: their gradients stay on the process until the last one's go round.

    Where weights are in parts, gradients go round with each: nobody has room for whole ones.
    """
    return computation.no_sync() if isinstance(computation, DistributedDataParallel) else nullcontext()


def end_to_end(x: Tensor) -> Tensor:
    """The columns of all processes: [..., K of this one] -> [..., K of all], the same on each.

    A loss made of it has its gradient in this process's columns, as many times as there are processes: the mean over
    the processes of what reaches the weights is then the gradient of the whole.
    """
    if processes.count() == 1:
        return x
    sizes = processes.gathered(x.shape[-1])
    padded = nn.functional.pad(x.detach(), (0, max(sizes) - x.shape[-1]))
    columns = [torch.empty_like(padded) for _ in sizes]
    dist.all_gather(columns, padded)
    columns = [column[..., :size] for column, size in zip(columns, sizes, strict=True)]
    columns[processes.rank()] = x.detach() + processes.count() * (x - x.detach())
    return torch.cat(columns, -1)


def whole(tensor: Tensor) -> Tensor:
    """The tensor put together from its parts, on every process; all must ask for it."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def collected(tensors: Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
    """Named tensors, put together one after another: all on the first process, none on the others."""
    together = {}
    for name, tensor in tensors:
        full = whole(tensor.detach())
        if processes.is_first():
            together[name] = full.contiguous().cpu() if isinstance(tensor, DTensor) else full.contiguous()
    return together


def like(tensor: Tensor, parameter: Tensor) -> Tensor:
    """This process's part of a tensor that has the parameter's shape; anything else as it is."""
    if not isinstance(parameter, DTensor) or tensor.shape != parameter.shape:
        return tensor
    return distribute_tensor(tensor.to(parameter.device), parameter.device_mesh, parameter.placements)
