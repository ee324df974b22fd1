"""The memory of Q heads over a large vocabulary, by their last layer, and the time of their part of a step.

Two heads, their targets and AdamW; V = 50,257, d = 768, rank 64, 256 actions, float32, one thread. Each kind has its
own process, because the peak memory of a process never falls. The result is the peak minus the memory at the start.
"""

import subprocess
import sys

STEP = """
import copy, resource, sys, time
import torch
from torch.nn import functional as F
from agents.models.heads import Heads

def peak():  # GB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9

torch.set_num_threads(1)
V, d, K, last = 50257, 768, 256, sys.argv[1]
tokens = torch.randn(V, d)  # the language model's: in memory anyway
x, action, y = torch.randn(K, d), torch.randint(0, V, (K,)), torch.randn(K)
before = peak()
online = Heads(2, d, 2 * d, V, last, rank=64)
target = copy.deepcopy(online).requires_grad_(False)
optimizer = torch.optim.AdamW(online.parameters(), fused=True)
for _ in range(2):
    start = time.process_time()
    with torch.no_grad():
        torch.stack(target.at(x, action, tokens)).amin(0)
    loss = sum(F.mse_loss(q, y) + 0.01 * cql.mean() for q, cql in online.taken(x, action, tokens))
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    for follower, followed in zip(target.parameters(), online.parameters()):
        follower.lerp_(followed.detach(), 0.005)
    seconds = time.process_time() - start
print(peak() - before, seconds)
"""


def measured(last: str) -> tuple[float, float]:
    done = subprocess.run([sys.executable, "-c", STEP, last], capture_output=True, text=True, check=True)
    memory, seconds = map(float, done.stdout.split())
    return memory, seconds


def test_small_heads_hold_less(benchmark):
    found = {last: measured(last) for last in ("full", "low_rank", "tied")}
    for last, (memory, seconds) in found.items():
        sys.stdout.write(f"{last:10s} {memory:5.2f} GB   {seconds:5.2f} s of a step\n")
    benchmark.pedantic(lambda: None, rounds=1)
    assert found["full"][0] > 4 * max(found["low_rank"][0], found["tied"][0])
    assert found["full"][1] > max(found["low_rank"][1], found["tied"][1])
