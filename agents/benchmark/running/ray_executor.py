"""Works through a benchmark on a Ray cluster, so that its cells run on several machines.

``ray start --head`` on one machine and ``ray start --address=...`` on the others make a cluster; ``RAY_ADDRESS`` names
it where it is not this machine's own. Where there is none, Ray starts on this machine alone.

Data sets and results are files: the folder of the results must be the same on every machine, on a file system that all
of them share, and all need the same version of this package. Ray decides how many cells run at once, one to a
processor core. Modules of yours are imported there too: installed, or in the folder that the command runs in. A cell
whose machine is lost is run again elsewhere, from its last checkpoint.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lang_envs.plugins import import_named, named

if TYPE_CHECKING:
    from agents.benchmark.running.units import Unit
    from agents.benchmark.running.work import Done

INHERITED = ("LANG_ENVS_DATA", "HF_HUB_OFFLINE", "HF_HOME")
"""variables of the environment that the workers need too"""


def finish(pending: Sequence[Unit], workers: int) -> Generator[Done]:
    """Works through the units and yields each as it finishes, or fails.

    Args:
        pending: units, each after those it needs.
        workers: cores to use where no cluster is running.

    Raises:
        ValueError: ray is not installed, or a worker was killed again and again.
    """
    ray = _connected(workers)
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


def _connected(workers: int) -> Any:
    """Ray, connected to the cluster that is running, or to one of this machine's cores."""
    try:
        import ray
    except ImportError:
        raise ValueError("The executor ray needs the package ray: pip install 'lang-envs[ray]'.") from None
    if not ray.is_initialized():
        passed = {name: os.environ[name] for name in INHERITED if name in os.environ}
        settings: dict[str, Any] = {
            "runtime_env": {"env_vars": {"OMP_NUM_THREADS": "1", **passed}},
            "log_to_driver": False,
        }
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere unless asked for
        with _own_signals():
            try:
                ray.init("auto", **settings)
            except ConnectionError:
                ray.init("local", num_cpus=workers, include_dashboard=False, **settings)
    return ray


@contextmanager
def _own_signals() -> Iterator[None]:
    """SIGTERM stays with whom it belongs to: Ray would end the process by it, without a word."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, before)


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
