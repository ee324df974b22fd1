"""The time of replies over a large vocabulary, with memory returned to the system after each step or kept.

Each case has its own process and one thread: 256 greedy replies of SmolLM2 in bfloat16 to the built-in dialogues.
"""

import json
import subprocess
import sys

import pytest

REPLIES = """
import json, resource, time
import numpy as np, torch
from agents import BC, LM
from agents.allocator import keep_freed_memory
from lang_envs.make import language_vec

torch.set_num_threads(1)
{keep}
env = language_vec("Dialogue-BLEU-v0", 256, tokenizer="smollm2")
policy = BC(LM.from_pretrained("smollm2", env, dtype="bf16")).policy(greedy=True)
env.begin(range(256), range(256))
histories, rngs = [env.history(row).copy() for row in range(256)], [np.random.default_rng(row) for row in range(256)]
policy.act(histories[:2], rngs[:2])
before = resource.getrusage(resource.RUSAGE_SELF)
turns = policy.act(histories, rngs)
after = resource.getrusage(resource.RUSAGE_SELF)
tokens = sum(len(turn.tokens) for turn in turns)
print(json.dumps([tokens, after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime]))
"""


def test_replies_of_256_rows(benchmark, smollm2):
    if sys.platform != "linux":
        pytest.skip("glibc alone has mallopt")

    def measure(keep):
        code = REPLIES.format(keep=keep)
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    given_back, kept = measure(""), measure("keep_freed_memory()")
    benchmark.pedantic(lambda: None, rounds=1)
    for name, (tokens, own, system) in (("given back", given_back), ("kept", kept)):
        spent = f"{own:.1f} s and {system:.1f} s of the system"
        sys.stdout.write(f"256 replies, buffers {name}: {tokens} tokens, {spent}\n")
    assert given_back[0] == kept[0]
    assert sum(kept[1:]) <= 0.85 * sum(given_back[1:])
