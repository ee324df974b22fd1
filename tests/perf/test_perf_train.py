"""What values cost in training: optimiser steps of ILQL, with one trunk and three, beside those of behaviour cloning.

V = 35, T = 72, B = 64, 36 actions in each episode, float32, one thread; the rate of behaviour cloning is 1.
"""

import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from agents import BC, ILQL, LM, ILQLConfig, collate
from lang_envs import Episode
from lang_envs.tokenizers import character_tokenizer

ROWS, LENGTH, UTTERANCE, VOCABULARY, ROUNDS = 64, 72, 6, 35, 6
PAD, END = VOCABULARY - 2, VOCABULARY - 1


def make_env():
    letters = [chr(ord("A") + i) for i in range(VOCABULARY - 2)]
    tokenizer = character_tokenizer([*letters, "<pad>", "<end>"], end_token="<end>", pad_token="<pad>")
    env = SimpleNamespace(tokenizer=tokenizer, max_tokens=LENGTH, task=SimpleNamespace(max_utterance_tokens=UTTERANCE))
    env.unwrapped = env
    return env


def make_batch():
    rng = np.random.default_rng(0)
    is_action = np.arange(LENGTH) // UTTERANCE % 2 == 1  # the environment speaks first, then they take turns
    rewards = np.where(is_action & (np.arange(LENGTH) % UTTERANCE == UTTERANCE - 1), -1.0, 0.0).astype(np.float32)
    rows = rng.integers(0, PAD, (ROWS, LENGTH), dtype=np.int32)
    return collate([Episode(row, is_action, rewards, terminated=True) for row in rows], PAD, END)


def stepper(agent, batch):
    trained = [p for p in agent.model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4, fused=True)
    agent.model.train()

    def step():
        loss, _ = agent.loss(batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        agent.after_step(agent.step + 1)

    return step


@pytest.mark.parametrize(("size", "shared", "separate"), [("d128-l2", 0.75, None), ("d256-l4", 0.88, 0.38)])
def test_optimiser_steps_against_behaviour_cloning(benchmark, size, shared, separate):
    torch.set_num_threads(1)
    env, batch = make_env(), make_batch()
    steps = {
        "bc": stepper(BC(LM.from_scratch(size, env)), batch),
        "ilql": stepper(ILQL(LM.from_scratch(size, env)), batch),
        "ilql, three trunks": stepper(ILQL(LM.from_scratch(size, env), ILQLConfig(trunks="separate")), batch),
    }
    best = dict.fromkeys(steps, np.inf)
    for _ in range(ROUNDS):  # interleaved, and the best round counts: other processes come and go
        for name, step in steps.items():
            start = time.process_time()
            step()
            best[name] = min(best[name], time.process_time() - start)
    for name, seconds in best.items():
        sys.stdout.write(f"{size}  {name:20s} {ROWS * LENGTH / seconds:8.0f} tokens/s  {best['bc'] / seconds:.2f}\n")
    benchmark.pedantic(steps["ilql"], rounds=2)
    assert best["bc"] / best["ilql"] >= shared
    assert separate is None or best["bc"] / best["ilql, three trunks"] >= separate
