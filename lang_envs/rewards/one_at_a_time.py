"""A lock that can be sent to another process, with what it guards."""

from __future__ import annotations

import threading


class OneAtATime:
    """Lets one thread in at a time; a copy in another process begins unlocked."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def __reduce__(self) -> tuple[type[OneAtATime], tuple[()]]:
        return OneAtATime, ()
