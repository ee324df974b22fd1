"""Works through a benchmark on a Ray cluster, so that its cells run on several machines.

Where no cluster is running (``datasets_builders.ray_cluster``), Ray starts on this machine alone.

Data sets and results are files: the folder of the results must be the same on every machine, on a file system that all
of them share, and all need the same version of this package. Ray decides how many cells run at once, one to a
processor core. Modules of yours are imported there too: installed, or in the folder that the command runs in. A cell
whose machine is lost is run again elsewhere, from its last checkpoint.
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
    """Works through the units and yields each as it finishes, or fails.

    Args:
        pending: units, each after those it needs.
        workers: cores to use where no cluster is running.

    Raises:
        ValueError: ray is not installed, or a worker was killed again and again.
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
            f"A cell's worker was lost ({type(error).__name__}), perhaps for want of memory. Finished cells are kept: "
            "run the same command again."
        ) from None
    finally:
        for task in left:
            ray.cancel(task, force=True)


def _everywhere(unit: Unit) -> Unit:
    """The unit with paths that mean the same in every working directory."""
    needs = {use: _everywhere(needed) for use, needed in unit.needs.items()}
    held_out = unit.held_out and unit.held_out.absolute()
    folder, data = unit.folder.absolute(), unit.data.absolute()
    return dataclasses.replace(unit, folder=folder, data=data, held_out=held_out, needs=needs)


def _work(unit: Unit, modules: Sequence[str], *after: Done) -> Done:
    """What a worker does, once the pieces it comes ``after`` are finished; ``modules`` are those a person named."""
    from agents.benchmark.running.process_executor import one_thread
    from agents.benchmark.running.work import attempt

    for module in modules:
        import_named(module)
    with one_thread():
        return attempt(unit, {done.folder for done in after if done.failure})
