"""Large buffers stay with the process, where the C library would give them back to the system after each use.

The scores of 256 states over 50,000 tokens are 50 MB, and a step makes several such tables. glibc maps each anew, and
the system fills its pages with zeros at the first touch: of 75 seconds that 256 replies of SmolLM2 took, a
third was that (``tests/perf/test_perf_buffers.py``).
"""

from __future__ import annotations

import ctypes

_MMAP_MAX, _TRIM_THRESHOLD, _TOP_PAD = -4, -1, -2  # of malloc.h
_MOST = 2**31 - 1  # bytes, the largest that mallopt takes


def keep_buffers() -> bool:
    """Has the C library keep memory that was used once, up to 2 GB at a time; for a process of one's own.

    Returns:
        Whether it does: it is glibc.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # another C library, or another system
        return False
    return all(mallopt(*option) for option in ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, _MOST), (_TOP_PAD, 2**26)))
