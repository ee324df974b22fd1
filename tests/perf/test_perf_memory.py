"""The memory of training GPT-2 (124 M weights): all weights or adapters, activations kept or computed again.

Steps on 4 episodes of 256 tokens, half of them the agent's, V = 50,257, float32, one thread. Each case has its own
process, because the peak memory of a process never falls. The result is the peak minus the memory after the imports.
"""

import subprocess
import sys

import pytest

STEP = """
import resource, sys, time
import numpy as np, torch
from transformers import GPT2Config, GPT2LMHeadModel
import peft
from agents import AGENTS, DPOConfig, LM, collate
from agents.models.lm import checkpoint_gradients
from agents.models.lora import LoRAConfig, add_adapters
from agents.reference import keep_start
from lang_envs import Episode
from lang_envs.tokenizers import character_tokenizer

def peak():  # GB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9

torch.set_num_threads(1)
algorithm, adapters, again = sys.argv[1], sys.argv[2] == "lora", sys.argv[3] == "again"
rng, said = np.random.default_rng(0), np.arange(256) % 2 == 1
rows = [rng.integers(0, 50257, 256, dtype=np.int32) for _ in range(4)]
batch = collate([Episode(r, said, (said * i).astype(np.float32), True) for i, r in enumerate(rows)], 0, 1)
tokenizer = character_tokenizer(["a", "<pad>", "<end>"], end_token="<end>", pad_token="<pad>")
before = peak()
lm = LM(GPT2LMHeadModel(GPT2Config(resid_pdrop=0, embd_pdrop=0, attn_pdrop=0)), tokenizer, 256)
if adapters:
    lm.lora = LoRAConfig(rank=8)
    add_adapters(lm.model, lm.lora)
agent = AGENTS[algorithm](lm, DPOConfig(reference="start") if algorithm == "dpo" else None)
if algorithm == "dpo":
    keep_start(agent)
checkpoint_gradients(agent.model, again)
trained = [p for p in agent.model.parameters() if p.requires_grad]
optimizer = torch.optim.AdamW(trained, fused=True)
agent.model.train()
for _ in range(2):
    start = time.process_time()
    agent.loss(batch)[0].backward()
    optimizer.step()
    optimizer.zero_grad()
    agent.after_step(agent.step + 1)
print(peak() - before, time.process_time() - start, sum(p.numel() for p in trained) / 1e6)
"""
CASES = [
    ("bc", "all", "kept"),
    ("bc", "all", "again"),
    ("bc", "lora", "kept"),
    ("bc", "lora", "again"),
    ("dpo", "all", "kept"),
    ("dpo", "lora", "kept"),
]


def measured(*case: str) -> tuple[float, float, float]:
    done = subprocess.run([sys.executable, "-c", STEP, *case], capture_output=True, text=True, check=True)
    memory, seconds, millions = map(float, done.stdout.split())
    return memory, seconds, millions


def test_adapters_and_computing_again_hold_less(benchmark) -> None:
    pytest.importorskip("peft", reason="the extra lora is not installed")
    found = {case: measured(*case) for case in CASES}
    for (algorithm, weights, activations), (memory, seconds, millions) in found.items():
        case = f"{algorithm:4s} {weights:5s} {activations:6s}"
        sys.stdout.write(f"{case} {millions:6.1f} M trained   {memory:5.2f} GB   {seconds:5.1f} s of a step\n")
    benchmark.pedantic(lambda: None, rounds=1)
    held = {case: memory for case, (memory, _, _) in found.items()}
    assert held["bc", "all", "again"] < 0.9 * held["bc", "all", "kept"]
    assert held["bc", "lora", "kept"] < 0.85 * held["bc", "all", "kept"]
    assert held["bc", "lora", "again"] < 0.75 * held["bc", "lora", "kept"]
    start_policy = held["dpo", "all", "kept"] - held["bc", "all", "kept"]
    assert held["dpo", "lora", "kept"] - held["bc", "lora", "kept"] < start_policy - 0.4
