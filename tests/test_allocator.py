"""Freed memory stays with the process."""

import subprocess
import sys

import pytest

PAGE_FAULTS = """
import resource, torch
from agents.allocator import keep_freed_memory
keep_freed_memory() if {kept} else None
def faults(): return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3): torch.ones(2**24).exp()  # 64 MB each
before = faults()
for _ in range(10): torch.ones(2**24).exp()
print(faults() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc alone has mallopt")
def test_pages_that_were_used_once_are_used_again():
    def faults(kept):
        code = PAGE_FAULTS.format(kept=kept)
        return int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)

    anew, kept = faults(False), faults(True)
    if anew < 10_000:
        pytest.skip(f"this C library keeps its pages of itself: {anew} faults")
    assert kept < anew / 5
