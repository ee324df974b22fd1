"""Works through a benchmark on a Ray cluster, so that its cells run on several machines.

If no cluster is running (``datasets_builders.ray_cluster``), Ray starts on this machine alone.

Data sets and results are files. The folder of the results must be on a file system that all machines share, under the
same path. All machines need the same version of this package. Ray decides how many cells run at once; each takes one
processor core. Workers import the modules that the user named; these must be installed there, or be in the folder that
the command runs in. If a machine is lost, its cells run again elsewhere, from their last checkpoints.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets_builders.ray_cluster import connected
from lang_envs.plugins import import_named, named

if TYPE_CHECKING:
    from agents.benchmark.running.units import Unit
    from agents.benchmark.running.work import Done


def finish(pending: Sequence[Unit], workers: int) -> Generator[Done]:
    """Works through the units and yields each as it finishes or fails.

    Args:
        pending: units, each after those it needs.
        workers: number of cores to use if no cluster is running.

    Raises:
        ValueError: ray is not installed, or a worker was lost more often than Ray tries again.
    """
    ray = connected(workers)
    piece = ray.remote(num_cpus=1)(_work)
    tasks: dict[Path, Any] = {}
    for unit in pending:
        after = [tasks[needed.folder] for needed in unit.needs.values() if needed.folder in tasks]
        tasks[unit.folder] = piece.remote(_everywhere(unit), named(), *after)
    left = list(tasks.values())
    try:
        while left:
            [done], left = ray.wait(left, num_returns=1)
            yield ray.get(done)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    except ray.exceptions.RayError as error:
        raise ValueError(
            f"A cell's worker was lost ({type(error).__name__}), perhaps because memory ran out. Finished cells are "
            "kept: run the same command again."
        ) from None
    finally:
        for task in left:
            ray.cancel(task, force=True)


def _everywhere(unit: Unit) -> Unit:
    """The unit with absolute paths, because workers have other working directories."""
    needs = {use: _everywhere(needed) for use, needed in unit.needs.items()}
    held_out = unit.held_out and unit.held_out.absolute()
    folder, data = unit.folder.absolute(), unit.data.absolute()
    return dataclasses.replace(unit, folder=folder, data=data, held_out=held_out, needs=needs)


def _work(unit: Unit, modules: Sequence[str], *after: Done) -> Done:
    """The task of a worker: works on a unit when the units it waits for, ``after``, are done.

    ``modules`` are those that the user named with ``--import``.
    """
    from agents.benchmark.running.process_executor import one_thread
    from agents.benchmark.running.work import attempt

    for module in modules:
        import_named(module)
    with one_thread():
        return attempt(unit, {done.folder for done in after if done.failure})
