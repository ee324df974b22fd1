"""Connects to the Ray cluster that is running, or starts one of this machine's cores.

``ray start --head`` on one machine and ``ray start --address=...`` on the others make a cluster. ``RAY_ADDRESS`` names
a cluster that this machine is not part of. All machines need the same version of this package.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

INHERITED = ("LANG_ENVS_DATA", "HF_HUB_OFFLINE", "HF_HOME")
"""environment variables that are passed on to the workers"""


def connected(workers: int) -> Any:
    """The package ``ray``, connected to a cluster.

    Args:
        workers: the number of cores to use if no cluster is running.

    Raises:
        ValueError: ray is not installed.
    """
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
    """Restores the handler of SIGTERM after the block, because Ray's handler ends the process without a message."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, before)
