"""A lock that can be pickled together with the object that it guards."""

from __future__ import annotations

import threading


class OneAtATime:
    """A lock for threads; a copy in another process is unlocked at first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def __reduce__(self) -> tuple[type[OneAtATime], tuple[()]]:
        return OneAtATime, ()
