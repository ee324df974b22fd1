"""Weights and gradients over several processes: copied to each (DDP), or sharded (FSDP).

With DDP every process holds all weights, and torch's ``DistributedDataParallel`` averages gradients during the backward
pass. With FSDP (``FitConfig.shard``) each of n processes keeps 1/n of the trained weights, of their gradients and of
the optimiser's averages. torch's ``fully_shard`` gathers the weights of one transformer block at a time when they are
needed. The weights outside the blocks (embeddings, the language model's head, value heads) form one more unit, which
stays gathered while a loss is computed. A frozen start model (``agent.reference``) is whole on every process. Frozen
target networks are sharded like the networks they follow.
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

    DDP and FSDP synchronise processes before and after a module's ``forward``. Losses call single parts of a model, not
    its ``forward``, and so they run inside this one.

    Args:
        network: the network that computations use.
        plain: the agent's own model, if ``network`` is sharded.
    """

    def __init__(self, network: nn.Module, plain: PreTrainedModel | None = None) -> None:
        super().__init__()
        self.network = network
        self.plain = (plain,)  # in a tuple, so that torch does not register it as a submodule

    def forward(self, compute: Callable[..., Any], *inputs: Any, **named: Any) -> Any:
        """What ``compute(*inputs, **named)`` returns."""
        return compute(*inputs, **named)


@contextmanager
def parallel(agent: Learner, shard: bool = False) -> Iterator[nn.Module]:
    """A ``Computation`` with the agent's network whose gradients are means over all processes.

    With ``shard`` the agent has a sharded copy of its model inside the block. After the block it has its own model
    again, with the learned weights; after an error, with the weights from before the block.
    """
    if processes.count() == 1:
        yield Computation(agent.network)
    elif shard:
        with _in_parts(agent) as computation:
            yield computation
    else:
        # modules beside the model, such as PPO's value head, are not part of every loss
        unused = agent.network is not agent.model
        yield DistributedDataParallel(
            Computation(agent.network), gradient_as_bucket_view=True, find_unused_parameters=unused
        )


@contextmanager
def _in_parts(agent: Learner) -> Iterator[nn.Module]:
    ours, device = agent.model, agent.model.device
    agent.model = copy.deepcopy(ours)
    ours.to("cpu")  # frees the memory of the graphics card
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
    """The agent's model for saving; if it is sharded, the agent's own model with the weights learned so far.

    All processes must call this function together. In an evaluation the first process may call it alone.
    """
    if isinstance(agent.parallel, FSDPModule):
        [ours] = agent.parallel.plain
        _copy(agent.model, ours)
        return ours
    return agent.model


def _blocks(model: nn.Module) -> list[nn.Module]:
    """The transformer blocks: the modules that transformers lists in ``_no_split_modules``."""
    parts = [part for part in model.modules() if isinstance(part, PreTrainedModel)]
    names = {name for part in parts for name in part._no_split_modules or ()}
    return [module for module in model.modules() if type(module).__name__ in names]


@contextmanager
def unsharded(computation: nn.Module | None) -> Iterator[None]:
    """Gathers all weights on every process inside the block, in which processes may compute different things.

    All processes must enter and leave the block. It does nothing if no weights are sharded.
    """
    if not (isinstance(computation, nn.Module) and any(isinstance(p, DTensor) for p in computation.parameters())):
        yield
        return
    computation(lambda: None)  # FSDP takes the module that computes first as the root of all
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
    """A block in which gradients stay on their process, for all parts of a batch but the last.

    The last part's backward pass averages all of them. With sharded weights every part's gradients are averaged at
    once, because no process has the memory for gradients of all weights.
    """
    return computation.no_sync() if isinstance(computation, DistributedDataParallel) else nullcontext()


def end_to_end(x: Tensor) -> Tensor:
    """Concatenates the columns of all processes: [..., K of this process] -> [..., K of all], the same on each.

    Only this process's columns carry a gradient, which is multiplied by the number of processes. The average of the
    processes' gradients is then the gradient of a loss over all columns.
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
    """The tensor gathered from its shards, on every process; all processes must call this function together."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def collected(tensors: Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
    """Named tensors, gathered one after another: all on the first process, none on the others."""
    together = {}
    for name, tensor in tensors:
        full = whole(tensor.detach())
        if processes.is_first():
            together[name] = full.contiguous().cpu() if isinstance(tensor, DTensor) else full.contiguous()
    return together


def like(tensor: Tensor, parameter: Tensor) -> Tensor:
    """This process's shard of a tensor, if the parameter is sharded and has its shape; otherwise the tensor itself."""
    if not isinstance(parameter, DTensor) or tensor.shape != parameter.shape:
        return tensor
    return distribute_tensor(tensor.to(parameter.device), parameter.device_mesh, parameter.placements)
