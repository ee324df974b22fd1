"""The time of an algorithm's optimiser step, relative to behaviour cloning: a step of the language model alone.

V = 35, T = 72, B = 64 episodes (32 pairs for DPO), 36 actions in each, float32, one thread. A step is the loss, its
gradient, clipping, AdamW and ``after_step``. Each step is timed right after one of behaviour cloning, and the result is
the median of the ratios of such pairs: 1 is as fast as behaviour cloning. The Decision Transformer reads one token more
in each of the 6 turns, so its ratio is at most 72 / 78 = 0.92; "of 78 tokens" compares it with cloning of as many
tokens. DPO and Q-SFT read each row twice, the second time without a gradient. KTO reads it four times. OREO reads it
three times, one of them with the transformer of its values. PPO is in ``test_perf_ppo.py``, because its step first
plays episodes.
"""

import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from agents import AGENTS, LM, DecisionTransformerConfig, ILQLConfig, RefitConfig, SwiftConfig, collate
from lang_envs import Episode
from lang_envs.tokenizers import character_tokenizer

ROWS, LENGTH, TURNS, UTTERANCE, VOCABULARY, ROUNDS = 64, 72, 6, 6, 35, 5
PAD, END = VOCABULARY - 2, VOCABULARY - 1
SLACK = 0.8  # what is asserted is this much of a target: a loaded machine must not fail a build

IMITATION = {
    "bc": None,
    "refit": RefitConfig(),
    "swift": SwiftConfig(),
    "decision_transformer": DecisionTransformerConfig(edges=(-5.5, -3.5)),
}
VALUES = ("sarsa", "monte_carlo", "ilql", "awr", "cql", "psi", "utterance_ilql", "archer")
OF_ITS_OWN_TOKENS, THREE_TRUNKS = "decision_transformer, of 78 tokens", "ilql, three trunks"
OF_THE_START = {"dpo": 0.65, "oreo": 0.35, "kto": 0.45, "grpo": 0.95, "q_sft": 0.65}
TARGETS = {
    "d128-l2": dict.fromkeys(IMITATION, 0.95) | dict.fromkeys(VALUES, 0.75) | OF_THE_START,
    "d256-l4": dict.fromkeys(IMITATION, 0.95) | dict.fromkeys(VALUES, 0.88) | OF_THE_START,
}


def make_env(length=LENGTH):
    letters = [chr(ord("A") + i) for i in range(VOCABULARY - 2)]
    tokenizer = character_tokenizer([*letters, "<pad>", "<end>"], end_token="<end>", pad_token="<pad>")
    env = SimpleNamespace(tokenizer=tokenizer, max_tokens=length, task=SimpleNamespace(max_utterance_tokens=UTTERANCE))
    env.unwrapped = env
    return env


def make_batch(length=LENGTH):
    """The environment speaks first. -1 for each of 6 turns, the last may be free: rows 2 i and 2 i + 1 are no tie."""
    rng, place = np.random.default_rng(0), np.arange(length) % (length // TURNS)
    is_action, ends = place >= place.max() + 1 - UTTERANCE, place == place.max()
    lost = -ends.astype(np.float32)
    won = np.where(np.arange(length) == length - 1, np.float32(0), lost)
    rows = rng.integers(0, PAD, (ROWS, length), dtype=np.int32)
    rows[:, ends] = END
    logprobs = np.where(is_action, -3.0, np.nan).astype(np.float32)
    episodes = [Episode(row, is_action, (lost, won)[i % 2], True, logprobs=logprobs) for i, row in enumerate(rows)]
    return collate(episodes, PAD, END, UTTERANCE)


def stepper(agent, batch):
    trained = [p for p in agent.model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4, fused=True)
    agent.model.train()

    def step():
        start = time.process_time()
        loss, _ = agent.loss(batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        agent.after_step(agent.step + 1)
        return time.process_time() - start

    return step


def compare(rows):
    """Seconds of each step, and its rate beside the step it is held against: medians over interleaved pairs."""
    pairs = {name: [] for name in rows}
    for i in range(ROUNDS + 1):
        for name, (step, beside) in rows.items():
            pair = (step(), beside())
            if i:  # the first one warms up
                pairs[name].append(pair)
    return {name: np.median([(own, other / own) for own, other in found], 0) for name, found in pairs.items()}


@pytest.mark.parametrize("size", TARGETS)
def test_optimiser_steps_against_behaviour_cloning(benchmark, size):
    torch.set_num_threads(1)
    targets = TARGETS[size]
    assert {*targets, "ppo"} == {*AGENTS}, "an algorithm is missing in the table"

    def make(name, config=None, length=LENGTH):
        return stepper(AGENTS[name](LM.from_scratch(size, make_env(length)), config), make_batch(length))

    cloning, longer = make("bc"), make("bc", length=LENGTH + TURNS)
    rows = {name: (make(name, IMITATION.get(name)), cloning) for name in targets}
    rows[OF_ITS_OWN_TOKENS] = rows["decision_transformer"][0], longer
    rows[THREE_TRUNKS] = make("ilql", ILQLConfig(trunks="separate")), cloning
    targets = targets | {OF_ITS_OWN_TOKENS: 0.95, THREE_TRUNKS: 0.38}
    sys.stdout.write(f"\n{size:36s} {'ms a step':>9s} {'of bc':>6s} {'target':>7s}\n")
    found = compare(rows)
    for name, (seconds, ratio) in found.items():
        missed = "" if ratio >= targets[name] else "  below"
        sys.stdout.write(f"{name:36s} {1e3 * seconds:9.0f} {ratio:6.2f} {targets[name]:7.2f}{missed}\n")
    benchmark.pedantic(cloning, rounds=1)
    assert not {name: ratio for name, (_, ratio) in found.items() if ratio < SLACK * targets[name]}
