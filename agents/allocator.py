"""Settings of glibc's memory allocator: freed memory stays with the process instead of going back to the system.

The scores of 256 states over 50,000 tokens are 50 MB, and a step makes several such tables. By default, glibc maps
each table anew, and the system fills its pages with zeros at the first touch. This took a third of the 75 seconds for
256 replies of SmolLM2 (``tests/perf/test_perf_allocator.py``).
"""

from __future__ import annotations

import ctypes

_MMAP_MAX, _TRIM_THRESHOLD, _TOP_PAD = -4, -1, -2  # of malloc.h
_MOST = 2**31 - 1  # bytes, the largest that mallopt takes


def keep_freed_memory() -> bool:
    """Tells the C library to keep freed memory, in blocks of up to 2 GB.

    It changes the whole process. Call it only in a process that runs this package alone.

    Returns:
        Whether the C library accepted it. Only glibc does.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # another C library, or another system
        return False
    return all(mallopt(*option) for option in ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, _MOST), (_TOP_PAD, 2**26)))
